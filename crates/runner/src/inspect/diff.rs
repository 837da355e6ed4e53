//! What differs between two environments.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{
    Digest, InstalledPackage, Inventory, Machine, PackageKind, PackageName, ProjectName, SystemPackage,
};
use serde::Serialize;

use super::{EnvironmentRef, EnvironmentShown, InspectError, environment};
use crate::home::Home;
use crate::request::Request;

/// What differs, from the environment before to the one after.
#[derive(Clone, Debug, Serialize)]
pub struct EnvironmentDiff {
    /// Interpreter and machine, fact by fact.
    pub facts: Vec<FactChange>,
    /// Packages of the environment, by name.
    pub packages: Vec<PackageChange>,
    /// Packages of the operating system, by name.
    pub system: Vec<SystemChange>,
    /// What could not be compared, each in words.
    pub unknown: Vec<String>,
}

/// A fact that has another value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FactChange {
    /// Such as `kernel`.
    pub name: &'static str,
    /// What it was.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

/// A package that is there on one side alone, or another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// Its name, as it gives it.
    pub name: String,
    /// What it was; nothing if it was added.
    pub before: Option<InstalledPackage>,
    /// What it is; nothing if it was removed.
    pub after: Option<InstalledPackage>,
    /// In what they differ, where it is on both sides.
    pub aspects: Vec<Aspect>,
}

/// In what two descriptions of a package differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Aspect {
    /// Its version.
    Version,
    /// The digests of its files or its archive.
    Files,
    /// Its licence.
    Licence,
    /// Where it comes from.
    Origin,
    /// What installed it.
    Installer,
    /// Where in the environment it is.
    Place,
}

impl Aspect {
    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Files => "files",
            Self::Licence => "licence",
            Self::Origin => "origin",
            Self::Installer => "installer",
            Self::Place => "place",
        }
    }
}

/// A package of the operating system that is there on one side alone, or in another version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SystemChange {
    /// Its name.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// The version it had.
    pub before: Option<String>,
    /// The version it has.
    pub after: Option<String>,
}

impl EnvironmentDiff {
    /// Whether nothing differs of what was compared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.packages.is_empty() && self.system.is_empty()
    }
}

/// Compares the environments of two runs, or of one with that of now. Returns both with what differs.
///
/// # Errors
/// [`InspectError`].
pub fn diff_environments(
    home: &Home,
    project: &ProjectName,
    before: &EnvironmentRef,
    after: &EnvironmentRef,
    request: &Request,
) -> Result<(EnvironmentShown, EnvironmentShown, EnvironmentDiff), InspectError> {
    let before = environment(home, project, before, request)?;
    let after = environment(home, project, after, request)?;
    let diff = compare(&before.inventory, &after.inventory);
    let sides = [&before, &after].into_iter();
    let unknown = sides.flat_map(|side| side.unknown.iter().map(|why| format!("{}: {why}", name_of(side))));
    let unknown = unknown.collect();
    Ok((before, after, EnvironmentDiff { unknown, ..diff }))
}

fn name_of(side: &EnvironmentShown) -> String {
    side.run.as_ref().map_or_else(|| "now".to_owned(), |run| format!("run {run}"))
}

pub(super) fn compare(before: &Inventory, after: &Inventory) -> EnvironmentDiff {
    let planned_only = [before, after].iter().any(|side| is_planned(side));
    EnvironmentDiff {
        facts: facts(before, after, planned_only),
        packages: packages(before, after, planned_only),
        system: match (&before.system, &after.system) {
            (Some(before), Some(after)) if before.digest != after.digest => {
                system(&before.packages, &after.packages)
            }
            _ => Vec::new(),
        },
        unknown: Vec::new(),
    }
}

/// Whether all of it comes from a plan.
fn is_planned(inventory: &Inventory) -> bool {
    inventory.machine.kernel_build.is_empty()
}

fn facts(before: &Inventory, after: &Inventory, planned_only: bool) -> Vec<FactChange> {
    let (before, after) = (facts_of(before), facts_of(after));
    let both = before.into_iter().zip(after);
    let differ = both.filter(|((_, before), (_, after))| before != after);
    // A plan does not say the others.
    let known =
        differ.filter(|((_, before), (_, after))| !planned_only || before.is_some() && after.is_some());
    known.map(|((name, before), (_, after))| FactChange { name, before, after }).collect()
}

fn facts_of(inventory: &Inventory) -> Vec<(&'static str, Option<String>)> {
    let python = inventory.python.as_ref();
    let machine: &Machine = &inventory.machine;
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let digest = |digest: Option<&Digest>| digest.map(Digest::to_string);
    let gpus = (!machine.gpus.is_empty()).then(|| machine.gpus.join(", "));
    vec![
        ("python", python.map(|python| python.version.clone())),
        ("python implementation", python.and_then(|python| python.implementation.clone())),
        ("python build", python.and_then(|python| python.build.clone())),
        ("python executable", digest(python.map(|python| &python.digest))),
        ("python library", digest(python.and_then(|python| python.library.as_ref()))),
        ("python prefix", python.map(|python| python.prefix.clone())),
        ("system", machine.system.clone()),
        ("kernel", text(&machine.kernel)),
        ("kernel build", text(&machine.kernel_build)),
        ("architecture", text(&machine.architecture)),
        ("glibc", machine.glibc.clone()),
        ("cpu", text(&machine.cpu)),
        ("cpu features", digest(machine.cpu_features.as_ref())),
        ("cores", machine.cores.map(|cores| cores.to_string())),
        ("memory", machine.memory_bytes.map(|bytes| aseptic_model::ByteSize(bytes).to_string())),
        ("gpus", gpus),
        ("gpu driver", machine.gpu_driver.clone()),
        ("cuda driver", machine.cuda_driver.clone()),
    ]
}

/// Packages by kind and name; those of one name are compared in their order.
type ByName<'i> = BTreeMap<(Option<PackageKind>, String, usize), &'i InstalledPackage>;

fn packages(before: &Inventory, after: &Inventory, planned_only: bool) -> Vec<PackageChange> {
    let (before, after) = (by_name(before, planned_only), by_name(after, planned_only));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let change = |key| {
        let (before, after) = (before.get(key).copied(), after.get(key).copied());
        let aspects = match (before, after) {
            (Some(before), Some(after)) => aspects(before, after, planned_only),
            _ => Vec::new(),
        };
        let same = before.is_some() && after.is_some() && aspects.is_empty();
        let name = after.or(before)?.name.clone();
        (!same).then(|| PackageChange { name, before: before.cloned(), after: after.cloned(), aspects })
    };
    let mut changes: Vec<_> = keys.into_iter().filter_map(change).collect();
    changes.sort_by_key(|change| change.name.to_lowercase());
    changes
}

fn by_name(inventory: &Inventory, planned_only: bool) -> ByName<'_> {
    let mut found = ByName::new();
    for package in &inventory.packages {
        // A plan has no packages of conda but those that left a description for Python.
        if planned_only && package.kind == PackageKind::Conda && package.record.is_none() {
            continue;
        }
        let name = PackageName::normalised(&package.name);
        let name = name.map_or_else(|| package.name.clone(), |name| name.to_string());
        let kind = (!planned_only).then_some(package.kind);
        let number =
            (0..).find(|number| !found.contains_key(&(kind, name.clone(), *number))).unwrap_or_default();
        found.insert((kind, name, number), package);
    }
    found
}

fn aspects(before: &InstalledPackage, after: &InstalledPackage, planned_only: bool) -> Vec<Aspect> {
    // Another version has other files, and the name of its description has the version in it.
    let same_version = before.version == after.version;
    let files = before.record != after.record || !planned_only && before.archive != after.archive;
    let always = [(Aspect::Version, !same_version), (Aspect::Files, same_version && files)];
    let inventoried = [
        (Aspect::Licence, before.licence != after.licence),
        (Aspect::Origin, before.origin != after.origin),
        (Aspect::Installer, before.installer != after.installer),
        (Aspect::Place, same_version && before.place != after.place),
    ];
    let inventoried = inventoried.into_iter().filter(|_| !planned_only);
    always.into_iter().chain(inventoried).filter(|(_, differs)| *differs).map(|(aspect, _)| aspect).collect()
}

fn system(before: &[SystemPackage], after: &[SystemPackage]) -> Vec<SystemChange> {
    type Key<'p> = (&'p str, &'p str);
    fn versions(packages: &[SystemPackage]) -> BTreeMap<Key<'_>, &str> {
        let all = packages.iter();
        all.map(|one| ((one.name.as_str(), one.architecture.as_str()), one.version.as_str())).collect()
    }
    let (before, after) = (versions(before), versions(after));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changed = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    let version =
        |side: &BTreeMap<Key<'_>, &str>, key: &Key<'_>| side.get(key).map(|version| (*version).to_owned());
    changed
        .map(|key| SystemChange {
            name: key.0.to_owned(),
            architecture: key.1.to_owned(),
            before: version(&before, key),
            after: version(&after, key),
        })
        .collect()
}
