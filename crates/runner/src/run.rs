//! Run: plan, decide, provision, execute, seal, each step in the ledger before what it permits.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use aseptic_model::{Class, Diagnose, Diagnosis, Event as Entry, Outcome, RunId, RunRecord};

use crate::decide::decide;
use crate::egress;
use crate::execute::execute;
use crate::explain::{Surroundings, explain};
use crate::home::{Home, HomeError, now};
use crate::observer::{Event, Observer, Signals};
use crate::plan::{PlanError, plan};
use crate::provision::{ProvisionError, provision};
use crate::request::{CodeChoice, Request};
use crate::run_dir::RunDir;
use crate::seal::{End, Facts, SealError, milliseconds, seal, unstarted};

/// Why a run did not come to its end. What was recorded of it stays recorded.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no plan, so no run.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Signals for the job cannot be caught; nothing was recorded.
    #[error("could not catch signals")]
    Signals(#[source] io::Error),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
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
            Self::Signals(_) => Diagnosis::new(
                Class::Host,
                "run/signals",
                "close some of the files that this process inherited, or raise `ulimit -n`",
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
/// Returns the record: of the sealed run, or of the denied one. When it returns, no process of the run
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
    let mut steps = Steps::new();
    let mut planned = plan(home, request, observer)?;
    let mut signals = catch().map_err(RunError::Signals)?;
    let started = now();
    let run = new_run_id()?;
    observer.event(Event::Planned { run: &run, plan: &planned.plan, digest: &planned.digest });
    steps.end("plan");

    let project = &planned.plan.project;
    let dir = RunDir::create(home.run_dir(project, &run))?;
    let store = home.store(project)?;
    let lease = planned.lease.take().map_or_else(|| store.lease(), Ok).map_err(HomeError::from)?;
    store.put_bytes(&lease, &planned.bytes).map_err(HomeError::from)?;
    let decision = decide(home, &planned.plan)?;
    let decided = Entry::RunDecided { run: run.clone(), plan: planned.digest, decision: decision.clone() };
    home.record(project, vec![planned.entry(&run), decided])?;
    drop(lease); // From here on the ledger names what the run needs.
    observer.event(Event::Decided(&decision));
    steps.end("decide");
    let facts = |steps: Steps| Facts {
        run: &run,
        plan: &planned.plan,
        digest: planned.digest,
        decision: &decision,
        planned: started,
        overhead: steps.taken,
    };
    if decision.outcome == Outcome::Deny {
        dir.remove()?;
        return Ok(unstarted(facts(steps)));
    }

    let provisioned = match provision(home, &planned, &run, &dir, request) {
        Ok(provisioned) => provisioned,
        Err(error) => {
            egress::forget(home);
            seal(home, facts(steps), End::unprovided(&error), dir)?;
            return Err(error.into());
        }
    };
    let mounted = planned.plan.inputs.iter().map(|(name, input)| (name.clone(), input.snapshot)).collect();
    home.record(project, vec![Entry::RunStarted { run: run.clone(), mounted }])?;
    observer.event(Event::Started);
    steps.end("provision");

    let mut executed = execute(provisioned, &dir, &planned.plan.limits, &mut signals, observer)?;
    steps.leave_out();
    observer.event(Event::Sealing);
    let rest = std::mem::take(&mut executed.rest);
    let attempted = executed.attempted.take();
    let network = executed.network.take();
    let mut end = End::watched(executed, &planned.plan);
    let (egress, mut denied) = network.map(|network| network.finish(&planned.plan)).unzip();
    if let Some(attempted) = attempted {
        let (also, observed) = explain(attempted, &surroundings(request, home), egress.is_some());
        denied.get_or_insert_default().extend(also);
        end.observed = Some(observed);
    }
    end.denied = denied.unwrap_or_default();
    end.egress = egress;
    let mut record = seal(home, facts(steps.clone()), end, dir)?;
    steps.end("seal");
    for (stream, bytes) in &rest {
        observer.event(Event::Output(*stream, bytes));
    }
    record.overhead_ms = steps.taken;
    Ok(record)
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
struct Steps {
    since: Instant,
    taken: BTreeMap<String, f64>,
}

impl Steps {
    fn new() -> Self {
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
