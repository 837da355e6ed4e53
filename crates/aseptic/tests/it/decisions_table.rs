//! What a user sees of the decision on many plans: each case of `decisions_table.toml`, planned by the command.
//!
//! In the golden explanations of `aseptic-policy` alone: `plan/format`, since no command makes a plan of another version,
//! and `holdout/outputs`, which no new plan can have (`a_replay_is_bounded_by_the_settings_of_now` has it).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde::Deserialize;

use crate::hosts::Host;
use crate::recorded::words;
use crate::roles::{make_key, me};
use crate::world::World;

const TABLE: &str = include_str!("decisions_table.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Lines of the experiment.
    #[serde(default)]
    spec: String,
    #[serde(default)]
    options: Vec<String>,
    /// Code that a commit has, or that none has; without it, no code.
    code: Option<Code>,
    /// Files beside the spec by path, with their text.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// A host that has less than this one.
    host: Option<Host>,
    /// `policy/settings.toml`, without its format.
    settings: Option<String>,
    /// `policy/lab.cedar`.
    cedar: Option<String>,
    /// Roles and groups of `policy/roles.toml`; `ME` is who runs the tests.
    roles: Option<String>,
    outcome: String,
    #[serde(default)]
    reasons: Vec<Reason>,
    /// Lines that are printed whatever is decided; not looked at without them.
    notes: Option<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Code {
    Committed,
    Changed,
}

/// A reason as it is printed; an empty text is a line that there is not.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    element: String,
    rule: String,
    help: String,
    #[serde(default)]
    at: String,
    #[serde(default)]
    grant: String,
}

const SETUP: &str = "[project]
name = \"lab\"

[experiment.model]
command = [\"cp\", \"/data/scans/a\", \"/out/model\"]
data = { scans = \"scans\" }

[experiment.tainted]
command = [\"cp\", \"/data/bad/a\", \"/out/model\"]
data = { bad = \"bad@1\" }

[experiment.look]
command = [\"true\"]
data = { test = \"test\" }
keep = \"metrics\"
";

/// A project with data of every kind, and runs that used them.
fn project() -> World {
    let world = World::new();
    for name in ["rows", "scans", "papers", "test", "bad", "lost"] {
        world.write(&format!("../data/{name}/a"), name);
    }
    world.write("../data/worse/a", "worse");
    world.write("aseptic.toml", SETUP);
    for line in [
        "dataset add ../data/rows --name rows --label survey",
        "dataset add ../data/scans --name scans --label pii",
        "dataset add ../data/papers --name papers --licence CC-BY-NC-4.0",
        "dataset add ../data/test --name test --role holdout",
        "dataset add ../data/bad --name bad",
        "dataset add ../data/lost --name lost",
        "run --quiet --no-code model",
        "run --quiet --no-code tainted",
        "run --quiet --no-code look",
        "dataset add ../data/worse --name bad",
        "quarantine add bad@1 --reason mislabelled --yes",
    ] {
        world.ok(&words(line));
    }
    lose(&world, "lost");
    environment(&world);
    make_key(&world, "roles.key");
    world
}

/// Removes what the store has of the dataset `name`.
fn lose(world: &World, name: &str) {
    let shown = world.json(&["dataset", "show", name, "--json"]);
    let digest = shown["versions"][0]["snapshot"].as_str().unwrap().to_owned();
    let objects = world.path("state/projects/lab/store/objects");
    fs::remove_file(objects.join(&digest[..2]).join(&digest)).unwrap();
}

/// A Python environment with a package that nobody recorded the files of.
fn environment(world: &World) {
    let (base, site) = (world.path("base"), world.path("env/lib/python3.11/site-packages/one-1.0.dist-info"));
    for directory in [&base.join("bin"), &base.join("lib/python3.11"), &world.path("env/bin"), &site] {
        fs::create_dir_all(directory).unwrap();
    }
    fs::write(base.join("lib/python3.11/os.py"), "").unwrap();
    fs::write(base.join("bin/python3.11"), b"\x7fELF").unwrap();
    symlink(base.join("bin/python3.11"), world.path("env/bin/python3")).unwrap();
    let config = format!("home = {}\nversion = 3.11.7\n", base.join("bin").display());
    fs::write(world.path("env/pyvenv.cfg"), config).unwrap();
    fs::write(site.join("METADATA"), "Metadata-Version: 2.4\nName: one\nVersion: 1.0\n").unwrap();
}

/// Makes the project what `case` says, plans, and gives what was printed.
fn plan(world: &World, case: &Case) -> String {
    let spec = format!("[project]\nname = \"lab\"\n\n[experiment.x]\ncommand = [\"true\"]\n{}\n", case.spec);
    world.write("aseptic.toml", spec);
    for path in ["policy", ".git"] {
        let _ = fs::remove_dir_all(world.path("project").join(path));
    }
    for (path, text) in &case.files {
        world.write(path, text);
    }
    if let Some(cedar) = &case.cedar {
        world.write("policy/lab.cedar", cedar);
    }
    if let Some(settings) = &case.settings {
        world.write("policy/settings.toml", format!("format = \"aseptic.settings/1\"\n{settings}"));
    }
    if let Some(roles) = &case.roles {
        let signer = fs::read_to_string(world.path("roles.key.pub")).unwrap();
        let roles = roles.replace("ME", &me(world));
        let head = format!("format = \"aseptic.roles/1\"\nsigner = \"{}\"\n[roles]\n", signer.trim());
        world.write("policy/roles.toml", head + &roles);
        world.ok(&words("role sign --key ../roles.key"));
    }
    if case.code == Some(Code::Committed) {
        let commit = "git init --quiet . && git add . && git -c user.name=ada -c user.email=ada@localhost \
                      commit --quiet --message x";
        let status = Command::new("sh").args(["-c", commit]).current_dir(world.path("project")).status();
        assert!(status.unwrap().success());
    }
    let code: &[String] = if case.code.is_some() { &[] } else { &["--no-code".to_owned()] };
    let arguments = [&["plan".to_owned(), "x".to_owned()], code, case.options.as_slice()].concat();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = match case.host {
        Some(host) => {
            // What is remembered of this host, which can make a network.
            let _ = fs::remove_file(world.path("state/network"));
            host.output(world, &arguments)
        }
        None => world.output(&arguments),
    };
    for path in case.files.keys() {
        fs::remove_file(world.path("project").join(path)).unwrap();
    }
    let expected = if case.outcome == "allow" { 0 } else { 3 };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(expected), "{}: {stderr}", case.name);
    String::from_utf8(output.stdout).unwrap()
}

/// The reasons that are printed, with the outcome that each has.
fn reasons(printed: &str) -> Vec<(Reason, String)> {
    let mut reasons: Vec<(Reason, String)> = Vec::new();
    let decision = printed.lines().skip_while(|line| !line.starts_with("decision  ")).skip(1);
    for line in decision.filter_map(|line| line.strip_prefix("  ")) {
        let Some(line) = line.strip_prefix("  ") else {
            let element = line.split_once(": ").unwrap().0.to_owned();
            reasons.push((Reason { element, ..Reason::default() }, String::new()));
            continue;
        };
        let (reason, outcome) = reasons.last_mut().unwrap();
        let (what, text) = line.split_once(": ").unwrap();
        match what {
            "at" => text.clone_into(&mut reason.at),
            "help" => text.clone_into(&mut reason.help),
            "may allow it" => text.clone_into(&mut reason.grant),
            "rule" => {
                let (rule, meant) = text.split_once(" (").unwrap();
                rule.clone_into(&mut reason.rule);
                meant.trim_end_matches(')').clone_into(outcome);
            }
            other => assert_eq!(other, "value"),
        }
    }
    reasons
}

#[test]
fn every_plan_is_decided_as_the_table_says() {
    let table: Table = toml::from_str(TABLE).unwrap();
    assert!(table.case.len() >= 40, "{}", table.case.len());
    let world = project();
    let mut wrong = String::new();
    for case in &table.case {
        let printed = plan(&world, case).replace(world.path("").to_str().unwrap(), "WORLD/");
        let decision = printed.lines().find_map(|line| line.strip_prefix("decision  "));
        let (printed_reasons, outcomes): (Vec<_>, Vec<_>) = reasons(&printed).into_iter().unzip();
        // What is denied may have reasons besides that an approval would be enough for.
        let worst = if outcomes.iter().any(|outcome| outcome == "deny") { "deny" } else { "needs-approval" };
        let follows = if outcomes.is_empty() { "allow" } else { worst };
        let notes: Vec<_> = printed.lines().filter_map(|line| line.strip_prefix("note      ")).collect();
        let is_noted = case.notes.as_ref().is_none_or(|expected| notes == *expected);
        let is_digest_said = printed.contains("needs approval: plan ") == (case.outcome == "needs-approval");
        let is_right = decision == Some(case.outcome.as_str()) && follows == case.outcome;
        if !is_right || printed_reasons != case.reasons || !is_noted || !is_digest_said {
            wrong += &format!("{}\n{notes:?}\n{printed_reasons:#?}\n{printed}\n", case.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
