//! What a user asks for: a spec and the options that change it, before anything is resolved.

mod places;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aseptic_model::spec::{Experiment, SPEC_BYTES_MAX, Spec, SpecError, set_limit};
use aseptic_model::{
    Class, Clock, Diagnose, Diagnosis, Excerpt, ExperimentName, Gpus, Grant, InputName, InputRef, Keep,
    Label, ProjectName, escape_bytes,
};
use aseptic_sandbox::Attempts;

use crate::annotate::Annotation;
use crate::egress::{ProxyError, SiteProxy};
use crate::streams::JobStreams;

/// Name of the spec file.
pub const SPEC_FILE: &str = "aseptic.toml";

/// What a run is asked to be.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The spec file; without one everything comes from the options.
    pub spec: Option<PathBuf>,
    /// What messages call the spec: a path from where the user is. Empty: the path above.
    pub spec_shown: String,
    /// The project, instead of the spec's.
    pub project: Option<ProjectName>,
    /// The experiment of the spec.
    pub experiment: Option<ExperimentName>,
    /// Program and arguments, instead of the experiment's.
    pub command: Vec<String>,
    /// Inputs, besides or instead of the experiment's.
    pub data: Vec<(InputName, InputRef)>,
    /// Parameters, likewise.
    pub params: Vec<(String, serde_json::Value)>,
    /// Destinations, besides the experiment's.
    pub network: Vec<Grant>,
    /// Whether what the job wants of the network is only to be listed.
    pub observe_network: bool,
    /// A proxy of the site, through which granted hosts are reached. It is no part of the plan.
    pub proxy: SiteProxy,
    /// Limits by key and text, instead of the experiment's.
    pub limits: Vec<(String, String)>,
    /// Environment of Python, instead of the experiment's.
    pub python: Option<PathBuf>,
    /// Environment of Python where neither this request nor the experiment names one.
    pub default_python: Option<PathBuf>,
    /// Environment variables, besides or instead of the experiment's.
    pub variables: Vec<(String, String)>,
    /// Elements that may go unenforced, besides the experiment's.
    pub accept: Vec<String>,
    /// GPUs, instead of the experiment's.
    pub gpus: Option<Gpus>,
    /// TCP ports of its own loopback, instead of the experiment's.
    pub ports: Option<BTreeSet<u16>>,
    /// Clocks, instead of the experiment's.
    pub clock: Option<Clock>,
    /// Labels of the outputs, besides the experiment's.
    pub labels: Vec<Label>,
    /// What is kept of what the job leaves, instead of the experiment's.
    pub keep: Option<Keep>,
    /// The code tree.
    pub code: CodeChoice,
    /// The standard streams of the job. They are no part of the plan.
    pub streams: JobStreams,
    /// Home directory of the user, which is never taken for a code tree.
    pub home_directory: Option<PathBuf>,
    /// Whether what the job attempts is seen, so that the record can say what it was denied.
    pub attempts: Attempts,
    /// Whether the result of a sealed run of an equal plan is given instead of a run.
    pub reuse: bool,
    /// What is said about the run.
    pub annotation: Annotation,
    /// Directories in which the user's shell looks for programs, to say where one is that the run lacks.
    pub programs: Vec<PathBuf>,
}

/// Which tree is the code of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CodeChoice {
    /// None: `/work` starts empty.
    #[default]
    Nothing,
    /// This directory.
    Directory(PathBuf),
}

/// Why a request makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The spec cannot be read.
    #[error("could not read the spec `{path}`")]
    Read {
        /// Where.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The spec is wrong.
    #[error("{path}:{}{error}", if .error.at().is_some() { "" } else { " " })]
    Spec {
        /// Where.
        path: String,
        /// What, with the place.
        error: SpecError,
    },
    /// The spec has no such experiment.
    #[error("the spec has no experiment `{name}`")]
    Experiment {
        /// The name asked for.
        name: ExperimentName,
        /// Those it has.
        known: Vec<String>,
    },
    /// Nothing says what to run.
    #[error("there is nothing to run")]
    Nothing {
        /// Experiments that the spec has.
        known: Vec<String>,
    },
    /// An option has a value that cannot be.
    #[error("{0}")]
    Option(String),
    /// The proxy of the site cannot be used.
    #[error("the proxy in the environment cannot be used")]
    Proxy(#[from] ProxyError),
}

impl Diagnose for RequestError {
    fn diagnosis(&self) -> Diagnosis {
        let (code, help) = match self {
            Self::Spec { path, error } => {
                let diagnosis = error.diagnosis();
                return match error.at() {
                    Some(at) => diagnosis.at(Excerpt { path: path.clone(), ..at.clone() }),
                    None => diagnosis,
                };
            }
            Self::Read { .. } => ("spec/read", "check the path and its permissions".to_owned()),
            Self::Experiment { known, .. } if known.is_empty() => {
                ("spec/experiment", "add `[experiment.NAME]` with a `command` to the spec".to_owned())
            }
            Self::Experiment { known, .. } => ("spec/experiment", format!("it has {}", known.join(", "))),
            Self::Nothing { known } if known.is_empty() => {
                ("request/nothing", "name a command: `aseptic run -- COMMAND`".to_owned())
            }
            Self::Nothing { known } => (
                "request/nothing",
                format!("name an experiment ({}) or a command after `--`", known.join(", ")),
            ),
            Self::Option(_) => ("request/option", "see `aseptic run --help`".to_owned()),
            Self::Proxy(_) => (
                "request/proxy",
                "set HTTPS_PROXY to `http://HOST:PORT`, or unset it where hosts are reached without one"
                    .to_owned(),
            ),
        };
        Diagnosis::new(Class::User, code, help)
    }
}

/// A request with its spec read and its options applied; nothing is resolved yet.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) project: ProjectName,
    pub(crate) name: Option<ExperimentName>,
    pub(crate) experiment: Experiment,
    /// Directory to which a Python environment named in the spec is relative.
    pub(crate) base: PathBuf,
    /// The spec beside which the policies of the project may lie, as a path and as shown to a person.
    pub(crate) policies: Option<(PathBuf, PathBuf)>,
    /// Where each element was said, by its name: `aseptic.toml:12`, or the option.
    pub(crate) places: BTreeMap<String, String>,
}

impl Request {
    /// The project whose data the request is about.
    ///
    /// # Errors
    /// [`RequestError`] about the spec.
    pub fn project(&self) -> Result<ProjectName, RequestError> {
        match (&self.project, &self.spec) {
            (Some(project), _) => Ok(project.clone()),
            (None, Some(path)) => Ok(read_spec(path, &self.spec_shown)?.project),
            (None, None) => default_project(),
        }
    }

    /// The Python environment that a run would have: that of the options, of the experiment, or of every experiment
    /// that names one, or else the active one. Nothing else of the request is looked at.
    ///
    /// # Errors
    /// [`RequestError`]: about the spec; or its experiments name several, and none was chosen.
    pub(crate) fn python_path(&self) -> Result<Option<PathBuf>, RequestError> {
        if self.python.is_some() {
            return Ok(self.python.clone());
        }
        let Some(path) = &self.spec else { return Ok(self.default_python.clone()) };
        let experiments = read_spec(path, &self.spec_shown)?.experiments;
        let chosen: BTreeSet<_> = match &self.experiment {
            Some(name) => {
                let known = || experiments.keys().map(ToString::to_string).collect();
                let unknown = || RequestError::Experiment { name: name.clone(), known: known() };
                BTreeSet::from([experiments.get(name).ok_or_else(unknown)?.python.clone()])
            }
            None => experiments.into_values().map(|experiment| experiment.python).collect(),
        };
        let mut named = chosen.into_iter().flatten();
        match (named.next(), named.next()) {
            (None, _) => Ok(self.default_python.clone()),
            (Some(python), None) => Ok(Some(path.parent().unwrap_or(Path::new(".")).join(python))),
            (Some(one), Some(other)) => Err(RequestError::Option(format!(
                "experiments of the spec have several environments, such as `{one}` and `{other}`: name one with \
                 `--experiment NAME`"
            ))),
        }
    }

    pub(crate) fn wanted(&self) -> Result<Wanted, RequestError> {
        let (project, experiments, base) = match &self.spec {
            Some(path) => {
                let spec = read_spec(path, &self.spec_shown)?;
                let base = path.parent().unwrap_or(Path::new(".")).to_owned();
                (spec.project, spec.experiments, base)
            }
            None => (default_project()?, BTreeMap::new(), PathBuf::from(".")),
        };
        let known = || experiments.keys().map(ToString::to_string).collect::<Vec<_>>();
        let mut experiment = match &self.experiment {
            Some(name) => experiments
                .get(name)
                .cloned()
                .ok_or_else(|| RequestError::Experiment { name: name.clone(), known: known() })?,
            None => Experiment::default(),
        };
        if !self.command.is_empty() {
            experiment.command.clone_from(&self.command);
        }
        if experiment.command.first().is_none_or(String::is_empty) {
            return Err(RequestError::Nothing { known: known() });
        }
        let places = self.places(&experiment);
        experiment.data.extend(self.data.iter().cloned());
        experiment.params.extend(self.params.iter().cloned());
        experiment.network.extend(self.network.iter().cloned());
        experiment.accept.extend(self.accept.iter().cloned());
        experiment.variables.extend(self.variables.iter().cloned());
        experiment.gpus = self.gpus.clone().or(experiment.gpus);
        experiment.ports = self.ports.clone().or(experiment.ports);
        experiment.clock = self.clock.unwrap_or(experiment.clock);
        experiment.labels.extend(self.labels.iter().cloned());
        experiment.keep = self.keep.unwrap_or(experiment.keep);
        for (key, text) in &self.limits {
            set_limit(&mut experiment.limits, key, text)
                .map_err(|why| RequestError::Option(format!("--limit {key}={text}: {why}")))?;
        }
        for (name, value) in &experiment.variables {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let ours = name.starts_with("ASEPTIC_"); // They say what the run is.
            if name.is_empty() || !name.chars().all(plain) || value.contains('\0') || ours {
                let name: String = name.chars().take(80).flat_map(char::escape_debug).collect();
                return Err(RequestError::Option(format!("`{name}` cannot be an environment variable")));
            }
        }
        if let Some(name) =
            experiment.params.iter().find_map(|(name, value)| (!is_exact(value)).then_some(name))
        {
            let message =
                format!("parameter `{name}` holds a number that JSON does not keep exactly; pass it as text");
            return Err(RequestError::Option(message));
        }
        if experiment.command.iter().any(|argument| argument.contains('\0')) {
            return Err(RequestError::Option("an argument of the command holds a NUL byte".to_owned()));
        }
        // Those beside the spec are of its own project and say nothing of another one.
        let is_own = self.project.as_ref().is_none_or(|wanted| *wanted == project);
        let policies = self.spec.clone().filter(|_| is_own).map(|spec| {
            let shown =
                if self.spec_shown.is_empty() { spec.clone() } else { PathBuf::from(&self.spec_shown) };
            (spec, shown)
        });
        let project = self.project.clone().unwrap_or(project);
        Ok(Wanted { project, name: self.experiment.clone(), experiment, base, policies, places })
    }
}

/// Reads at most one byte more than a spec may have, so a huge file costs nothing. `shown` is what errors call it, if it
/// is not empty.
pub(crate) fn read_spec(path: &Path, shown: &str) -> Result<Spec, RequestError> {
    let shown = || match shown {
        "" => escape_bytes(path.as_os_str().as_encoded_bytes()),
        shown => shown.to_owned(),
    };
    let read = || {
        let file = File::open(path)?;
        let size = file.metadata()?;
        if !size.is_file() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let mut bytes = Vec::new();
        file.take(SPEC_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok((bytes, size.len()))
    };
    let (bytes, size) = read().map_err(|source| RequestError::Read { path: shown(), source })?;
    if bytes.len() > SPEC_BYTES_MAX {
        let error = SpecError::TooLarge { bytes: size };
        return Err(RequestError::Spec { path: shown(), error });
    }
    Spec::parse(&bytes).map_err(|error| RequestError::Spec { path: shown(), error })
}

/// Whether every whole number in `value` is the same after canonical JSON, which has doubles only (RFC 8785).
fn is_exact(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Number(number) => {
            number.is_f64() || number.as_i64().is_some_and(|whole| whole.unsigned_abs() < 1 << 53)
        }
        serde_json::Value::Array(values) => values.iter().all(is_exact),
        serde_json::Value::Object(values) => values.values().all(is_exact),
        _ => true,
    }
}

/// The project of a run without a spec.
fn default_project() -> Result<ProjectName, RequestError> {
    "default".parse().map_err(|error: aseptic_model::NameError| RequestError::Option(error.to_string()))
}
