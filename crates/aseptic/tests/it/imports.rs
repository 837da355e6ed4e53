//! Imports that take long.

use std::fs::File;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::world::{World, wait_until};

#[test]
fn a_stopped_import_says_so_and_goes_on_another_time() {
    let world = World::new();
    let large = world.write("d/large", "");
    // It takes long to read, and nothing to store.
    let file = File::options().write(true).open(large).unwrap();
    file.set_len(1 << 40).unwrap();
    for (signal, json) in [("-INT", false), ("-TERM", false), ("-INT", true)] {
        let mut arguments = vec!["dataset", "add", "d", "--name", "d"];
        arguments.extend(json.then_some("--json"));
        let mut command = world.command(&arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        // Both signals are caught when the last of them is: SIGHUP is bit 0, SIGINT 1, SIGTERM 14.
        wait_until("the signals are caught", || {
            let status = std::fs::read_to_string(&status).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(caught.trim(), 16).unwrap() & 0x4003 == 0x4003
        });
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        let expected = "error: the import was stopped before its end\n  \
                        help: run the same command again: it goes on where it was\n  code: store/interrupted\n";
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
        if json {
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(document["code"], "store/interrupted");
        }
    }
    file.set_len(5).unwrap();
    assert!(world.ok(&["dataset", "add", "d", "--name", "d", "--paranoid"]).contains("added d@1"));
}

#[test]
fn the_state_of_aseptic_is_no_dataset() {
    let world = World::new();
    world.write("d/x", "1");
    world.ok(&["dataset", "add", "d", "--name", "d"]);
    let state = world.path("state");
    let inside = state.join("ledger");
    let above = state.parent().unwrap();
    std::os::unix::fs::symlink(&state, world.path("project/link")).unwrap();
    for path in [state.as_path(), &inside, above, "link".as_ref(), &inside.join("key")] {
        let path = path.to_str().unwrap();
        let said = world.run(&["dataset", "add", path, "--name", "self"]);
        assert!(said.starts_with("exit: 2\n") && said.contains("code: dataset/state"), "{said}");
    }
    let listed = world.json(&["dataset", "list", "--json"]);
    assert_eq!(listed["versions"].as_array().unwrap().len(), 1, "{listed:#}");
}

#[test]
fn verification_names_every_damaged_file_and_paranoid_and_restore_repair_it() {
    let world = World::new();
    for number in 0..5 {
        world.write(&format!("d/{number}"), format!("number {number}"));
    }
    world.ok(&["dataset", "add", "d", "--name", "d"]);
    let place = world.path("place").display().to_string();
    world.ok(&["archive", "d", &place]);
    let damage = || {
        for number in 0..5 {
            let digest = aseptic_model::Digest::of(format!("number {number}").as_bytes()).to_string();
            let object = world.path("state/projects/default/store/objects").join(&digest[..2]).join(&digest);
            std::fs::remove_file(&object).unwrap();
            std::fs::write(object, "something").unwrap();
        }
    };
    for repair in [vec!["dataset", "add", "d", "--name", "d", "--paranoid"], vec!["restore", &place]] {
        damage();
        let output = world.output(&["dataset", "verify", "d", "--json"]);
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let causes: Vec<String> = (0..5).map(|number| format!("`{number}`: other content")).collect();
        assert_eq!(document["causes"], serde_json::json!(causes));
        world.ok(&repair);
        world.ok(&["dataset", "verify", "d"]);
    }
}
