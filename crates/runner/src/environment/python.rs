//! A Python environment: where it is, what is installed in it, what must be mounted for it to work.
//!
//! **Invariant:** nothing of the environment is executed. Its `.pth` files and `sitecustomize` are code
//! that would run outside the jail; everything here comes from files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aseptic_model::{Class, Diagnose, Diagnosis, Digest, Package, Python};

/// A Python environment as found.
#[derive(Debug)]
pub(crate) struct Captured {
    /// What enters the plan.
    pub(crate) python: Python,
    /// Directories to mount read-only at their own paths.
    pub(crate) mounts: Vec<PathBuf>,
    /// The directory of its programs.
    pub(crate) bin: PathBuf,
    /// What the run will not see although the environment refers to it, as remarks.
    pub(crate) outside: Vec<String>,
}

/// Why an environment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// There is no interpreter where one should be.
    #[error("`{path}` is no Python environment")]
    NotPython {
        /// What was named.
        path: String,
        /// What is missing.
        #[source]
        source: io::Error,
    },
    /// `pyvenv.cfg` does not say where Python is.
    #[error("`{0}` names no `home`")]
    Config(String),
    /// Mounting it would show what it must not.
    #[error("the Python of `{path}` is installed right in `{prefix}`, which holds more than Python")]
    TooWide {
        /// What was named.
        path: String,
        /// The directory that would be mounted.
        prefix: String,
    },
}

impl Diagnose for EnvironmentError {
    fn diagnosis(&self) -> Diagnosis {
        let (code, help) = match self {
            Self::NotPython { .. } => (
                "environment/python",
                "name the directory of a venv (`python3 -m venv .venv`) or an interpreter such as /usr/bin/python3",
            ),
            Self::Config(_) => {
                ("environment/config", "make the venv again with `python3 -m venv --clear DIR`")
            }
            Self::TooWide { .. } => (
                "environment/too-wide",
                "install Python in a directory of its own, and make the venv from there",
            ),
        };
        Diagnosis::new(Class::User, code, help)
    }
}

/// Longest text file of an environment that is read, and largest interpreter.
const TEXT_BYTES_MAX: u64 = 16 << 20;
const INTERPRETER_BYTES_MAX: u64 = 256 << 20;

/// Links between `bin/python` and the executable file; Linux itself follows forty.
const LINKS_MAX: usize = 40;

/// Directories that every jail shows anyway.
const SYSTEM: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];

/// Finds out about the venv directory or the interpreter `path`.
///
/// # Errors
/// [`EnvironmentError`].
///
/// Source: PEP 405 (`pyvenv.cfg`), the packaging specification "Recording installed projects".
pub(crate) fn capture(path: &Path) -> Result<Captured, EnvironmentError> {
    let shown = || path.display().to_string();
    let failed = |source| EnvironmentError::NotPython { path: shown(), source };
    let path = std::path::absolute(path).map_err(failed)?;
    let (prefix, program) = if path.is_dir() {
        let bin = path.join("bin");
        let program = ["python3", "python"].map(|name| bin.join(name)).into_iter().find(|file| file.exists());
        (path.clone(), program.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?)
    } else {
        let bin = path.parent().unwrap_or(Path::new("/"));
        (bin.parent().unwrap_or(Path::new("/")).to_owned(), path.clone())
    };
    let config = prefix.join("pyvenv.cfg");
    let config = match read_text(&config) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let interpreter = program.canonicalize().map_err(failed)?;
    let base_prefix = match &config {
        Some(text) => {
            let home = setting(text, "home").ok_or_else(|| EnvironmentError::Config(shown()))?;
            let home = Path::new(home).canonicalize().map_err(failed)?;
            home.parent().unwrap_or(Path::new("/")).to_owned()
        }
        None => interpreter.parent().and_then(Path::parent).unwrap_or(Path::new("/")).to_owned(),
    };
    let version = config
        .as_deref()
        .and_then(|text| setting(text, "version").or_else(|| setting(text, "version_info")))
        .map(str::to_owned)
        .or_else(|| version_of(&interpreter, &base_prefix))
        .unwrap_or_else(|| "unknown".to_owned());
    let system_packages = config.as_deref().is_none_or(|text| {
        setting(text, "include-system-site-packages").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    });
    let mut found = Packages::default();
    found.scan(&prefix);
    if system_packages && base_prefix != prefix {
        found.scan(&base_prefix);
    }
    let mut mounts = links_on_the_way(&program);
    mounts.extend([prefix.clone(), base_prefix.clone()]);
    let mounts = outermost(mounts);
    if let Some(wide) = mounts.iter().find(|mount| is_too_wide(mount)) {
        return Err(EnvironmentError::TooWide { path: shown(), prefix: wide.display().to_string() });
    }
    let python = Python {
        prefix: prefix.display().to_string(),
        base_prefix: base_prefix.display().to_string(),
        version,
        interpreter: Digest::of(&read_bounded(&interpreter, INTERPRETER_BYTES_MAX).map_err(failed)?),
        packages: found.packages.into_iter().collect(),
    };
    let bin = program.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(Captured { python, mounts, bin, outside: found.outside })
}

/// The value of `key` in a `pyvenv.cfg`.
fn setting<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim().eq_ignore_ascii_case(key)).then(|| value.trim())
    })
}

/// Of an installation without `pyvenv.cfg`: `python3.11` is 3.11 at least.
fn version_of(interpreter: &Path, prefix: &Path) -> Option<String> {
    let name = interpreter.file_name()?.to_str()?;
    let version = name.strip_prefix("python").filter(|version| version.contains('.'));
    let headers = prefix.join("include").join(name).join("patchlevel.h");
    let exact = read_text(&headers).ok().and_then(|text| {
        let line = text.lines().find(|line| line.contains("PY_VERSION "))?;
        Some(line.split('"').nth(1)?.to_owned())
    });
    exact.or_else(|| version.map(str::to_owned))
}

/// Directories that hold a link between the program's name and its executable file.
fn links_on_the_way(program: &Path) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    let mut at = program.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(to) = fs::read_link(&at) else { break };
        at = at.parent().unwrap_or(Path::new("/")).join(to);
        // `…/bin/python3.11` needs all of `…`: the libraries are beside `bin`.
        directories
            .extend(at.parent().and_then(Path::parent).map(|dir| dir.canonicalize().unwrap_or(dir.into())));
    }
    directories
}

/// Those of `directories` that no jail shows anyway and that lie in no other.
fn outermost(directories: Vec<PathBuf>) -> Vec<PathBuf> {
    let all: BTreeSet<_> = directories.into_iter().collect();
    let shown = |path: &Path| SYSTEM.iter().any(|system| path.starts_with(system));
    let inside = |path: &Path| all.iter().any(|other| other != path && path.starts_with(other));
    all.iter().filter(|path| !shown(path) && !inside(path)).cloned().collect()
}

/// Whether mounting `prefix` would show other things than Python: the root, a home directory, or anything
/// that is not laid out as an installation.
fn is_too_wide(prefix: &Path) -> bool {
    prefix.components().count() < 3 && prefix != Path::new("/opt")
        || !prefix.join("bin").is_dir()
        || prefix.join(".ssh").exists()
        || prefix.join(".bashrc").exists()
}

#[derive(Default)]
struct Packages {
    packages: BTreeSet<Package>,
    outside: Vec<String>,
}

impl Packages {
    /// Adds what is installed below `prefix`.
    fn scan(&mut self, prefix: &Path) {
        for lib in ["lib", "lib64", "local/lib"].map(|name| prefix.join(name)) {
            if lib.is_symlink() {
                continue; // `lib64` is `lib` again.
            }
            for python in entries(&lib).filter(|path| is_named(path, "python3")) {
                for name in ["site-packages", "dist-packages"] {
                    self.scan_site(&python.join(name));
                }
            }
        }
    }

    fn scan_site(&mut self, site: &Path) {
        for path in entries(site) {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("dist-info") => self.add(&path, "METADATA"),
                Some("egg-info") if path.is_dir() => self.add(&path, "PKG-INFO"),
                Some("egg-link") => self.point_out(&path),
                Some("pth") if is_named(&path, "__editable__") => self.point_out(&path),
                _ => {}
            }
        }
    }

    fn add(&mut self, directory: &Path, file: &str) {
        let Ok(text) = read_text(&directory.join(file)) else { return };
        // Headers end at the first empty line; what follows is a description.
        let headers: Vec<_> = text.lines().take_while(|line| !line.is_empty()).collect();
        let header =
            |name: &str| headers.iter().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
        if let (Some(name), Some(version)) = (header("Name:"), header("Version:")) {
            let record = read_bounded(&directory.join("RECORD"), TEXT_BYTES_MAX).ok();
            let record = record.map(|bytes| Digest::of(&bytes));
            self.packages.insert(Package { name, version, record });
        }
    }

    fn point_out(&mut self, link: &Path) {
        self.outside.push(format!(
            "`{}` refers to code outside the environment, which the run does not see unless it is part of /work",
            link.display()
        ));
    }
}

fn is_named(path: &Path, start: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
}

/// Paths in `directory`; none where it cannot be read.
fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_bounded(path, TEXT_BYTES_MAX)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The bytes of a regular file of at most `max`; a FIFO or device is refused before it can block.
fn read_bounded(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let metadata = path.metadata()?;
    if !metadata.is_file() || metadata.len() > max {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}
