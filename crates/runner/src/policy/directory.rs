//! A directory of policies with the tests beside them, read whole.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aseptic_model::ProjectName;
use aseptic_policy::{Cases, PolicyDocument, Problem, Severity, check};

use super::files::{PolicyFilesError, decides, names, read, read_policies, shown};

/// Most paths that are said to decide nothing.
const IDLE_MAX: usize = 20;

/// A directory of policies, read whole.
#[derive(Clone, Debug)]
pub struct PolicyFiles {
    /// Where it is.
    pub directory: PathBuf,
    /// What decides: with the shipped policies.
    pub document: PolicyDocument,
    /// Texts of the tests by path, such as `policy/tests/labels.toml`.
    pub tests: BTreeMap<String, String>,
    /// Paths beside them that look as if they decided, and do not.
    idle: Vec<String>,
}

impl PolicyFiles {
    /// Reads `directory`. Files of other kinds than policies, settings, roles and tests are left out.
    ///
    /// # Errors
    /// [`PolicyFilesError`].
    pub fn read(directory: &Path) -> Result<Self, PolicyFilesError> {
        let document = read_policies(directory)?;
        let tests = directory.join("tests");
        let names = match fs::symlink_metadata(&tests) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(PolicyFilesError::Read { path: shown(&tests), source }),
            Ok(_) => names(&tests, |name| !name.starts_with(b".") && name.ends_with(b".toml"))?,
        };
        let text = |name: String| Ok((format!("policy/tests/{name}"), read(&tests.join(&name))?));
        let tests = names.into_iter().map(text).collect::<Result<_, PolicyFilesError>>()?;
        Ok(Self { directory: directory.to_owned(), document, tests, idle: idle(directory)? })
    }

    /// Everything that is the matter with it, by path and line. Tests are of `project`.
    #[must_use]
    pub fn problems(&self, project: &ProjectName) -> Vec<Problem> {
        let mut problems = check(&self.document);
        for (path, text) in &self.tests {
            problems.extend(Cases::parse(path, text, project).err().into_iter().flatten());
        }
        problems.extend(self.idle.iter().map(|path| Problem {
            path: path.clone(),
            line: 1,
            column: 1,
            length: 1,
            severity: Severity::Warning,
            message: "nothing in it decides anything".to_owned(),
            help: "policies are in `policy/NAME.cedar`, not below, and their settings in `policy/settings.toml`"
                .to_owned(),
        }));
        problems
    }

    /// A problem with the line that it is about, and a mark below the place.
    #[must_use]
    pub fn render(&self, problem: &Problem) -> String {
        match self.tests.get(&problem.path) {
            Some(text) => {
                let files = BTreeMap::from([(problem.path.clone(), text.clone())]);
                let document = PolicyDocument { format: self.document.format.clone(), files };
                problem.render(&document)
            }
            None => problem.render(&self.document),
        }
    }
}

/// What lies in `directory` under a name that is nearly that of something that decides: another directory, or a file
/// whose name ends as theirs do. A rule that nobody reads forbids nothing.
fn idle(directory: &Path) -> Result<Vec<String>, PolicyFilesError> {
    let failed = |source| PolicyFilesError::Read { path: shown(directory), source };
    let mut idle = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(b".") || decides(bytes) {
            continue;
        }
        let is_directory = entry.file_type().map_err(failed)?.is_dir();
        let lower = bytes.to_ascii_lowercase();
        let looks_so = [".cedar", ".toml", ".sig"].iter().any(|end| lower.ends_with(end.as_bytes()));
        if if is_directory { bytes != b"tests" } else { looks_so } {
            idle.push(format!("policy/{}", shown(Path::new(&name))));
        }
    }
    idle.sort();
    idle.truncate(IDLE_MAX);
    Ok(idle)
}
