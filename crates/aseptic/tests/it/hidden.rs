//! Names that turn the direction of a line, or show nothing: no command prints them as they are.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::world::World;

/// An override of direction, a separator of lines and a space without width.
const ODD: &str = "\u{202e}gnp.\u{2028}\u{200b}";

fn assert_visible(shown: &str, what: &[&str]) {
    let hidden = |one: char| one != '\n' && one != '\t' && aseptic_model::is_hidden(one);
    assert!(!shown.chars().any(hidden), "{what:?}: {shown:?}");
}

#[test]
fn odd_names_are_seen_wherever_they_are_printed() {
    let world = World::new();
    world.write(".asepticignore", "data\n");
    world.write(&format!("data/{ODD}"), "1\n");
    world.ok(&["dataset", "add", "data", "--name", "d", "--label", "pii"]);
    let param = format!("note={ODD}");
    world.ok(&[
        "run", "--quiet", "--data", "d=d", "--param", &param, "--", "sh", "-c",
        "cp /data/d/* /out/; mkdir \"/out/$(ls /data/d)d\"; ln -s \"$(ls /data/d)\" /out/link; echo 1 > changed\"$(ls /data/d)\"",
    ]);
    let object = format!("run:latest/out/{ODD}");
    let reason = format!("harmless {ODD}");
    world.ok(&["declassify", &object, "--label", "pii", "--reason", &reason]);
    world.write(&format!("policy/{ODD}"), "");
    for arguments in [
        ["show", "latest"].as_slice(),
        &["show", "latest", "--json"],
        &["lineage", "latest", "--labels"],
        &["lineage", "latest"],
        &["label", &object, "x"],
        &["runs"],
        &["runs", "--json"],
        &["diff", "latest", "latest", "--json"],
        &["dataset", "show", "d", "--json"],
        &["ledger", "show", "--json"],
        &["project", "report"],
        &["policy", "explain", "latest"],
        &["policy", "check", "policy"],
        &["policy", "check", "policy", "--json"],
        &["plan", "--param", &param, "--no-code", "--", "echo", ODD],
        &["plan", "--param", &param, "--no-code", "--json", "--", "echo", ODD],
        &["export", &format!("latest/out/{ODD}"), "--to", ODD],
        &["export", &format!("latest/out/{ODD}"), "--to", ODD, "--json"],
    ] {
        let output = world.output(arguments);
        for shown in [output.stdout, output.stderr] {
            assert_visible(&String::from_utf8(shown).unwrap(), arguments);
        }
    }
    let shown = world.ok(&["show", "latest"]);
    assert!(shown.contains("out/\\xe2\\x80\\xaegnp.\\xe2\\x80\\xa8\\xe2\\x80\\x8b"), "{shown}");
    // What is shown names the file.
    world.ok(&["export", "latest/out/\\xe2\\x80\\xaegnp.\\xe2\\x80\\xa8\\xe2\\x80\\x8b", "--to", "again"]);
    let document = world.json(&["show", "latest", "--json"]);
    let paths: Vec<_> = document["outputs"].as_array().unwrap().iter().map(|one| &one["path"]).collect();
    assert!(paths.contains(&&serde_json::json!(format!("out/{ODD}"))), "{paths:?}");
}

#[test]
fn odd_words_are_seen_in_entries_as_they_come() {
    let world = World::new();
    world.write("../data/a", "1");
    world.ok(&["dataset", "add", "../data", "--name", "d", "--meta", &format!("note={ODD}")]);
    world.ok(&["dataset", "label", "d", "pii"]);
    world.ok(&["dataset", "unlabel", "d", "pii", "--reason", &format!("harmless {ODD}")]);
    for arguments in
        [&["ledger", "follow", "--from", "0"][..], &["ledger", "follow", "--from", "0", "--json"]]
    {
        let mut child = world.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(3);
        let shown: Vec<String> = lines.map(Result::unwrap).collect();
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        child.wait().unwrap();
        assert_eq!(shown.len(), 3);
        let all = shown.join("\n");
        assert!(all.contains("harmless"), "{all}");
        assert_visible(&all, arguments);
    }
}

#[test]
fn long_words_are_printed_whole_or_refused() {
    let world = World::new();
    let long = "x".repeat(100_000);
    let hosts: Vec<_> = (0..5_000).map(|number| format!("\"h{number}.example:443\"")).collect();
    world.write(
        "aseptic.toml",
        format!(
            "[project]\nname = \"default\"\n[experiment.x]\ncommand = [\"true\"]\nnetwork = [{}]\n",
            hosts.join(",")
        ),
    );
    let param = format!("note={long}");
    for arguments in [
        ["plan", "x"].as_slice(),
        &["plan", "--no-code", "--param", &param, "--", "echo", &long],
        &["run", "--quiet", "--no-code", "--param", &param, "--", "true", &long],
        &["show", "latest"],
        &["runs"],
        &["policy", "explain", "latest"],
        &["project", "report"],
    ] {
        let output = world.output(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{:?}: {said}", arguments.first());
    }
    assert!(world.ok(&["show", "latest"]).contains(&long));
}
