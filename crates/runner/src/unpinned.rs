//! What of a plan may be another tomorrow: it is labelled, the labels flow to what comes of it, and rules look at them.
//!
//! **Absent on purpose:** the operating system beneath a run. It is in the plan as kernel, architecture and processor, and
//! in the inventory; no host promises to keep its files, so that saying it of every run would say nothing.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{Label, Plan, escape_bytes};

use crate::environment::python::Captured;

/// The label of what came of code that no commit has.
const DIRTY_CODE: &str = "dirty-code";

/// The label of what came of an environment that may change.
const UNPINNED_ENVIRONMENT: &str = "unpinned-environment";

/// Packages that a message names.
const NAMED_MAX: usize = 3;

/// What a plan says of itself, by element, in words.
pub(crate) fn of_plan(plan: &Plan) -> BTreeMap<String, String> {
    let said = [
        (DIRTY_CODE, "code", "no commit has exactly this code"),
        (UNPINNED_ENVIRONMENT, "environment", "the environment has packages whose files may change"),
    ];
    let has = |label: &str| plan.labels.iter().any(|one| one.as_str() == label);
    let found = said.into_iter().filter(|(label, ..)| has(label));
    found.map(|(_, element, why)| (element.to_owned(), why.to_owned())).collect()
}

/// Why the code of a plan is not pinned, if it is not, and why its environment is not, by label.
pub(crate) fn found(code: Option<String>, python: Option<&Captured>) -> BTreeMap<Label, String> {
    let found = [(DIRTY_CODE, code), (UNPINNED_ENVIRONMENT, python.and_then(why_environment))];
    found.into_iter().filter_map(|(label, why)| Some((label.parse().ok()?, why?))).collect()
}

/// Labels a plan by the environment that it has now.
pub(crate) fn of_environment(labels: &mut BTreeSet<Label>, python: Option<&Captured>) {
    let Ok(label) = UNPINNED_ENVIRONMENT.parse() else { return };
    match python.and_then(why_environment) {
        Some(_) => labels.insert(label),
        None => labels.remove(&label),
    };
}

/// Why an environment may be another tomorrow, although its packages and versions are the same.
fn why_environment(captured: &Captured) -> Option<String> {
    let unrecorded: Vec<_> =
        captured.python.packages.iter().filter(|package| package.record.is_none()).collect();
    if let [first, ..] = unrecorded.as_slice() {
        let names: Vec<_> =
            unrecorded.iter().take(NAMED_MAX).map(|package| escape_bytes(package.name.as_bytes())).collect();
        let others = unrecorded.len().saturating_sub(NAMED_MAX);
        let others = if others > 0 { format!(" and {others} more") } else { String::new() };
        let have = if first == unrecorded.last()? { "has" } else { "have" };
        return Some(format!("{}{others} {have} no list of installed files", names.join(", ")));
    }
    // What is imported from elsewhere is edited there.
    (!captured.outside.is_empty()).then(|| "it imports from directories outside of it".to_owned())
}
