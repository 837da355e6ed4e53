//! Run: plan, decide, provision, execute, seal, each step in the ledger before what it permits.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use aseptic_model::{
    ByteSize, Class, Decision, Diagnose, Diagnosis, Digest, Event as Entry, Keep, Outcome, Plan, RunId,
    RunRecord, Timestamp, to_canonical,
};
use aseptic_sandbox::Attempts;

use crate::annotate::AnnotateError;
use crate::dataset;
use crate::decide::{Decided, decide};
use crate::desk::{self, Asked, Desk, Wish};
use crate::egress;
use crate::environment;
use crate::environment::inventory::Taking;
use crate::execute::{Executed, execute};
use crate::explain::{Surroundings, explain};
use crate::holdout;
use crate::home::{Home, HomeError, io_error, now};
use crate::labels;
use crate::observer::{Event, Observer, Signals};
use crate::output::LITTLE_BYTES_MAX;
use crate::plan::{PlanError, Planned, plan};
use crate::policy::bring_in_force;
use crate::provision::{ProvisionError, provision};
use crate::quarantine;
use crate::request::{CodeChoice, Request};
use crate::reuse::reuse;
use crate::run_dir::RunDir;
use crate::seal::{End, Facts, SealError, milliseconds, seal, unstarted};
use crate::streams::JobStdin;

/// Why a run did not come to its end. What was recorded of it stays recorded.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no plan, so no run.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// What is to be said about the run; nothing was recorded.
    #[error(transparent)]
    Annotate(#[from] AnnotateError),
    /// What is piped into the job is in no plan, so no result can stand for it; nothing was recorded.
    #[error("standard input is no part of a plan, so a run that is given some cannot be reused")]
    ReuseInput,
    /// Signals for the job cannot be caught; nothing was recorded.
    #[error("could not catch signals")]
    Signals(#[source] io::Error),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Another plan with hold-out data is being decided, and its process does not go on; nothing was recorded.
    #[error("another process has been deciding a plan with hold-out data of this project for 30 s")]
    Evaluating,
    /// The jail could not be made; nothing started, and the run is sealed as aborted.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The job ran; its outputs are not in the store yet.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Diagnose for RunError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Plan(error) => error.diagnosis(),
            Self::Annotate(error) => error.diagnosis(),
            Self::ReuseInput => Diagnosis::new(
                Class::User,
                "run/reuse-input",
                "give the job nothing with `--no-stdin`, or run without `--reuse`",
            ),
            Self::Signals(_) => Diagnosis::new(
                Class::Host,
                "run/signals",
                "close some of the files that this process inherited, or raise `ulimit -n`",
            ),
            Self::Evaluating => Diagnosis::new(
                Class::Host,
                "run/evaluating",
                "look for a stopped `aseptic run` (state T in `ps`), continue or kill it, and try again",
            ),
            Self::Home(error) => error.diagnosis(),
            Self::Provision(error) => error.diagnosis(),
            Self::Seal(error) => error.diagnosis(),
        }
    }
}

/// Runs what `request` asks for, to its end.
///
/// `catch` is called once the plan stands: until then a signal may end this process as usual, since
/// nothing was recorded; from then on signals are the job's.
///
/// Returns the record: of the sealed run, of the denied one, or, where the request says so, of an earlier run whose
/// result stands for it ([`Event::Reused`]). When it returns, no process of the run
/// is left. Must be called from the thread that outlives it (see [`aseptic_sandbox::prepare`]).
///
/// # Errors
/// [`RunError`]. A run that was decided and not sealed is sealed by the next command.
pub fn run<S: Signals>(
    home: &mut Home,
    request: &Request,
    catch: impl FnOnce() -> io::Result<S>,
    observer: &mut dyn Observer,
) -> Result<RunRecord, RunError> {
    let steps = Steps::new();
    if request.reuse && request.streams.stdin == JobStdin::Piped {
        return Err(RunError::ReuseInput);
    }
    let planned = plan(home, request, observer)?;
    request.annotation.check(home, &planned.plan.project)?;
    if let Some(unapplied) = &planned.unapplied {
        bring_in_force(home, &planned.plan.project, unapplied, observer).map_err(PlanError::from)?;
    }
    if request.reuse {
        match reuse(home, &planned, &request.annotation, observer)? {
            Ok(record) => return Ok(record),
            Err(why) => observer.event(Event::Note(&format!("nothing to reuse: {why}"))),
        }
    }
    let mut signals = catch().map_err(RunError::Signals)?;
    carry_out(home, planned, request, steps, &mut signals, observer)
}

/// Carries out a plan, whether it was just made or is repeated. Of `request` only what is in no plan is looked at:
/// the streams of the job, and what is seen of its attempts.
///
/// # Errors
/// As [`run()`].
pub(crate) fn carry_out(
    home: &mut Home,
    planned: Planned,
    request: &Request,
    mut steps: Steps,
    signals: &mut dyn Signals,
    observer: &mut dyn Observer,
) -> Result<RunRecord, RunError> {
    let (id, began) = (new_run_id()?, now());
    steps.end("plan");
    let mut run = Run { id, began, planned, request, steps };

    let dir = RunDir::create(home.run_dir(&run.planned.plan.project, &run.id))?;
    let mut desk = Desk::open(&dir).map_err(|source| io_error("listen in", &dir.path, source))?;
    let answer = run.decide(home, observer)?;
    observer.event(Event::Decided(&answer.decision));
    run.steps.end("decide");
    if answer.decision.outcome != Outcome::Allow {
        dir.remove()?;
        return Ok(unstarted(run.facts(&answer)));
    }

    let provisioned = match provision(home, &run.planned, &run.id, &dir, request) {
        Ok(provisioned) => provisioned,
        Err(error) => {
            egress::forget(home);
            seal(home, run.facts(&answer), End::unprovided(&error), dir)?;
            return Err(error.into());
        }
    };
    if let Some(Kept { reason, _asked }) = run.start(home, &mut desk)? {
        egress::forget(home);
        drop(provisioned); // Nothing of the jail is left.
        return Ok(seal(home, run.facts(&answer), End::never_started(&reason), dir)?);
    }
    observer.event(Event::Started);
    run.steps.end("provision");
    let project = &run.planned.plan.project;
    let taking = Taking::start(run.planned.sources.clone(), home.inventories(project)).ok();

    let executed = execute(provisioned, (&dir, desk), &run.planned.plan, signals, observer)?;
    run.steps.leave_out();
    run.seal(home, &answer, (executed, taking), dir, observer)
}

/// A run on its way from a plan to a record.
struct Run<'r> {
    id: RunId,
    /// When it was planned.
    began: Timestamp,
    planned: Planned,
    request: &'r Request,
    steps: Steps,
}

/// What was decided, and by which policies.
struct Answer {
    decision: Decision,
    policy: Digest,
}

impl Run<'_> {
    /// Decides the plan, by what is so now. The plan, the question and the answer are on disk when this returns.
    fn decide(&mut self, home: &mut Home, observer: &mut dyn Observer) -> Result<Answer, RunError> {
        let planned = &mut self.planned;
        // First, since it may take its time, and whoever puts something in quarantine waits for the other.
        let _evaluating = holdout::alone(home, &planned.plan)?.ok_or(RunError::Evaluating)?;
        let _unplanned = quarantine::hold_still(home)?;
        home.catch_up()?;
        planned.under_those_in_force(home)?;
        observer.event(Event::Planned { run: &self.id, plan: &planned.plan, digest: &planned.digest });
        let project = &planned.plan.project;
        let store = home.store(project)?;
        // Held, as those above, until the ledger names what the run needs.
        let lease = planned.lease.take().map_or_else(|| store.lease(), Ok).map_err(HomeError::from)?;
        let Decided { question, decision } = decide(home, planned)?;
        let policy = question.policy;
        let asked = to_canonical(&question).map_err(HomeError::from)?;
        let policies = planned.policies.document().to_bytes().map_err(HomeError::from)?;
        // Together, so that the disk is waited for once. Most often the policies are there already.
        store.put_all(&lease, [&policies, &asked, &planned.bytes]).map_err(HomeError::from)?;
        let decided = Entry::RunDecided {
            run: self.id.clone(),
            plan: planned.digest,
            decision: decision.clone(),
            policy: Some(policy),
            requests: Some(Digest::of(&asked)),
        };
        let described = self.request.annotation.entry(&self.id);
        home.record(project, [planned.entry(&self.id), decided].into_iter().chain(described).collect())?;
        Ok(Answer { decision, policy })
    }

    /// Records that the job starts, or says why it must not.
    fn start(&self, home: &mut Home, desk: &mut Desk) -> Result<Option<Kept>, HomeError> {
        let plan = &self.planned.plan;
        // Nobody labels anything between the last look at the labels and the start.
        let _unlabelled = dataset::hold_still(home, &plan.project)?;
        // What was put in quarantine since is in the ledger; who puts it there from now on finds this run going on.
        if let Some(why) = kept_from_starting(home, plan, desk)? {
            return Ok(Some(why));
        }
        let mounted = plan.inputs.iter().map(|(name, input)| (name.clone(), input.snapshot)).collect();
        let host = environment::host::name();
        home.record(&plan.project, vec![Entry::RunStarted { run: self.id.clone(), mounted, host }])?;
        Ok(None)
    }

    /// Seals it after its job, of which `executed` is known.
    fn seal(
        mut self,
        home: &mut Home,
        answer: &Answer,
        (mut executed, taking): (Executed, Option<Taking>),
        dir: RunDir,
        observer: &mut dyn Observer,
    ) -> Result<RunRecord, RunError> {
        observer.event(Event::Sealing);
        say_what_is_cut(&self.planned.plan, self.request, &executed, observer);
        let rest = std::mem::take(&mut executed.rest);
        let _stopping = std::mem::take(&mut executed.stopping); // They wait until the run is sealed.
        let mut end = self.end(home, executed);
        end.inventory = taking.and_then(Taking::finish);
        if end.inventory.is_none() {
            let note = "no inventory of the environment could be made; the record has none";
            observer.event(Event::Note(note));
        }
        let mut record = seal(home, self.facts(answer), end, dir)?;
        self.steps.end("seal");
        for (stream, bytes) in &rest {
            observer.event(Event::Output(*stream, bytes));
        }
        record.overhead_ms = self.steps.taken;
        Ok(record)
    }

    /// The end of its job, with what that had of the network and was denied.
    fn end(&self, home: &Home, mut executed: Executed) -> End {
        let plan = &self.planned.plan;
        let (attempted, network) = (executed.attempted.take(), executed.network.take());
        let mut end = End::watched(executed, plan);
        let (egress, denied) = network.map(|network| network.finish(plan)).unzip();
        end.denied = denied.unwrap_or_default();
        if let Some(attempted) = attempted {
            let (also, observed) = explain(attempted, &surroundings(self.request, home), egress.is_some());
            end.denied.extend(also);
            end.observed = Some(observed);
        }
        end.egress = egress;
        end
    }

    fn facts<'a>(&'a self, answer: &'a Answer) -> Facts<'a> {
        Facts {
            run: &self.id,
            plan: &self.planned.plan,
            digest: self.planned.digest,
            decision: &answer.decision,
            policy: Some(answer.policy),
            replays: self.planned.replays.clone(),
            planned: self.began,
            overhead: self.steps.taken.clone(),
        }
    }
}

/// Says what is not shown of a run of which only metrics are kept.
fn say_what_is_cut(plan: &Plan, request: &Request, executed: &Executed, observer: &mut dyn Observer) {
    if plan.keep == Keep::Everything {
        return;
    }
    if executed.dropped.iter().any(|(_, dropped)| *dropped > 0) {
        observer.event(Event::Note(&format!(
            "only the first {} of each stream are shown and kept, since only metrics leave this run",
            ByteSize(LITTLE_BYTES_MAX)
        )));
    }
    if request.attempts == Attempts::Seen {
        observer.event(Event::Note("attempts were not looked at, since only metrics leave this run"));
    }
}

/// Why the job of a run that was allowed does not start.
struct Kept {
    reason: String,
    /// Whoever asked for it waits until the run is sealed.
    _asked: Option<Asked>,
}

fn kept_from_starting(home: &mut Home, plan: &Plan, desk: &mut Desk) -> Result<Option<Kept>, HomeError> {
    if let Some(mut asked) = desk.stop_early() {
        asked.answer(desk::Answer::Done(0));
        let who = match &asked.wish {
            Wish::Stop(who) => who.as_str(),
            _ => "somebody",
        };
        let reason = format!("stopped by {who}; the entry `run.stopped` says why");
        return Ok(Some(Kept { reason, _asked: Some(asked) }));
    }
    let found = quarantine::since_decided(home, plan)?;
    let found = match found {
        None => labels::since_decided(home, plan)?,
        found => found,
    };
    Ok(found.map(|reason| Kept { reason, _asked: None }))
}

fn surroundings<'a>(request: &'a Request, home: &'a Home) -> Surroundings<'a> {
    Surroundings {
        code: match &request.code {
            CodeChoice::Directory(root) => root.canonicalize().ok(),
            CodeChoice::Nothing => None,
        },
        home_directory: request.home_directory.as_deref(),
        programs: &request.programs,
        state: home.dir(),
    }
}

/// A fresh identifier. Two runs meet with a probability of one in 2^60, and then the second does not
/// start, because its directory is there.
fn new_run_id() -> Result<RunId, HomeError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| HomeError::Io {
        what: "read",
        path: "the kernel's random numbers".to_owned(),
        source: io::Error::other(error),
    })?;
    Ok(RunId::from_random(u64::from_ne_bytes(bytes)))
}

/// What aseptic's own steps took.
#[derive(Clone)]
pub(crate) struct Steps {
    since: Instant,
    taken: BTreeMap<String, f64>,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), taken: BTreeMap::new() }
    }

    fn end(&mut self, name: &str) {
        self.taken.insert(name.to_owned(), milliseconds(self.since.elapsed()));
        self.since = Instant::now();
    }

    /// The time since the last step was the job's.
    fn leave_out(&mut self) {
        self.since = Instant::now();
    }
}
