//! Native libraries that the environment needs and has not: what comes from `/usr/local`, `/opt` or a home may be
//! another one tomorrow, and a run may not see it.
//!
//! A library counts as the environment's own when any file of it has the name: Python programs often load one
//! library by its path before another one that needs it.
//!
//! Source: ld.so(8).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use aseptic_model::{FindingCode, escape_bytes};

use super::super::python::{Longer, TEXT_BYTES_MAX, entries, is_of_system, is_system, read, sites};
use super::machine::LIBRARIES;
use super::{Found, Sources, elf, shown};

/// Files and directories of an environment that are looked at.
const FILES_MAX: usize = 1_000_000;
/// Native libraries whose needs are read.
const LIBRARIES_MAX: usize = 20_000;
/// How deep directories are followed.
const DEPTH_MAX: usize = 40;
/// Directories of the loader's own settings that are looked at.
const SETTINGS_MAX: usize = 100;

/// Adds every library that is needed from elsewhere.
pub(super) fn scan(sources: &Sources, found: &mut Found) {
    let mut files = Files { without: unused(sources), ..Files::default() };
    for root in roots(sources) {
        files.walk(&root, 0);
    }
    if files.seen > FILES_MAX || files.libraries.len() > LIBRARIES_MAX {
        let bounds = format!("{FILES_MAX} files and {LIBRARIES_MAX} native libraries");
        found.incomplete.insert(format!("native libraries were looked at up to {bounds}"));
        files.libraries.truncate(LIBRARIES_MAX);
    }
    let mut loader = Loader::new(sources, files.names);
    let mut elsewhere: BTreeMap<(FindingCode, String), Vec<&Path>> = BTreeMap::new();
    for library in &files.libraries {
        let Some(needs) = elf::needs(library) else { continue };
        for name in &needs.needed {
            let key = match loader.find(name, &needs.search, library) {
                Place::Known => continue,
                Place::Outside(path) => {
                    (FindingCode::NativeOutside, escape_bytes(path.as_os_str().as_encoded_bytes()))
                }
                Place::Missing => (FindingCode::NativeMissing, escape_bytes(name.as_bytes())),
            };
            elsewhere.entry(key).or_default().push(library);
        }
    }
    for ((code, what), by) in elsewhere {
        let Some(first) = by.first() else { continue };
        let others = match by.len() - 1 {
            0 => String::new(),
            1 => " and another library need it".to_owned(),
            more => format!(" and {more} other libraries need it"),
        };
        let needs = if others.is_empty() { " needs it" } else { &others };
        let place = shown(first, sources);
        let detail = format!("`{place}`{needs}");
        found.finding(code, what, Some(place), detail);
    }
}

/// Directories with the libraries of the environment; what the system has is the system's.
fn roots(sources: &Sources) -> BTreeSet<PathBuf> {
    let Some((python, installed)) = &sources.python else { return BTreeSet::new() };
    let prefixes = installed.prefixes.iter().cloned().chain([PathBuf::from(&python.base_prefix)]);
    prefixes.filter(|prefix| !is_of_system(prefix)).map(|prefix| prefix.join("lib")).collect()
}

/// Packages of the installation that the environment does not import.
fn unused(sources: &Sources) -> Vec<PathBuf> {
    let used = sources.sites();
    let all = sources.python.iter().flat_map(|(python, _)| sites(Path::new(&python.base_prefix)));
    all.filter(|site| !used.contains(site)).collect()
}

#[derive(Default)]
struct Files {
    /// Directories that are left out.
    without: Vec<PathBuf>,
    libraries: Vec<PathBuf>,
    /// Names of all native libraries, links included.
    names: HashSet<OsString>,
    seen: usize,
}

impl Files {
    /// Follows no link to a directory, so that it ends.
    fn walk(&mut self, directory: &Path, depth: usize) {
        if depth > DEPTH_MAX || self.without.iter().any(|without| without == directory) {
            return;
        }
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            self.seen += 1;
            if self.seen > FILES_MAX {
                return;
            }
            let (Ok(kind), name) = (entry.file_type(), entry.file_name()) else { continue };
            if kind.is_dir() {
                self.walk(&entry.path(), depth + 1);
            } else if is_library(name.as_encoded_bytes()) {
                if kind.is_file() {
                    self.libraries.push(entry.path());
                }
                self.names.insert(name);
            }
        }
    }
}

/// `a.so` and `liba.so.1`.
fn is_library(name: &[u8]) -> bool {
    name.ends_with(b".so") || name.windows(4).any(|part| part == b".so.")
}

#[derive(Clone)]
enum Place {
    /// In the environment or the system.
    Known,
    Outside(PathBuf),
    Missing,
}

/// Looks for libraries as the system's loader does.
struct Loader {
    inside: Vec<PathBuf>,
    names: HashSet<OsString>,
    /// Further directories that the loader looks into, such as `/usr/local/lib`.
    further: Vec<PathBuf>,
    /// What was found for a name, whoever needs it.
    by_name: BTreeMap<String, Place>,
}

impl Loader {
    fn new(sources: &Sources, names: HashSet<OsString>) -> Self {
        let mut inside = sources.mounts.clone();
        if let Some((python, installed)) = &sources.python {
            inside.push(PathBuf::from(&python.base_prefix));
            inside.extend(installed.prefixes.iter().cloned());
        }
        let real: Vec<_> = inside.iter().filter_map(|path| path.canonicalize().ok()).collect();
        inside.extend(real);
        inside.retain(|path| !is_system(path));
        Self { inside, names, further: further(), by_name: BTreeMap::new() }
    }

    fn find(&mut self, name: &str, search: &[String], by: &Path) -> Place {
        if name.contains('/') {
            return self.placed(Path::new(name));
        }
        let origin = by.parent().unwrap_or(Path::new("/")).to_string_lossy();
        for directory in search {
            let directory = directory.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin);
            let path = Path::new(&directory).join(name);
            if directory.starts_with('/') && path.is_file() {
                return self.placed(&path);
            }
        }
        if self.names.contains(std::ffi::OsStr::new(name)) {
            return Place::Known;
        }
        if let Some(known) = self.by_name.get(name) {
            return known.clone();
        }
        let directories = LIBRARIES.iter().map(Path::new).chain(self.further.iter().map(PathBuf::as_path));
        let path = directories.map(|directory| directory.join(name)).find(|path| path.is_file());
        let place = path.map_or(Place::Missing, |path| self.placed(&path));
        self.by_name.insert(name.to_owned(), place.clone());
        place
    }

    /// Whose file a path is, where links on the way are followed.
    fn placed(&self, path: &Path) -> Place {
        let Ok(real) = path.canonicalize() else { return Place::Missing };
        if is_of_system(&real) || self.inside.iter().any(|inside| real.starts_with(inside)) {
            Place::Known
        } else {
            Place::Outside(real)
        }
    }
}

/// Directories that the settings of the loader add.
fn further() -> Vec<PathBuf> {
    let mut directories = vec![PathBuf::from("/usr/local/lib")];
    for file in entries(Path::new("/etc/ld.so.conf.d")).iter().take(SETTINGS_MAX) {
        let bytes = read(file, TEXT_BYTES_MAX, Longer::Cut).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(str::trim).filter(|line| line.starts_with('/'));
        directories.extend(lines.take(SETTINGS_MAX).map(PathBuf::from));
    }
    directories
}
