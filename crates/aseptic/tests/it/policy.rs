//! What the commands about policies say, on runs that were really decided.

use std::fs;
use std::process::Stdio;

use insta::assert_snapshot;
use serde_json::Value;

use crate::world::World;

const SPEC: &str = "[project]
name = \"digits\"

[experiment.train]
command = [\"sh\", \"-c\", \"cat /data/rows/a > /out/model\"]
data = { rows = \"rows\", spare = \"rows\" }
limits = { memory = \"64GiB\", wall = \"10h\", processes = 64 }
accept = [\"landlock\"]
";

const OWN: &str = "@id(\"lab/no-network\")
@message(\"this lab has no network\")
@advice(\"import what the job needs as a dataset\")
forbid (principal, action == Action::\"Connect\", resource);

@id(\"lab/metrics\")
@message(\"outputs are not kept here\")
@advice(\"set `keep` to `metrics`\")
forbid (principal, action == Action::\"Write\", resource) when { context.keep == \"everything\" };
";

const CASES: &str = "format = \"aseptic.policy-tests/1\"

[[case]]
name = \"no run has a network\"
plan.network = [\"example.org:443\"]
plan.keep = \"metrics\"
expect = { outcome = \"deny\", rules = [\"lab/no-network\"], help = [\"as a dataset\"] }

[[case]]
name = \"metrics may be kept\"
plan.keep = \"metrics\"
expect.outcome = \"allow\"
";

/// A project with two runs of `train`, before it has policies of its own.
fn world() -> World {
    let world = World::new();
    world.write("aseptic.toml", SPEC);
    world.write("rows/a", "1");
    world.ok(&["dataset", "add", "rows", "--name", "rows"]);
    for _ in 0..2 {
        world.ok(&["run", "--quiet", "train"]);
    }
    world
}

fn with_policies() -> World {
    let world = world();
    world.write("policy/lab.cedar", OWN);
    world.write("policy/tests/lab.toml", CASES);
    world
}

/// What a command that may give another exit code prints as JSON, and that code.
fn json(world: &World, arguments: &[&str]) -> (i32, Value) {
    let output = world.output(arguments);
    let document = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code().unwrap(), document)
}

#[test]
fn a_check_says_everything_with_its_place() {
    let world = with_policies();
    assert_snapshot!(world.run(&["policy", "check"]), @r"
    exit: 0
    --- stdout
    2 policies and 1 file of tests: nothing is the matter
    --- stderr
    ");
    world.write("policy/tests/wrong.toml", CASES.replace("plan.keep", "plan.kept"));
    world.write("policy/tests/other.toml", CASES.replace("\"deny\"", "\"perhaps\""));
    let shown = world.run(&["policy", "check"]);
    assert!(shown.starts_with("exit: 2") && shown.contains("2 errors"), "{shown}");
    let wrong = " --> policy/tests/wrong.toml:6:6\n  |\n6 | plan.kept = \"metrics\"\n  |      ^^^^\n";
    assert!(shown.contains(wrong) && shown.contains("policy/tests/other.toml:7:"), "{shown}");
    world.write("policy/lab.cedar", OWN.replace("forbid (principal, action == ", "forbid (principal, "));
    let (code, checked) = json(&world, &["policy", "check", "--json"]);
    assert_eq!((code, &checked["schema"]), (2, &"aseptic.policy-check/1".into()));
    let paths: Vec<_> =
        checked["problems"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"policy/lab.cedar") && paths.contains(&"policy/tests/wrong.toml"), "{checked:#}");
    for command in ["test", "diff"] {
        let refused = world.run(&["policy", command]);
        assert!(refused.starts_with("exit: 2"), "{refused}");
    }
    let refused = world.run(&["policy", "apply", "--reason", "haste"]);
    assert!(refused.starts_with("exit: 2") && refused.contains("policy/lab.cedar"), "{refused}");
    assert!(world.run(&["policy", "check", "nowhere"]).contains("code: policy/missing"));
}

#[test]
fn what_is_no_file_of_policies_is_refused_in_bounds() {
    let world = with_policies();
    world.write("policy/large.cedar", "/".repeat(2 << 20));
    assert!(world.run(&["policy", "check"]).contains("code: policy/unfit"));
    fs::remove_file(world.path("project/policy/large.cedar")).unwrap();
    world.write("policy/bytes.cedar", [0xff, 0xfe]);
    assert!(world.run(&["policy", "check"]).contains("code: policy/unfit"));
    fs::remove_file(world.path("project/policy/bytes.cedar")).unwrap();
    rustix::fs::symlinkat("/dev/zero", rustix::fs::CWD, world.path("project/policy/endless.cedar")).unwrap();
    assert!(world.run(&["policy", "check"]).contains("it is a link"));
    fs::remove_file(world.path("project/policy/endless.cedar")).unwrap();
    let pipe =
        std::process::Command::new("mkfifo").arg(world.path("project/policy/tests/pipe.toml")).status();
    assert!(pipe.unwrap().success());
    assert!(world.run(&["policy", "check"]).contains("it is no regular file"), "nobody waits for a writer");
    fs::remove_file(world.path("project/policy/tests/pipe.toml")).unwrap();
    world.write("policy/tests/odd.toml", "format = \"\u{1b}[31m\"\ncase = [{ name = \"\u{1b}\" }]\n");
    let shown = world.run(&["policy", "check"]);
    assert!(shown.starts_with("exit: 2") && !shown.contains('\u{1b}'), "{shown}");
}

/// Somebody thinks that they decide.
#[test]
fn what_looks_like_a_policy_and_decides_nothing_is_named() {
    let world = with_policies();
    world.write("policy/team/more.cedar", OWN);
    world.write("policy/MORE.CEDAR", OWN);
    world.write("policy/setting.toml", "strict = true");
    world.write("policy/README.md", "read me");
    let (code, checked) = json(&world, &["policy", "check", "--json"]);
    let problems = checked["problems"].as_array().unwrap();
    let named: Vec<_> =
        problems.iter().map(|one| (one["path"].as_str().unwrap(), &one["severity"])).collect();
    let expected = ["policy/MORE.CEDAR", "policy/setting.toml", "policy/team"];
    assert_eq!(named.iter().map(|one| one.0).collect::<Vec<_>>(), expected);
    assert!(code == 0 && named.iter().all(|one| *one.1 == "warning"), "{checked:#}");
}

/// Two that put different policies in force at once, and one that is killed: each entry names policies that are there.
#[test]
fn whoever_puts_policies_in_force_at_once_or_is_killed_leaves_whole_ones() {
    let world = with_policies();
    let other = world.path("project/other");
    fs::create_dir(&other).unwrap();
    for turn in 0..6_u32 {
        let text = format!("// {turn}\n{OWN}");
        fs::write(other.join("lab.cedar"), text).unwrap();
        world.write("policy/lab.cedar", format!("// here {turn}\n{OWN}"));
        let apply = |directory| {
            let arguments = ["policy", "apply", directory, "--reason", "at once"];
            world.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let (mut one, mut another) = (apply("policy"), apply("other"));
        if turn % 2 == 1 {
            std::thread::sleep(std::time::Duration::from_millis(u64::from(turn) * 15));
            one.kill().unwrap();
        }
        let killed = !one.wait().unwrap().success();
        assert!(another.wait().unwrap().success() && (turn % 2 == 1 || !killed), "{turn}");
    }
    let entries = world.json(&["ledger", "show", "--type", "policy.applied", "--json"]);
    let entries = entries["entries"].as_array().unwrap();
    assert!(entries.len() >= 9, "{entries:#?}");
    for entry in entries {
        let policy = entry["entry"]["event"]["body"]["policy"].as_str().unwrap();
        let (_, compared) = json(&world, &["policy", "diff", policy, "shipped", "--runs", "0", "--json"]);
        assert_eq!(compared["before"], policy, "{compared:#}");
    }
    world.ok(&["ledger", "verify"]);
    world.ok(&["catalog", "verify"]);
    world.ok(&["run", "--quiet", "--no-code", "--keep", "metrics", "--", "true"]);
}

#[test]
fn tests_say_what_differs() {
    let world = with_policies();
    assert_snapshot!(world.run(&["policy", "test", "--filter", "no run"]), @r"
    exit: 0
    --- stdout
    ok      policy/tests/lab.toml:4  no run has a network
    1 case: 1 ok, 0 failed, 1 left out
    --- stderr
    ");
    assert_snapshot!(world.run(&["policy", "test"]), @r"
    exit: 0
    --- stdout
    ok      policy/tests/lab.toml:4  no run has a network
    ok      policy/tests/lab.toml:10  metrics may be kept
    2 cases: 2 ok, 0 failed
    --- stderr
    note: no case makes `lab/metrics` (policy/lab.cedar:6) speak
    ");
    world.write("policy/tests/lab.toml", CASES.replace("outcome = \"deny\"", "outcome = \"allow\""));
    let failed = world.run(&["policy", "test", "--quiet"]);
    assert_snapshot!(failed, @r"
    exit: 1
    --- stdout
    FAILED  policy/tests/lab.toml:4  no run has a network
              outcome: expected allow
                       got      deny
              network.example.org:443: this lab has no network
                help: import what the job needs as a dataset
                rule: lab/no-network (deny)
    ok      policy/tests/lab.toml:10  metrics may be kept
    2 cases: 1 ok, 1 failed
    --- stderr
    ");
    let (code, report) = json(&world, &["policy", "test", "--json"]);
    assert_eq!((code, &report["failed"]), (1, &1.into()), "{report:#}");
    assert_eq!(report["silent"][0]["id"], "lab/metrics");
}

/// A case about a run has the facts of then, and is judged by the policies of now.
#[test]
fn a_recorded_run_is_a_case() {
    let world = with_policies();
    let case = "format = \"aseptic.policy-tests/1\"\n[[case]]\nname = \"the first training\"\nrun = \"train\"\n\
                expect = { outcome = \"deny\", rules = [\"lab/metrics\"], elements = [\"outputs\"] }\n";
    world.write("policy/tests/runs.toml", case);
    assert!(world.ok(&["policy", "test"]).contains("3 cases: 3 ok"));
    world.write("policy/tests/runs.toml", case.replace("\"train\"", "\"nothing\""));
    let shown = world.run(&["policy", "test"]);
    assert!(shown.starts_with("exit: 2") && shown.contains("nothing"), "{shown}");
}

/// Neither other policies nor another spec change what the ledger says was decided and why.
#[test]
fn an_explanation_is_the_same_later() {
    let world = world();
    let before = world.json(&["policy", "explain", "latest", "--json"]);
    assert_eq!(before["decision"]["outcome"], "allow");
    let elements: Vec<_> =
        before["elements"].as_array().unwrap().iter().map(|one| one["element"].as_str().unwrap()).collect();
    assert_eq!(elements[..2], ["run", "code"], "{before:#}");
    assert!(elements.contains(&"data.rows") && elements.contains(&"outputs"), "{before:#}");
    let permits = &before["elements"][0]["permits"][0];
    assert!(permits["at"].as_str().unwrap().starts_with("base/"), "{permits}");
    world.write("policy/lab.cedar", OWN);
    world.ok(&["policy", "apply", "--reason", "reviewed"]);
    world.write("aseptic.toml", SPEC.replace("rows\"", "rows@1\""));
    assert_eq!(world.json(&["policy", "explain", "latest", "--json"]), before);
    let shown = world.ok(&["policy", "explain", "latest"]);
    assert!(shown.contains("data.rows = rows@1: allow\n") && shown.contains("  permitted role/"), "{shown}");
}

#[test]
fn a_denial_is_explained_with_what_would_help() {
    let world = world();
    let digest = world.json(&["show", "latest", "--json"])["plan"].as_str().unwrap().to_owned();
    world.ok(&["quarantine", "add", "rows@1", "--reason", "wrong", "--yes"]);
    assert_eq!(world.output(&["run", "--quiet", "train"]).status.code(), Some(126));
    let denied = world.ok(&["policy", "explain", "latest", "--denied"]);
    for line in [
        "decision  deny\n",
        "data.rows = rows@1: deny\n",
        "  forbidden input/quarantined (base/quarantine.cedar:",
        "  because   in quarantine: dataset:rows@1\n",
        "  may grant ",
        "  rule      input/quarantined\n",
    ] {
        assert!(denied.contains(line), "{line}: {denied}");
    }
    assert!(!denied.contains("outputs = "), "{denied}");
    let plan = world.json(&["policy", "explain", "--plan", "train", "--json"]);
    assert_eq!((plan["run"].is_null(), &plan["decision"]["outcome"]), (true, &"deny".into()));
    assert_eq!(plan["plan"], digest.as_str(), "what is explained is the plan of the run before");
    let runs = world.json(&["runs", "--json"])["runs"].as_array().unwrap().len();
    assert_eq!(runs, 3, "explaining a plan runs nothing");
}

/// What was asked is in the store, and cannot be changed unseen.
#[test]
fn an_explanation_of_damaged_facts_is_refused() {
    let world = world();
    world.damaged.store(true, std::sync::atomic::Ordering::Relaxed);
    let shown = world.json(&["ledger", "show", "--json", "--type", "run.decided"]);
    let asked = shown["entries"][1]["entry"]["event"]["body"]["requests"].as_str().unwrap().to_owned();
    let objects = crate::world::contents(&world.path("state/projects/digits/store"));
    let held = objects.iter().filter(|(path, ..)| {
        let path = path.to_string_lossy().replace('/', "");
        path.ends_with(&asked)
    });
    let mut count = 0;
    for (path, bytes, _) in held {
        let mut altered = bytes.clone();
        *altered.last_mut().unwrap() ^= 1;
        fs::remove_file(path).unwrap();
        fs::write(path, altered).unwrap();
        count += 1;
    }
    assert_eq!(count, 1, "the question is an object of its own: {asked}");
    let refused = world.run(&["policy", "explain", "latest"]);
    assert!(refused.starts_with("exit: 4"), "{refused}");
}

#[test]
fn what_decides_is_shown() {
    let world = with_policies();
    let shown = world.run(&["policy", "show"]);
    let shipped = shown.lines().find(|line| line.starts_with("input/quarantined ")).unwrap_or_default();
    assert!(shown.contains("in force  as shipped\n") && shipped.contains(" deny "), "{shown}");
    assert!(shown.contains("note: `policy/` is not what is in force"), "{shown}");
    let text = world.ok(&["policy", "show", "input/missing"]);
    assert!(text.starts_with("// base/run.cedar:") && text.contains("@id(\"input/missing\")"), "{text}");
    assert!(world.run(&["policy", "show", "missing"]).contains("help: did you mean `input/missing`?"));
    assert!(world.run(&["policy", "show", "xyz"]).contains("code: policy/no-policy"));
    world.ok(&["policy", "apply", "--reason", "as agreed"]);
    let shown = world.ok(&["policy", "show", "--own"]);
    assert!(shown.contains(": as agreed\n") && shown.contains("\nlab/no-network  deny "), "{shown}");
    let document = world.json(&["policy", "show", "--json"]);
    assert_eq!((&document["directory"], &document["settings"]["strict"]), (&"same".into(), &"false".into()));
    assert!(world.ok(&["policy", "apply", "--reason", "again"]).contains("was in force already"));
}

#[test]
fn a_diff_says_what_would_be_decided_otherwise() {
    let world = with_policies();
    let (code, diff) = json(&world, &["policy", "diff", "--json"]);
    assert_eq!((code, &diff["does"], &diff["runs"]), (1, &"narrows".into(), &2.into()), "{diff:#}");
    assert_eq!(diff["effects"].as_array().unwrap().len(), 2);
    assert_eq!(diff["effects"][0]["after"], "deny");
    assert_eq!(diff["effects"][0]["rules"], serde_json::json!(["lab/metrics"]));
    let shown = world.run(&["policy", "diff"]);
    assert!(shown.contains("+++ policy/lab.cedar\n") && shown.contains("added   lab/metrics"), "{shown}");
    assert!(shown.contains("(train): allow, then deny (lab/metrics)\n"), "{shown}");
    world.ok(&["policy", "apply", "--reason", "reviewed"]);
    assert!(world.ok(&["policy", "diff"]).starts_with("the same policies: "));
    let (_, back) = json(&world, &["policy", "diff", "in-force", "shipped", "--runs", "1", "--json"]);
    assert_eq!((&back["does"], &back["runs"]), (&"widens".into(), &1.into()), "{back:#}");
    let before = diff["before"].as_str().unwrap();
    assert!(world.run(&["policy", "diff", before, "shipped"]).starts_with("exit: 0"), "by their digest");
}

#[test]
fn what_was_never_used_can_be_narrower() {
    let world = world();
    assert_snapshot!(world.run(&["policy", "suggest"]), @r"
    exit: 0
    --- stdout
    nothing to narrow
    --- stderr
    note: `train` has 2 runs that succeeded, and 10 are needed to say anything; `--runs N` needs others
    ");
    let found = world.json(&["policy", "suggest", "--runs", "2", "--json"]);
    let suggested = |element: &str| {
        let all = found["suggestions"].as_array().unwrap();
        all.iter().find(|one| one["element"] == element).unwrap_or_else(|| panic!("{element}: {found:#}"))
    };
    assert_eq!(suggested("data.spare")["finding"], "unopened-input");
    let limits = "limits = { wall = \"1m\", memory = \"64MiB\", processes = 64 }";
    assert_eq!(suggested("limits.wall")["line"], limits);
    assert_eq!(suggested("limits.memory")["line"], limits);
    let opened = found["suggestions"].as_array().unwrap().iter().any(|one| one["element"] == "data.rows");
    assert!(!opened, "what was opened stays: {found:#}");
    // The narrower spec is a plan that runs, and nothing is left to say about it.
    world.write(
        "aseptic.toml",
        SPEC.replace(", spare = \"rows\"", "").replace(
            "limits = { memory = \"64GiB\", wall = \"10h\", processes = 64 }\naccept = [\"landlock\"]",
            limits,
        ),
    );
    world.ok(&["run", "--quiet", "train"]);
    assert!(world.ok(&["policy", "suggest", "--runs", "1"]).starts_with("nothing to narrow"));
    assert!(world.run(&["policy", "suggest", "other"]).contains("code: spec/experiment"));
}

#[test]
fn a_destination_that_was_never_reached_is_suggested_away() {
    let world = World::new();
    let spec = "[project]\nname = \"p\"\n[experiment.a]\ncommand = [\"true\"]\n\
                network = [\"127.0.0.1:9\", \"*.example.org:443\"]\n";
    world.write("aseptic.toml", spec);
    world.ok(&["run", "--quiet", "a"]);
    let found = world.json(&["policy", "suggest", "--runs", "1", "--json"]);
    let found = found["suggestions"].as_array().unwrap().clone();
    let elements: Vec<_> = found.iter().map(|one| one["element"].as_str().unwrap()).collect();
    assert_eq!(elements, ["network.*.example.org:443", "network.127.0.0.1:9"], "{found:#?}");
    assert!(found.iter().all(|one| one["finding"] == "unused-grant" && one["line"].is_null()), "{found:#?}");
}
