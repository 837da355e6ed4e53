//! The directory `policy/` of a project: which files decide, read within bounds.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aseptic_model::{Class, Diagnose, Diagnosis, Excerpt, escape_bytes};
use aseptic_policy::{PolicyDocument, PolicyError};
use rustix::fs::{Mode, OFlags};

use super::RolesError;
use crate::home::HomeError;

/// The directory beside a spec that has the policies of its project.
pub const POLICY_DIRECTORY: &str = "policy";

/// Files beside policies that decide, too.
const OTHERS: [&str; 3] = ["settings.toml", "roles.toml", "roles.sig"];

/// Most bytes of one file: some thousand policies, parsed in less than a second.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Most bytes of all files.
const BYTES_MAX: u64 = 4 << 20;

/// Most files that decide.
const FILES_MAX: usize = 200;

/// Most entries of the directory that are looked at.
const ENTRIES_MAX: usize = 10_000;

/// Longest name of a file that decides.
const NAME_BYTES_MAX: usize = 128;

/// Why policies of a project cannot be used, or not put in force.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFilesError {
    /// There is no such directory.
    #[error("there is no directory `{path}`")]
    Missing {
        /// Where it was looked for.
        path: String,
    },
    /// The directory or a file of it cannot be read.
    #[error("could not read `{path}`")]
    Read {
        /// Which one.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file is none that may decide.
    #[error("`{path}` cannot be a policy file: {why}")]
    Unfit {
        /// Which one.
        path: String,
        /// Why not.
        why: String,
    },
    /// A file cannot be understood.
    #[error(transparent)]
    Policy(Box<FileProblem>),
    /// The roles are not signed as they must be.
    #[error(transparent)]
    Roles(#[from] RolesError),
    /// Who asks may not put these policies in force, or not in this way.
    #[error("{what}")]
    Denied {
        /// What was not done.
        what: String,
        /// Who may, and how to see what would change.
        help: String,
    },
    /// After these nobody could put others in force.
    #[error("with the policies of `{directory}`, nobody could put others in force again")]
    Last {
        /// Where they are.
        directory: String,
    },
    /// Plans are decided all the time.
    #[error("another process has been deciding a plan for too long")]
    Busy,
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

/// A file that cannot be understood, with the place.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct FileProblem {
    error: PolicyError,
    excerpt: Option<Excerpt>,
}

impl FileProblem {
    /// `error` of one of the files of `document`, which lie in `directory`.
    pub(super) fn new(error: PolicyError, document: &PolicyDocument, directory: &Path) -> Self {
        let PolicyError::File { path, line, column, .. } = &error;
        let excerpt = document.files.get(path).map(|text| {
            let name = path.strip_prefix("policy/").unwrap_or(path);
            Excerpt { path: shown(&directory.join(name)), ..Excerpt::at(text, *line, *column) }
        });
        Self { error, excerpt }
    }

    /// `error` of the file `path`, which has this text.
    pub(super) fn of(error: PolicyError, text: &str, path: &Path) -> Self {
        let PolicyError::File { line, column, .. } = &error;
        let excerpt = Excerpt { path: shown(path), ..Excerpt::at(text, *line, *column) };
        Self { error, excerpt: Some(excerpt) }
    }
}

impl Diagnose for FileProblem {
    fn diagnosis(&self) -> Diagnosis {
        match &self.excerpt {
            Some(excerpt) => self.error.diagnosis().at(excerpt.clone()),
            None => self.error.diagnosis(),
        }
    }
}

impl Diagnose for PolicyFilesError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Missing { .. } => Diagnosis::new(
                Class::User,
                "policy/missing",
                "make `policy/` beside the spec, or name a directory; without one the shipped policies alone decide",
            ),
            Self::Read { .. } => {
                Diagnosis::new(Class::User, "policy/read", "check the path and its permissions")
            }
            Self::Unfit { .. } => Diagnosis::new(
                Class::User,
                "policy/unfit",
                "policies are `policy/*.cedar`, `settings.toml`, `roles.toml` and `roles.sig`, plain files of text",
            ),
            Self::Policy(problem) => problem.diagnosis(),
            Self::Roles(error) => error.diagnosis(),
            Self::Denied { help, .. } => Diagnosis::new(Class::Denied, "policy/denied", help.clone()),
            Self::Last { .. } => Diagnosis::new(
                Class::User,
                "policy/last",
                "let no policy forbid `EditPolicy` to everybody who is `policy-author`: name the actions that it is about",
            ),
            Self::Busy => Diagnosis::new(
                Class::Host,
                "policy/busy",
                "look for a stopped `aseptic run` (state T in `ps`), continue or kill it, and try again",
            ),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

/// The policies in `directory`, with the shipped ones of this version. Tests and other files are left out.
///
/// Every file is read whole or not at all: a link, a device, a file that is too large or no text is an error, since a
/// rule that is passed over forbids nothing.
///
/// # Errors
/// [`PolicyFilesError`] about the directory or a file of it.
pub fn read_policies(directory: &Path) -> Result<PolicyDocument, PolicyFilesError> {
    let mut files = BTreeMap::new();
    let mut bytes = 0;
    for name in names(directory, decides)? {
        let text = read(&directory.join(&name))?;
        bytes += text.len() as u64;
        if bytes > BYTES_MAX {
            return Err(unfit(directory, format!("its files have over {BYTES_MAX} bytes together")));
        }
        files.insert(format!("policy/{name}"), text);
    }
    Ok(PolicyDocument::new(files))
}

/// Whether a file of this name decides. What an editor keeps beside a file begins with a dot.
pub(crate) fn decides(name: &[u8]) -> bool {
    !name.starts_with(b".") && name.ends_with(b".cedar")
        || OTHERS.iter().any(|other| other.as_bytes() == name)
}

/// Names of the files of `directory` that are `wanted`, sorted.
pub(super) fn names(directory: &Path, wanted: fn(&[u8]) -> bool) -> Result<Vec<String>, PolicyFilesError> {
    let failed = |source| PolicyFilesError::Read { path: shown(directory), source };
    let kind = match fs::symlink_metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(PolicyFilesError::Missing { path: shown(directory) });
        }
        kind => kind.map_err(failed)?,
    };
    if !kind.is_dir() {
        return Err(unfit(directory, "it is no directory, and a link to one is not followed".to_owned()));
    }
    let mut names = Vec::new();
    for (count, entry) in fs::read_dir(directory).map_err(failed)?.enumerate() {
        let name = entry.map_err(failed)?.file_name();
        if count >= ENTRIES_MAX {
            return Err(unfit(directory, format!("it has over {ENTRIES_MAX} entries")));
        }
        let bytes = name.as_encoded_bytes();
        if !wanted(bytes) {
            continue;
        }
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        match name.to_str() {
            Some(name) if name.len() <= NAME_BYTES_MAX && name.as_bytes().iter().all(plain) => {
                names.push(name.to_owned());
            }
            _ => {
                let why = format!("a name has at most {NAME_BYTES_MAX} letters, digits, `.`, `_` and `-`");
                return Err(unfit(&directory.join(&name), why));
            }
        }
        if names.len() > FILES_MAX {
            return Err(unfit(directory, format!("it has over {FILES_MAX} of them")));
        }
    }
    names.sort();
    Ok(names)
}

pub(super) fn read(path: &Path) -> Result<String, PolicyFilesError> {
    let failed = |source| PolicyFilesError::Read { path: shown(path), source };
    // Opening a pipe would wait for somebody to write into it.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(rustix::io::Errno::LOOP) => return Err(unfit(path, "it is a link".to_owned())),
        opened => File::from(opened.map_err(|error| failed(error.into()))?),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(unfit(path, "it is no regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unfit(path, format!("it has over {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        unfit(path, format!("it is not UTF-8 text in line {line}"))
    })
}

pub(super) fn unfit(path: &Path, why: String) -> PolicyFilesError {
    PolicyFilesError::Unfit { path: shown(path), why }
}

pub(super) fn shown(path: &Path) -> String {
    escape_bytes(path.as_os_str().as_encoded_bytes())
}

/// The directory of policies beside `spec`, if it is there.
///
/// # Errors
/// [`PolicyFilesError::Read`]: nobody knows whether it is there.
pub(super) fn directory_beside(spec: &Path) -> Result<Option<PathBuf>, PolicyFilesError> {
    let directory = spec.parent().unwrap_or(Path::new("")).join(POLICY_DIRECTORY);
    match fs::symlink_metadata(&directory) {
        Ok(kind) if kind.is_file() => Ok(None), // Something of the user's that has the same name.
        Ok(_) => Ok(Some(directory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PolicyFilesError::Read { path: shown(&directory), source }),
    }
}
