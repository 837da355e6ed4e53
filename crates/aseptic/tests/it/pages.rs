//! What the pages show is what there is: their specs are plans, their commands are carried out.

use std::fs;
use std::path::Path;

use crate::witness::Served;
use crate::world::World;

/// Blocks of this language on a page.
pub(crate) fn blocks(page: &str, language: &str) -> Vec<String> {
    // The directory at run time: an archive of tests runs elsewhere than where it was built.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let text = fs::read_to_string(Path::new(&root).join("../..").join(page)).unwrap();
    let start = format!("```{language}\n");
    let end = |block: &str| block.split("```").next().unwrap().to_owned();
    text.split(&start).skip(1).map(end).collect()
}

/// The words of each command, none of which is quoted.
pub(crate) fn commands(block: &str) -> Vec<Vec<String>> {
    let line = |line: &str| line.split('#').next().unwrap().split_whitespace().map(str::to_owned).collect();
    block
        .lines()
        .map(line)
        .filter(|words: &Vec<String>| words.first().is_some_and(|word| word == "aseptic"))
        .collect()
}

/// Carries out `script` in a shell that knows the command `aseptic`, which must succeed; what it printed.
pub(crate) fn shell(world: &World, script: &str) -> String {
    let aseptic = world.command::<&str>(&[]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-euc", &format!("aseptic() {{ \"$ASEPTIC\" \"$@\"; }}\n{script}")]);
    shell.env("ASEPTIC", aseptic.get_program()).stdin(std::process::Stdio::null());
    shell.envs(aseptic.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.current_dir(world.path("project")).output().unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_first_list_of_a_network() {
    let world = World::new();
    world.write(
        "fetch.py",
        "import socket
try:
    socket.create_connection(('files.example.org', 8080))
except OSError as error:
    print(error)
",
    );
    let block = blocks("docs/network.md", "sh").remove(0);
    let commands = commands(&block);
    assert_eq!(commands.len(), 3, "{block}");
    for words in &commands {
        world.ok(&words[1..]);
    }
    let spec = fs::read_to_string(world.path("project/aseptic.toml")).unwrap();
    assert!(spec.contains("network = [\"files.example.org:8080\"]"), "{spec}");
}

#[test]
fn how_long_bytes_are_kept() {
    let world = World::new();
    world.write("digits/a", "1");
    world.ok(&["dataset", "add", "digits", "--name", "digits"]);
    world.ok(&["run", "--quiet", "--data", "d=digits", "--", "true"]);
    let [first, second] = blocks("docs/retention.md", "sh").try_into().unwrap();
    let commands = commands(&first);
    assert_eq!(commands.len(), 6, "{first}");
    for words in &commands {
        world.ok(&words[1..]);
    }
    let script = format!("aseptic() {{ \"$ASEPTIC\" \"$@\"; }}\n{second}");
    let aseptic = world.command::<&str>(&[]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-euc", &script]).env("ASEPTIC", aseptic.get_program());
    shell.envs(aseptic.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.current_dir(world.path("project")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn where_something_came_from() {
    let world = World::new();
    world.write("digits/train.csv", "1");
    world.write(
        "aseptic.toml",
        "[project]\nname = \"p\"\n[experiment.train]\ncommand = [\"cp\", \"/data/d/train.csv\", \"/out/model\"]\n\
         data = { d = \"digits\" }\n",
    );
    world.ok(&["dataset", "add", "digits", "--name", "digits"]);
    world.ok(&["run", "--quiet", "train"]);
    let [block] = blocks("docs/lineage.md", "sh").try_into().unwrap();
    let commands = commands(&block);
    assert_eq!(commands.len(), 8, "{block}");
    for words in &commands {
        world.ok(&words[1..]);
    }
}

#[test]
fn the_specs_are_plans() {
    for (page, experiment) in [("docs/network.md", "fetch"), ("docs/spec.md", "train")] {
        let world = World::new();
        world.write("rows/a", "1");
        world.ok(&["dataset", "add", "rows", "--name", "digits-train", "--project", "digits"]);
        let spec = blocks(page, "toml").remove(0).replace("python = \".venv\", ", "");
        let project = if spec.contains("[project]") { "" } else { "[project]\nname = \"digits\"\n" };
        world.write("aseptic.toml", format!("{project}{spec}"));
        let plan = world.json(&["plan", "--json", experiment]);
        assert_eq!(plan["decision"]["outcome"], "allow", "{page}: {plan:#}");
    }
}

#[test]
fn the_commands_about_datasets() {
    let world = World::new();
    world.write("rows/a.csv", "1\n");
    world.write("rows-2/b.csv", "1\n");
    for block in blocks("docs/datasets.md", "sh") {
        for words in commands(&block) {
            world.ok(&words[1..]);
        }
    }
    let shared = world.ok(&["dataset", "show", "digits", "--project", "evaluation"]);
    assert!(shared.contains("project default: digits@2") && shared.contains("role = train"), "{shared}");
}

#[test]
fn the_commands_about_diff_and_replay() {
    let world = World::new();
    world.ok(&["run", "--quiet", "--", "sh", "-c", "echo 1 > /out/a"]);
    let mut count = 0;
    for page in ["docs/replay.md", "docs/diff.md"] {
        for words in blocks(page, "sh").iter().flat_map(|block| commands(block)) {
            world.ok(&words[1..]);
            count += 1;
        }
    }
    assert_eq!(count, 8);
}

#[test]
fn the_commands_about_archives() {
    let world = World::new();
    world.write("rows/a.csv", "1\n");
    for block in blocks("docs/archive.md", "sh") {
        for words in commands(&block) {
            world.ok(&words[1..]);
        }
    }
    let shown = world.ok(&["dataset", "show", "digits-copy"]);
    assert!(shown.contains("backup/digits-1") && shown.contains("public"), "{shown}");
    let log = world.ok(&["dataset", "log", "digits"]);
    assert!(log.contains("restored from file:") && log.contains("expired"), "{log}");
}

#[test]
fn the_commands_about_the_ledger() {
    let world = World::new();
    world.write("rows/a.csv", "1\n");
    let mut count = 0;
    for block in blocks("docs/ledger.md", "sh") {
        for words in commands(&block) {
            world.ok(&words[1..]);
            count += 1;
        }
    }
    assert_eq!(count, 16);
    let shown = world.ok(&["ledger", "show"]);
    assert!(shown.contains("[metadata.owner erased]") && !shown.contains("Ada"), "{shown}");
    for file in ["entries.jsonl", "entries.csv", "events.jsonl"] {
        assert!(world.path("project").join(file).exists(), "{file}");
    }
}

#[test]
fn the_commands_about_witnesses() {
    let world = World::new();
    world.ok(&["run", "--quiet", "--", "true"]);
    let shell = |script: &str| shell(&world, script);
    fs::copy(world.path("state/ledger/verifier"), world.path("project/verifier")).unwrap();
    let [key, ask, sign, take, serve, again, proofs] = blocks("docs/witness.md", "sh").try_into().unwrap();
    for block in [&key, &ask, &sign] {
        shell(block);
    }
    assert!(shell(&take).contains("witnessed: the first 6 of 6 entries"), "{take}");
    let [words] = commands(&serve).try_into().unwrap();
    let words: Vec<&str> = words[1..]
        .iter()
        .map(|word| match word.as_str() {
            "127.0.0.1:8080" => "127.0.0.1:0",
            word => word,
        })
        .collect();
    let served = Served::spawn(&mut world.command(&words), String::new());
    let verified = shell(&again.replace("http://127.0.0.1:8080", &served.url));
    assert!(verified.contains("witnessed: the first 8 of 8 entries"), "{verified}");
    let proven = shell(&proofs);
    assert!(proven.contains("\u{2014} vault.example ") && proven.contains("published 8 entries"), "{proven}");
}

#[test]
fn the_commands_about_attestations() {
    let world = World::new();
    world.write("rows/a.csv", "1\n");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    let script = "mkdir /out/model; cp /data/d/a.csv /out/model/weights; echo 1 > /out/metrics";
    world.ok(&["run", "--quiet", "--data", "d=digits", "--", "sh", "-c", script]);
    for block in blocks("docs/attestations.md", "sh") {
        shell(&world, &block);
    }
    let page = blocks("docs/attestations.md", "sh").concat();
    for format in ["slsa", "in-toto", "oms", "cyclonedx", "ro-crate", "croissant", "openlineage"] {
        assert!(page.contains(&format!("--as {format}")), "{format}");
    }
}

#[test]
fn the_commands_about_metrics() {
    let world = World::new();
    let program = blocks("docs/metrics.md", "python").remove(0);
    world.write("measure.py", program);
    let [block] = blocks("docs/metrics.md", "sh").try_into().unwrap();
    shell(&world, &block);
    assert!(world.path("project/measured.svg").exists());
    let series = &world.json(&["show", "latest", "--json"])["metrics"]["series"];
    assert_eq!((&series["loss"]["count"], &series["test/accuracy"]["count"]), (&100.into(), &100.into()));
}

/// Every command of `page`, one after the other, in a world where somebody works with the dataset `digits`.
fn follow(page: &str) -> (World, String) {
    let world = World::new();
    world.write("rows/a.csv", "1\n");
    world.write("rows/b.csv", "2\n");
    world.write("new-rows/a.csv", "3\n");
    let said = ["--label", "pii", "--licence", "MIT"];
    world.ok(&[&["dataset", "add", "rows", "--name", "digits"], &said[..]].concat());
    let script = "sed s/^/model-/ /data/d/a.csv > /out/model";
    world.ok(&["run", "--quiet", "--no-code", "--data", "d=digits", "--", "sh", "-c", script]);
    fs::copy(world.path("state/ledger/verifier"), world.path("project/verifier")).unwrap();
    let blocks = blocks(page, "sh");
    assert!(!blocks.is_empty(), "{page}");
    let said = shell(&world, &blocks.concat());
    (world, said)
}

#[test]
fn the_commands_about_quarantine() {
    let (world, said) = follow("docs/quarantine.md");
    assert!(said.contains("dataset:digits@1 reaches 1 run and 1 dataset version"), "{said}");
    assert!(said.contains("dataset:digits@1 is not in quarantine any more"), "{said}");
    let plan = world.run(&["plan", "--no-code", "--data", "d=digits", "--", "true"]);
    assert!(plan.starts_with("exit: 0"), "{plan}");
}

#[test]
fn the_commands_about_incidents() {
    let (world, said) = follow("docs/incidents.md");
    assert!(said.contains("1 runs have signed statements"), "{said}");
    assert!(world.path("project/evidence/report.html").exists());
    assert!(world.path("project/evidence-at-the-end/report.html").exists());
}

/// What each playbook leaves in quarantine, if anything.
#[test]
fn the_commands_of_every_playbook() {
    let kept = [
        ("compromised-host", Some("host:gpu-7")),
        ("erasure-request", Some("file:")),
        ("leaked-credential", Some("file:")),
        ("leaked-test-set", Some("dataset:digits")),
        ("non-reproducible-result", None),
        ("poisoned-file", Some("file:")),
        ("vulnerable-package", None),
    ];
    let root = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let pages = fs::read_dir(root.join("../../docs/playbooks")).unwrap().count();
    assert_eq!(pages, kept.len());
    for (name, object) in kept {
        let (world, _) = follow(&format!("docs/playbooks/{name}.md"));
        let listed = world.json(&["quarantine", "list", "--json"]);
        let left: Vec<_> = listed["quarantine"].as_array().unwrap().iter().collect();
        match object {
            None => assert!(left.is_empty(), "{name}: {left:?}"),
            Some(object) => {
                assert_eq!(left.len(), 1, "{name}");
                assert!(left[0]["object"].as_str().unwrap().starts_with(object), "{name}: {left:?}");
            }
        }
    }
}

#[test]
fn the_commands_about_searches() {
    let world = World::new();
    world.write("rows/a.csv", "1\n");
    world.ok(&["dataset", "add", "rows", "--name", "digits", "--label", "pii"]);
    world.ok(&["run", "--quiet", "--data", "digits=digits", "--param", "lr=0.001", "--", "true"]);
    for block in blocks("docs/search.md", "sh") {
        for line in block.lines() {
            shell(&world, line);
        }
    }
    let shown = world.ok(&["show", "first-try"]);
    assert!(shown.contains("trained before the fix") && !shown.contains("paper"), "{shown}");
}

/// The table of fields on the page is that of the program.
#[test]
fn the_page_about_searches_has_every_field() {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let page = fs::read_to_string(Path::new(&root).join("../../docs/search.md")).unwrap();
    for column in aseptic_runner::Column::ALL {
        assert!(page.contains(&format!("`{}`", column.as_str())), "{column:?}");
    }
}

#[test]
fn labels_flow_as_their_page_says() {
    let world = World::new();
    world.write("scans/rows", "2\n1\n");
    let blocks = blocks("docs/labels.md", "sh");
    assert_eq!(blocks.len(), 4);
    let said: Vec<_> = blocks.iter().map(|block| shell(&world, block)).collect();
    assert!(said[0].contains("scans@1 -> run:"), "{}", said[0]);
    assert!(said[1].contains("-pii") && said[1].contains("-region=eu"), "{}", said[1]);
    let runs = world.json(&["runs", "--json"]);
    assert_eq!(
        runs["runs"][1]["labels"],
        serde_json::json!(["dirty-code"]),
        "it read the count alone: {runs:#}"
    );
    assert!(said[3].contains("added results@1"), "{}", said[3]);
}

/// The file of the page is accepted with the key that its commands make, and these are carried out in their order.
#[test]
fn roles_are_written_and_signed() {
    let world = World::new();
    world.write("aseptic.toml", "[project]\nname = \"vision\"\n");
    let commands = commands(&blocks("docs/roles.md", "sh").remove(0));
    let [key, sign, check] = commands.as_slice() else { panic!("{commands:?}") };
    let signer = world.ok(&key[1..]);
    let file = blocks("docs/roles.md", "toml").remove(0);
    world.write("policy/roles.toml", file.replace("SIGNER", signer.trim()));
    world.ok(&sign[1..]);
    let checked = world.ok(&check[1..]);
    assert!(checked.starts_with("8 users have roles"), "{checked}");
    let note = fs::read_to_string(world.path("project/policy/roles.sig")).unwrap();
    assert!(note.starts_with("aseptic.roles/1\nvision\n"), "{note}");
}

#[test]
fn a_report_on_a_project() {
    let world = World::new();
    world.ok(&["run", "--quiet", "--", "true"]);
    let commands = commands(&blocks("docs/report.md", "sh").remove(0));
    assert_eq!(commands.len(), 4);
    for words in &commands {
        world.ok(&words[1..]);
    }
    assert!(world.path("project/report.html").exists() && world.path("project/since.md").exists());
}
