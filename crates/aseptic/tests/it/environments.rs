//! Environments of runs, in a venv made by hand: what is listed, what differs, what stands out, what was modified.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use aseptic_model::FindingCode;
use serde_json::Value;

use crate::world::{World, contents, wait_until};

/// SHA-256 of `one\n`, in base64 as a RECORD has it.
const ONE: &str = "LIsI2lzmA5jh8Zrw5dzMdE3ydLgmq-WF6rpoxSVDSAY";

/// A world with an installation of Python and a venv, `../env` from the project.
fn world() -> World {
    let world = World::new();
    let base = world.path("py");
    fs::create_dir_all(base.join("bin")).unwrap();
    fs::create_dir_all(base.join("lib/python3.11")).unwrap();
    fs::write(base.join("lib/python3.11/os.py"), "").unwrap();
    fs::write(base.join("bin/python3.11"), b"\x7fELF").unwrap();
    fs::create_dir_all(world.path("env/bin")).unwrap();
    fs::create_dir_all(site(&world)).unwrap();
    symlink(base.join("bin/python3.11"), world.path("env/bin/python3")).unwrap();
    let config = format!("home = {}\nversion = 3.11.7\n", base.join("bin").display());
    fs::write(world.path("env/pyvenv.cfg"), config).unwrap();
    world.write(
        "aseptic.toml",
        "[project]\nname = \"p\"\n[experiment.train]\ncommand = [\"true\"]\nenv = { python = \"../env\" }\n",
    );
    world
}

fn site(world: &World) -> PathBuf {
    world.path("env/lib/python3.11/site-packages")
}

/// Installs a package of one file, as an installer does.
fn install(world: &World, name: &str, version: &str, headers: &str) {
    let description = site(world).join(format!("{name}-{version}.dist-info"));
    fs::create_dir_all(&description).unwrap();
    let text = format!("Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{headers}\n");
    fs::write(description.join("METADATA"), text).unwrap();
    let record = format!("{name}.py,sha256={ONE},4\n{name}-{version}.dist-info/RECORD,,\n");
    fs::write(description.join("RECORD"), record).unwrap();
    fs::write(description.join("INSTALLER"), "pip\n").unwrap();
    fs::write(site(world).join(format!("{name}.py")), "one\n").unwrap();
}

fn uninstall(world: &World, name: &str, version: &str) {
    fs::remove_dir_all(site(world).join(format!("{name}-{version}.dist-info"))).unwrap();
    fs::remove_file(site(world).join(format!("{name}.py"))).unwrap();
}

/// Code, subject and place of each finding of a document.
fn findings(document: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |one: &Value| {
        assert!(!text(&one["help"]).is_empty() && !text(&one["severity"]).is_empty());
        format!("{} {} {}", text(&one["code"]), text(&one["subject"]), text(&one["place"]))
    };
    document["findings"].as_array().unwrap().iter().map(line).collect()
}

fn run(world: &World) -> Value {
    let (code, record) = world.run_json(&["train"]);
    assert_eq!(code, 0);
    record
}

#[test]
fn a_run_keeps_the_inventory_of_its_environment() {
    let world = world();
    install(&world, "alpha", "1.0", "License-Expression: MIT");
    let record = run(&world);
    let digest = record["inventory"].as_str().unwrap();
    let shown = world.json(&["env", "list", "latest", "--json"]);
    assert_eq!(
        (shown["schema"].as_str(), shown["inventory"].as_str()),
        (Some("aseptic.env/1"), Some(digest))
    );
    let package = &shown["environment"]["packages"][0];
    assert_eq!(
        (package["name"].as_str(), package["licence"]["expression"].as_str()),
        (Some("alpha"), Some("MIT"))
    );
    assert_eq!(shown["environment"]["machine"]["kernel"], record["environment"]["host"]["kernel"]);
    let now = world.json(&["env", "list", "--json"]);
    assert_eq!(now["environment"], shown["environment"], "the environment did not change");

    assert_eq!(run(&world)["inventory"].as_str(), Some(digest), "equal environments have one inventory");
    install(&world, "beta", "2.0", "");
    let other = run(&world);
    assert_ne!(other["inventory"].as_str(), Some(digest));
    let listed = world.json(&["env", "list", "--runs", "--json"]);
    let runs: Vec<_> =
        listed["environments"].as_array().unwrap().iter().map(|row| row["runs"].as_u64().unwrap()).collect();
    assert_eq!((listed["schema"].as_str(), runs), (Some("aseptic.env-runs/1"), vec![1, 2]));

    world.ok(&["gc", "--now", "--quiet"]);
    let first = record["run"].as_str().unwrap();
    assert_eq!(
        world.json(&["env", "list", first, "--json"])["environment"],
        shown["environment"],
        "it is kept"
    );
    fs::remove_file(world.path("state/projects/p/inventories")).unwrap();
    assert_eq!(run(&world)["inventory"], other["inventory"], "the hint may be lost");
    fs::write(world.path("state/projects/p/inventories"), "nonsense").unwrap();
    assert_eq!(run(&world)["inventory"], other["inventory"], "or damaged");
    world.ok(&["ledger", "verify"]);
}

#[test]
fn a_hint_to_an_inventory_that_is_gone_is_no_inventory() {
    let world = world();
    let first = run(&world);
    let hints = world.path("state/projects/p/inventories");
    let text = fs::read_to_string(&hints).unwrap();
    let digest = first["inventory"].as_str().unwrap();
    fs::write(&hints, text.replace(digest, &"0".repeat(64))).unwrap();
    assert_eq!(run(&world)["inventory"].as_str(), Some(digest));
}

#[test]
fn what_differs_between_two_environments() {
    let world = world();
    install(&world, "alpha", "1.0", "License-Expression: MIT");
    install(&world, "beta", "1.0", "");
    install(&world, "gone", "1.0", "");
    run(&world);
    assert!(world.ok(&["env", "diff", "latest", "now"]).starts_with("no difference"));
    uninstall(&world, "alpha", "1.0");
    install(&world, "alpha", "1.1", "License-Expression: Apache-2.0");
    uninstall(&world, "gone", "1.0");
    install(&world, "new", "3.0", "");
    let description = site(&world).join("beta-1.0.dist-info");
    fs::write(description.join("RECORD"), "beta.py,sha256=other,4\n").unwrap();
    fs::write(description.join("INSTALLER"), "uv\n").unwrap();
    let diff = world.json(&["env", "diff", "latest", "now", "--json"]);
    let changes: Vec<_> = diff["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| format!("{} {}", change["name"].as_str().unwrap(), change["aspects"]))
        .collect();
    let expected = ["alpha [\"version\",\"licence\"]", "beta [\"files\",\"installer\"]", "gone []", "new []"];
    assert_eq!(changes, expected);
    assert_eq!((&diff["facts"], &diff["equal"]), (&Value::Array(Vec::new()), &Value::Bool(false)));
    let text = world.ok(&["env", "diff", "latest", "now"]);
    for line in ["~ alpha: version 1.0 -> 1.1, licence MIT -> Apache-2.0", "- gone 1.0", "+ new 3.0"] {
        assert!(text.contains(line), "{text}");
    }
    let config = world.path("env/pyvenv.cfg");
    let other = fs::read_to_string(&config).unwrap().replace("3.11.7", "3.11.8");
    fs::write(&config, other).unwrap();
    assert!(world.ok(&["env", "diff", "latest", "now"]).contains("~ python: 3.11.7 -> 3.11.8"));
    let denied = world.run(&["env", "diff", "nothing", "now"]);
    assert!(denied.contains("exit: 2") && denied.contains("help: "), "{denied}");
}

#[test]
fn what_stands_out_is_shown_before_and_after_a_run() {
    let world = world();
    install(&world, "alpha", "1.0", "");
    install(&world, "beta", "1.0", "");
    world.write("requirements.txt", "# what we need\nalpha>=0.9\nbeta==2.0\n");
    let expected = ["unpinned alpha requirements.txt:2", "differs-from-pin beta requirements.txt:3"];
    assert_eq!(findings(&world.json(&["plan", "train", "--json"])), expected);
    let text = world.ok(&["plan", "train"]);
    assert!(text.contains("warning unpinned: alpha (requirements.txt:2)"), "{text}");
    let first = run(&world);
    assert_eq!(findings(&world.json(&["env", "list", "latest", "--json"])), expected);
    assert_eq!(findings(&world.json(&["env", "list", "--json"])), expected);

    uninstall(&world, "alpha", "1.0");
    install(&world, "alpha", "1.2", "");
    world.write("requirements.txt", "alpha==1.2\nbeta==1.0\n");
    let changed = format!("changed-since alpha run {}", first["run"].as_str().unwrap());
    assert_eq!(
        findings(&world.json(&["env", "list", "--experiment", "train", "--json"])),
        std::slice::from_ref(&changed)
    );
    run(&world);
    assert_eq!(
        findings(&world.json(&["env", "list", "latest", "--json"])),
        [changed],
        "since the run before"
    );
    let of_first = world.json(&["env", "list", first["run"].as_str().unwrap(), "--json"]);
    assert_eq!(findings(&of_first), expected, "what it had then");
    run(&world);
    assert_eq!(findings(&world.json(&["env", "list", "latest", "--json"])), [""; 0]);
}

#[test]
fn what_is_not_pinned_is_labelled() {
    let world = world();
    install(&world, "one", "1.0", "");
    let planned = |options: &[&str]| world.ok(&[&["plan", "train"], options].concat());
    let text = planned(&[]);
    let reason = "the code is not pinned: ";
    assert!(text.contains(reason) && !text.contains("unpinned-environment"), "{text}");
    assert!(!planned(&["--no-code"]).contains("not pinned"));
    fs::remove_file(site(&world).join("one-1.0.dist-info/RECORD")).unwrap();
    let text = planned(&["--no-code"]);
    assert!(text.contains("/env` is not pinned: "), "{text}");
    assert!(text.contains("unpinned-environment") && !text.contains("dirty-code"), "{text}");
    install(&world, "one", "1.0", "");
    fs::write(site(&world).join("ours.pth"), "/home/ada/ours\n").unwrap();
    let text = planned(&["--no-code"]);
    assert!(text.contains("/env` is not pinned: "), "{text}");
    // They flow to what comes of the run.
    let (_, record) = world.run_json(&["train"]);
    assert_eq!(record["labels"], serde_json::json!(["dirty-code", "unpinned-environment"]));
}

#[test]
fn files_that_are_not_as_they_were_installed() {
    let world = world();
    install(&world, "alpha", "1.0", "");
    install(&world, "beta", "1.0", "");
    let text = world.ok(&["env", "verify"]);
    assert!(text.contains("every file with a digest is as it was installed"), "{text}");
    fs::write(site(&world).join("alpha.py"), "two\n").unwrap();
    fs::remove_file(site(&world).join("beta.py")).unwrap();
    fs::write(site(&world).join("planted.py"), "").unwrap();
    let output = world.output(&["env", "verify", "--json"]);
    assert_eq!(output.status.code(), Some(4));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let site = site(&world).display().to_string();
    let mut found = findings(&document);
    found.sort();
    let expected = [
        format!("missing-file beta {site}/beta.py"),
        format!("modified alpha {site}/alpha.py"),
        format!("unlisted planted.py {site}/planted.py"),
    ];
    assert_eq!(found, expected);
    assert_eq!((&document["intact"], document["files"].as_u64()), (&Value::Bool(false), Some(1)));
}

#[test]
fn a_list_of_files_cannot_make_verify_read_elsewhere() {
    let world = world();
    install(&world, "alpha", "1.0", "");
    let record = format!(
        "../../../../user/secret,sha256={ONE},4\n/etc/passwd,sha256={ONE},4\n/dev/zero,sha256={ONE},4\n"
    );
    fs::write(site(&world).join("alpha-1.0.dist-info/RECORD"), record).unwrap();
    fs::remove_file(site(&world).join("alpha.py")).unwrap();
    let document = world.json(&["env", "verify", "--json"]);
    assert_eq!(document["files"].as_u64(), Some(0));
    assert_eq!(findings(&document).len(), 3);
    assert!(findings(&document).iter().all(|one| one.starts_with("unreadable alpha ")), "{document}");
}

#[test]
fn names_of_packages_are_no_escape_sequences() {
    let world = world();
    install(&world, "evil", "1\u{1b}[2J", "License: \u{1b}]0;title\u{7}");
    world.write("requirements.txt", "alpha\u{1b}[31m\n");
    run(&world);
    for arguments in [
        &["env", "list", "latest", "--licences"][..],
        &["env", "list"],
        &["env", "diff", "latest", "now"],
        &["plan", "train"],
        &["env", "list", "--runs"],
    ] {
        let output = world.output(arguments);
        let bytes = [output.stdout, output.stderr].concat();
        assert!(!bytes.contains(&0x1b) && !bytes.contains(&7), "{arguments:?}");
    }
}

#[test]
fn a_run_that_goes_on_or_was_killed_has_what_its_plan_says() {
    let world = world();
    install(&world, "alpha", "1.0", "License-Expression: MIT");
    let mut supervisor = world.command(&["run", "--quiet", "train", "--", "sleep", "600"]).spawn().unwrap();
    let started = || {
        let runs = world.json(&["runs", "--json"]);
        runs["runs"][0]["status"] == "running"
            && world.path("state/runs/p").read_dir().unwrap().next().is_some()
    };
    wait_until("the run goes on", started);
    let unknown = |document: &Value| document["unknown"][0].as_str().unwrap_or_default().to_owned();
    let shown = world.json(&["env", "list", "latest", "--json"]);
    assert!(unknown(&shown).starts_with("it goes on"), "{shown}");
    assert_eq!(shown["environment"]["packages"][0]["licence"], Value::Null);
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    wait_until("it is sealed", || world.json(&["runs", "--json"])["runs"][0]["status"] == "aborted");
    let shown = world.json(&["env", "list", "latest", "--json"]);
    assert!(unknown(&shown).starts_with("it has no inventory"), "{shown}");
    let diff = world.json(&["env", "diff", "latest", "now", "--json"]);
    assert_eq!(diff["equal"], true, "what the plan does not say is no difference: {diff}");
    assert!(unknown(&diff).contains("it has no inventory"), "{diff}");
}

#[test]
fn an_environment_that_is_none_is_an_error() {
    let world = world();
    let error = world.run(&["env", "list", "--experiment", "other"]);
    assert!(error.contains("exit: 2") && error.contains("code: spec/experiment"), "{error}");
    let two = "[project]\nname = \"p\"\n[experiment.a]\ncommand = [\"a\"]\nenv = { python = \"x\" }\n\
               [experiment.b]\ncommand = [\"b\"]\nenv = { python = \"y\" }\n";
    world.write("aseptic.toml", two);
    let error = world.run(&["env", "list"]);
    assert!(error.contains("name one with `--experiment NAME`"), "{error}");
    let error = world.run(&["env", "list", "--experiment", "a"]);
    assert!(error.contains("code: environment/python"), "{error}");
    world.write("aseptic.toml", "[project]\nname = \"p\"\n");
    let error = world.run(&["env", "verify"]);
    assert!(error.contains("exit: 2") && error.contains("code: environment/none"), "{error}");
    assert!(world.ok(&["env", "list"]).contains("python   none"));
}

#[test]
fn a_bill_of_materials_has_licences() {
    let world = world();
    install(&world, "alpha", "1.0", "License: MIT License");
    run(&world);
    world.ok(&["attest", "export", "latest", "--as", "cyclonedx", "--out", "bom.json"]);
    let bom: Value = serde_json::from_slice(&fs::read(world.path("project/bom.json")).unwrap()).unwrap();
    let library = bom["components"].as_array().unwrap().iter().find(|one| one["name"] == "alpha").unwrap();
    assert_eq!(library["licenses"][0]["expression"], "MIT");
}

#[test]
fn an_archive_of_a_run_has_its_inventory() {
    let world = world();
    install(&world, "alpha", "1.0", "");
    let record = run(&world);
    world.ok(&["archive", "run:latest", "../backup"]);
    let (digest, files) = (record["inventory"].as_str().unwrap(), contents(&world.path("backup")));
    let named = files.iter().filter(|(_, bytes, _)| String::from_utf8_lossy(bytes).contains(digest));
    assert!(named.count() > 0, "its list names it");
}

/// The page has each kind of finding, and no other.
#[test]
fn the_page_lists_every_kind_of_finding() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/environment.md");
    let text = fs::read_to_string(page).unwrap();
    let rows: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | ")).collect();
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|(_, rest)| ["note", "warning", "error"].iter().any(|word| rest.starts_with(word)))
        .collect();
    let listed: Vec<_> = rows.iter().map(|(code, rest)| (*code, rest.split(' ').next().unwrap())).collect();
    let known: Vec<_> =
        FindingCode::ALL.iter().map(|code| (code.as_str(), code.severity().as_str())).collect();
    assert_eq!(listed, known);
}
