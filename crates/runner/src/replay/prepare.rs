//! What a replay needs, found and checked before anything starts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek};
use std::path::Path;
use std::sync::Arc;

use aseptic_gateway::Proxy;
use aseptic_model::{
    Digest, Environment, Given, InputSource, Label, Log, Plan, ProjectName, Python, RunRecord, Status,
    escape_bytes, to_canonical,
};
use aseptic_policy::Policies;
use aseptic_store::{StoreError, VerifyError};
use rustix::fs::{Mode, OFlags};

use super::{Changes, ReplayError, ReplayRequest};
use crate::environment::changes::changes;
use crate::environment::inventory::{Sources, touched};
use crate::environment::python::Captured;
use crate::environment::{self, EnvironmentError};
use crate::home::{Home, HomeError, io_error};
use crate::labels::labels_now;
use crate::labels::recognised::recognise;
use crate::observer::{Event, Observer};
use crate::plan::PlanError;
use crate::plan::{Planned, keep_apart};
use crate::policy::in_force;
use crate::request::{Request, RequestError};
use crate::results::{not_sealed, seen};
use crate::retention::{Gone, there, there_run};
use crate::run::RunError;
use crate::streams::{JobStdin, JobStreams};
use crate::unpinned;

/// A run that can be repeated.
pub(super) struct Prepared {
    pub(super) record: RunRecord,
    plan: Plan,
    policies: Arc<Policies>,
    python: Option<Captured>,
    sources: Sources,
    proxy: Option<Proxy>,
    input: Option<Log>,
    /// Labelled data that lies in the code, in words.
    recognised: Option<String>,
    /// What differs and may.
    pub(super) changed: Vec<String>,
    pub(super) remarks: Vec<String>,
}

/// Finds a run and everything that it needs.
pub(super) fn prepare(
    home: &mut Home,
    project: &ProjectName,
    wanted: &ReplayRequest,
    observer: &mut dyn Observer,
) -> Result<Prepared, ReplayError> {
    let store = home.store(project)?;
    let _lease = store.lease()?; // What is deleted while it is checked would look damaged.
    home.catch_up()?;
    let run = seen(home, project, &wanted.run)?;
    let sealed = run.record.filter(|_| run.status.is_none_or(Status::has_started));
    let digest = sealed.ok_or_else(|| not_sealed(&run, "result to compare with"))?;
    let record: RunRecord = home.object(project, &digest)?;
    let mut plan: Plan = home.object(project, &run.plan)?;
    all_there(home, &record, &plan, observer)?;
    let input = input(&record, wanted.changes)?;
    let python = python(home, &record, &plan)?;
    let sources = Sources::new(python.as_ref(), wanted.request.home_directory.as_deref());
    let found = Environment {
        python: python.as_ref().map(|captured| captured.python.clone()),
        variables: plan.environment.variables.clone(),
        host: environment::host::host(),
    };
    let changes = changes(&plan.environment, &found);
    if !changes.is_empty() && wanted.changes == Changes::Refused {
        return Err(ReplayError::Changed { run: run.run, changes });
    }
    let mut changed: Vec<_> = changes.iter().map(ToString::to_string).collect();
    if matches!(record.logs.stdin, Some(Given::Terminal)) {
        changed.push("standard input: typed on a terminal then, nothing now".to_owned());
    }
    if input.as_ref().is_some_and(|log| log.dropped > 0) {
        changed.push("standard input: only its kept beginning is given".to_owned());
    }
    plan.environment = found;
    // It is decided by what its inputs are today.
    for (name, input) in &mut plan.inputs {
        let Some(now) = labels_now(home, project, input)? else { continue };
        changed.extend(difference(&input.labels, &now).map(|all| format!("labels of data.{name}:{all}")));
        input.labels = now;
    }
    let recognised = recognise_anew(home, &mut plan, &mut changed, observer)?;
    relabel_environment(&mut plan, python.as_ref(), &mut changed);
    // Everything that decides is of now, and a plan names it.
    let policies = in_force(home, project)?.policies;
    let then = run.policy.or(plan.policy);
    plan.policy = Some(policies.digest());
    let proxy = match plan.network.is_empty() {
        true => None,
        false => {
            let proxy = wanted.request.proxy.parse().map_err(RequestError::from);
            proxy.map_err(|error| RunError::Plan(PlanError::Request(error)))?
        }
    };
    let mut remarks = remarks(home, project, &plan, then)?;
    if let Some(path) = touched(&sources, record.planned) {
        let path = escape_bytes(path.as_os_str().as_encoded_bytes());
        remarks.push(format!("files of the environment were changed since then, such as `{path}`"));
    }
    for remark in changed.iter().chain(&remarks) {
        observer.event(Event::Note(remark));
    }
    Ok(Prepared { record, plan, policies, python, sources, proxy, input, recognised, changed, remarks })
}

/// Gives the code the labels of the data in it as they are today.
fn recognise_anew(
    home: &Home,
    plan: &mut Plan,
    changed: &mut Vec<String>,
    observer: &mut dyn Observer,
) -> Result<Option<String>, ReplayError> {
    let store = home.store(&plan.project)?;
    let before = plan.code.as_ref().map(|code| code.labels.clone()).unwrap_or_default();
    let described = recognise(home, &store, &plan.project, plan.code.as_mut(), observer)?;
    let now = plan.code.as_ref().map(|code| code.labels.clone()).unwrap_or_default();
    changed.extend(difference(&before, &now).map(|all| format!("labels of the code:{all}")));
    Ok(described)
}

/// Whether the environment is pinned is looked at anew. The code is the same bytes, which no commit had then.
fn relabel_environment(plan: &mut Plan, python: Option<&Captured>, changed: &mut Vec<String>) {
    let before = plan.labels.clone();
    unpinned::of_environment(&mut plan.labels, python);
    changed.extend(difference(&before, &plan.labels).map(|all| format!("labels of the environment:{all}")));
}

/// What came and what went: ` +new -old`; nothing where that is nothing.
fn difference(before: &BTreeSet<Label>, now: &BTreeSet<Label>) -> Option<String> {
    let new = now.difference(before).map(|label| format!(" +{label}"));
    let gone = before.difference(now).map(|label| format!(" -{label}"));
    Some(new.chain(gone).collect()).filter(|all: &String| !all.is_empty())
}

impl Prepared {
    /// Its plan, for one replay.
    pub(super) fn planned(&self, home: &Home) -> Result<Planned, ReplayError> {
        let bytes = to_canonical(&self.plan).map_err(HomeError::from)?;
        Ok(Planned {
            digest: Digest::of(&bytes),
            bytes,
            plan: self.plan.clone(),
            mounts: self.sources.mounts.clone(),
            programs: self.python.as_ref().map(|captured| captured.bin.clone()),
            proxy: self.proxy.clone(),
            sources: self.sources.clone(),
            lease: Some(home.store(&self.plan.project)?.lease()?),
            replays: Some(self.record.run.clone()),
            policies: Arc::clone(&self.policies),
            unapplied: None,
            places: BTreeMap::new(),
            unpinned: BTreeMap::new(),
            recognised: self.recognised.clone(),
        })
    }

    /// The streams of one replay: what was piped in then, from a file that only this process has.
    pub(super) fn streams(
        &self,
        home: &Home,
        request: &Request,
    ) -> Result<(Request, Option<File>), ReplayError> {
        let mut request = request.clone();
        let Some(log) = &self.input else {
            request.streams = JobStreams::default();
            return Ok((request, None));
        };
        request.streams = JobStreams { stdin: JobStdin::Piped, terminal: None };
        let failed = |source| io_error("write a file without a name in", home.dir(), source);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::open(home.dir(), flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(file.map_err(|error| failed(error.into()))?);
        let store = home.store(&self.plan.project)?;
        let mut reader = store.reader(&log.blake3)?;
        io::copy(&mut reader, &mut file).map_err(|error| match error.downcast::<StoreError>() {
            Ok(error) => HomeError::Store(error),
            Err(source) => failed(source),
        })?;
        file.rewind().map_err(failed)?;
        Ok((request, Some(file)))
    }
}

/// Every byte of inputs and code is there and intact, and so is what was given on standard input.
fn all_there(
    home: &Home,
    record: &RunRecord,
    plan: &Plan,
    observer: &mut dyn Observer,
) -> Result<(), ReplayError> {
    let store = home.store(&plan.project)?;
    let code = plan.code.iter().map(|code| ("the code".to_owned(), code.snapshot, None));
    let inputs = plan.inputs.iter().map(|(name, input)| {
        (format!("input `{name}` ({})", input.source), input.snapshot, Some(&input.source))
    });
    let (mut missing, mut help, mut damaged) = (Vec::new(), None, false);
    for (what, snapshot, source) in code.chain(inputs) {
        let verified = store.verify(&snapshot, &mut |progress| observer.event(Event::Import(progress)));
        let error = match verified {
            Ok(_) => continue,
            Err(VerifyError::Store(error @ StoreError::Io { .. })) => return Err(error.into()),
            Err(error) => error,
        };
        let gone = gone(home, record, source)?;
        damaged |= gone.is_none() && !matches!(error, VerifyError::Store(StoreError::Missing { .. }));
        help.get_or_insert_with(|| match &gone {
            Some(gone) => gone.help(),
            None => "`aseptic dataset verify` names every damaged file; import the dataset again, or restore it from an \
                     archive"
                .to_owned(),
        });
        missing.push(match gone {
            Some(gone) => format!("{what} is gone: {gone}"),
            None => format!("{what}: {error}"),
        });
    }
    if let Some(log) = record.logs.given()
        && matches!(store.reader(&log.blake3), Err(StoreError::Missing { .. }))
    {
        let gone = gone(home, record, None)?;
        help.get_or_insert_with(|| gone.as_ref().map_or_else(|| "run it anew".to_owned(), Gone::help));
        missing.push("what it was given on standard input is gone".to_owned());
    }
    match help {
        None => Ok(()),
        Some(help) => Err(ReplayError::Missing { run: record.run.clone(), missing, help, damaged }),
    }
}

/// When the bytes of an input, or of the run itself, were given up; nothing if they were not.
fn gone(home: &Home, record: &RunRecord, source: Option<&InputSource>) -> Result<Option<Gone>, ReplayError> {
    let project = &record.project;
    Ok(match source {
        None => home
            .catalog
            .run(project, &record.run)
            .map_err(HomeError::from)?
            .and_then(|run| there_run(&run).err()),
        Some(InputSource::Dataset { name, version }) => {
            let found =
                home.catalog.dataset_version(project, name, Some(*version)).map_err(HomeError::from)?;
            found.and_then(|found| there(&found).err())
        }
        Some(InputSource::Artifact { run, .. }) => {
            home.catalog.run(project, run).map_err(HomeError::from)?.and_then(|run| there_run(&run).err())
        }
    })
}

/// What it was given on standard input, as far as that is kept.
fn input(record: &RunRecord, changes: Changes) -> Result<Option<Log>, ReplayError> {
    let refuse = |what| match changes {
        Changes::Refused => Err(ReplayError::Input { run: record.run.clone(), what }),
        Changes::Allowed => Ok(()),
    };
    match &record.logs.stdin {
        None => Ok(None),
        Some(Given::Terminal) => refuse("a terminal, which is not kept,").map(|()| None),
        Some(Given::Piped(log)) => {
            if log.dropped > 0 {
                refuse("more than is kept")?;
            }
            Ok(Some(log.clone()))
        }
    }
}

/// The Python environment of the plan as it is now.
fn python(home: &Home, record: &RunRecord, plan: &Plan) -> Result<Option<Captured>, ReplayError> {
    let Some(then) = &plan.environment.python else { return Ok(None) };
    let unusable = |source| ReplayError::Environment { run: record.run.clone(), source };
    let captured = capture(then).map_err(unusable)?;
    keep_apart(home, None, &captured.mounts).map_err(unusable)?;
    Ok(Some(captured))
}

/// The plan names the prefix, where several interpreters may be.
fn capture(then: &Python) -> Result<Captured, EnvironmentError> {
    let prefix = Path::new(&then.prefix);
    let found = environment::python::capture(prefix);
    if found.as_ref().is_ok_and(|found| found.python.interpreter == then.interpreter) {
        return found;
    }
    let minor: Vec<_> = then.version.split('.').take(2).collect();
    let named = prefix.join("bin").join(format!("python{}", minor.join(".")));
    match environment::python::capture(&named) {
        Ok(other) if other.python.interpreter == then.interpreter => Ok(other),
        _ => found,
    }
}

/// What is not the newest any more, and what cannot be repeated.
fn remarks(
    home: &Home,
    project: &ProjectName,
    plan: &Plan,
    policy: Option<Digest>,
) -> Result<Vec<String>, ReplayError> {
    let mut remarks = Vec::new();
    for (name, input) in &plan.inputs {
        let InputSource::Dataset { name: dataset, version } = &input.source else { continue };
        let newest = home.catalog.dataset_version(project, dataset, None).map_err(HomeError::from)?;
        if let Some(newest) = newest.filter(|newest| newest.version > *version) {
            let newest = newest.version;
            remarks.push(format!("input `{name}` is {dataset}@{version}; the newest version is {newest}"));
        }
    }
    if policy.is_some() && policy != plan.policy {
        remarks.push("the rules that decide are others than then".to_owned());
    }
    if !plan.network.is_empty() {
        let count = plan.network.len();
        let noun = if count == 1 { "destination" } else { "destinations" };
        remarks.push(format!(
            "the network is not repeated: {count} granted {noun} may answer otherwise than then"
        ));
    }
    if let Some(gpus) = &plan.gpus {
        remarks.push(format!("GPUs are not compared: it may use {gpus}"));
    }
    Ok(remarks)
}
