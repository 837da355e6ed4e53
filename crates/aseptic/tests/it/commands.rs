//! Help, listings and errors, whole.

use insta::assert_snapshot;

use crate::world::World;

#[test]
fn help() {
    let world = World::new();
    assert_snapshot!("help", world.run(&["--help"]));
    assert_snapshot!("help-run", world.run(&["run", "--help"]));
    assert_snapshot!("help-dataset", world.run(&["dataset", "--help"]));
    assert_snapshot!("help-dataset-add", world.run(&["dataset", "add", "--help"]));
    for action in ["show", "log", "diff", "label", "unlabel", "describe", "share"] {
        let text = world.ok(&["dataset", action, "--help"]);
        assert!(text.contains("Usage: aseptic dataset") && text.contains("Examples:"), "{text}");
    }
    for command in [
        "init",
        "plan",
        "runs",
        "show",
        "logs",
        "export",
        "lineage",
        "policy",
        "doctor",
        "drill",
        "gc",
        "retention",
        "catalog",
        "completions",
    ] {
        let text = world.ok(&[command, "--help"]);
        assert!(text.contains("Usage: aseptic"), "{text}");
    }
    for (command, action) in [
        ("dataset", "add"),
        ("dataset", "verify"),
        ("ledger", "verify"),
        ("ledger", "show"),
        ("retention", "set"),
    ] {
        assert!(world.ok(&[command, action, "--help"]).contains("Usage: aseptic"));
    }
    let zsh = world.ok(&["completions", "zsh"]);
    assert!(zsh.contains(":HOST\\:PORT|observe:") && !zsh.contains(":HOST:PORT"), "{zsh}");
    let script = world.ok(&["completions", "bash"]);
    assert!(script.contains("aseptic,drill)") && script.contains("--experiment"));
    assert!(!script.contains("drill-part"), "what is hidden is not offered");
}

#[test]
fn a_first_session() {
    let world = World::new();
    assert_snapshot!(world.run(&["init", "--project", "first"]), @r"
    exit: 0
    --- stdout
    --- stderr
    Wrote ./aseptic.toml.
    Next: `aseptic dataset add PATH --name NAME`, then `aseptic run train`.
    ");
    assert_snapshot!(world.run(&["init"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: `./aseptic.toml` is already there
      help: edit it, or remove it first
      code: init/exists
    ");
    assert_snapshot!(world.run(&["runs"]), @r"
    exit: 0
    --- stdout
    --- stderr
    No runs in project `first`. Start one with `aseptic run -- COMMAND`.
    ");
    let none = "No such runs in project `first`. `aseptic runs` lists all.";
    assert!(world.run(&["runs", "--status", "failed"]).contains(none));
    assert!(world.run(&["runs", "--limit", "0"]).starts_with("exit: 2"));
    assert_eq!(world.json(&["catalog", "rebuild", "--json"])["schema"], "aseptic.catalog-rebuild/1");
    assert!(world.run(&["init", "nowhere/at/all"]).contains("help: make the directory first"));
    world.write("train.py", "import json, os\nprint(json.load(open(os.environ['ASEPTIC_PARAMS'])))\n");
    assert_snapshot!(world.run(&["run", "train", "--param", "seed=8"]), @r"
    exit: 0
    --- stdout
    {'seed': 8}
    --- stderr
    run [run]  plan [short]  python3 train.py
    succeeded after [duration] ([duration] of aseptic's own)  run [run]
      used [usage]
      kept 0 files, 0 B; `aseptic show [run]` has everything
    ");
}

#[test]
fn nothing_to_run() {
    let world = World::new();
    assert_snapshot!(world.run(&["run"]), @r"
    exit: 125
    --- stdout
    --- stderr
    error: there is nothing to run
      help: name a command: `aseptic run -- COMMAND`
      code: request/nothing
    ");
    let output = world.run(&["run", "--json"]);
    assert!(output.contains("\"schema\": \"aseptic.error/1\""), "{output}");
    assert!(world.run(&["run", "--limit"]).starts_with("exit: 125"));
    assert!(world.run(&["runs", "--limit"]).starts_with("exit: 2"));
    assert!(world.run(&["show", "latest"]).starts_with("exit: 2"));
}

#[test]
fn datasets_have_versions() {
    let world = World::new();
    world.write("d/x", "1");
    world.ok(&["dataset", "add", "d", "--name", "d"]);
    assert!(world.ok(&["dataset", "add", "d", "--name", "d"]).starts_with("unchanged d@1"));
    world.write("d/x", "22");
    assert!(world.ok(&["dataset", "add", "d", "--name", "d"]).starts_with("added d@2"));
    let versions = world.json(&["dataset", "show", "d", "--json"]);
    assert_eq!(versions["versions"].as_array().unwrap().len(), 2);
    assert!(world.ok(&["dataset", "verify", "d@1"]).starts_with("verified d@1 (1 file, 1 B)"));
    let read = |reference: &str| {
        let data = format!("d={reference}");
        world.ok(&["run", "--quiet", "--no-code", "--data", &data, "--", "cat", "/data/d/x"])
    };
    assert_eq!((read("d@1"), read("d"), read("d@latest")), ("1".into(), "22".into(), "22".into()));
}

#[test]
fn doctor_says_what_is_missing() {
    let world = World::new();
    let report = world.json(&["doctor", "--json"]);
    assert_eq!(report["works"], true, "{report:#}");
    let missing: Vec<_> = report["walls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|wall| wall["state"] == "not-enforced")
        .map(|wall| wall["name"].as_str().unwrap())
        .collect();
    assert_eq!(missing, ["system directories by overlay"]);
}
