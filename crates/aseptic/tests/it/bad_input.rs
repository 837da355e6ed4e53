//! Mistakes, hostile files and full disks: a clear error or a clean result, and nothing sealed is harmed.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use insta::assert_snapshot;

use crate::world::{World, is_root, wait_until};

const SPEC: &str = "[project]\nname = \"p\"\n\n[experiment.train]\n";

#[test]
fn an_unknown_key() {
    let world = World::new();
    world.write("aseptic.toml", format!("{SPEC}comand = [\"true\"]\n"));
    assert_snapshot!(world.run(&["run", "train"]), @r#"
    exit: 125
    --- stdout
    --- stderr
    error: aseptic.toml:5:1: unknown key `comand` in [experiment.train]
       |
     5 | comand = ["true"]
       | ^^^^^^
      help: did you mean `command`?
      code: spec/unknown-key
    "#);
}

#[test]
fn a_mistake_in_a_spec_is_shown_where_it_is() {
    let world = World::new();
    let mut text = String::new();
    for line in [
        "network = [\"a.example:443\", \"http://b.example\"]",
        "limits = { memory = \"lots\\u001b[31m\" }",
        "data = { train = \"digits",
        "labels = \"release\"",
        "keep = \"\u{202e}some\u{85}\" # über \u{9b}31m",
    ] {
        world.write("aseptic.toml", format!("{SPEC}command = [\"true\"]\n{line}\n"));
        let shown = world.run(&["plan", "train"]);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        text.push_str(&shown);
    }
    assert_snapshot!(text);
    let mut other = world.command(&["plan", "train", "--json"]);
    fs::create_dir(world.path("project/below")).unwrap();
    let output = other.current_dir(world.path("project/below")).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let spec = world.path("project/aseptic.toml");
    assert_eq!(document["at"], serde_json::json!({ "path": spec, "line": 6, "column": 8 }));
}

#[test]
fn a_missing_dataset() {
    let world = World::new();
    assert_snapshot!(world.run(&["run", "--data", "train=digits", "--", "true"]), @r"
    exit: 125
    --- stdout
    --- stderr
    error: input `train`: project `default` has no dataset `digits`
      help: `aseptic dataset list` shows those there are; add one with `aseptic dataset add PATH --name NAME`, or name its project with `--project`
      code: plan/input
    ");
    assert_snapshot!(world.run(&["dataset", "verify", "digits@2"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: project `default` has no dataset `digits@2`
      help: `aseptic dataset list` shows those there are; add one with `aseptic dataset add PATH --name NAME`, or name its project with `--project`
      code: dataset/missing
    ");
}

#[test]
fn an_unreadable_file() {
    let world = World::new();
    let path = world.write("d/secret.csv", "1");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let output = world.run(&["dataset", "add", "d", "--name", "d"]);
    if is_root() {
        assert!(output.starts_with("exit: 0"), "nothing is unreadable to root: {output}");
    } else {
        assert!(output.starts_with("exit: 2"), "{output}");
        assert!(output.contains("secret.csv") && output.contains("Permission denied"), "{output}");
        assert!(world.ok(&["dataset", "list"]).is_empty());
    }
    assert_snapshot!(world.run(&["dataset", "add", "nowhere", "--name", "d"]).lines().next().unwrap(), @"exit: 2");
}

#[test]
fn links_out_of_the_tree_and_special_files() {
    let world = World::new();
    world.write("links/a", "1");
    symlink("../../user", world.path("project/links/out")).unwrap();
    let output = world.run(&["dataset", "add", "links", "--name", "d"]);
    assert!(output.starts_with("exit: 2") && output.contains("`out`") && output.contains("link"), "{output}");
    world.write("pipes/a", "1");
    assert!(Command::new("mkfifo").arg(world.path("project/pipes/fifo")).status().unwrap().success());
    let output = world.run(&["dataset", "add", "pipes", "--name", "d"]);
    assert!(output.starts_with("exit: 2") && output.contains("`fifo`"), "{output}");
    // In the code such things are no reason to stop: a link dangles in the run, a FIFO is left out.
    let seen = world.shell("cat links/out/x 2>/dev/null; ls pipes; readlink links/out");
    assert_eq!(seen, "a\n../../user\n");
}

#[test]
fn names_of_any_bytes() {
    let world = World::new();
    world.write("d/new\nline", "1");
    let latin = world.path("project/d").join(OsStr::from_bytes(b"caf\xe9"));
    fs::write(latin, "2").unwrap();
    world.ok(&["dataset", "add", "d", "--name", "odd"]);
    let script = "cat /data/d/*; cp /data/d/* /out/";
    let (code, run) = world.run_json(&["--data", "d=odd", "--no-code", "--", "sh", "-c", script]);
    assert_eq!(code, 0);
    let outputs: Vec<_> = run["outputs"].as_array().unwrap().iter().map(|output| &output["path"]).collect();
    assert_eq!(outputs, ["out/caf\\xe9", "out/new\\x0aline"]);
    assert_eq!(run["lineage"]["read"]["d"], serde_json::json!(["caf\\xe9", "new\\x0aline"]));
    world.ok(&["export", "latest/out", "--to", "back"]);
    assert_eq!(fs::read(world.path("project/back").join(OsStr::from_bytes(b"caf\xe9"))).unwrap(), b"2");
    let argument = OsString::from_vec(b"caf\xe9".to_vec());
    let output = world.output(&[OsStr::new("run"), OsStr::new("--"), OsStr::new("echo"), &argument]);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
}

#[test]
fn a_command_that_does_not_exist() {
    let world = World::new();
    assert_snapshot!(world.run(&["run", "--", "no-such-program"]), @r"
    exit: 127
    --- stdout
    --- stderr
    run [run]  plan [short]  no-such-program
    failed: could not execute `no-such-program` in the run: No such file or directory (os error 2) after [duration] ([duration] of aseptic's own)  run [run]
      kept 0 files, 0 B; `aseptic show [run]` has everything
      help: `aseptic run --explain -- no-such-program` shows what the run was denied and what would allow it
    ");
    world.write("script.sh", "#!/bin/sh\n");
    let output = world.output(&["run", "--", "./script.sh"]);
    assert_eq!(output.status.code(), Some(126), "not executable: {output:?}");
    world.assert_no_leftovers();
}

#[test]
fn a_spec_of_ten_megabytes() {
    let world = World::new();
    world.write("aseptic.toml", vec![b'#'; 10_000_000]);
    assert_snapshot!(world.run(&["plan", "train"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: aseptic.toml: the spec has 10000000 bytes, and at most 1048576 are read
      help: keep data out of the spec; name it under `data`
      code: spec/too-large
    ");
}

#[test]
fn what_cannot_be_enforced_is_denied() {
    let world = World::new();
    let (code, run) = world.run_json(&["--accept", "wall", "--", "true"]);
    assert_eq!(code, 126);
    assert_eq!(run["status"], "denied");
    let rules: Vec<_> = run["denied"].as_array().unwrap().iter().map(|denied| &denied["action"]).collect();
    assert_eq!(rules, ["accept/unknown"]);
    let (code, run) = world.run_json(&["--limit", "memory=4GiB", "--accept", "memory", "--", "true"]);
    assert_eq!((code, &run["status"]), (0, &"succeeded".into()));
    let wall = run["walls"].as_array().unwrap().iter().find(|wall| wall["name"] == "limit: memory").unwrap();
    assert_eq!(wall["state"], "done", "what can be enforced is");
    let statuses: Vec<_> = world.json(&["runs", "--json"])["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["status"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(statuses, ["succeeded", "denied"]);
}

#[test]
fn a_home_directory_is_no_code() {
    let world = World::new();
    let output = world.command(&["run", "--", "true"]).current_dir(world.path("user")).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--no-code"), "{output:?}");
}

#[test]
fn two_runs_at_once() {
    let world = World::new();
    world.write("d/x", "1");
    world.ok(&["dataset", "add", "d", "--name", "d"]);
    let script = "cat /data/d/x; echo $ASEPTIC_RUN_ID > /out/id; echo $ASEPTIC_RUN_ID > /work/id";
    let children: Vec<_> = (0..8)
        .map(|_| {
            world.command(&["run", "--quiet", "--data", "d=d", "--", "sh", "-c", script]).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let runs = world.json(&["runs", "--json"]);
    let runs = runs["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 8);
    for run in runs {
        let id = run["run"].as_str().unwrap();
        let to = format!("exported/{id}");
        world.ok(&["export", id, "--to", &to]);
        for name in ["out/id", "work/id"] {
            let text = fs::read_to_string(world.path("project").join(&to).join(name)).unwrap();
            assert_eq!(text.trim(), id);
        }
    }
    assert!(world.ok(&["ledger", "verify"]).starts_with("verified 42 entries"));
    world.assert_no_leftovers();
}

#[test]
fn many_imports_at_once_in_an_empty_home() {
    let world = World::new();
    for number in 0..8 {
        world.write(&format!("d{number}/x"), number.to_string());
    }
    let children: Vec<_> = (0..8)
        .map(|number| {
            world.command(&["dataset", "add", &format!("d{number}"), "--name", "d"]).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let versions = world.json(&["dataset", "show", "d", "--json"]);
    let versions: Vec<_> =
        versions["versions"].as_array().unwrap().iter().map(|row| row["version"].as_u64()).collect();
    assert_eq!(versions, (1..=8).rev().map(Some).collect::<Vec<_>>(), "no gap and no double");
}

#[test]
fn labels_are_not_lost_by_importing_again() {
    let world = World::new();
    world.write("d/x", "1");
    world.ok(&["dataset", "add", "d", "--name", "d", "--label", "pii"]);
    assert!(world.ok(&["dataset", "add", "d", "--name", "d"]).starts_with("unchanged"));
    world.ok(&["dataset", "add", "d", "--name", "other"]);
    let other = world.json(&["dataset", "show", "other", "--json"]);
    assert_eq!(other["versions"][0]["labels"], serde_json::json!(["pii"]), "not under another name either");
    world.write("d/x", "2");
    world.ok(&["dataset", "add", "d", "--name", "d", "--label", "holdout"]);
    let versions = world.json(&["dataset", "show", "d", "--json"]);
    assert_eq!(versions["versions"][0]["labels"], serde_json::json!(["holdout", "pii"]));
}

#[test]
fn a_python_environment_around_the_code_is_refused() {
    let world = World::new();
    world.write(".gitignore", ".env\n");
    world.write(".env", "TOKEN=sesame");
    let project = world.path("project");
    let made = Command::new("/usr/bin/python3").args(["-m", "venv", "--without-pip"]).arg(&project).output();
    assert!(made.unwrap().status.success());
    let output = world.run(&["run", "--python", ".", "--", "true"]);
    assert!(output.starts_with("exit: 125") && output.contains("environment/too-wide"), "{output}");
}

#[test]
fn a_state_that_every_run_would_see_is_refused() {
    let world = World::new();
    let output = world.command(&["runs"]).env("ASEPTIC_HOME", "/usr/share").output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
}

#[test]
fn a_number_that_json_would_change_is_refused() {
    let world = World::new();
    assert!(
        world.run(&["plan", "--param", "seed=18446744073709551616", "--", "true"]).starts_with("exit: 2")
    );
    let output = world.run(&["plan", "--param", "seed=9007199254740993", "--", "true"]);
    assert!(output.starts_with("exit: 2") && output.contains("`seed`"), "{output}");
}

#[test]
fn a_repository_made_by_a_run_is_not_exported() {
    let world = World::new();
    let script = "mkdir -p /out/.git/hooks /out/fine && echo x > /out/.git/hooks/post-checkout && echo 1 > /out/fine/a";
    world.shell(script);
    let output = world.run(&["export", "latest", "--to", "."]);
    assert!(output.starts_with("exit: 2") && output.contains("export/repository"), "{output}");
    assert!(!world.path("project/out").exists());
    world.ok(&["export", "latest/out/fine", "--to", "there"]);
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let world = World::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = world.command(&["runs", "--json"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let mut command = world.command(&["runs"]);
    assert!(command.env("ASEPTIC_HOME", "").output().unwrap().status.success(), "an empty variable is unset");
}

#[test]
fn many_names_of_one_file_are_read_once() {
    let world = World::new();
    let names = "import os
open('/out/a', 'wb').write(os.urandom(1 << 20))
for n in range(3000): os.link('/out/a', f'/out/{n}')";
    let (_, run) = world.run_json(&["--no-code", "--", "/usr/bin/python3", "-c", names]);
    let outputs = run["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 3001);
    assert!(outputs.iter().all(|output| output["blake3"] == outputs[0]["blake3"]));
    let (code, _) = world.run_json(&["--env", "ASEPTIC_RUN_ID=fake", "--", "true"]);
    assert_eq!(code, 125, "variables that say what the run is are not the spec's");
}

#[test]
fn a_sparse_file_of_terabytes_is_not_kept() {
    let world = World::new();
    let (code, run) =
        world.run_json(&["--no-code", "--", "sh", "-c", "truncate -s 10T /out/huge; ln -s /etc /out/l"]);
    assert_eq!(code, 0);
    assert_eq!(run["skipped"][0]["path"], "out/huge");
    assert_eq!(run["links"], serde_json::json!([{ "path": "out/l", "target": "/etc" }]));
}

#[test]
fn a_second_command_during_an_import() {
    let world = World::new();
    for number in 0..2_000 {
        world.write(&format!("big/{number}"), number.to_string().repeat(100));
    }
    let mut import = world.command(&["dataset", "add", "big", "--name", "big"]).spawn().unwrap();
    wait_until("the store is there", || world.path("state/projects/default/store/tmp").exists());
    world.shell("echo meanwhile");
    assert!(import.wait().unwrap().success());
    assert_eq!(world.json(&["dataset", "list", "--json"])["versions"][0]["files"], 2_000);
}

#[test]
fn a_job_that_forks_without_end() {
    let world = World::new();
    let bomb = "import os
while True:
    try: os.fork()
    except OSError: pass";
    let limits = ["--limit", "wall=1500ms", "--limit", "grace=200ms", "--limit", "processes=64"];
    let (_, run) =
        world.run_json(&[&limits[..], &["--no-code", "--", "/usr/bin/python3", "-c", bomb]].concat());
    assert_eq!(run["status"], "timed-out", "{run:#}");
    assert!(run["reason"].as_str().unwrap().starts_with("wall-clock limit"), "{run:#}");
    world.assert_no_leftovers();
    assert_eq!(world.shell("echo alive"), "alive\n");
}

/// Runs a script with `$STATE` on a file system of `size`, in namespaces of its own.
pub(crate) fn on_small_disk(world: &World, size: &str, script: &str) -> String {
    let program =
        std::env::var_os("NEXTEST_BIN_EXE_aseptic").unwrap_or_else(|| env!("CARGO_BIN_EXE_aseptic").into());
    let whole = format!(
        "mkdir small && mount -t tmpfs -o size={size} none small && export ASEPTIC_HOME=$PWD/small/state && {script}"
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-current-user", "--keep-caps", "--mount", "sh", "-c", &whole])
        .current_dir(world.path("project"))
        .env("A", program)
        .env("HOME", world.path("user"))
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_full_disk_during_an_import() {
    let world = World::new();
    world.write("small-data/x", "1");
    world.write("data/big", vec![7; 12 << 20]);
    let script = "$A dataset add small-data --name kept; $A dataset add data --name big; echo code $?; $A dataset list; \
                  $A dataset verify kept; $A ledger verify --quiet";
    let seen = on_small_disk(&world, "8m", script);
    assert!(seen.contains("code 5") && seen.contains("free"), "{seen}");
    assert!(seen.contains("verified kept@1") && seen.contains("verified 1 entries"), "{seen}");
    assert!(!seen.contains("big@1"), "{seen}");
}

#[test]
fn a_job_that_fills_its_scratch() {
    let world = World::new();
    let script = "$A run --no-code -- sh -c 'echo first > /out/first'; \
                  $A run --no-code --limit wall=60s -- sh -c 'echo kept > /out/kept; cat /dev/zero > /tmp/fill; exit 1'; echo code $?; \
                  $A run --no-code --limit wall=60s -- sh -c 'cat /dev/zero > /out/fill; exit 1'; echo code $?; \
                  $A runs; $A ledger verify --quiet; $A export latest --to there; ls -d small/state/runs/default/*";
    let seen = on_small_disk(&world, "24m", script);
    assert!(!seen.contains("\nerror:"), "{seen}");
    assert_eq!(seen.matches("failed: the disk is almost full").count(), 2, "{seen}");
    assert!(seen.contains("verified 13 entries"), "{seen}");
}
