//! What somebody should know about a plan whatever is decided.

use crate::{Action, Kind, Question, Request};

/// One line for each thing to know: how often hold-out data was looked at, what is not pinned where that is allowed,
/// what the run goes without. In the order of the requests.
#[must_use]
pub fn notes(question: &Question) -> Vec<String> {
    question.requests.iter().filter_map(note).collect()
}

fn note(request: &Request) -> Option<String> {
    match request.action {
        Action::Mount if request.says("holdout") && request.resource.kind != Kind::Code => Some(format!(
            "hold-out `{}`: evaluation {}",
            request.shows("dataset"),
            request.shows("evaluation")
        )),
        Action::Mount if request.says("dirty") && !request.says("strict") => {
            Some(format!("the code is not pinned: {}", request.shows("unpinned")))
        }
        Action::UseEnv if !request.says("pinned") && !request.says("strict") => {
            Some(format!("`{}` is not pinned: {}", request.value, request.shows("unpinned")))
        }
        Action::Accept if request.says("missing") && request.says("accepted") => {
            let what = if request.says("limit") { "limit" } else { "wall" };
            Some(format!("this run goes without the {what} `{}`", request.value))
        }
        _ => None,
    }
}
