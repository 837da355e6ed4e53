//! A Python environment: where it is, what is installed in it, what must be mounted for it to work.
//!
//! **Invariant:** nothing of the environment is executed. Its `.pth` files and `sitecustomize` are code
//! that would run outside the jail; everything here comes from files.
//! **Invariant:** a file of the environment cannot make this wait (FIFO), read without end, or mount more
//! than Python: an installation that is also a home directory is refused.

mod packages;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use aseptic_model::{Class, Diagnose, Diagnosis, Digest, Python, escape_bytes};
use rustix::fs::{Mode, OFlags};

use self::packages::Packages;

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
    /// Where the parts are that an inventory lists.
    pub(crate) installed: Installed,
}

/// Where the parts of an environment are that an inventory lists.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    /// Directories whose packages it imports.
    pub(crate) prefixes: Vec<PathBuf>,
    /// The executable file of its interpreter.
    pub(crate) interpreter: PathBuf,
    /// What `pyvenv.cfg` says of the implementation.
    pub(crate) implementation: Option<String>,
    /// Whether Python outside of a run would import from the user's own directory.
    pub(crate) user_site: bool,
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
    /// What is named starts an interpreter and is none, such as a shim of pyenv.
    #[error("`{0}` is a script that looks for Python elsewhere")]
    Script(String),
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
            Self::Script(_) => (
                "environment/script",
                "name the interpreter that `python3 -c 'import sys; print(sys.executable)'` prints",
            ),
            Self::TooWide { .. } => (
                "environment/too-wide",
                "install Python in a directory of its own, and make the venv from there",
            ),
        };
        Diagnosis::new(Class::User, code, help)
    }
}

/// Longest start of a text file of an environment that is looked at: the headers of a package come first.
pub(super) const TEXT_BYTES_MAX: u64 = 64 << 10;
/// Largest list of installed files that is hashed: that of a package with a hundred thousand files.
pub(super) const RECORD_BYTES_MAX: u64 = 16 << 20;
/// Largest interpreter: statically linked ones have a hundred megabytes.
pub(super) const INTERPRETER_BYTES_MAX: u64 = 256 << 20;
/// Links between `bin/python` and the executable file; Linux itself follows forty.
const LINKS_MAX: usize = 40;
/// Longest name or version of a package.
pub(super) const WORD_CHARACTERS_MAX: usize = 200;

/// Directories that every jail shows anyway.
const SYSTEM: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];

/// Finds out about the venv directory or the interpreter `path`.
///
/// # Errors
/// [`EnvironmentError`].
///
/// Source: PEP 405 (`pyvenv.cfg`), PEP 610 (`direct_url.json`), the packaging specification "Recording
/// installed projects".
pub(crate) fn capture(path: &Path) -> Result<Captured, EnvironmentError> {
    let shown = || path.display().to_string();
    let failed = |source| EnvironmentError::NotPython { path: shown(), source };
    let place = Place::find(path)?;
    let mounts = place.mounts();
    if let Some(wide) = mounts.iter().find(|mount| holds_more(mount)) {
        return Err(EnvironmentError::TooWide { path: shown(), prefix: wide.display().to_string() });
    }
    let mut found = Packages::default();
    let mut prefixes = vec![place.prefix.clone()];
    if place.system_packages && place.base_prefix != place.prefix {
        prefixes.push(place.base_prefix.clone());
    }
    prefixes.iter().for_each(|prefix| found.scan(prefix));
    let installed = Installed {
        user_site: place.system_packages || place.base_prefix == place.prefix,
        prefixes,
        interpreter: place.interpreter.clone(),
        implementation: place.implementation.clone(),
    };
    found.outside.retain(|path| !mounts.iter().any(|mount| path.starts_with(mount)) && !is_system(path));
    let text = |path: &Path| path.to_str().map(str::to_owned).ok_or(io::ErrorKind::InvalidFilename.into());
    let python = Python {
        prefix: text(&place.prefix).map_err(failed)?,
        base_prefix: text(&place.base_prefix).map_err(failed)?,
        version: place.version,
        interpreter: place.digest,
        packages: found.packages.into_iter().collect(),
    };
    let bin = place.program.parent().unwrap_or(Path::new("/")).to_owned();
    let outside = found.outside.iter().map(|path| remark(path)).collect();
    Ok(Captured { python, mounts, bin, outside, installed })
}

fn remark(outside: &Path) -> String {
    format!(
        "`{}` is installed from outside the environment, and the run does not see it there",
        escape_bytes(outside.as_os_str().as_encoded_bytes())
    )
}

/// Where the parts of an environment are.
struct Place {
    prefix: PathBuf,
    base_prefix: PathBuf,
    /// The name under which the interpreter is started.
    program: PathBuf,
    /// Its executable file.
    interpreter: PathBuf,
    digest: Digest,
    version: String,
    system_packages: bool,
    implementation: Option<String>,
}

impl Place {
    fn find(path: &Path) -> Result<Self, EnvironmentError> {
        let shown = || path.display().to_string();
        let failed = |source| EnvironmentError::NotPython { path: shown(), source };
        let missing = |what: &str| failed(io::Error::new(io::ErrorKind::NotFound, what.to_owned()));
        // As it was named, because programs in it may name it so too; but without `..`.
        let mut path = std::path::absolute(path).map_err(failed)?;
        if path.components().any(|part| part == Component::ParentDir) {
            path = path.canonicalize().map_err(failed)?;
        }
        let named = if path.is_dir() {
            let programs = ["python3", "python"].map(|name| path.join("bin").join(name));
            let program = programs.into_iter().find(|program| program.exists());
            program.ok_or_else(|| missing("it has no bin/python3"))?
        } else {
            path
        };
        named.symlink_metadata().map_err(failed)?;
        let is_python = |name: &[u8]| name.starts_with(b"python") || name.starts_with(b"pypy");
        if !named.file_name().is_some_and(|name| is_python(name.as_encoded_bytes())) {
            return Err(missing("its name is not that of a Python"));
        }
        let interpreter = named.canonicalize().map_err(failed)?;
        let bytes = read(&interpreter, INTERPRETER_BYTES_MAX, Longer::Refuse).map_err(failed)?;
        if !bytes.starts_with(b"\x7fELF") {
            return Err(EnvironmentError::Script(shown()));
        }
        let digest = Digest::of(&bytes);
        let prefix = above(&named);
        let config = match read(&prefix.join("pyvenv.cfg"), TEXT_BYTES_MAX, Longer::Refuse) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let base_prefix =
                    [above(&interpreter), prefix].into_iter().find(|prefix| is_installation(prefix));
                let base_prefix =
                    base_prefix.ok_or_else(|| missing("there is no standard library beside it"))?;
                let version = version_of(&interpreter, &base_prefix);
                let prefix = base_prefix.clone();
                let program = interpreter.clone();
                return Ok(Self {
                    prefix,
                    base_prefix,
                    program,
                    interpreter,
                    digest,
                    version,
                    system_packages: false,
                    implementation: None,
                });
            }
            Err(error) => return Err(failed(error)),
        };
        let home = setting(&config, "home").filter(|home| home.starts_with('/'));
        let home = PathBuf::from(home.ok_or_else(|| EnvironmentError::Config(shown()))?);
        // Python looks for its library above `home`, and above the file that the interpreter really is.
        let bases = [above(&home.join("python")), above(&interpreter)];
        let base_prefix = bases.into_iter().find(|base| is_installation(base));
        let base_prefix =
            base_prefix.ok_or_else(|| missing("the installation that it was made from is gone"))?;
        let version = ["version", "version_info"].into_iter().find_map(|key| setting(&config, key));
        Ok(Self {
            version: version.and_then(release).unwrap_or_else(|| version_of(&interpreter, &base_prefix)),
            system_packages: setting(&config, "include-system-site-packages")
                .is_some_and(|value| value.eq_ignore_ascii_case("true")),
            implementation: setting(&config, "implementation").map(str::to_owned),
            prefix,
            base_prefix,
            program: named,
            interpreter,
            digest,
        })
    }

    /// Both prefixes, and the directory of every link from the program to its file that is in neither.
    fn mounts(&self) -> Vec<PathBuf> {
        let mut mounts = BTreeSet::from([self.prefix.clone(), self.base_prefix.clone()]);
        let real = above(&self.interpreter);
        if is_installation(&real) {
            mounts.insert(real);
        }
        let mut at = self.program.clone();
        for _ in 0..LINKS_MAX {
            let Ok(to) = fs::read_link(&at) else { break };
            at = at.parent().unwrap_or(Path::new("/")).join(to);
            let Some((directory, name)) = at.parent().zip(at.file_name()) else { break };
            let directory = if directory.components().any(|part| part == Component::ParentDir) {
                directory.canonicalize().unwrap_or_else(|_| directory.to_owned())
            } else {
                directory.to_owned()
            };
            at = directory.join(name);
            mounts.insert(directory);
        }
        let inside = |path: &Path| mounts.iter().any(|other| other != path && path.starts_with(other));
        mounts.iter().filter(|path| !is_system(path) && !inside(path)).cloned().collect()
    }
}

/// The prefix of `…/bin/python`.
pub(super) fn above(program: &Path) -> PathBuf {
    program.parent().and_then(Path::parent).unwrap_or(Path::new("/")).to_owned()
}

/// Whether the standard library is below `prefix`: the mark that Python itself looks for.
fn is_installation(prefix: &Path) -> bool {
    ["lib", "lib64"].iter().any(|lib| libraries(&prefix.join(lib)).any(|lib| lib.join("os.py").is_file()))
}

/// The directories below `prefix` that packages are installed in.
pub(crate) fn sites(prefix: &Path) -> Vec<PathBuf> {
    // `lib64` is `lib` again where it is a link.
    let libs =
        ["lib", "lib64", "local/lib"].map(|lib| prefix.join(lib)).into_iter().filter(|lib| !lib.is_symlink());
    let pythons: Vec<_> = libs.flat_map(|lib| libraries(&lib).collect::<Vec<_>>()).collect();
    let sites =
        pythons.iter().flat_map(|python| ["site-packages", "dist-packages"].map(|name| python.join(name)));
    sites.collect()
}

/// The `python3.…` directories in `lib`.
pub(super) fn libraries(lib: &Path) -> impl Iterator<Item = PathBuf> {
    entries(lib)
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"python3")))
}

/// Whether the packages of the system own what is at `path`.
pub(crate) fn is_of_system(path: &Path) -> bool {
    is_system(path) && !path.starts_with("/usr/local")
}

pub(super) fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|system| path.starts_with(system))
}

/// Whether mounting `directory` would show more than Python: everything, a home, or `~/.local`.
fn holds_more(directory: &Path) -> bool {
    let home = |path: &Path| {
        path == Path::new("/root")
            || path.parent() == Some(Path::new("/home"))
            || [".ssh", ".bashrc", ".profile"].iter().any(|name| path.join(name).symlink_metadata().is_ok())
    };
    [Path::new("/"), Path::new("/home")].contains(&directory)
        || directory.file_name().is_some_and(|name| name == ".local")
        || directory.canonicalize().is_ok_and(|real| home(&real))
        || home(directory)
}

/// The value of `key` in a `pyvenv.cfg`.
fn setting<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        name.trim().eq_ignore_ascii_case(key).then(|| value.trim())
    })
}

/// `3.11.7` of `3.11.7` and of `3.11.7.final.0`.
fn release(text: &str) -> Option<String> {
    let number =
        |part: &&str| !part.is_empty() && part.len() < 6 && part.bytes().all(|byte| byte.is_ascii_digit());
    let numbers: Vec<_> = text.split('.').take_while(number).take(3).collect();
    (numbers.len() > 1).then(|| numbers.join("."))
}

/// Of an installation: what its headers say, else what the name of its executable file says.
fn version_of(interpreter: &Path, prefix: &Path) -> String {
    let name = interpreter.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let headers = prefix.join("include").join(name).join("patchlevel.h");
    let exact = read(&headers, TEXT_BYTES_MAX, Longer::Cut).ok().and_then(|bytes| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let line = text.lines().find(|line| line.contains("PY_VERSION "))?;
        release(line.split('"').nth(1)?)
    });
    let named = || name.strip_prefix("python").and_then(release);
    exact.or_else(named).unwrap_or_else(|| "unknown".to_owned())
}

/// Paths in `directory`, sorted; none where it cannot be read.
pub(super) fn entries(directory: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// What to do with a file that is longer than it may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Longer {
    Cut,
    Refuse,
}

/// The bytes of a regular file. Opening never waits, so a FIFO is refused like anything else.
pub(super) fn read(path: &Path, bytes_max: u64, longer: Longer) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() || longer == Longer::Refuse && metadata.len() > bytes_max {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
