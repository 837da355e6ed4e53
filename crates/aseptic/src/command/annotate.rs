use std::process::ExitCode;

use aseptic_model::{MetaValue, RunName, RunRef, Tag};
use aseptic_runner::Annotation;
use serde_json::json;

use super::runs;
use crate::context::Context;
use crate::failure::Failure;

/// Say something about a run: a name, tags, a note
///
/// They are for people and searches, and no rule reads them. The ledger keeps who said what and when; `aseptic ledger
/// erase` forgets a note. A name is for one run: where several have it, it names none of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic annotate latest --name baseline --tag paper\n  \
                        aseptic annotate baseline --untag paper --note \"trained on the wrong labels\"\n  \
                        aseptic runs --where 'tag:paper and note ~ wrong'")]
pub(crate) struct Args {
    /// Run: an id, the start of one, `latest`, an experiment for its newest success, or a name
    run: RunRef,
    #[command(flatten)]
    said: Said,
    /// Tag that it has no more
    #[arg(long, value_name = "TAG")]
    untag: Vec<Tag>,
}

/// What is said about a run: shared by `annotate` and `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Said {
    /// Name, by which commands find the run
    #[arg(long, value_name = "NAME")]
    name: Option<RunName>,
    /// Tag, a word by which `runs` finds the run; repeat the option for several
    #[arg(long, value_name = "TAG")]
    tag: Vec<Tag>,
    /// Note, one line of text for people; an empty one takes it back
    #[arg(long, value_name = "TEXT", value_parser = note)]
    note: Option<String>,
}

impl Said {
    /// With tags that are taken away.
    pub(crate) fn annotation(&self, untag: &[Tag]) -> Annotation {
        Annotation {
            name: self.name.clone(),
            added: self.tag.iter().cloned().collect(),
            removed: untag.iter().cloned().collect(),
            note: self.note.clone(),
        }
    }
}

/// Nothing, or what a statement about a dataset may be.
fn note(text: &str) -> Result<String, String> {
    match text {
        "" => Ok(String::new()),
        text => text.parse::<MetaValue>().map(|text| text.to_string()).map_err(|error| error.to_string()),
    }
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let mut home = context.home()?;
    let annotation = args.said.annotation(&args.untag);
    let done = aseptic_runner::annotate(&mut home, &project, &args.run, &annotation)?;
    if context.json() {
        let mut run = runs::row(&done.run);
        run["tags"] = json!(done.tags);
        context
            .document(&json!({ "schema": "aseptic.annotation/1", "run": run, "recorded": done.recorded }))?;
    } else if done.recorded.is_none() {
        context.say(format_args!("Nothing was recorded: run {} is described so already.", done.run.run));
    } else {
        context.say(format_args!("Recorded what you said about run {}.", done.run.run));
    }
    Ok(ExitCode::SUCCESS)
}
