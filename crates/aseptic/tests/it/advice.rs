//! What somebody is told who did something that cannot be done: what is wrong, where, and what to do.

use serde_json::Value;

use crate::world::World;

/// What the command says on standard error.
fn said(world: &World, arguments: &[String]) -> String {
    let output = world.output(arguments);
    String::from_utf8(output.stderr).unwrap()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn labels(count: usize, of: &str) -> Vec<String> {
    (0..count).map(|number| format!("{of}{number}")).collect()
}

/// A dataset `scans`.
fn world() -> World {
    let world = World::new();
    world.write("scans.csv", "1\n");
    world.ok(&["dataset", "add", "scans.csv", "--name", "scans"]);
    world
}

#[test]
fn errors_of_the_command_line_show_no_escape_sequences() {
    let world = World::new();
    for arguments in [
        &["sh\u{1b}[31mow\u{7}"][..],
        &["show", "--\u{1b}]0;title\u{7}"],
        &["label", "a\u{1b}[2Jb", "x"],
        &["plan", "--label", "\u{202e}iip\r"],
        &["run", "\u{9b}1m", "\u{200b}", "--limit", "\u{1b}c"],
    ] {
        let output = world.output(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        let hidden = |one: char| one != '\n' && (one.is_control() || "\u{202e}\u{200b}".contains(one));
        assert!(text.contains("error: ") && !text.contains(hidden), "{text:?}");
    }
}

#[test]
fn what_is_too_large_for_the_ledger_is_named() {
    let world = world();
    let long = [words(&["label", "scans@1"]), labels(1_500, &"long".repeat(12))].concat();
    let text = said(&world, &long);
    assert!(text.contains("the record of `dataset.labelled` would have "), "{text}");
    assert!(text.contains("there is room for 63.9 KiB: most of it is `added` with 1500 values\n"), "{text}");
    assert!(text.contains("help: give or take fewer labels at a time"), "{text}");
    assert!(text.contains("code: home/too-large"), "{text}");
    assert_eq!(
        world.json(&["dataset", "show", "scans", "--json"])["versions"][0]["labels"],
        Value::Array([].into())
    );
    let data = labels(1_200, &"n".repeat(40)).into_iter();
    let data: Vec<_> = data.flat_map(|name| ["--data".to_owned(), format!("{name}=scans")]).collect();
    let text = said(&world, &[words(&["run", "--no-code"]), data, words(&["--", "true"])].concat());
    assert!(text.contains("the record of `run.planned` would have "), "{text}");
    assert!(text.contains("most of it is `inputs` with 1200 values\n"), "{text}");
    assert!(text.contains("help: put inputs together in one dataset"), "{text}");
    world.ok(&["runs"]); // Whatever command comes next removes what was prepared.
    world.assert_no_leftovers();
}

#[test]
fn thousands_of_labels_are_a_few_lines() {
    let world = world();
    world.ok(&["run", "--quiet", "--no-code", "--data", "x=scans", "--", "true"]);
    let output = world.output(&[words(&["label", "scans@1"]), labels(3_000, "l")].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(text.starts_with("labelled scans@1 +l0 +l1 +l10 "), "{text}");
    assert!(text.contains(" and 2990 more\n"), "{text}");
    assert!(text.ends_with("and so on for 2990 more labels: `--json` lists them\n"), "{text}");
    assert_eq!(text.lines().count(), 12, "{text}");
    let text = said(&world, &words(&["dataset", "unlabel", "scans", "none", "--reason", "x"]));
    assert!(
        text.contains("has none of these labels, but `l0`, ") && text.contains(" and 2990 more."),
        "{text}"
    );
    assert!(text.len() < 300, "{text}");
    let slips: Vec<_> = (b'a'..=b'z').map(|letter| format!("secre{}", char::from(letter))).collect();
    let text = said(&world, &[words(&["label", "scans@1"]), slips].concat());
    assert_eq!(text.matches("did you mean `secret`").count(), 10, "{text}");
    assert!(text.contains("note: and more labels that no shipped rule knows"), "{text}");
}

#[test]
fn what_was_likely_meant_is_named() {
    let world = world();
    for arguments in [
        &["plan", "--no-code", "--data", "x=scan", "--", "true"][..],
        &["run", "--no-code", "--data", "x=scan", "--", "true"],
        &["label", "scan", "pii"],
        &["dataset", "show", "scan"],
        &["lineage", "sacns"],
    ] {
        let text = said(&world, &words(arguments));
        assert!(text.contains("help: did you mean `scans`?"), "{arguments:?}: {text}");
    }
    let text = said(&world, &words(&["plan", "--no-code", "--data", "x=scans@7", "--", "true"]));
    assert!(text.contains("help: did you mean `scans@1`?"), "{text}");
    let text = said(&world, &words(&["label", "nothing-like-it", "pii"]));
    assert!(text.contains("help: `aseptic dataset list` shows those there are"), "{text}");
    let plan = ["plan", "--no-code", "--label", "piii", "--", "true"];
    for command in ["plan", "run"] {
        let text = said(&world, &words(&[&[command], &plan[1..]].concat()));
        assert!(
            text.contains("note: no shipped rule knows `piii`; did you mean `pii`?"),
            "{command}: {text}"
        );
    }
}

#[test]
fn an_evaluation_that_was_denied_something_gets_no_empty_help() {
    let world = world();
    world.ok(&["dataset", "label", "scans", "holdout"]);
    let run = ["run", "--no-code", "--keep", "metrics", "--data", "x=scans", "--"];
    let script = "bash -c 'exec 3<>/dev/tcp/192.0.2.1/443'; true";
    let text = said(&world, &words(&[run.as_slice(), &["sh", "-c", script]].concat()));
    assert!(text.contains("  denied: 1 attempt\n") && !text.contains("help:"), "{text}");
}

#[test]
fn a_denied_run_shows_what_its_plan_had() {
    let world = world();
    world.ok(&["dataset", "label", "scans", "holdout"]);
    let request = ["--no-code", "--data", "x=scans", "--", "true"];
    let plan = world.run(&[&["plan"], request.as_slice()].concat());
    let note = plan.lines().find_map(|line| line.strip_prefix("note      ")).unwrap();
    world.output(&[&["run"], request.as_slice()].concat());
    let shown = world.ok(&["show", "latest"]);
    assert!(shown.contains(&format!("note      {note}\n")), "{shown}");
    for line in [
        "decision  deny",
        "  data.x: ",
        "    at: --data x=scans",
        "    help: set `keep",
        "    rule: holdout/training",
    ] {
        assert!(shown.contains(line) && plan.contains(line), "{line}: {shown}{plan}");
    }
}

#[test]
fn unpinned_code_is_said_where_the_run_is() {
    let world = world();
    world.write("policy/settings.toml", "format = \"aseptic.settings/1\"\nstrict = true\n");
    world.write("aseptic.toml", "[project]\nname = \"x\"\n\n[experiment.train]\ncommand = [\"true\"]\n");
    let commit = "git init --quiet . && git add . && git -c user.name=ada -c user.email=ada@localhost commit --quiet -m x";
    let project = world.path("project");
    let status = std::process::Command::new("sh").args(["-c", commit]).current_dir(project).status();
    assert!(status.unwrap().success());
    world.write("train.py", "no commit has it");
    let plan = world.run(&["plan", "train"]);
    assert!(plan.contains("rule: pinned/code"), "{plan}");
    assert!(plan.contains("    at: aseptic.toml:4\n"), "{plan}");
}
