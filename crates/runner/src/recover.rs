//! Recover: seal the runs whose supervisor died, so that nothing they left is lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use aseptic_model::{Decision, Outcome, Plan, ProjectName, RunId};

use crate::home::{Home, HomeError};
use crate::observer::{Event, Observer};
use crate::run_dir::{REMOVED, RunDir};
use crate::seal::{End, Facts, SealError, seal};

/// Seals every orphaned run as aborted, and records refusals that were counted.
///
/// An orphan is a run directory whose lock can be taken: the supervisor held it, and so did the jail's
/// first process, with which the kernel ends every other process of the jail. Runs that are going on
/// are not touched.
///
/// A run that cannot be sealed now is left as it is, with a note, and tried again by the next command.
pub fn recover(home: &mut Home, observer: &mut dyn Observer) {
    if let Err(error) = home.record_refusals() {
        observer.event(Event::Note(&format!("could not record yet how often somebody was refused: {error}")));
    }
    for (project, run, path) in run_dirs(home) {
        let shown = path.display().to_string();
        if let Some(dir) = RunDir::adopt(path)
            && let Err(error) = recover_one(home, &project, &run, dir, observer)
        {
            let note = format!("could not seal run {run} yet: {error}; what it left is in `{shown}`");
            observer.event(Event::Note(&note));
        }
    }
}

fn recover_one(
    home: &mut Home,
    project: &ProjectName,
    run: &RunId,
    dir: RunDir,
    observer: &mut dyn Observer,
) -> Result<(), SealError> {
    // What the dead supervisor recorded last may have come after the catalog was read.
    home.catch_up()?;
    let summary = home.catalog.run(project, run).map_err(HomeError::from)?;
    let Some(summary) = summary.filter(|run| run.status.is_none()) else {
        dir.remove()?; // Never decided, denied, or sealed already: nothing in it counts.
        return Ok(());
    };
    let plan: Plan = home.object(project, &summary.plan)?;
    let decision = Decision { outcome: Outcome::Allow, reasons: Vec::new(), unlisted: 0 };
    let facts = Facts {
        run,
        plan: &plan,
        digest: summary.plan,
        decision: &decision,
        policy: summary.policy,
        replays: summary.replays,
        planned: summary.planned,
        overhead: BTreeMap::new(),
    };
    // Before the record, so that a run that has one has left nothing.
    if let Err(error) = aseptic_sandbox::remove_group(run.as_str()) {
        observer.event(Event::Note(&format!("could not remove the control group of run {run}: {error}")));
    }
    seal(home, facts, End::orphaned(), dir)?;
    home.catch_up()?; // The command that recovers shows it as it is now.
    observer.event(Event::Recovered(run));
    Ok(())
}

/// Directories of runs that go on or were left behind. What is not named as we name them is not ours.
fn run_dirs(home: &Home) -> Vec<(ProjectName, RunId, PathBuf)> {
    let mut found = Vec::new();
    let named = |dir: PathBuf| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
    };
    for (project, dir) in named(home.dir().join("runs")) {
        let Ok(project) = project.parse::<ProjectName>() else { continue };
        for (run, path) in named(dir) {
            if let Ok(run) = run.parse() {
                found.push((project.clone(), run, path));
            } else if path.extension().is_some_and(|extension| extension == REMOVED) {
                let _ = aseptic_store::remove_tree(&path); // Tried again by the next command.
            }
        }
    }
    found
}
