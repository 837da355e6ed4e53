//! Plan: every name of a request resolved to a digest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aseptic_gateway::Proxy;
use aseptic_model::{
    Class, Code, Diagnose, Diagnosis, Digest, Environment, Event as Entry, Input, InputName, InputRef,
    InputSource, Keep, Label, Limits, PLAN_FORMAT, Plan, ProjectName, RunId, Status, spec::Experiment,
    to_canonical,
};
use aseptic_policy::{Act, Policies};
use aseptic_store::{Ignore, ImportError, ImportOptions, Lease, Links, Special, Store, StoreError};

use crate::code;
use crate::code::policies::PoliciesInCode;
use crate::dataset::missing;
use crate::environment::inventory::Sources;
use crate::environment::{self, EnvironmentError};
use crate::home::{Home, HomeError};
use crate::labels::recognised::recognise;
use crate::observer::{Event, Observer, import_progress};
use crate::policy::{PolicyFilesError, Unapplied, beside, in_force};
use crate::request::{CodeChoice, Request, RequestError, Wanted};
use crate::retention::{there, there_run};
use crate::unpinned;

/// A plan and what only this machine needs to carry it out.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Its digest.
    pub digest: Digest,
    /// Its canonical bytes.
    pub(crate) bytes: Vec<u8>,
    /// Directories of the Python environment, to be mounted at their own paths.
    pub(crate) mounts: Vec<PathBuf>,
    /// Directory of the environment's programs.
    pub(crate) programs: Option<PathBuf>,
    /// Through which granted hosts are reached; it says how and never whether, so it is not in the plan.
    pub(crate) proxy: Option<Proxy>,
    /// Why it has labels that say that something of it is not pinned, by label; of a replay nothing.
    pub unpinned: BTreeMap<Label, String>,
    /// Labelled data that lies in the code, in words.
    pub(crate) recognised: Option<String>,
    /// What the inventory of its environment is made from.
    pub(crate) sources: Sources,
    /// Keeps what was taken for it until the ledger names it.
    pub(crate) lease: Option<Lease>,
    /// The run that it repeats, if it is a replay.
    pub(crate) replays: Option<RunId>,
    /// The policies that decide it.
    pub(crate) policies: Arc<Policies>,
    /// These, if they are not in force yet.
    pub(crate) unapplied: Option<Unapplied>,
    /// Where each element was said, by its name: `aseptic.toml:12`, or the option.
    pub(crate) places: BTreeMap<String, String>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The request makes no sense.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// An input names nothing.
    #[error("input `{input}`: {what}")]
    Input {
        /// The input.
        input: InputName,
        /// What is missing.
        what: String,
        /// Where to look.
        help: String,
    },
    /// The code tree cannot be one.
    #[error("`{path}` cannot be the code of a run: {why}")]
    CodeRoot {
        /// The directory.
        path: String,
        /// Why not.
        why: &'static str,
    },
    /// The code tree could not be taken.
    #[error(transparent)]
    Code(#[from] ImportError),
    /// The Python environment.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The policies beside the spec.
    #[error(transparent)]
    Policy(#[from] PolicyFilesError),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for PlanError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Request(error) => error.diagnosis(),
            Self::Input { help, .. } => Diagnosis::new(Class::User, "plan/input", help.clone()),
            Self::CodeRoot { .. } => Diagnosis::new(
                Class::User,
                "plan/code",
                "start from the project's own directory, name one with `--code DIR`, or pass `--no-code`",
            ),
            Self::Code(error) => error.diagnosis(),
            Self::Environment(error) => error.diagnosis(),
            Self::Policy(error) => error.diagnosis(),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

impl From<StoreError> for PlanError {
    fn from(error: StoreError) -> Self {
        Self::Home(error.into())
    }
}

/// Resolves `request` against the datasets, runs and files as they are now.
///
/// The code is taken into the store; nothing else is changed, and nothing is decided.
///
/// # Errors
/// [`PlanError`].
pub fn plan(home: &mut Home, request: &Request, observer: &mut dyn Observer) -> Result<Planned, PlanError> {
    let Wanted { project, name, experiment, base, policies, places } = request.wanted()?;
    home.allowed(&project, Act::View, None)?;
    let proxy = match experiment.network.is_empty() {
        true => None,
        false => request.proxy.parse().map_err(RequestError::from)?,
    };
    let store = home.store(&project)?;
    let lease = store.lease()?;
    home.catch_up()?; // A collection may have run while this waited for the lease.
    let (policies, unapplied) = beside(home, &project, policies)?;
    let mut inputs = BTreeMap::new();
    for (input, reference) in &experiment.data {
        inputs.insert(input.clone(), resolve(home, &store, &lease, &project, input, reference)?);
    }
    let in_code = PoliciesInCode::of(request);
    let mut code = match &request.code {
        CodeChoice::Nothing => None,
        CodeChoice::Directory(root) => {
            Some(take_code(home, &store, &lease, (request, root, in_code.as_ref()), observer)?)
        }
    };
    let recognised = recognise(home, &store, &project, code.as_mut(), observer)?;
    let python = match (&request.python, &experiment.python) {
        (Some(path), _) => Some(path.clone()),
        (None, Some(path)) => Some(base.join(path)),
        (None, None) => request.default_python.clone(),
    };
    let captured = python.as_deref().map(environment::python::capture).transpose()?;
    let sources = Sources::new(captured.as_ref(), request.home_directory.as_deref());
    let dirty = match &request.code {
        CodeChoice::Directory(root) => {
            code.as_ref().and_then(|code| code::clean::why_not(&store, code, root, in_code.as_ref()))
        }
        CodeChoice::Nothing => None,
    };
    let unpinned = unpinned::found(dirty, captured.as_ref());
    let (python, mounts, programs) = match captured {
        Some(captured) => {
            let code = match &request.code {
                CodeChoice::Directory(root) => root.canonicalize().ok(),
                CodeChoice::Nothing => None,
            };
            keep_apart(home, code.as_deref(), &captured.mounts)?;
            for outside in &captured.outside {
                observer.event(Event::Note(outside));
            }
            (Some(captured.python), captured.mounts, Some(captured.bin))
        }
        None => (None, Vec::new(), None),
    };
    let limits = limits_of(&policies, &experiment);
    let mut labels = experiment.labels;
    labels.extend(unpinned.keys().cloned());
    let plan = Plan {
        format: PLAN_FORMAT.to_owned(),
        project,
        experiment: name,
        command: experiment.command,
        params: experiment.params,
        code,
        environment: Environment { python, variables: experiment.variables, host: environment::host::host() },
        inputs,
        network: experiment.network,
        limits,
        accept: experiment.accept,
        gpus: experiment.gpus,
        ports: experiment.ports,
        clock: experiment.clock,
        observe_network: request.observe_network,
        labels,
        keep: experiment.keep,
        policy: Some(policies.digest()),
    };
    let bytes = to_canonical(&plan).map_err(HomeError::from)?;
    Ok(Planned {
        digest: Digest::of(&bytes),
        plan,
        bytes,
        mounts,
        programs,
        proxy,
        sources,
        lease: Some(lease),
        replays: None,
        policies,
        unapplied,
        places,
        unpinned,
        recognised,
    })
}

/// The limits of an experiment. One of which only metrics are kept needs little room for them.
fn limits_of(policies: &Policies, experiment: &Experiment) -> Limits {
    let limits = experiment.limits.clone();
    if experiment.keep == Keep::Everything {
        return limits;
    }
    let permitted = policies.settings().metrics_bytes;
    Limits {
        outputs_bytes: limits.outputs_bytes.or(Some(Limits::OUTPUTS_OF_METRICS)),
        metrics_bytes: Some(permitted),
        ..limits
    }
}

/// A Python environment is shown to the run whole, so neither the code, with what its ignore files leave
/// out, nor the state of aseptic may lie in it.
pub(crate) fn keep_apart(
    home: &Home,
    code: Option<&Path>,
    mounts: &[PathBuf],
) -> Result<(), EnvironmentError> {
    for mount in mounts {
        let real = mount.canonicalize().unwrap_or_else(|_| mount.clone());
        if home.dir().starts_with(&real) || code.is_some_and(|code| code.starts_with(&real)) {
            let prefix = mount.display().to_string();
            return Err(EnvironmentError::TooWide { path: prefix.clone(), prefix });
        }
    }
    Ok(())
}

fn resolve(
    home: &Home,
    store: &Store,
    lease: &Lease,
    project: &ProjectName,
    input: &InputName,
    reference: &InputRef,
) -> Result<Input, PlanError> {
    let wrong = |what: String, help: String| PlanError::Input { input: input.clone(), what, help };
    match reference {
        InputRef::Dataset { name, version } => {
            let found = home.catalog.dataset_version(project, name, *version).map_err(HomeError::from)?;
            let Some(found) = found else {
                let missing = missing(home, project, reference);
                return Err(wrong(missing.to_string(), missing.diagnosis().help));
            };
            there(&found).map_err(|gone| wrong(gone.to_string(), gone.help()))?;
            Ok(Input {
                source: InputSource::Dataset { name: found.name, version: found.version },
                snapshot: found.snapshot,
                files: found.files,
                bytes: found.bytes,
                labels: found.labels,
            })
        }
        InputRef::Artifact { run, path } => {
            let help = || "`aseptic runs` lists runs, `aseptic show RUN` their outputs".to_owned();
            let id = home.catalog.resolve_run(project, run).map_err(|error| {
                let diagnosis = error.diagnosis();
                wrong(error.to_string(), diagnosis.help)
            })?;
            let summary = home.catalog.run(project, &id).map_err(HomeError::from)?;
            let sealed = summary.filter(|run| run.status.is_some_and(Status::has_started));
            let Some((sealed, outputs)) = sealed.and_then(|run| run.outputs.map(|outputs| (run, outputs)))
            else {
                return Err(wrong(format!("run `{id}` is not sealed, so it has no outputs"), help()));
            };
            there_run(&sealed).map_err(|gone| wrong(gone.to_string(), gone.help()))?;
            let snapshot = match path {
                None => Some(store.snapshot(&outputs)?),
                Some(path) => store.subtree(lease, &outputs, path)?,
            };
            let Some(snapshot) = snapshot else {
                return Err(wrong(format!("run `{id}` has no output `{reference}`"), help()));
            };
            let labels =
                home.catalog.labels_of_outputs(project, &id, path.as_ref()).map_err(HomeError::from)?;
            Ok(Input {
                source: InputSource::Artifact { run: id, path: path.clone() },
                snapshot: snapshot.digest,
                files: snapshot.files,
                bytes: snapshot.bytes,
                labels,
            })
        }
    }
}

fn take_code(
    home: &Home,
    store: &Store,
    lease: &Lease,
    (request, root, policies): (&Request, &Path, Option<&PoliciesInCode>),
    observer: &mut dyn Observer,
) -> Result<Code, PlanError> {
    let shown = || root.display().to_string();
    let refuse = |why| PlanError::CodeRoot { path: shown(), why };
    let real = root.canonicalize().map_err(|_| refuse("it cannot be opened"))?;
    let user_home = request.home_directory.as_ref().and_then(|home| home.canonicalize().ok());
    if real == Path::new("/") || user_home.is_some_and(|home| home == real) {
        return Err(refuse("it is a home or root directory, with everything that you have in it"));
    }
    if home.dir().starts_with(&real) {
        return Err(refuse("the state of aseptic lies inside it"));
    }
    let options = ImportOptions {
        ignore: Ignore::GitRules,
        special: Special::Skip,
        links: Links::Keep,
        leave_out: None,
        without: policies.map_or(&[], |policies| &policies.paths),
        paranoid: false,
    };
    let imported = store.import(lease, &real, &options, &mut import_progress(observer))?;
    if policies.is_some_and(|policies| policies.is_shared) {
        observer.event(Event::Note(
            "left the policies in `policy` out of the code, and nothing else that is there",
        ));
    }
    if let Some(first) = imported.skipped.first() {
        let note =
            format!("left {} special files out of the code, `{first}` among them", imported.skipped_count);
        observer.event(Event::Note(&note));
    }
    Ok(Code {
        snapshot: imported.snapshot.digest,
        files: imported.snapshot.files,
        bytes: imported.snapshot.bytes,
        git_commit: code::git::commit_of(&real),
        labels: BTreeSet::new(),
    })
}

impl Planned {
    /// The directory of policies that decide it although they are not in force yet, as shown to a person.
    #[must_use]
    pub fn unapplied(&self) -> Option<String> {
        self.unapplied.as_ref().map(Unapplied::shown)
    }

    /// Lets the policies that are in force decide it: others may have come into force since it was made.
    ///
    /// # Errors
    /// [`HomeError`]: nothing may be decided then.
    pub(crate) fn under_those_in_force(&mut self, home: &Home) -> Result<(), HomeError> {
        let policies = in_force(home, &self.plan.project)?.policies;
        if self.plan.policy != Some(policies.digest()) {
            self.plan.policy = Some(policies.digest());
            self.bytes = to_canonical(&self.plan)?;
            self.digest = Digest::of(&self.bytes);
        }
        self.policies = policies;
        self.unapplied = None;
        Ok(())
    }

    /// The ledger entry of this plan for one run.
    pub(crate) fn entry(&self, run: &RunId) -> Entry {
        Entry::RunPlanned {
            run: run.clone(),
            experiment: self.plan.experiment.clone(),
            plan: self.digest,
            code: self.plan.code.as_ref().map(|code| code.snapshot),
            inputs: self.plan.inputs.iter().map(|(name, input)| (name.clone(), input.snapshot)).collect(),
            git_commit: self.plan.code.as_ref().and_then(|code| code.git_commit.clone()),
            replays: self.replays.clone(),
        }
    }
}
