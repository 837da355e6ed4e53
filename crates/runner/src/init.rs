//! Init: a first spec, empty or from a run.

mod from_run;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aseptic_model::{Class, Diagnose, Diagnosis, ProjectName};

use crate::request::SPEC_FILE;
use crate::results::ResultError;

pub use from_run::init_from_run;

/// Why no spec was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is one.
    #[error("`{0}` is already there")]
    Exists(String),
    /// It could not be written.
    #[error("could not write `{path}`")]
    Io {
        /// Where.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The run that it should be made from.
    #[error(transparent)]
    Run(#[from] ResultError),
    /// Something of that run has no form in a spec.
    #[error("{0}")]
    NoSpec(String),
}

impl Diagnose for InitError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Exists(_) => Diagnosis::new(Class::User, "init/exists", "edit it, or remove it first"),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Diagnosis::new(Class::Host, "init/io", "make the directory first")
            }
            Self::Io { .. } => {
                Diagnosis::new(Class::Host, "init/io", "check the directory and its permissions")
            }
            Self::Run(error) => error.diagnosis(),
            Self::NoSpec(_) => {
                Diagnosis::new(Class::User, "init/no-spec", "write the spec by hand; `docs/spec.md` says how")
            }
        }
    }
}

/// Writes a first spec into `directory`, named after it unless `project` is given.
///
/// # Errors
/// [`InitError`]; a spec that is there is never touched.
pub fn init(directory: &Path, project: Option<ProjectName>) -> Result<PathBuf, InitError> {
    let path = directory.join(SPEC_FILE);
    let failed = |source| InitError::Io { path: path.display().to_string(), source };
    let real = directory.canonicalize().map_err(failed)?;
    let named = || real.file_name()?.to_str()?.parse().ok();
    let project = project.or_else(named).map_or_else(|| "project".to_owned(), |name| name.to_string());
    let python = if directory.join(".venv/pyvenv.cfg").exists() {
        "env     = { python = \".venv\" }              # mounted read-only; its packages are recorded\n"
    } else {
        "# env     = { python = \".venv\" }            # mounted read-only; its packages are recorded\n"
    };
    let text = format!(
        "[project]\nname = \"{project}\"\n\n[experiment.train]\ncommand = [\"python3\", \"train.py\"]\n\
         params  = {{ seed = 7 }}                     # the JSON file $ASEPTIC_PARAMS\n\
         # data    = {{ train = \"{project}-train\" }}    # read-only at /data/train\n\
         # network = [\"example.org:443\"]            # nothing else is reached\n\
         {python}limits  = {{ wall = \"1h\" }}\n"
    );
    write(&path, &text)?;
    Ok(path)
}

/// Writes a file that is not there yet, whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), InitError> {
    let failed = |source| InitError::Io { path: path.display().to_string(), source };
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(InitError::Exists(path.display().to_string()));
        }
        Err(error) => return Err(failed(error)),
    };
    if let Err(error) = file.write_all(text.as_bytes()) {
        let _ = fs::remove_file(path); // Half a spec is worse than none.
        return Err(failed(error));
    }
    Ok(())
}
