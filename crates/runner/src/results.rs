//! What runs left: list, show, logs, export.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use aseptic_catalog::{CatalogError, EDGES_MAX, Replay, ResolveError, RunSummary};
use aseptic_model::{
    Class, DatasetName, Diagnose, Diagnosis, Digest, Event as Entry, FilePath, Log, Object, ObjectError,
    Plan, ProjectName, RunId, RunRecord, RunRef, Tag,
};
use aseptic_policy::Act;
use aseptic_store::{Existing, ExportError, Exported, Store, StoreError};

use crate::dataset::DatasetError;
use crate::home::{Home, HomeError, RECORD_BYTES_MAX, io_error, now};
use crate::labels::sidecar::{self, Export, SidecarError};
use crate::observer::Stream;
use crate::quarantine::Marks;
use crate::retention::{Gone, there_run};

/// Why a result could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// No run is meant.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The run has no record yet, or never will.
    #[error("run `{run}` is {state}, so it has no {what}")]
    NotSealed {
        /// The run.
        run: RunId,
        /// What it is instead.
        state: &'static str,
        /// What was asked for.
        what: &'static str,
    },
    /// What was named is nothing that has a lineage.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// There is no such dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The run has no such output.
    #[error("run `{run}` has no output `{path}`")]
    NoOutput {
        /// The run.
        run: RunId,
        /// The path.
        path: FilePath,
    },
    /// The dataset has no such file or directory.
    #[error("dataset `{name}@{version}` has no file or directory `{path}`")]
    NoFile {
        /// The dataset.
        name: DatasetName,
        /// Its version.
        version: u32,
        /// The path.
        path: FilePath,
    },
    /// Nothing of the project has this digest.
    #[error("nothing in project `{project}` has the digest {digest}")]
    NoDigest {
        /// Where it was looked for.
        project: ProjectName,
        /// What was asked for.
        digest: Digest,
    },
    /// It must not be used any more.
    #[error("run `{run}` is in quarantine: {by}")]
    Quarantined {
        /// The run.
        run: RunId,
        /// What is in quarantine, and how it reaches the run.
        by: String,
    },
    /// A page lies beyond what one question goes over.
    #[error("one question goes over {EDGES_MAX} steps at most")]
    TooFar,
    /// Its bytes were deleted.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// What would be exported holds a git repository.
    #[error("`{path}` is part of a git repository that the run made")]
    Repository {
        /// The first such path.
        path: FilePath,
    },
    /// What would be exported holds a file that looks like a list of labels.
    #[error("the run left `{name}`, which is named as lists of labels are")]
    SidecarName {
        /// Its name.
        name: String,
    },
    /// The labels of what would be exported could not be written beside it.
    #[error(transparent)]
    Sidecar(#[from] SidecarError),
    /// The copy could not be made.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for ResultError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Resolve(error) => error.diagnosis(),
            Self::NotSealed { .. } => Diagnosis::new(
                Class::User,
                "result/not-sealed",
                "`aseptic runs` shows the state of every run",
            ),
            Self::NoOutput { .. } => {
                Diagnosis::new(Class::User, "result/no-output", "`aseptic show RUN` lists its outputs")
            }
            Self::Object(_) => Diagnosis::new(
                Class::User,
                "result/object",
                "name a dataset, `DATASET@VERSION/PATH`, `run:RUN`, `run:RUN/PATH`, `host:NAME`, \
                 `package:NAME@VERSION`, `policy:DIGEST` or a digest of 64 digits",
            ),
            Self::NoFile { name, version, .. } => Diagnosis::new(
                Class::User,
                "result/no-file",
                format!("`aseptic dataset show {name}@{version}` describes it"),
            ),
            Self::NoDigest { .. } => Diagnosis::new(
                Class::User,
                "result/no-digest",
                "if it was there before its bytes were deleted, say of what it is: `file:DIGEST` or `snapshot:DIGEST`",
            ),
            Self::TooFar => Diagnosis::new(
                Class::User,
                "result/too-far",
                "ask about something nearer to what you look for",
            ),
            Self::Dataset(error) => error.diagnosis(),
            Self::Quarantined { .. } => Diagnosis::new(
                Class::Denied,
                "export/quarantined",
                "`aseptic quarantine list` says why; `--quarantined` exports it all the same, which is recorded",
            ),
            Self::Gone(gone) => gone.diagnosis(),
            Self::SidecarName { .. } => Diagnosis::new(
                Class::User,
                "export/sidecar-name",
                "export other parts with RUN/PATH: such a file would say which labels the files have",
            ),
            Self::Sidecar(_) => Diagnosis::new(
                Class::User,
                "export/sidecar",
                "export to another directory: labels of what is there would be lost otherwise",
            ),
            Self::Repository { .. } => Diagnosis::new(
                Class::User,
                "export/repository",
                "git would execute its hooks and settings; export other parts with RUN/PATH",
            ),
            Self::Export(error) => error.diagnosis(),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

impl From<StoreError> for ResultError {
    fn from(error: StoreError) -> Self {
        Self::Home(error.into())
    }
}

impl From<CatalogError> for ResultError {
    fn from(error: CatalogError) -> Self {
        Self::Home(error.into())
    }
}

/// What to do about outputs that something in quarantine reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfQuarantined {
    /// Copy nothing.
    Refuse,
    /// Copy them, and record by what they are reached.
    Export,
}

/// What is known of a run.
#[derive(Debug)]
pub enum Shown {
    /// It is sealed; its outputs, code and logs may be deleted.
    Sealed {
        /// Its record, with the labels that it has now.
        record: Box<RunRecord>,
        /// What was said about it since.
        summary: Box<RunSummary>,
        /// Its tags.
        tags: BTreeSet<Tag>,
        /// Why its bytes are gone, if they are.
        gone: Option<Gone>,
    },
    /// It was denied, or it goes on: there is a plan and no record.
    Planned {
        /// What is known of it.
        summary: Box<RunSummary>,
        /// Its tags.
        tags: BTreeSet<Tag>,
        /// Its plan.
        plan: Box<Plan>,
    },
}

/// The id of the run that is meant.
///
/// # Errors
/// [`ResultError::Resolve`].
pub fn resolve_run(home: &Home, project: &ProjectName, run: &RunRef) -> Result<RunId, ResultError> {
    home.allowed(project, Act::View, None)?;
    Ok(home.catalog.resolve_run(project, run)?)
}

/// The replays of a run, and what came of it if it is one itself; the oldest first.
///
/// # Errors
/// [`ResultError`].
pub fn replays(home: &Home, project: &ProjectName, run: &RunId) -> Result<Vec<Replay>, ResultError> {
    home.allowed_on(project, Act::View, &Object::Run(run.clone()))?;
    Ok(home.catalog.replays(project, run)?)
}

/// The run that is meant, where the user may look at it.
pub(crate) fn seen(home: &Home, project: &ProjectName, run: &RunRef) -> Result<RunSummary, ResultError> {
    home.allowed(project, Act::View, None)?;
    let summary = summary(home, project, run)?;
    home.allowed_on(project, Act::View, &Object::Run(summary.run.clone()))?;
    Ok(summary)
}

/// Everything known of one run.
///
/// # Errors
/// [`ResultError`].
pub fn show(home: &Home, project: &ProjectName, run: &RunRef) -> Result<Shown, ResultError> {
    let summary = seen(home, project, run)?;
    let tags = home.catalog.tags(project, &summary.run)?;
    if summary.record.is_some() {
        let mut record = Box::new(record(home, project, &summary)?);
        record.labels.clone_from(&summary.labels); // Those of today.
        let gone = there_run(&summary).err();
        return Ok(Shown::Sealed { record, summary: Box::new(summary), tags, gone });
    }
    let plan = Box::new(home.object(project, &summary.plan)?);
    Ok(Shown::Planned { summary: Box::new(summary), tags, plan })
}

/// The plan and the record of a sealed run.
pub(crate) fn planned_and_record(
    home: &Home,
    project: &ProjectName,
    run: &RunRef,
) -> Result<(Plan, RunRecord), ResultError> {
    let summary = seen(home, project, run)?;
    Ok((home.object(project, &summary.plan)?, record(home, project, &summary)?))
}

/// What a run printed on `stream`, or was given on standard input; of a run that goes on, so far.
///
/// # Errors
/// [`ResultError`].
pub fn log(
    home: &Home,
    project: &ProjectName,
    run: &RunRef,
    stream: Stream,
) -> Result<(Vec<u8>, Option<Log>), ResultError> {
    home.allowed(project, Act::View, None)?;
    let store = home.store(project)?;
    let _lease = store.lease()?;
    let summary = seen(home, project, run)?;
    if summary.record.is_none() {
        let name = match stream {
            Stream::Stdout => "logs/stdout",
            Stream::Stderr => "logs/stderr",
            Stream::Stdin => "logs/stdin",
        };
        let path = home.run_dir(project, &summary.run).join(name);
        return match fs::read(&path) {
            Ok(bytes) => Ok((bytes, None)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_sealed(&summary, "output")),
            Err(source) => Err(io_error("read", &path, source).into()),
        };
    }
    there_run(&summary)?;
    let logs = record(home, project, &summary)?.logs;
    let log = match stream {
        Stream::Stdout => logs.stdout,
        Stream::Stderr => logs.stderr,
        Stream::Stdin => logs.given().cloned(),
    };
    let Some(log) = log else { return Ok((Vec::new(), None)) };
    let bytes = store.get_bytes(&log.blake3, RECORD_BYTES_MAX)?;
    Ok((bytes, Some(log)))
}

/// Copies outputs of a sealed run to the directory `to`, and records that.
///
/// # Errors
/// [`ResultError`]; no half-written file is left.
pub fn export(
    home: &mut Home,
    project: &ProjectName,
    run: &RunRef,
    path: Option<&FilePath>,
    to: &Path,
    existing: Existing,
    quarantined: IfQuarantined,
) -> Result<(RunId, Exported), ResultError> {
    home.allowed(project, Act::Export, None)?;
    let store = home.store(project)?;
    let lease = store.lease()?; // What is deleted while it is read would look damaged.
    home.catch_up()?;
    let summary = summary(home, project, run)?;
    let object = match path {
        Some(path) => Object::Artifact { run: summary.run.clone(), path: path.clone() },
        None => Object::Run(summary.run.clone()),
    };
    home.allowed_on(project, Act::Export, &object)?;
    let Some(outputs) = summary.outputs else {
        return Err(not_sealed(&summary, "outputs"));
    };
    there_run(&summary)?;
    let found = Marks::new(home)?.outputs(project, &summary.run, path)?;
    if let (Some(found), IfQuarantined::Refuse) = (&found, quarantined) {
        return Err(ResultError::Quarantined { run: summary.run, by: found.describe() });
    }
    let exported_tree = match path {
        None => Some(store.snapshot(&outputs)?),
        Some(path) => store.subtree(&lease, &outputs, path)?,
    };
    let Some(tree) = exported_tree else {
        let path = path.cloned().ok_or_else(|| not_sealed(&summary, "outputs"))?;
        return Err(ResultError::NoOutput { run: summary.run, path });
    };
    refuse_repository(&store, &tree.digest)?;
    let labels = sidecar::place_of(&store, &tree.digest, path, to)?;
    let export = Export {
        ledger: home.origin(),
        project: project.clone(),
        run: summary.run.clone(),
        path: path.cloned(),
        snapshot: tree.digest,
        attestation: summary.attestation,
        labels: home.catalog.labels_of_outputs(project, &summary.run, path)?,
        time: now(),
    };
    // What cannot be said about the files must not be there without it.
    fs::create_dir_all(to).map_err(|source| io_error("make", to, source))?;
    sidecar::write(&labels, export)?;
    let exported = store.export(&lease, &tree.digest, None, to, existing)?;
    let entry = Entry::RunExported {
        run: summary.run.clone(),
        snapshot: tree.digest,
        files: exported.files,
        path: path.cloned(),
        quarantined: found.map(|found| found.object),
    };
    home.record(project, vec![entry])?;
    Ok((summary.run, exported))
}

/// Git would execute the hooks of a repository that a job made.
pub(crate) fn refuse_repository(store: &Store, tree: &Digest) -> Result<(), ResultError> {
    for entry in store.walk(tree)? {
        let (path, _) = entry?;
        if path.components().any(|name| name.eq_ignore_ascii_case(b".git")) {
            return Err(ResultError::Repository { path });
        }
    }
    Ok(())
}

pub(crate) fn summary(home: &Home, project: &ProjectName, run: &RunRef) -> Result<RunSummary, ResultError> {
    let id = home.catalog.resolve_run(project, run)?;
    let summary = home.catalog.run(project, &id)?;
    summary.ok_or(ResultError::NotSealed { run: id, state: "unknown", what: "record" })
}

pub(crate) fn record(home: &Home, project: &ProjectName, run: &RunSummary) -> Result<RunRecord, ResultError> {
    let digest = run.record.ok_or_else(|| not_sealed(run, "record"))?;
    Ok(home.object(project, &digest)?)
}

pub(crate) fn not_sealed(run: &RunSummary, what: &'static str) -> ResultError {
    let state = run.status.map_or("still running", aseptic_model::Status::as_str);
    ResultError::NotSealed { run: run.run.clone(), state, what }
}
