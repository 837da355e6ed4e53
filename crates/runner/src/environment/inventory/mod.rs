//! The inventory of an environment: its packages with licences and origins, the system, the machine, and findings.
//!
//! It is made while the job runs, in a thread of its own, and only where the store has none of this environment
//! yet: [`Taking`]. So it costs the start of a run nothing, and once an environment is known, its end neither.
//!
//! **Invariant:** nothing of the environment is executed or loaded; everything comes from files, each read to a
//! bound and never waited for.
//! **Invariant:** what a bound cut off is said, in `incomplete`.

mod conda;
mod dpkg;
mod elf;
mod fingerprint;
mod hints;
mod interpreter;
mod licence;
mod machine;
mod metadata;
mod native;
mod origin;
mod record;
mod startup;
mod taking;
#[cfg(test)]
mod tests;
mod touched;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use aseptic_model::{
    Finding, FindingCode, INVENTORY_FORMAT, InstalledPackage, Inventory, PackageKind, PackageName, Python,
    escape_bytes,
};

use super::python::{Captured, Installed, sites};
use crate::home::Home;

pub(crate) use metadata::same_name;
pub(crate) use record::{Listed, listed, read_record};
pub(crate) use taking::{Taken, Taking};
pub(crate) use touched::touched;

/// Findings that an inventory lists.
const FINDINGS_MAX: usize = 1000;
/// Packages that it lists; the largest distributions have some thousands.
const PACKAGES_MAX: usize = 20_000;
/// Entries of one directory that are looked at.
const ENTRIES_MAX: usize = 200_000;

/// What an inventory is made from.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// The Python environment as the plan has it, and where its parts are.
    pub(crate) python: Option<(Python, Installed)>,
    /// Directories that the run sees at their own paths.
    pub(crate) mounts: Vec<PathBuf>,
    /// Home directory of the user.
    pub(crate) home_directory: Option<PathBuf>,
}

impl Sources {
    /// Those of an environment as it was found.
    pub(crate) fn new(captured: Option<&Captured>, home_directory: Option<&Path>) -> Self {
        Self {
            python: captured.map(|captured| (captured.python.clone(), captured.installed.clone())),
            mounts: captured.map(|captured| captured.mounts.clone()).unwrap_or_default(),
            home_directory: home_directory.map(Path::to_owned),
        }
    }

    /// Every directory that packages are installed in.
    fn sites(&self) -> Vec<PathBuf> {
        let prefixes = self.python.iter().flat_map(|(_, installed)| &installed.prefixes);
        prefixes.flat_map(|prefix| sites(prefix)).collect()
    }
}

/// The inventory of an environment that a store has, or that is made now. Nothing is kept.
pub(crate) fn present(home: &Home, project: &aseptic_model::ProjectName, sources: &Sources) -> Inventory {
    let known = || {
        let digest = hints::find(&home.inventories(project), &fingerprint::of(sources))?;
        home.object(project, &digest).ok()
    };
    known().unwrap_or_else(|| take(sources))
}

/// Makes the inventory of an environment.
pub(crate) fn take(sources: &Sources) -> Inventory {
    let mut found = Found::default();
    for site in sources.sites() {
        metadata::scan(&site, sources, &mut found);
    }
    if let Some((_, installed)) = &sources.python {
        for prefix in &installed.prefixes {
            conda::scan(&prefix.join("conda-meta"), prefix, &mut found);
        }
    }
    found.merge_conda();
    found.find_duplicates();
    for site in sources.sites() {
        startup::scan(&site, sources, &mut found);
    }
    startup::user_site(sources, &mut found);
    native::scan(sources, &mut found);
    let system = dpkg::installed(Path::new(dpkg::STATUS), &mut found);
    Inventory {
        format: INVENTORY_FORMAT.to_owned(),
        python: sources.python.as_ref().map(|(python, installed)| interpreter::of(python, installed)),
        machine: machine::machine(system.as_ref()),
        system,
        packages: found.packages.into_iter().collect(),
        findings: found.findings.into_iter().collect(),
        incomplete: found.incomplete.into_iter().collect(),
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    packages: BTreeSet<InstalledPackage>,
    findings: BTreeSet<Finding>,
    incomplete: BTreeSet<String>,
    /// Files right in a site directory that a `RECORD` lists.
    owned: BTreeSet<PathBuf>,
}

impl Found {
    fn package(&mut self, package: InstalledPackage) {
        if self.packages.len() < PACKAGES_MAX {
            self.packages.insert(package);
        } else {
            self.incomplete.insert(format!("only {PACKAGES_MAX} packages are listed"));
        }
    }

    fn finding(
        &mut self,
        code: FindingCode,
        subject: impl Into<String>,
        place: Option<String>,
        detail: String,
    ) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.insert(Finding { code, subject: subject.into(), place, detail });
        } else {
            self.incomplete.insert(format!("only {FINDINGS_MAX} findings are listed"));
        }
    }

    /// A package of conda may have left a description for Python beside its own: it is one package.
    fn merge_conda(&mut self) {
        let by_conda = |package: &&InstalledPackage| {
            package.kind == PackageKind::Python && package.installer.as_deref() == Some("conda")
        };
        let described: Vec<_> = self.packages.iter().filter(by_conda).cloned().collect();
        for python in described {
            let same = |package: &&InstalledPackage| {
                let one = package.kind == PackageKind::Conda && package.version == python.version;
                one && same_name(&package.name, &python.name)
            };
            let Some(conda) = self.packages.iter().find(same).cloned() else { continue };
            self.packages.remove(&conda);
            self.packages.remove(&python);
            self.packages.insert(InstalledPackage { record: python.record, ..conda });
        }
    }

    fn find_duplicates(&mut self) {
        let mut seen: BTreeMap<String, Vec<&InstalledPackage>> = BTreeMap::new();
        for package in self.packages.iter().filter(|package| package.kind != PackageKind::Conda) {
            let name = PackageName::normalised(&package.name);
            let name = name.map_or_else(|| package.name.clone(), |name| name.to_string());
            seen.entry(name).or_default().push(package);
        }
        let twice: Vec<_> = seen
            .into_values()
            .filter(|packages| packages.len() > 1)
            .filter_map(|packages| {
                let places: Vec<_> = packages.iter().map(|package| package.place.as_str()).collect();
                Some((packages.first()?.name.clone(), places.join(", ")))
            })
            .collect();
        for (name, places) in twice {
            let detail = "it is there more than once, and which one is imported depends on their order";
            self.finding(FindingCode::Duplicate, name, Some(places), detail.to_owned());
        }
    }
}

/// A path as text, relative to the prefix of the environment where it is below it.
fn shown(path: &Path, sources: &Sources) -> String {
    let prefix = sources.python.as_ref().map(|(python, _)| Path::new(&python.prefix));
    let relative = prefix.and_then(|prefix| path.strip_prefix(prefix).ok()).unwrap_or(path);
    escape_bytes(relative.as_os_str().as_encoded_bytes())
}

/// Entries of a directory, sorted, to a bound.
fn listing(directory: &Path, found: &mut Found) -> BTreeSet<PathBuf> {
    let Ok(mut entries) = std::fs::read_dir(directory) else { return BTreeSet::new() };
    let paths = entries.by_ref().take(ENTRIES_MAX).flatten().map(|entry| entry.path()).collect();
    if entries.next().is_some() {
        let place = escape_bytes(directory.as_os_str().as_encoded_bytes());
        found.incomplete.insert(format!("only {ENTRIES_MAX} entries of `{place}` were looked at"));
    }
    paths
}
