//! The drill: every wall holds on this machine, a missing one is reported, and nothing is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use serde_json::Value;

use crate::world::{World, processes_with, wait_until};

/// Places where a drill puts files of its own outside of its directory.
const PLACES: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

fn attempts(report: &Value) -> &Vec<Value> {
    report["attempts"].as_array().unwrap()
}

fn texts<'a>(report: &'a Value, key: &str) -> BTreeSet<&'a str> {
    attempts(report).iter().map(|attempt| attempt[key].as_str().unwrap()).collect()
}

/// No directory, process or named object of a drill of this world.
fn assert_nothing_left(world: &World, drill: u32) {
    assert!(!world.path("state/drill").exists());
    let marker = world.path("").to_str().unwrap().to_owned();
    assert_eq!(processes_with(&marker), Vec::<String>::new());
    let name = format!("-{drill}");
    for place in PLACES {
        let left = fs::read_dir(place).unwrap().flatten().map(|entry| entry.file_name());
        let left = left.filter(|left| {
            let left = left.to_string_lossy();
            left.starts_with("aseptic-drill-") && left.ends_with(&name)
        });
        assert_eq!(left.count(), 0, "in {place}");
    }
    let keys = fs::read_to_string("/proc/keys").unwrap_or_default();
    assert!(!keys.contains(&format!("aseptic-drill-host-{drill}")), "{keys}");
    let memory = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    assert!(!memory.contains(&(drill | 0x4000_0000).to_string()), "{memory}");
}

/// Every family of attempts.
const FAMILIES: [&str; 21] = [
    "channels",
    "processes",
    "host-files",
    "credentials",
    "privilege",
    "kernel",
    "network",
    "dns-tunnelling",
    "direct-ip",
    "packets",
    "icmp",
    "metadata",
    "rebinding",
    "fronting",
    "other-gateways",
    "own-gateway",
    "floods",
    "resources",
    "terminal",
    "persistence",
    "tampering",
];

/// Those that are not tried without walls.
const WITH_WALLS_ALONE: [&str; 4] = ["credentials", "privilege", "kernel", "resources"];

#[test]
fn every_wall_holds_on_this_machine() {
    let world = World::new();
    let child = world.command(&["drill", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap();
    let drill = child.id();
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    let fallen: Vec<_> = attempts(&report).iter().filter(|attempt| attempt["result"] != "held").collect();
    assert!(fallen.is_empty(), "{fallen:#?}");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(report["schema"], "aseptic.drill/1");
    assert!(attempts(&report).len() >= 240);
    assert_eq!(report["held"], attempts(&report).len());
    assert_eq!(texts(&report, "name").len(), attempts(&report).len(), "a name is used twice");
    assert_eq!(texts(&report, "family"), BTreeSet::from(FAMILIES));
    assert_nothing_left(&world, drill);

    let entries = world.json(&["ledger", "show", "--json"]);
    let entries = entries["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "the runs of a drill are not the user's: {entries:#?}");
    let event = &entries[0]["entry"]["event"];
    assert_eq!(event["type"], "drill.completed");
    assert_eq!(event["body"]["held"], report["held"]);
    let digest = event["body"]["report"].as_str().unwrap();
    let object = format!("state/projects/default/store/objects/{}/{digest}", &digest[..2]);
    let kept: Value = serde_json::from_slice(&fs::read(world.path(&object)).unwrap()).unwrap();
    assert_eq!(kept, report);
    world.ok(&["ledger", "verify"]);
    world.ok(&["catalog", "rebuild"]);
}

#[test]
fn a_wall_that_is_not_there_is_a_breach() {
    // The same attempts where nothing stops them: a drill that still reported a wall would prove nothing.
    let world = World::new();
    let families = FAMILIES.into_iter().filter(|family| !WITH_WALLS_ALONE.contains(family));
    let mut command = vec!["drill", "--without-walls", "--json"];
    command.extend(families.clone().flat_map(|family| ["--family", family]));
    let output = world.output(&command);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let others: Vec<_> = attempts(&report).iter().filter(|attempt| attempt["result"] != "breached").collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(output.status.code(), Some(6));
    assert_eq!(texts(&report, "family"), families.collect());
    let entries = world.json(&["ledger", "show", "--json"]);
    assert_eq!(entries["entries"], serde_json::json!([]), "it says nothing about this machine");
}

#[test]
fn attempts_can_be_listed_and_chosen() {
    let world = World::new();
    let list = world.json(&["drill", "--list", "--json"]);
    assert!(attempts(&list).len() >= 240);
    assert!(attempts(&list).iter().all(|attempt| attempt["what"].as_str().unwrap().len() > 5));
    assert_snapshot!(world.run(&["drill", "--list", "--family", "kernel"]), @r"
    exit: 0
    --- stdout
    family  attempt       wall                what it does
    kernel  file-handles  system call filter  open a directory by a handle instead of a path
    kernel  bpf           system call filter  ask for something of BPF
    kernel  perf-events   system call filter  ask for something of the performance counters
    kernel  userfaultfd   system call filter  handle its own page faults
    kernel  io-uring      system call filter  make a ring for system calls that no filter sees
    --- stderr
    ");
    assert_snapshot!(world.run(&["drill", "--family", "kernels"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no family `kernels` of attempts
      help: it has channels, processes, host-files, credentials, privilege, kernel, network, dns-tunnelling, direct-ip, packets, icmp, metadata, rebinding, fronting, other-gateways, own-gateway, floods, resources, terminal, persistence, tampering
      code: drill/family
    ");
    assert!(!world.path("state/runs").exists());
}

/// Starts a drill; when this returns, its victims live.
fn started(world: &World) -> std::process::Child {
    let child = world.command(&["drill", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap();
    let runs = world.path(&format!("state/drill/{}/state/runs/drill", child.id()));
    wait_until("the runs of the drill begin", || fs::read_dir(&runs).is_ok_and(|runs| runs.count() > 1));
    child
}

fn send(child: &std::process::Child, signal: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

#[test]
fn an_interrupted_drill_leaves_nothing() {
    let world = World::new();
    let child = started(&world);
    let drill = child.id();
    send(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["code"], "drill/interrupted");
    assert_nothing_left(&world, drill);
}

#[test]
fn what_a_killed_drill_left_is_removed_by_the_next_one() {
    let world = World::new();
    let mut child = started(&world);
    let drill = child.id();
    send(&child, "-KILL");
    child.wait().unwrap();
    let marker = world.path("").to_str().unwrap().to_owned();
    wait_until("its processes are gone", || processes_with(&marker).is_empty());
    assert!(world.path(&format!("state/drill/{drill}")).exists());
    world.ok(&["drill", "--family", "kernel"]);
    assert_nothing_left(&world, drill);
}
