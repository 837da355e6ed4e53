use std::process::ExitCode;

use aseptic_runner::policy::{PolicyDiff, PolicyRef};
use serde_json::{Value, json};

use super::{count, directory};
use crate::context::Context;
use crate::failure::{DIFFERENT, Failure};
use crate::table;

/// Show what differs between two sets of policies, and which recorded runs the newer would decide otherwise
///
/// Each recorded run is decided again with both: with its facts of then, and with the settings and roles of the set.
/// The exit code is 1 when something differs.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic policy diff\n  aseptic policy diff in-force ../new-policy --runs 1000\n  \
                        aseptic policy diff shipped in-force --runs 0"
)]
pub(super) struct Args {
    /// The older ones: `in-force`, `shipped`, a digest, or a directory
    #[arg(default_value = "in-force")]
    old: PolicyRef,
    /// The newer ones, likewise [default: `policy` beside the spec]
    new: Option<PolicyRef>,
    /// How many of the last runs are decided again
    #[arg(long, value_name = "N", default_value_t = 100)]
    runs: usize,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let new = args.new.clone().unwrap_or_else(|| PolicyRef::Directory(directory(context, None)));
    let (project, home) = (context.project()?, context.home()?);
    let diff = aseptic_runner::policy::diff(&home, &project, (&args.old, &new), args.runs)?;
    if context.json() {
        context.document(&document(&diff))?;
    } else {
        print(context, &diff);
    }
    let same = diff.before == diff.after;
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

fn print(context: &Context, diff: &PolicyDiff) {
    if diff.before == diff.after {
        context.out(format_args!("the same policies: {}", diff.before));
        return;
    }
    for file in &diff.files {
        for line in file.patch.lines() {
            context.out(table::name(line));
        }
    }
    let rules = diff.rules.iter().map(|one| {
        [
            one.how.as_str().to_owned(),
            table::name(&one.id),
            one.direction.as_str().to_owned(),
            table::name(&one.at),
        ]
    });
    let settings = diff.settings.iter().map(|one| {
        let value = |value: &Option<String>| value.as_deref().map_or_else(|| "-".to_owned(), table::name);
        let change = format!("{} to {}", value(&one.before), value(&one.after));
        ["set".to_owned(), table::name(&one.name), one.direction.as_str().to_owned(), change]
    });
    let rows: Vec<_> = rules.chain(settings).collect();
    if !rows.is_empty() {
        context.out(table::table(["change", "what", "does", "where or value"], &rows));
    }
    if diff.roles {
        context.out("roles differ: who may do what depends on the user");
    }
    context.out(format_args!("together  {}", diff.direction.as_str()));
    for effect in &diff.effects {
        let experiment = effect.experiment.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let rules: Vec<_> = effect.rules.iter().map(|rule| table::name(rule)).collect();
        let (before, after) = (effect.before.as_str(), effect.after.as_str());
        context.out(format_args!(
            "run {}{experiment}: {before}, then {after} ({})",
            effect.run,
            rules.join(", ")
        ));
    }
    let runs = count(usize::try_from(diff.runs).unwrap_or(usize::MAX), "run");
    context.out(format_args!("{runs} decided again, {} otherwise", diff.effects.len()));
    if diff.unasked > 0 {
        context.say(format_args!("note: what was asked about {} more was not kept", diff.unasked));
    }
}

fn document(diff: &PolicyDiff) -> Value {
    let files =
        diff.files.iter().map(|one| json!({ "path": one.path, "how": one.how.as_str(), "patch": one.patch }));
    let rules = diff.rules.iter().map(
        |one| json!({ "id": one.id, "how": one.how.as_str(), "at": one.at, "does": one.direction.as_str() }),
    );
    let settings = diff.settings.iter().map(|one| {
        json!({ "name": one.name, "before": one.before, "after": one.after, "does": one.direction.as_str() })
    });
    let effects = diff.effects.iter().map(|one| {
        json!({
            "run": one.run, "experiment": one.experiment, "before": one.before, "after": one.after,
            "rules": one.rules,
        })
    });
    json!({
        "schema": "aseptic.policy-diff/1", "before": diff.before, "after": diff.after,
        "files": files.collect::<Vec<_>>(), "policies": rules.collect::<Vec<_>>(),
        "settings": settings.collect::<Vec<_>>(), "roles": diff.roles, "does": diff.direction.as_str(),
        "runs": diff.runs, "unasked": diff.unasked, "effects": effects.collect::<Vec<_>>(),
    })
}
