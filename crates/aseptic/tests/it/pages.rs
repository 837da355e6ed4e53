//! What the pages show is what there is: their specs are plans, their commands are carried out.

use std::fs;
use std::path::Path;

use crate::witness::Served;
use crate::world::World;

/// Blocks of this language on a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    // The directory at run time: an archive of tests runs elsewhere than where it was built.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let text = fs::read_to_string(Path::new(&root).join("../..").join(page)).unwrap();
    let start = format!("```{language}\n");
    let end = |block: &str| block.split("```").next().unwrap().to_owned();
    text.split(&start).skip(1).map(end).collect()
}

/// The words of each command, none of which is quoted.
fn commands(block: &str) -> Vec<Vec<String>> {
    let line = |line: &str| line.split('#').next().unwrap().split_whitespace().map(str::to_owned).collect();
    block
        .lines()
        .map(line)
        .filter(|words: &Vec<String>| words.first().is_some_and(|word| word == "aseptic"))
        .collect()
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
    let shell = |script: &str| {
        let script = format!("aseptic() {{ \"$ASEPTIC\" \"$@\"; }}\n{script}");
        let aseptic = world.command::<&str>(&[]);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-euc", &script]).env("ASEPTIC", aseptic.get_program());
        shell.envs(aseptic.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = shell.current_dir(world.path("project")).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
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
        let aseptic = world.command::<&str>(&[]);
        let script = format!("aseptic() {{ \"$ASEPTIC\" \"$@\"; }}\n{block}");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-euc", &script]).env("ASEPTIC", aseptic.get_program());
        shell.envs(aseptic.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = shell.current_dir(world.path("project")).output().unwrap();
        assert!(output.status.success(), "{block}{output:?}");
    }
    let page = blocks("docs/attestations.md", "sh").concat();
    for format in ["slsa", "in-toto", "oms", "cyclonedx", "ro-crate", "croissant", "openlineage"] {
        assert!(page.contains(&format!("--as {format}")), "{format}");
    }
}
