//! What the pages show is what there is: their specs are plans, their commands are carried out.

use std::fs;
use std::path::Path;

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
