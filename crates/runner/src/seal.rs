//! Seal: everything the run left goes into the store, the record names it, the ledger holds the record.
//!
//! **Invariant:** the ledger entry comes last. Before it, a crash leaves a run that recovery seals;
//! after it, nothing of the run can change any more.

mod alone;
mod logs;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use aseptic_model::{
    Class, Decision, Denied, Diagnose, Diagnosis, Digest, Egress, Event as Entry, Keep, Lineage, Logs,
    Observed, Output, OutputLink, Plan, REACHED_MAX, RUN_SCHEMA, RunId, RunRecord, Skipped, Status,
    Timestamp, Usage, escape_bytes, to_canonical,
};
use aseptic_sandbox::{Ended, Enforcement};
use aseptic_store::{CaptureError, CaptureKind, CaptureRoot, Captured, SkipReason, StoreError};

use alone::{blunt, metrics_alone};
use logs::capture_logs;

use crate::attest::{KeyError, Signer, attest};
use crate::environment;
use crate::environment::inventory::Taken;
use crate::execute::{Cause, Executed};
use crate::home::{Home, HomeError, now};
use crate::input::FromInput;
use crate::labels;
use crate::limits::{usage, walls_of};
use crate::metrics;
use crate::observer::Stream;
use crate::run_dir::RunDir;

/// Why a run could not be sealed. Everything it left is still in its directory, and the next command
/// seals it as aborted.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The outputs could not be stored.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The record could not be stored, or the ledger took no entry.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// It could not be attested.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Diagnose for SealError {
    fn diagnosis(&self) -> Diagnosis {
        let inner = match self {
            Self::Capture(error) => error.diagnosis(),
            Self::Home(error) => error.diagnosis(),
            Self::Key(error) => error.diagnosis(),
        };
        let kept = "the outputs are kept, and the next command seals the run";
        Diagnosis { class: Class::Host, help: format!("{}; {kept}", inner.help), ..inner }
    }
}

impl From<StoreError> for SealError {
    fn from(error: StoreError) -> Self {
        Self::Home(error.into())
    }
}

/// What is known of a run before it is sealed.
pub(crate) struct Facts<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) plan: &'a Plan,
    pub(crate) digest: Digest,
    pub(crate) decision: &'a Decision,
    /// Digest of the rules that decided; not known of entries of earlier versions.
    pub(crate) policy: Option<Digest>,
    /// The run that it repeats, if it is a replay.
    pub(crate) replays: Option<RunId>,
    pub(crate) planned: Timestamp,
    pub(crate) overhead: BTreeMap<String, f64>,
}

/// How a run ended, in the words of its record.
pub(crate) struct End {
    status: Status,
    reason: Option<String>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    duration: Duration,
    lineage: Lineage,
    usage: Option<Usage>,
    /// What enforced the limits of the jail; nothing if that is not known any more.
    enforced: Option<Vec<Enforcement>>,
    /// What its supervisor was told.
    told: Vec<String>,
    /// What the job was denied.
    pub(crate) denied: Vec<Denied>,
    /// How far its attempts were looked at, if they were.
    pub(crate) observed: Option<Observed>,
    /// What it had of the network.
    pub(crate) egress: Option<Egress>,
    dropped: Vec<(Stream, u64)>,
    unsampled: u64,
    given: Option<FromInput>,
    /// The inventory of its environment; nothing where that may have changed since it started.
    pub(crate) inventory: Option<Taken>,
}

impl End {
    /// The end of a job that this process watched.
    pub(crate) fn watched(executed: Executed, plan: &Plan) -> Self {
        let (exit_code, signal, mut reason) = match executed.ended {
            Ended::Exited(code) => (Some(code), None, None),
            Ended::Signaled(signal) => (None, Some(signal), None),
            Ended::NotExecuted(error) => {
                let program = plan.command.first().map_or("", String::as_str);
                let why = std::io::Error::from_raw_os_error(error);
                // The codes of every shell for "not found" and "not executable".
                let code = if why.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
                (Some(code), None, Some(format!("could not execute `{program}` in the run: {why}")))
            }
            Ended::Killed => (None, Some(9), Some("the jail was killed from outside".to_owned())),
        };
        let status = match &executed.cause {
            Some(Cause::Signal(2)) if exit_code == Some(0) => Status::Succeeded, // It chose to go on.
            Some(Cause::Signal(_) | Cause::Asked(_)) => Status::Aborted,
            Some(Cause::Wall(_)) => Status::TimedOut,
            Some(Cause::Limit(reached)) => reached.status(),
            Some(Cause::Disk) => Status::Failed,
            None if exit_code == Some(0) => Status::Succeeded,
            None => Status::Failed,
        };
        if let Some(cause) = executed.cause.filter(|_| status != Status::Succeeded) {
            reason = Some(alone::reason(plan.keep, &cause));
        }
        Self {
            status,
            reason,
            exit_code,
            signal,
            duration: executed.duration,
            lineage: executed.lineage,
            dropped: executed.dropped,
            unsampled: executed.unsampled,
            usage: executed.usage.map(usage),
            enforced: Some(executed.enforced),
            told: executed.told,
            denied: Vec::new(),
            observed: None,
            egress: None,
            given: executed.given,
            inventory: None,
        }
    }

    /// The end of a run whose supervisor died.
    pub(crate) fn orphaned() -> Self {
        let reason = "the supervisor of the run died".to_owned();
        let lineage =
            Lineage { complete: false, incomplete_because: Some(reason.clone()), read: BTreeMap::new() };
        Self::aborted(reason, lineage)
    }

    /// The end of a run that could not be provided for: nothing of it started, so it read nothing.
    pub(crate) fn unprovided(error: &dyn std::error::Error) -> Self {
        Self::never_started(&error.to_string())
    }

    /// The end of a run whose job was kept from starting.
    pub(crate) fn never_started(why: &str) -> Self {
        let lineage = Lineage { complete: true, incomplete_because: None, read: BTreeMap::new() };
        Self::aborted(format!("nothing started: {why}"), lineage)
    }

    fn aborted(reason: String, lineage: Lineage) -> Self {
        Self {
            status: Status::Aborted,
            reason: Some(reason),
            exit_code: None,
            signal: None,
            duration: Duration::ZERO,
            lineage,
            usage: None,
            enforced: None,
            told: Vec::new(),
            denied: Vec::new(),
            observed: None,
            egress: None,
            dropped: Vec::new(),
            unsampled: 0,
            given: None,
            inventory: None,
        }
    }
}

/// Seals a run of which no process is left.
pub(crate) fn seal(
    home: &mut Home,
    facts: Facts<'_>,
    mut end: End,
    dir: RunDir,
) -> Result<RunRecord, SealError> {
    dir.release()?;
    let store = home.store(&facts.plan.project)?;
    let changes = match facts.plan.code {
        Some(_) => CaptureKind::OverlayUpper,
        None => CaptureKind::Plain,
    };
    let alone = match facts.plan.keep {
        Keep::Everything => None,
        Keep::Metrics => Some(metrics_alone(&dir, facts.plan)?),
    };
    let place = alone.as_ref().map_or(&dir.path, |alone| &alone.place);
    let (out, work) = (place.join("out"), place.join("changes"));
    let lease = store.lease()?;
    let captured = store.capture(
        &lease,
        &[
            CaptureRoot {
                name: b"out",
                path: &out,
                kind: CaptureKind::Plain,
                max_bytes: facts.plan.limits.outputs_bytes,
            },
            CaptureRoot { name: b"work", path: &work, kind: changes, max_bytes: None },
        ],
    )?;
    let (logs, system) = capture_logs(&store, &lease, &dir, &end)?;
    let metrics = metrics::summarise(&store, &captured.outputs)?;
    let plan = facts.plan;
    let inventory =
        end.inventory.take().map(|taken| taken.keep(&store, &lease, &dir.join("inventories"))).transpose()?;
    let mut record = RunRecord { metrics, system, inventory, ..record(facts, end, captured, logs) };
    if let Some(alone) = alone {
        record = blunt(record, alone.skipped);
    }
    labels::since_started(home, &mut record);
    let labels = labels::of_entry(home, &mut record);
    let signer = Signer::open(home)?;
    let bytes = to_canonical(&record).map_err(HomeError::from)?;
    let digest = store.put_bytes(&lease, &bytes)?;
    let entry = Entry::RunSealed {
        run: record.run.clone(),
        status: record.status,
        record: digest,
        outputs: record.outputs_snapshot.unwrap_or(digest),
        labels,
        attestation: Some(store.put_bytes(&lease, &attest(home, &signer, plan, &record)?)?),
    };
    // The key is in the ledger before what it signed, in the same commit.
    let mut entries: Vec<_> = signer.entry().into_iter().chain(observed(&record)).collect();
    entries.push(entry);
    home.record(&record.project, entries)?;
    dir.remove()?;
    Ok(record)
}

/// What the run reached, and what it was denied, as far as that was seen.
fn observed(record: &RunRecord) -> Vec<Entry> {
    let run = &record.run;
    let mut attempts = BTreeMap::new();
    for denied in &record.denied {
        *attempts.entry(denied.action.clone()).or_insert(0) += denied.count;
    }
    let uses = record.egress.iter().flat_map(|egress| &egress.grants);
    let used: Vec<_> = uses.filter(|used| used.traffic.connections > 0).collect();
    let listed = used.iter().take(REACHED_MAX);
    let grants: BTreeMap<_, _> = listed.map(|used| (used.grant.clone(), used.traffic.connections)).collect();
    let mut entries = Vec::new();
    if !used.is_empty() {
        let unlisted = used.len().saturating_sub(REACHED_MAX) as u64;
        entries.push(Entry::RunReached { run: run.clone(), grants, unlisted });
    }
    if !attempts.is_empty() {
        entries.push(Entry::RunDenied { run: run.clone(), attempts });
    }
    entries
}

fn record(facts: Facts<'_>, end: End, captured: Captured, logs: Logs) -> RunRecord {
    let plan = facts.plan;
    let outputs = captured.outputs.into_iter().map(|output| Output {
        path: output.path,
        size: output.size,
        blake3: output.blake3,
        sha256: hexadecimal(&output.sha256),
    });
    let links = captured
        .links
        .into_iter()
        .map(|link| OutputLink { path: link.path, target: escape_bytes(&link.target) });
    let skipped = captured.skipped.into_iter().map(|skipped| Skipped {
        path: skipped.path,
        reason: match skipped.reason {
            SkipReason::Special => "not a file, directory or link",
            SkipReason::PathTooLong => "its path is too long",
            SkipReason::OverLimit => "over the limit of output bytes",
            SkipReason::Sparse => "sparse: all holes together would be over 4 GiB",
        }
        .to_owned(),
    });
    RunRecord {
        status: end.status,
        reason: end.reason,
        exit_code: end.exit_code,
        signal: end.signal,
        duration_ms: milliseconds(end.duration),
        lineage: end.lineage,
        outputs: outputs.collect(),
        links: links.collect(),
        outputs_snapshot: Some(captured.snapshot.digest),
        deleted: captured.deleted,
        skipped: skipped.collect(),
        labels: plan.output_labels(),
        logs,
        walls: walls_of(plan, end.enforced, end.observed, end.egress.is_some()),
        usage: end.usage,
        denied: end.denied,
        told: end.told,
        observed: end.observed,
        egress: end.egress,
        host: environment::host::name(),
        ..unstarted(facts)
    }
}

/// The record of a run of which nothing started.
pub(crate) fn unstarted(facts: Facts<'_>) -> RunRecord {
    let plan = facts.plan;
    let denied = facts.decision.reasons.iter().map(|reason| Denied {
        action: reason.rule.clone(),
        target: reason.element.clone(),
        count: 1,
        reason: None,
        help: None,
    });
    RunRecord {
        schema: RUN_SCHEMA.to_owned(),
        run: facts.run.clone(),
        project: plan.project.clone(),
        experiment: plan.experiment.clone(),
        command: plan.command.clone(),
        params: plan.params.clone(),
        plan: facts.digest,
        decision: facts.decision.clone(),
        status: Status::unstarted(facts.decision.outcome),
        reason: None,
        exit_code: None,
        signal: None,
        planned: facts.planned,
        ended: now(),
        duration_ms: 0.0,
        overhead_ms: facts.overhead,
        code: plan.code.clone(),
        environment: plan.environment.clone(),
        inputs: plan.inputs.clone(),
        lineage: Lineage::default(),
        outputs: Vec::new(),
        links: Vec::new(),
        outputs_snapshot: None,
        deleted: Vec::new(),
        skipped: Vec::new(),
        labels: plan.output_labels(),
        denied: denied.collect(),
        told: Vec::new(),
        observed: None,
        egress: None,
        logs: Logs { stdout: None, stderr: None, stdin: None },
        limits: plan.limits.clone(),
        walls: Vec::new(),
        usage: None,
        host: None,
        policy: facts.policy,
        replays: facts.replays,
        metrics: None,
        system: None,
        inventory: None,
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
