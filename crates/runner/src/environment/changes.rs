//! What differs between two environments, each difference by its name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aseptic_model::{Environment, Package, PackageName, Python};
use serde::Serialize;

/// One difference between two environments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EnvironmentChange {
    /// Of what kind it is.
    pub kind: EnvironmentPart,
    /// Which one, where there are several: the name of a package or variable.
    pub name: Option<String>,
    /// What it was; nothing if it is new.
    pub before: Option<String>,
    /// What it is; nothing if it is gone.
    pub after: Option<String>,
}

/// A part of an environment, those first that explain a changed result most often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvironmentPart {
    /// A package in another version, or one that only one of both has.
    Package,
    /// Version of Python.
    Python,
    /// A package of the same version whose list of installed files is another.
    Files,
    /// The interpreter's executable file.
    Interpreter,
    /// Where Python is.
    Place,
    /// A variable that the spec sets.
    Variable,
    /// The processor's architecture.
    Architecture,
    /// The processor.
    Processor,
    /// The kernel.
    Kernel,
}

impl EnvironmentPart {
    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::Python => "Python",
            Self::Files => "files of package",
            Self::Interpreter => "interpreter",
            Self::Place => "place of Python",
            Self::Variable => "variable",
            Self::Architecture => "architecture",
            Self::Processor => "processor",
            Self::Kernel => "kernel",
        }
    }
}

impl fmt::Display for EnvironmentChange {
    /// `package numpy: 1.26.4 -> 2.0.0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_str();
        let name = self.name.as_ref().map_or(String::new(), |name| format!(" {name}"));
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "{kind}{name}: {before} -> {after}"),
            (Some(before), None) => write!(f, "{kind}{name}: {before} is gone"),
            (None, Some(after)) => write!(f, "{kind}{name}: {after} is new"),
            (None, None) => write!(f, "{kind}{name}"),
        }
    }
}

/// What differs from `before` to `after`, in the order of [`EnvironmentPart`].
pub(crate) fn changes(before: &Environment, after: &Environment) -> Vec<EnvironmentChange> {
    let mut changes = Vec::new();
    python(before.python.as_ref(), after.python.as_ref(), &mut changes);
    let names: BTreeSet<_> = before.variables.keys().chain(after.variables.keys()).collect();
    for name in names {
        let (old, new) = (before.variables.get(name), after.variables.get(name));
        push(&mut changes, EnvironmentPart::Variable, Some(name), old.cloned(), new.cloned());
    }
    let (old, new) = (&before.host, &after.host);
    for (kind, old, new) in [
        (EnvironmentPart::Architecture, &old.architecture, &new.architecture),
        (EnvironmentPart::Processor, &old.cpu, &new.cpu),
        (EnvironmentPart::Kernel, &old.kernel, &new.kernel),
    ] {
        push(&mut changes, kind, None, Some(old.clone()), Some(new.clone()));
    }
    changes.sort_by_key(|change| change.kind);
    changes
}

fn push(
    changes: &mut Vec<EnvironmentChange>,
    kind: EnvironmentPart,
    name: Option<&str>,
    before: Option<String>,
    after: Option<String>,
) {
    if before != after {
        changes.push(EnvironmentChange { kind, name: name.map(str::to_owned), before, after });
    }
}

fn python(before: Option<&Python>, after: Option<&Python>, changes: &mut Vec<EnvironmentChange>) {
    let of = |python: Option<&Python>, part: fn(&Python) -> String| python.map(part);
    for (kind, part) in [
        (EnvironmentPart::Python, (|python| python.version.clone()) as fn(&Python) -> String),
        (EnvironmentPart::Interpreter, |python| python.interpreter.short()),
        (EnvironmentPart::Place, |python| python.prefix.clone()),
    ] {
        push(changes, kind, None, of(before, part), of(after, part));
    }
    if let (Some(before), Some(after)) = (before, after) {
        let base = |python: &Python| Some(python.base_prefix.clone());
        push(changes, EnvironmentPart::Place, Some("base"), base(before), base(after));
    }
    let (old, new) = (packages(before), packages(after));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (old, new) = (old.get(name), new.get(name));
        let versions = |packages: Option<&Vec<&Package>>| {
            let versions = packages?.iter().map(|package| package.version.as_str());
            Some(versions.collect::<Vec<_>>().join(" and "))
        };
        let records = |packages: Option<&Vec<&Package>>| {
            let records = packages?
                .iter()
                .map(|package| package.record.map_or("no list".to_owned(), |digest| digest.short()));
            Some(records.collect::<Vec<_>>().join(" and "))
        };
        if versions(old) != versions(new) {
            push(changes, EnvironmentPart::Package, Some(name), versions(old), versions(new));
        } else {
            push(changes, EnvironmentPart::Files, Some(name), records(old), records(new));
        }
    }
}

/// Packages by the name under which an index has them; there may be several of one name.
fn packages(python: Option<&Python>) -> BTreeMap<String, Vec<&Package>> {
    let mut packages: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for package in python.into_iter().flat_map(|python| &python.packages) {
        let name = PackageName::normalised(&package.name).map(|name| name.to_string());
        packages.entry(name.unwrap_or_else(|| package.name.clone())).or_default().push(package);
    }
    packages
}
