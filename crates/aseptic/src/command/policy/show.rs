use std::process::ExitCode;

use aseptic_runner::policy::{Listed, PolicyFilesError, ShownPolicies, Standing};
use serde_json::{Value, json};

use super::read;
use crate::command::quarantine::text;
use crate::context::Context;
use crate::failure::Failure;
use crate::table;

/// Show the policies that decide runs of the project, with settings and roles
///
/// With an id, the text of that policy.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic policy show\n  aseptic policy show --own\n  \
                        aseptic policy show input/quarantined")]
pub(super) struct Args {
    /// Id of a policy
    id: Option<String>,
    /// List only the policies of the project
    #[arg(long, conflicts_with = "id")]
    own: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let files = match read(context, None) {
        Err(PolicyFilesError::Missing { .. }) => None,
        files => Some(files?),
    };
    let mut shown = aseptic_runner::policy::show(&context.home()?, &project, files.as_ref())?;
    if let Some(id) = &args.id {
        let policy = shown.policy(id)?;
        if context.json() {
            let mut document = row(policy);
            document["schema"] = "aseptic.policy/1".into();
            document["text"] = policy.text.clone().into();
            context.document(&document)?;
        } else {
            context.out(format_args!("// {}:{}\n{}", policy.path, policy.line, lines(&policy.text)));
        }
        return Ok(ExitCode::SUCCESS);
    }
    shown.policies.retain(|one| !args.own || one.is_own());
    if context.json() {
        context.document(&document(&shown))?;
    } else {
        print(context, &shown);
    }
    Ok(ExitCode::SUCCESS)
}

/// A text of several lines, with nothing in it that a terminal would obey.
fn lines(text: &str) -> String {
    text.lines().map(table::name).collect::<Vec<_>>().join("\n")
}

fn print(context: &Context, shown: &ShownPolicies) {
    context.out(format_args!("policies  {}", shown.digest));
    context.out(match &shown.applied {
        Some(applied) => format!(
            "in force  since {} by {}: {}",
            applied.time,
            applied.actor,
            text(applied.reason.as_deref())
        ),
        None => "in force  as shipped".to_owned(),
    });
    let rows: Vec<_> = shown
        .policies
        .iter()
        .map(|one| {
            let about = if one.actions.is_empty() { "anything".to_owned() } else { one.actions.join(" ") };
            let about = if one.actions.len() > 4 { format!("{} actions", one.actions.len()) } else { about };
            let message = one.annotations.get("message").map_or_else(String::new, |text| table::name(text));
            let effect =
                if one.is_template { format!("{} (template)", one.effect) } else { one.effect.to_owned() };
            [table::name(&one.id), effect, about, format!("{}:{}", table::name(&one.path), one.line), message]
        })
        .collect();
    context.out(table::table(["id", "effect", "about", "where", "message"], &rows));
    context.out("settings");
    let settings: Vec<_> =
        settings(shown).into_iter().map(|(key, value)| [format!("  {key}"), value]).collect();
    for line in table::columns(&settings) {
        context.out(line);
    }
    match &shown.roles {
        None => context.out("roles: whoever owns the state may do everything"),
        Some(roles) => {
            context.out("roles");
            let members = roles.members.iter().map(|(role, members)| {
                let members: Vec<_> = members.iter().map(|member| table::name(member)).collect();
                [format!("  {role}"), members.join(" ")]
            });
            for line in table::columns(&members.collect::<Vec<_>>()) {
                context.out(line);
            }
        }
    }
    if shown.directory == Standing::Differs {
        context.say(format_args!(
            "note: `policy/` is not what is in force; `aseptic policy diff` shows what differs, `aseptic policy apply` \
             puts it in force"
        ));
    }
}

fn settings(shown: &ShownPolicies) -> Vec<(String, String)> {
    let settings = &shown.settings;
    let mut rows = vec![
        ("strict".to_owned(), settings.strict.to_string()),
        ("holdout.evaluations".to_owned(), settings.evaluations.to_string()),
        ("holdout.metrics_bytes".to_owned(), settings.metrics_bytes.to_string()),
    ];
    rows.extend(settings.labels.iter().map(|(label, hosts)| {
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        (format!("labels.{label}"), if hosts.is_empty() { "no host".to_owned() } else { hosts.join(" ") })
    }));
    rows.extend(settings.links.iter().map(|link| (format!("link.{}", link.id), link.template.clone())));
    rows
}

fn row(policy: &Listed) -> Value {
    let Listed { id, path, line, effect, actions, is_template, annotations, .. } = policy;
    json!({
        "id": id, "path": path, "line": line, "effect": effect, "actions": actions, "template": is_template,
        "annotations": annotations,
    })
}

fn document(shown: &ShownPolicies) -> Value {
    let settings: serde_json::Map<String, Value> =
        settings(shown).into_iter().map(|(key, value)| (key, value.into())).collect();
    let roles = shown.roles.as_ref().map(|roles| {
        let members = roles.members.iter().map(|(role, members)| (role.to_string(), json!(members)));
        let members: serde_json::Map<String, Value> = members.collect();
        json!({ "groups": roles.groups, "members": members })
    });
    let directory = match shown.directory {
        Standing::None => "none",
        Standing::Same => "same",
        Standing::Differs => "differs",
    };
    json!({
        "schema": "aseptic.policy-show/1", "digest": shown.digest, "applied": shown.applied,
        "policies": shown.policies.iter().map(row).collect::<Vec<_>>(), "settings": settings, "roles": roles,
        "directory": directory,
    })
}
