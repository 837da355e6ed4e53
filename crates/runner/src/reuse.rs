//! Reuse: the result of a sealed run stands for that of an equal plan, where nothing speaks against it.
//!
//! **Invariant:** every byte of the outputs is read and hashed before the result is given.
//! **Invariant:** of what no plan has, nothing that is known to have changed is passed over: files edited in the
//! environment, packages of the system, drivers. A run that was given something on standard input is not reused.

use aseptic_catalog::RunSummary;
use aseptic_model::{Event as Entry, Given, Inventory, Machine, Outcome, RunRecord, Status, escape_bytes};

use crate::annotate::Annotation;
use crate::decide::decide;
use crate::environment::inventory::{present, touched};
use crate::home::{Home, HomeError};
use crate::observer::{Event, Observer};
use crate::plan::Planned;
use crate::quarantine::{InQuarantine, Marks, of_plan};
use crate::retention::there_run;

/// Runs of one plan that are looked at, the newest first. The outputs of each may be large.
const CANDIDATES_MAX: usize = 8;

/// Gives the result of a run with the plan of `planned`, and records that; or says in a line why there is none.
///
/// # Errors
/// [`HomeError`]; nothing was recorded.
pub(crate) fn reuse(
    home: &mut Home,
    planned: &Planned,
    annotation: &Annotation,
    observer: &mut dyn Observer,
) -> Result<Result<RunRecord, String>, HomeError> {
    let project = &planned.plan.project;
    if decide(home, planned)?.decision.outcome != Outcome::Allow {
        return Ok(Err("its plan is not allowed now".to_owned()));
    }
    let mut first = None;
    for run in home.catalog.runs_of_plan(project, &planned.digest, Status::Succeeded, CANDIDATES_MAX)? {
        match usable(home, planned, &run, observer)? {
            Ok(record) => {
                let entry = Entry::RunReused { run: run.run.clone(), plan: planned.digest };
                home.record(project, vec![entry])?;
                observer.event(Event::Reused { run: &run.run, planned: run.planned });
                if !planned.plan.network.is_empty() {
                    let note = "it had a network, which may answer otherwise today: run without `--reuse` to ask again";
                    observer.event(Event::Note(note));
                }
                if !annotation.is_empty() {
                    let note = format!(
                        "what is said about it stays as it is: `aseptic annotate {}` changes it",
                        run.run
                    );
                    observer.event(Event::Note(&note));
                }
                return Ok(Ok(record));
            }
            Err(why) => first = first.or(Some(why)),
        }
    }
    Ok(Err(first.unwrap_or_else(|| "no run with an equal plan has succeeded".to_owned())))
}

/// The record of `run`, if its result can be given again; otherwise why not.
fn usable(
    home: &Home,
    planned: &Planned,
    run: &RunSummary,
    observer: &mut dyn Observer,
) -> Result<Result<RunRecord, String>, HomeError> {
    let project = &planned.plan.project;
    let id = &run.run;
    if let Err(gone) = there_run(run) {
        return Ok(Err(gone.to_string()));
    }
    if !home.sight(project)?.has_run(run) {
        return Ok(Err(format!("you may not look at run {id}")));
    }
    if let Some(why) = quarantined(home, planned, run)? {
        return Ok(Err(format!("run {id} is in quarantine: {why}")));
    }
    let (Some(record), Some(outputs)) = (run.record, run.outputs) else {
        return Ok(Err(format!("run {id} has no record")));
    };
    let record: RunRecord = match home.object(project, &record) {
        Ok(record) => RunRecord { labels: run.labels.clone(), ..record }, // Those of today.
        Err(error) => return Ok(Err(format!("the record of run {id} cannot be read: {error}"))),
    };
    if record.plan != planned.digest || record.status != Status::Succeeded {
        return Ok(Err(format!("the catalog has run {id} wrong: `aseptic catalog rebuild` makes it anew")));
    }
    match &record.logs.stdin {
        None => {}
        Some(Given::Piped(log)) if log.size == 0 && log.dropped == 0 => {}
        Some(_) => {
            return Ok(Err(format!("run {id} was given something on standard input, which is in no plan")));
        }
    }
    if let Some(what) = changed(home, planned, &record) {
        return Ok(Err(format!("since run {id} {what}, which no plan has")));
    }
    let mut progress = |progress| observer.event(Event::Import(progress));
    let verified = home.store(project)?.verify(&outputs, &mut progress);
    Ok(match verified {
        Ok(_) => Ok(record),
        Err(error) => Err(format!("the outputs of run {id} cannot be given again: {error}")),
    })
}

/// What is different around a plan since the run of `record`: packages edited in place, packages of the system,
/// drivers.
fn changed(home: &Home, planned: &Planned, record: &RunRecord) -> Option<String> {
    let then = record.inventory.and_then(|digest| home.object(&record.project, &digest).ok());
    let Some(then): Option<Inventory> = then else {
        return Some("its environment may have changed".to_owned());
    };
    // What a virtual machine is lent of memory changes all the time.
    let settled = |inventory: Inventory| Inventory {
        machine: Machine { memory_bytes: None, ..inventory.machine },
        ..inventory
    };
    if settled(then) != settled(present(home, &record.project, &planned.sources)) {
        return Some(format!("its environment changed (`aseptic env diff {} now`)", record.run));
    }
    let path = touched(&planned.sources, record.planned)?;
    Some(format!("`{}` was changed", escape_bytes(path.as_os_str().as_encoded_bytes())))
}

/// Why neither `run` nor what it was made of may be used; nothing if they may.
fn quarantined(home: &Home, planned: &Planned, run: &RunSummary) -> Result<Option<String>, HomeError> {
    if let Some(found) = Marks::new(home)?.run(&planned.plan.project, &run.run)? {
        return Ok(Some(found.describe()));
    }
    Ok(of_plan(home, &planned.plan)?.values().next().map(InQuarantine::describe))
}
