//! What the code asks for: files of requirements and lock files, beside what is installed.
//!
//! Only files that lie right in the code tree are read, and those in `requirements/`. They are hostile like the
//! rest of a tree: each is read to a bound, and one that cannot be understood is a finding.

mod conda;
mod locks;
mod requirement;
mod toml_files;
mod tree;
mod version;

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{Finding, FindingCode, InstalledPackage, PackageName, escape_bytes};

use requirement::Requirement;
pub(crate) use tree::CodeFiles;
use version::Exact;

/// Findings about what the code asks for, at most.
const FINDINGS_MAX: usize = 1000;

/// One exact version that a file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pin {
    exact: Exact,
    line: usize,
    /// Whether it is only for some platforms, versions of Python or groups.
    conditional: bool,
}

/// What one file asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    pins: BTreeMap<PackageName, Vec<Pin>>,
    /// Name, what is asked for, line.
    loose: Vec<(String, String, usize)>,
    is_lock: bool,
    unreadable: Option<String>,
}

impl Asked {
    fn unreadable(why: impl Into<String>) -> Self {
        Self { unreadable: Some(why.into()), ..Self::default() }
    }

    fn pin(&mut self, name: &str, exact: Exact, line: usize, conditional: bool) {
        if let Some(name) = PackageName::normalised(name) {
            self.pins.entry(name).or_default().push(Pin { exact, line, conditional });
        }
    }

    fn add(&mut self, requirement: Requirement, line: usize) {
        match requirement {
            Requirement::Pinned { name, version, conditional } => {
                self.pin(&name, Exact::whole(&version), line, conditional);
            }
            Requirement::Loose { name, wanted } => self.loose.push((name, wanted, line)),
            Requirement::Nothing => {}
        }
    }
}

/// What stands out between the files of `code` and the packages of an environment; without one, in the files alone.
pub(crate) fn findings(code: &CodeFiles, packages: Option<&[InstalledPackage]>) -> Vec<Finding> {
    let files: Vec<_> =
        code.files.iter().map(|(name, bytes)| (name.as_str(), of_file(name, bytes))).collect();
    let mut all = BTreeSet::new();
    let unread = code.unread.iter().map(|(name, why)| (name.as_str(), why));
    let unreadable = files.iter().filter_map(|(name, asked)| Some((*name, asked.unreadable.as_ref()?)));
    for (file, why) in unread.chain(unreadable) {
        all.insert(finding(FindingCode::UnreadableRequirements, file, file.to_owned(), why.clone()));
    }
    let is_locked = files.iter().any(|(_, asked)| asked.is_lock && asked.unreadable.is_none());
    if !is_locked {
        let pinned: BTreeSet<_> = files.iter().flat_map(|(_, asked)| asked.pins.keys()).collect();
        for (file, asked) in &files {
            unpinned(file, asked, &pinned, &mut all);
        }
    }
    for (file, asked) in &files {
        if let Some(packages) = packages {
            differing(file, asked, packages, &mut all);
        }
    }
    all.into_iter().take(FINDINGS_MAX).collect()
}

fn of_file(name: &str, bytes: &[u8]) -> Asked {
    let text = String::from_utf8_lossy(bytes);
    let last = name.rsplit('/').next().unwrap_or(name);
    match last {
        "Pipfile.lock" => locks::pipfile(bytes),
        "Pipfile" => toml_files::pipfile(&text),
        "pyproject.toml" => toml_files::pyproject(&text),
        "uv.lock" | "poetry.lock" | "pdm.lock" => locks::toml(&text, "package"),
        "conda-lock.yml" | "conda-lock.yaml" => locks::conda(&text),
        _ if last.starts_with("pylock") => locks::toml(&text, "packages"),
        _ if last.starts_with("environment") => conda::environment(&text),
        _ => requirement::file(&text),
    }
}

fn unpinned(file: &str, asked: &Asked, pinned: &BTreeSet<&PackageName>, all: &mut BTreeSet<Finding>) {
    for (name, wanted, line) in &asked.loose {
        if PackageName::normalised(name).is_some_and(|name| pinned.contains(&name)) {
            continue; // Another line, such as one of constraints, says the version.
        }
        let detail = format!("`{wanted}` permits other versions tomorrow");
        all.insert(finding(FindingCode::Unpinned, name, format!("{file}:{line}"), detail));
    }
}

/// Adds what a file pins and is not there, or there in another version.
fn differing(file: &str, asked: &Asked, packages: &[InstalledPackage], all: &mut BTreeSet<Finding>) {
    let mut installed: BTreeMap<PackageName, &InstalledPackage> = BTreeMap::new();
    for package in packages {
        installed.extend(PackageName::normalised(&package.name).map(|name| (name, package)));
    }
    for (name, pins) in &asked.pins {
        let Some(first) = pins.first() else { continue };
        let place = format!("{file}:{}", first.line);
        match installed.get(name) {
            Some(package) if pins.iter().any(|pin| pin.exact.is(&package.version)) => {}
            Some(package) => {
                let wanted: Vec<_> = pins.iter().take(5).map(|pin| pin.exact.as_str()).collect();
                let detail =
                    format!("{} is installed, and {} is asked for", package.version, wanted.join(" or "));
                all.insert(finding(FindingCode::DiffersFromPin, &package.name, place, detail));
            }
            None if asked.is_lock || pins.iter().any(|pin| pin.conditional) => {} // It may be for elsewhere.
            None => {
                let detail = format!("{} is asked for, and it is not installed", first.exact.as_str());
                all.insert(finding(FindingCode::NotInstalled, name.as_str(), place, detail));
            }
        }
    }
}

fn finding(code: FindingCode, subject: &str, place: String, detail: String) -> Finding {
    Finding { code, subject: escape_bytes(subject.as_bytes()), place: Some(place), detail }
}

#[cfg(test)]
mod tests;
