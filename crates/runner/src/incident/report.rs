//! The report: one HTML page without script and without anything from elsewhere. Pure: a document and a timeline have
//! one report, so that whoever verifies a bundle makes it again and compares.

use std::fmt::{Display, Write as _};

use aseptic_model::{ByteSize, escape_bytes};

use super::document::{Document, Line};
use super::picture::picture;
use crate::graph::{element, escape};

/// Most rows of one table; the files beside the report list all.
const ROWS_MAX: usize = 2_000;

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\"><head><meta charset=\"utf-8\"/>
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>
<title>Incident</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0 1.5rem; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.6rem; border-bottom: 1px solid #ccc; }
td, code { font-family: ui-monospace, monospace; font-size: 13px; overflow-wrap: anywhere; }
.picture { overflow: auto; max-height: 40rem; }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #e8e8e8; } }
</style></head><body>
";

pub(super) fn report(document: &Document, timeline: &[Line]) -> String {
    let mut html = String::from(HEAD);
    let reason = timeline.iter().find(|line| line.kind == "incident.opened").map(|line| {
        let reason = line.values.get("reason").map_or("[erased]", String::as_str);
        format!("{} by {}: {reason}", line.time, line.actor)
    });
    let _ = writeln!(html, "<h1>Incident {}</h1>", text(&document.incident));
    let _ = writeln!(
        html,
        "<p>Project {}, ledger {}, after {} entries. Opened {}.</p>",
        text(&document.project),
        text(&document.ledger),
        document.entries,
        text(&reason.unwrap_or_default())
    );
    let _ = writeln!(
        html,
        "<p>{} runs and {} dataset versions were reached; they left {} files; {} times something of it was given \
         away. Whether this page is what the ledger says: <code>aseptic incident verify DIR --key KEY</code>.</p>",
        document.runs.len(),
        document.datasets.len(),
        document.artifacts.len() as u64 + document.artifacts_unlisted,
        document.given_away.len()
    );
    if !document.unseen.is_empty() {
        let _ = writeln!(
            html,
            "<p><strong>Not complete:</strong> {} trees could not be looked into, since their bytes were deleted.</p>",
            document.unseen.len()
        );
    }
    table(&mut html, "About", ["Object"], document.objects.iter().map(|object| [text(object)]));
    let graph = picture(document);
    if !graph.edges.is_empty() {
        let _ = writeln!(html, "<h2>Lineage</h2>\n<div class=\"picture\">{}</div>", element(&graph));
    }
    table(
        &mut html,
        "Who got something",
        ["Entry", "Time", "By", "What", "About"],
        timeline.iter().filter(|line| document.given_away.contains(&line.entry)).map(|line| {
            [text(&line.entry), text(&line.time), text(&line.actor), text(&line.kind), text(&line.about)]
        }),
    );
    table(
        &mut html,
        "Timeline",
        ["Entry", "Time", "By", "What", "About", "Said"],
        timeline.iter().map(|line| {
            let mut said: Vec<_> =
                line.values.iter().map(|(place, value)| format!("{place}: {value}")).collect();
            said.extend(line.not_known.iter().map(|place| format!("{place}: [not known]")));
            [
                text(&line.entry),
                text(&line.time),
                text(&line.actor),
                text(&line.kind),
                text(&line.about),
                text(&said.join("; ")),
            ]
        }),
    );
    table(
        &mut html,
        "Runs",
        ["Run", "Project", "Experiment", "Planned", "By", "Status", "Host", "Statements"],
        document.runs.iter().map(|run| {
            [
                text(&run.run),
                text(&run.project),
                run.experiment.as_ref().map(text).unwrap_or_default(),
                text(&run.planned),
                text(&run.actor),
                run.status.as_ref().map_or_else(|| "running".to_owned(), text),
                run.host.as_ref().map(text).unwrap_or_default(),
                if run.statements.is_some() { "signed" } else { "none" }.to_owned(),
            ]
        }),
    );
    table(
        &mut html,
        "Datasets",
        ["Dataset", "Project", "Tree"],
        document.datasets.iter().map(|dataset| {
            [
                text(&format!("{}@{}", dataset.name, dataset.version)),
                text(&dataset.project),
                text(&dataset.snapshot),
            ]
        }),
    );
    table(
        &mut html,
        "Files that runs left",
        ["Run", "Path", "Size", "BLAKE3"],
        document.artifacts.iter().map(|artifact| {
            [
                text(&artifact.run),
                text(&artifact.path),
                text(&ByteSize(artifact.size)),
                text(&artifact.blake3),
            ]
        }),
    );
    table(&mut html, "Hosts", ["Host"], document.hosts.iter().map(|host| [text(host)]));
    table(&mut html, "People and programs", ["Who"], document.actors.iter().map(|actor| [text(actor)]));
    html.push_str("</body></html>\n");
    html
}

fn table<const N: usize>(
    html: &mut String,
    title: &str,
    columns: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) {
    let _ = write!(html, "<h2>{title}</h2>\n<table><tr>");
    for column in columns {
        let _ = write!(html, "<th>{column}</th>");
    }
    html.push_str("</tr>\n");
    let mut count = 0_usize;
    for row in rows {
        count += 1;
        if count > ROWS_MAX {
            continue;
        }
        html.push_str("<tr>");
        for cell in row {
            let _ = write!(html, "<td>{cell}</td>");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n");
    match count {
        0 => html.push_str("<p>None.</p>\n"),
        count if count > ROWS_MAX => {
            let _ = writeln!(html, "<p>And {} more, in the files beside this page.</p>", count - ROWS_MAX);
        }
        _ => {}
    }
}

/// Text that may come from a job, as a browser shows it and nothing else.
fn text(value: &impl Display) -> String {
    escape(&escape_bytes(value.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_wrote_is_no_markup() {
        assert_eq!(text(&"<b>&'\"\u{1b}[0m"), "&lt;b&gt;&amp;&#39;&quot;\\x1b[0m");
    }
}
