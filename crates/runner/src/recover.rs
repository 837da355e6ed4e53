//! Recover: seal the runs whose supervisor died, so that nothing they left is lost.

use std::fs;
use std::path::PathBuf;

use aseptic_model::{Decision, Outcome, Plan, ProjectName, RunId};

use crate::home::{Home, HomeError};
use crate::observer::{Event, Observer};
use crate::provision::{REMOVED, RunDir};
use crate::seal::{End, Facts, SealError, seal};

/// Seals every orphaned run as aborted.
///
/// An orphan is a run directory whose lock can be taken: the supervisor held it, and so did the jail's
/// first process, with which the kernel ends every other process of the jail. Runs that are going on
/// are not touched.
///
/// # Errors
/// [`SealError`] of the first run that could not be sealed; its directory stays for the next time.
pub fn recover(home: &mut Home, observer: &mut dyn Observer) -> Result<(), SealError> {
    for (project, run, path) in run_dirs(home) {
        let Some(dir) = RunDir::adopt(path) else { continue };
        // What the dead supervisor recorded last may have come after the catalog was read.
        home.catch_up()?;
        let summary = home.catalog.run(&project, &run).map_err(HomeError::from)?;
        let pending = summary.filter(|run| run.status.is_none());
        let Some(summary) = pending else {
            dir.remove()?; // Never decided, denied, or sealed already: nothing in it counts.
            continue;
        };
        let plan: Plan = home.object(&project, &summary.plan)?;
        let decision = Decision { outcome: Outcome::Allow, reasons: Vec::new() };
        let facts = Facts {
            run: &run,
            plan: &plan,
            digest: summary.plan,
            decision: &decision,
            planned: summary.planned,
            overhead: std::collections::BTreeMap::new(),
        };
        seal(home, facts, End::orphaned(), dir)?;
        observer.event(Event::Recovered(&run));
    }
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
