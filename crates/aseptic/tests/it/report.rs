//! `aseptic project report`: what happened is in it, with the entries that say so, in every form.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::world::World;

/// A project with labelled and hold-out data, allowed and denied runs, and an incident.
fn troubled() -> World {
    let world = World::new();
    world.write("rows/a.csv", "1\n");
    world.write("kept/b.csv", "2\n");
    world.ok(&["dataset", "add", "rows", "--name", "digits", "--label", "public"]);
    world.ok(&["dataset", "add", "kept", "--name", "held", "--label", "holdout"]);
    world.ok(&["run", "--quiet", "--no-code", "--data", "d=digits", "--", "true"]);
    world.ok(&["run", "--quiet", "--no-code", "--data", "d=digits", "--", "true"]);
    world.ok(&["incident", "open", "digits@1", "--reason", "leaked by Ada", "--yes", "--out", "../evidence"]);
    let denied = world.run(&["run", "--quiet", "--no-code", "--data", "d=digits", "--", "true"]);
    assert!(denied.starts_with("exit: 126"), "{denied}");
    world
}

fn json_of(world: &World) -> Value {
    world.json(&["project", "report", "--json"])
}

fn evidence(report: &Value, control: usize) -> Vec<String> {
    let evidence = report["controls"][control - 1]["evidence"].as_array().unwrap().iter();
    evidence.map(|one| one["statement"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_happened_is_counted_and_can_be_checked() {
    let world = troubled();
    let report = json_of(&world);
    assert_eq!(report["schema"], "aseptic.project-report/1");
    let summary = &report["summary"];
    assert_eq!(summary["runs"], json!({ "denied": 1, "succeeded": 2 }));
    assert_eq!(summary["denied"]["listed"][0]["rule"], "input/quarantined");
    assert_eq!(summary["quarantine"]["listed"][0]["object"], "dataset:digits@1");
    assert_eq!(summary["incidents"]["listed"][0]["closed"], Value::Null);
    assert_eq!(summary["holdouts"]["listed"][0]["name"], "held");
    assert_eq!(summary["holdouts"]["listed"][0]["evaluations"], 0);
    let digits = &summary["datasets"]["listed"][0];
    assert_eq!((&digits["name"], &digits["runs"]), (&json!("digits"), &json!(2)));
    assert_eq!(summary["drills"]["overdue"], true);
    assert_eq!(evidence(&report, 2)[..2], ["decisions: 3", "all name their policies"]);
    assert_eq!(evidence(&report, 11)[2], "incidents opened: 1");
    // The numbers are those that the command beside them gives.
    let decided = &report["controls"][1]["evidence"][0];
    let check: Vec<&str> = decided["check"].as_str().unwrap().split(' ').skip(1).collect();
    let listed = world.json(&[&check[..], &["--json"]].concat());
    let listed = listed["entries"].as_array().unwrap();
    let indices: Vec<_> = listed.iter().map(|entry| entry["index"].as_u64().unwrap()).collect();
    let span = &decided["entries"];
    assert_eq!(span["count"], indices.len());
    assert_eq!(
        (span["first"].as_u64(), span["last"].as_u64()),
        (indices.first().copied(), indices.last().copied())
    );
    let verified = world.json(&["ledger", "verify", "--json"]);
    assert_eq!(report["position"]["root"], verified["root"]);
    assert_eq!(report["position"]["entries"], verified["entries"]);
}

#[test]
fn one_position_has_one_report_and_nothing_in_it_can_be_erased() {
    let world = troubled();
    world.ok(&["dataset", "describe", "digits", "owner=Lovelace"]);
    world.ok(&["run", "--quiet", "--no-code", "--param", "token=s3cret", "--", "echo", "s3cret"]);
    let first = [world.ok(&["project", "report"]), world.ok(&["project", "report", "--format", "html"])];
    let again = [world.ok(&["project", "report"]), world.ok(&["project", "report", "--format", "html"])];
    assert_eq!(first, again);
    for text in &first {
        for secret in ["Ada", "Lovelace", "s3cret"] {
            assert!(!text.contains(secret), "{secret}");
        }
        assert!(
            text.contains("helps with") && text.contains("not yet") && !text.contains("complian"),
            "{text}"
        );
    }
    let html = &first[1];
    assert!(
        html.contains("default-src 'none'")
            && !html.contains("<script")
            && !html.contains("http-equiv=\"refresh")
    );
    assert!(!html.contains("src=") && !html.contains("href="), "it needs nothing else");
    assert!(html.ends_with("</main></body></html>\n"));
    world.ok(&["run", "--quiet", "--no-code", "--", "true"]);
    assert_ne!(first[0], world.ok(&["project", "report"]));
}

#[test]
fn only_what_came_since_is_counted() {
    let world = troubled();
    let report = world.json(&["project", "report", "--json", "--since", "2100-01-01"]);
    assert_eq!(report["summary"]["runs"], json!({}));
    assert_eq!(report["summary"]["decisions"], json!({}));
    assert_eq!(report["risk"]["looked_into"], 0);
    assert_eq!(
        report["summary"]["incidents"]["listed"].as_array().unwrap().len(),
        1,
        "these are of all time"
    );
    assert!(world.ok(&["project", "report", "--since", "2100-01-01"]).contains("from 2100-01-01T00:00:00"));
}

#[test]
fn a_file_is_new_whole_and_what_its_name_says() {
    let world = troubled();
    world.ok(&["project", "report", "--output", "report.html"]);
    let path = world.path("project/report.html");
    assert!(fs::read_to_string(&path).unwrap().starts_with("<!DOCTYPE html>"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let there = world.run(&["project", "report", "--output", "report.html"]);
    assert!(there.contains("exit: 2") && there.contains("report/file"), "{there}");
    world.ok(&["project", "report", "--output", "report.json"]);
    let document: Value =
        serde_json::from_slice(&fs::read(world.path("project/report.json")).unwrap()).unwrap();
    assert_eq!(document, json_of(&world));
    // Markdown that a browser takes for HTML is none of ours.
    for arguments in [
        &["--output", "other.html", "--format", "markdown"][..],
        &["--json", "--output", "other.md"],
        &["--json", "--format", "html"],
    ] {
        let said = world.run(&[&["project", "report"], arguments].concat());
        assert!(said.contains("exit: 2") && said.contains("report/format"), "{said}");
    }
    // There is no room on a full disk, and no half a page either.
    let full = world.run(&["project", "report", "--output", "/dev/full"]);
    assert!(full.contains("report/file"), "{full}");
    let none = world.run(&["project", "report", "--project", "nothing"]);
    assert!(none.contains("exit: 2") && none.contains("report/empty"), "{none}");
    assert!(world.run(&["project", "report", "--since", "yesterday"]).contains("exit: 2"));
}

/// What is damaged is no evidence.
#[test]
fn a_damaged_ledger_has_no_report() {
    let world = troubled();
    let log = world.path("state/ledger/log");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).unwrap();
    world.damaged.store(true, std::sync::atomic::Ordering::Relaxed);
    let said = world.run(&["project", "report"]);
    assert!(said.starts_with("exit: 4") && said.contains("ledger/broken"), "{said}");
    assert!(said.contains("--- stdout\n--- stderr"), "nothing of a report: {said}");
}

#[test]
fn a_drill_is_in_it() {
    let world = World::new();
    world.ok(&["drill", "--family", "terminal"]);
    let report = json_of(&world);
    let drills = &report["summary"]["drills"];
    assert_eq!((&drills["overdue"], &drills["entries"]["count"]), (&json!(false), &json!(1)));
    assert!(drills["last"]["held"].as_u64().unwrap() > 0, "{drills}");
    assert!(evidence(&report, 12)[1].starts_with("the last drill, "), "{report}");
}

#[test]
fn a_name_that_says_no_form_is_refused() {
    let world = troubled();
    let refused = world.run(&["project", "report", "--output", "report.pdf"]);
    assert!(refused.starts_with("exit: 2") && refused.contains("code: report/format"), "{refused}");
    assert!(!world.path("project/report.pdf").exists());
    world.ok(&["project", "report", "--output", "report.txt", "--format", "markdown"]);
    let markdown = fs::read_to_string(world.path("project/report.txt")).unwrap();
    assert!(markdown.contains("; see `aseptic ledger show --type run.decided`"), "{markdown}");
    world.ok(&["project", "report", "--output", "report.html"]);
    let page = fs::read_to_string(world.path("project/report.html")).unwrap();
    assert!(
        page.contains("; see <code>aseptic ledger show --type run.decided</code>") && !page.contains('`'),
        "{page}"
    );
}

/// A spec may name anything as accepted, and every page repeats it where it was denied.
#[test]
fn what_a_spec_names_is_text_in_every_page() {
    let world = World::new();
    let name = r"<script>alert(1)</script>|`x` *b* [z](http://evil.example)\n# head";
    world.write(
        "aseptic.toml",
        format!("[project]\nname = \"p\"\n\n[experiment.a]\ncommand = [\"true\"]\naccept = [\"{name}\"]\n"),
    );
    assert_eq!(world.output(&["run", "a"]).status.code(), Some(126));
    world.ok(&["project", "report", "--output", "report.html"]);
    world.ok(&["project", "report", "--output", "report.md"]);
    let page = |name: &str| fs::read_to_string(world.path("project").join(name)).unwrap();
    let html = page("report.html");
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;|") && !html.contains("<script"), "{html}");
    let markdown = page("report.md");
    let row = markdown.lines().find(|line| line.contains("alert(1)")).unwrap();
    assert!(row.starts_with("| accept/unknown | ") && row.ends_with(" | deny | 1 | 1 |"), "{row}");
    let is_escaped = |mark: &str| !row.replace(&format!("\\{mark}"), "").contains(mark);
    for mark in ["`", "*", "[", "#"] {
        assert!(is_escaped(mark), "{mark}: {row}");
    }
    assert_eq!(row.replace("\\|", "").matches('|').count(), 6, "{row}");
    assert!(!row.contains('<') && !markdown.contains("\n# head"), "{row}");
}
