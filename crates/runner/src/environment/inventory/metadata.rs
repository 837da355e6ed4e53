//! Packages of Python, from the files that installers leave.
//!
//! Sources: the specifications "Recording installed projects" and "Core metadata"; PEP 610.

use std::path::{Path, PathBuf};

use aseptic_model::{Digest, FindingCode, InstalledPackage, PackageKind, PackageName, PackageOrigin};

use super::super::python::{
    Longer, RECORD_BYTES_MAX, TEXT_BYTES_MAX, WORD_CHARACTERS_MAX, is_of_system, read,
};
use super::{Found, Sources, licence, listing, origin, record, shown};

/// Classifiers of one package that are looked at.
const CLASSIFIERS_MAX: usize = 200;

/// Adds the packages that are described right in `site`.
pub(super) fn scan(site: &Path, sources: &Sources, found: &mut Found) {
    for path in listing(site, found) {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("dist-info") => distribution(&path, site, sources, found),
            Some("egg-info") => egg(&path, sources, found),
            Some("egg-link") => egg_link(&path, sources, found),
            _ => {}
        }
    }
}

fn distribution(directory: &Path, site: &Path, sources: &Sources, found: &mut Found) {
    let mut package = described(directory, &directory.join("METADATA"), PackageKind::Python, sources, found);
    let subject = package.name.clone();
    match read(&directory.join("RECORD"), RECORD_BYTES_MAX, Longer::Refuse) {
        Ok(bytes) => {
            package.record = Some(Digest::of(&bytes));
            for listed in record::listed(&bytes).filter(|listed| !listed.path.contains('/')) {
                found.owned.insert(site.join(listed.path));
            }
        }
        Err(_) if directory.join("RECORD").symlink_metadata().is_ok() => {
            let detail = "its RECORD is no file of a reasonable size".to_owned();
            found.finding(FindingCode::Unreadable, &subject, Some(package.place.clone()), detail);
        }
        Err(_) if is_of_system(directory) => {} // The system's own list has them.
        Err(_) => {
            let detail = "nothing lists the files that were installed".to_owned();
            found.finding(FindingCode::NoRecord, &subject, Some(package.place.clone()), detail);
        }
    }
    package.installer = read(&directory.join("INSTALLER"), TEXT_BYTES_MAX, Longer::Refuse)
        .ok()
        .and_then(|bytes| word(&String::from_utf8_lossy(&bytes)));
    // Only pip and uv leave the mark, and only since there is an INSTALLER.
    let marks = package.installer.as_deref().is_some_and(|installer| ["pip", "uv"].contains(&installer));
    package.requested = marks.then(|| directory.join("REQUESTED").symlink_metadata().is_ok());
    if let Ok(bytes) = read(&directory.join("direct_url.json"), TEXT_BYTES_MAX, Longer::Refuse) {
        match origin::parse(&bytes) {
            Some(direct) => {
                package.archive = direct.archive;
                package.origin = Some(direct.origin);
                about_origin(&package, found);
            }
            None => {
                let detail = "its direct_url.json cannot be understood".to_owned();
                found.finding(FindingCode::Unreadable, &subject, Some(package.place.clone()), detail);
            }
        }
    }
    found.package(package);
}

/// What stands out about where a package comes from.
fn about_origin(package: &InstalledPackage, found: &mut Found) {
    let (code, detail) = match &package.origin {
        Some(PackageOrigin::Directory { path, editable: true }) => {
            (FindingCode::Editable, format!("it is imported from `{path}`, whatever is there"))
        }
        Some(PackageOrigin::Directory { path, editable: false }) => {
            (FindingCode::Directory, format!("it was installed from `{path}`"))
        }
        Some(PackageOrigin::Vcs { url, commit: Some(commit), vcs }) => {
            (FindingCode::Repository, format!("it was installed from {vcs} `{url}` at `{commit}`"))
        }
        Some(PackageOrigin::Vcs { url, commit: None, vcs }) => (
            FindingCode::RepositoryUnpinned,
            format!("it was installed from {vcs} `{url}`, and nothing says at which commit"),
        ),
        Some(PackageOrigin::Archive { url }) if package.archive.is_empty() => (
            FindingCode::ArchiveUnhashed,
            format!("it was installed from `{url}`, and nothing says what was there"),
        ),
        _ => return,
    };
    found.finding(code, &package.name, Some(package.place.clone()), detail);
}

fn egg(path: &Path, sources: &Sources, found: &mut Found) {
    let headers = if path.is_dir() { path.join("PKG-INFO") } else { path.to_owned() };
    let package = described(path, &headers, PackageKind::Egg, sources, found);
    if !is_of_system(path) {
        let detail = "it was installed in a way that leaves no list of files with their digests".to_owned();
        found.finding(FindingCode::NoRecord, &package.name, Some(package.place.clone()), detail);
    }
    found.package(package);
}

/// A development install of old: a file that says where the package is.
fn egg_link(path: &Path, sources: &Sources, found: &mut Found) {
    let bytes = read(path, TEXT_BYTES_MAX, Longer::Cut).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let target: String = text.lines().next().unwrap_or_default().trim().chars().take(1000).collect();
    let name = stem(path);
    let place = shown(path, sources);
    let detail = format!("it is imported from `{target}`, whatever is there");
    found.finding(FindingCode::Editable, &name, Some(place.clone()), detail);
    let version = version_beside(Path::new(&target), &name).unwrap_or_else(|| "unknown".to_owned());
    let origin = Some(PackageOrigin::Directory { path: target, editable: true });
    let planned = aseptic_model::Package { name, version, record: None };
    found.package(InstalledPackage {
        kind: PackageKind::Egg,
        place,
        origin,
        ..InstalledPackage::planned(&planned)
    });
}

/// The version in the description that a development install leaves beside the code.
fn version_beside(directory: &Path, name: &str) -> Option<String> {
    let headers = directory.join(format!("{}.egg-info/PKG-INFO", name.replace('-', "_")));
    let bytes = read(&headers, TEXT_BYTES_MAX, Longer::Cut).ok()?;
    Headers::parse(&String::from_utf8_lossy(&bytes)).version
}

/// The package of `installed`, by its headers or, if those cannot be read, by its file name.
fn described(
    installed: &Path,
    headers: &Path,
    kind: PackageKind,
    sources: &Sources,
    found: &mut Found,
) -> InstalledPackage {
    let place = shown(installed, sources);
    let stem = stem(installed);
    let bytes = read(headers, TEXT_BYTES_MAX, Longer::Cut);
    let text = String::from_utf8_lossy(bytes.as_deref().unwrap_or_default());
    let headers = Headers::parse(&text);
    let (name, version) = stem.split_once('-').unwrap_or((&stem, "unknown"));
    let complete = headers.name.is_some() && headers.version.is_some();
    let package = InstalledPackage {
        name: headers.name.unwrap_or_else(|| name.to_owned()),
        version: headers.version.unwrap_or_else(|| version.to_owned()),
        kind,
        place,
        record: None,
        archive: std::collections::BTreeMap::new(),
        licence: licence::licence(
            headers.expression.as_deref(),
            headers.licence.as_deref(),
            &headers.classifiers,
        ),
        installer: None,
        requested: None,
        origin: None,
    };
    if !complete {
        let detail = "its name and version are those of its file, since it does not say them".to_owned();
        found.finding(FindingCode::Unreadable, &package.name, Some(package.place.clone()), detail);
    }
    package
}

fn stem(path: &Path) -> String {
    let stem = PathBuf::from(path.file_stem().unwrap_or_default());
    stem.to_string_lossy().chars().take(WORD_CHARACTERS_MAX).collect()
}

/// The first line as a word; nothing where it is empty or too long to be one.
fn word(text: &str) -> Option<String> {
    let word = text.lines().next().unwrap_or_default().trim();
    (!word.is_empty() && word.chars().count() <= WORD_CHARACTERS_MAX).then(|| word.to_owned())
}

/// Whether two names are those of one package.
pub(crate) fn same_name(one: &str, other: &str) -> bool {
    match (PackageName::normalised(one), PackageName::normalised(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// The headers of a description that are of use here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Headers {
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    pub(super) expression: Option<String>,
    pub(super) licence: Option<String>,
    pub(super) classifiers: Vec<String>,
}

impl Headers {
    /// Of each field the first. Headers end at the first empty line; what follows is a description.
    pub(super) fn parse(text: &str) -> Self {
        let mut headers = Self::default();
        for line in text.lines().take_while(|line| !line.is_empty()) {
            let Some((key, value)) = line.split_once(':').filter(|_| !line.starts_with([' ', '\t'])) else {
                continue; // The rest of the line before.
            };
            let once = |field: &mut Option<String>, value: Option<String>| {
                if field.is_none() {
                    *field = value;
                }
            };
            match key.to_ascii_lowercase().as_str() {
                "name" => once(&mut headers.name, word(value)),
                "version" => once(&mut headers.version, word(value)),
                "license-expression" => once(&mut headers.expression, Some(value.trim().to_owned())),
                "license" => once(&mut headers.licence, Some(value.trim().to_owned())),
                "classifier" if headers.classifiers.len() < CLASSIFIERS_MAX => {
                    headers.classifiers.extend(word(value));
                }
                _ => {}
            }
        }
        headers
    }
}
