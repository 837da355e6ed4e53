//! Where the labels of something came from, as text and as a document.

use aseptic_model::{Object, ObjectRef, ProjectName};
use aseptic_runner::{Home, LabelSource, LabelSources, TakenOff};
use serde_json::json;

use crate::command::dataset::title_of;
use crate::context::Context;
use crate::failure::Failure;

pub(super) fn run(
    context: &Context,
    home: &Home,
    project: &ProjectName,
    reference: &ObjectRef,
) -> Result<(), Failure> {
    let (object, found) = aseptic_runner::label_sources(home, project, reference)?;
    if context.json() {
        return context.document(&json!({
            "schema": "aseptic.lineage-labels/1", "object": object, "labels": found.labels,
            "sources": found.sources, "taken_off": found.taken_off, "truncated": found.truncated,
        }));
    }
    context.out(text(project, &object, &found).trim_end());
    if found.truncated {
        context.say("note: there is more; ask about something nearer to where a label came from");
    }
    Ok(())
}

fn text(project: &ProjectName, object: &Object, found: &LabelSources) -> String {
    let mut text = match found.labels.is_empty() {
        true => format!("{} has no labels\n", title_of(object)),
        false => format!("{}\n", title_of(object)),
    };
    for label in &found.labels {
        text.push_str(&format!("  {label}\n"));
        for source in found.sources.iter().filter(|source| source.label == *label) {
            text.push_str(&format!("    {}\n", given(project, object, source)));
        }
    }
    if !found.taken_off.is_empty() {
        text.push_str("taken off\n");
        for off in &found.taken_off {
            text.push_str(&format!("  {}\n", taken(project, off)));
        }
    }
    text
}

fn given(project: &ProjectName, object: &Object, source: &LabelSource) -> String {
    let how = match source.event.as_str() {
        // What aseptic found out about the code and the environment, or what the spec or an option says.
        "run.planned"
            if ["dirty-", "unpinned-"].iter().any(|found| source.label.as_str().starts_with(found)) =>
        {
            "found when the run was planned"
        }
        "run.planned" => "said of the run",
        "dataset.added" => "when it was added",
        "run.sealed" => "when it was sealed",
        _ => "given",
    };
    let at = if source.object == *object {
        "itself".to_owned()
    } else {
        place(project, &source.project, &source.object)
    };
    let way: String = source.path.iter().map(|step| format!(" -> {}", title_of(step))).collect();
    format!("{at}{way}: {how} by {} at {}, entry {}", source.actor, source.time, source.entry)
}

fn taken(project: &ProjectName, off: &TakenOff) -> String {
    let reason = match &off.reason {
        Some(reason) => format!(": {reason}"),
        None => String::new(),
    };
    let at = place(project, &off.project, &off.object);
    format!("{} off {at} by {} at {}, entry {}{reason}", off.label, off.actor, off.time, off.entry)
}

fn place(here: &ProjectName, project: &ProjectName, object: &Object) -> String {
    let title = title_of(object);
    if here == project { title } else { format!("{title} of project {project}") }
}
