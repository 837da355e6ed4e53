//! Every command that changes something leaves an entry in the ledger; the list of commands is that of the help.

use std::collections::BTreeSet;
use std::io::Read;

use serde_json::Value;

use crate::world::{World, wait_until};

/// What a command leaves.
enum Leaves {
    /// These types of entries, at least.
    Entries(&'static [&'static str]),
    /// Nothing, since it changes nothing that anyone can ask about later.
    Nothing,
    /// Checked in a test of its own below.
    Elsewhere,
}
use Leaves::{Elsewhere, Entries, Nothing};

/// Each command, what is done before, the command itself, and what it leaves. Words are separated by spaces.
const COMMANDS: &[Row] = &[
    ("init", &[], "init --project other", Nothing),
    ("plan", &[], "plan -- true", Nothing),
    (
        "run",
        &[],
        "run --quiet --data d=digits -- true",
        Entries(&["run.planned", "run.decided", "run.started", "run.sealed"]),
    ),
    ("runs", &[], "runs", Nothing),
    ("show", &[RUN], "show latest", Nothing),
    ("diff", &[RUN], "diff latest latest", Nothing),
    ("replay", &[RUN], "replay --quiet latest", Entries(&["run.planned", "run.sealed", "run.replayed"])),
    ("annotate", &[RUN], "annotate latest --tag paper", Entries(&["run.described"])),
    ("logs", &[RUN], "logs latest", Nothing),
    ("metrics", &[MEASURED], "metrics latest", Nothing),
    ("export", &[OUTPUT], "export latest --to copy", Entries(&["run.exported"])),
    ("revoke", &[], "", Elsewhere),
    ("stop", &[], "", Elsewhere),
    ("quarantine add", &[], QUARANTINE, Entries(&["quarantine.added"])),
    ("quarantine list", &[QUARANTINE], "quarantine list", Nothing),
    ("quarantine show", &[QUARANTINE], "quarantine show digits@1", Nothing),
    (
        "quarantine lift",
        &[QUARANTINE],
        "quarantine lift digits@1 --reason checked",
        Entries(&["quarantine.lifted"]),
    ),
    (
        "incident open",
        &[RUN],
        INCIDENT,
        Entries(&["quarantine.added", "incident.opened", "incident.exported"]),
    ),
    ("incident list", &[INCIDENT], "incident list", Nothing),
    ("incident show", &[INCIDENT], "incident show latest", Nothing),
    ("incident export", &[INCIDENT], "incident export latest --out again", Entries(&["incident.exported"])),
    ("incident verify", &[INCIDENT], "incident verify evidence", Nothing),
    ("incident close", &[INCIDENT], "incident close latest --reason done", Entries(&["incident.closed"])),
    ("policy check", &[], "policy check", Nothing),
    ("policy test", &[], "policy test", Nothing),
    ("policy explain", &[RUN], "policy explain latest", Nothing),
    ("policy show", &[], "policy show", Nothing),
    ("policy diff", &[RUN], "policy diff shipped in-force", Nothing),
    ("policy suggest", &["init --project other"], "policy suggest", Nothing),
    ("policy apply", &[], "policy apply --reason reviewed", Entries(&["policy.applied"])),
    ("lineage", &[], "lineage digits", Nothing),
    ("label", &[OUTPUT], "label run:latest/out/a draft", Entries(&["run.labelled"])),
    ("declassify", &[], "declassify digits --label pii --reason blurred", Entries(&["dataset.labelled"])),
    ("env list", &[RUN], "env list latest", Nothing),
    ("env diff", &[RUN], "env diff latest now", Nothing),
    ("env verify", &[], "env verify --python /usr/bin/python3", Nothing),
    ("dataset add", &[], "dataset add rows --name other", Entries(&["dataset.added"])),
    ("dataset list", &[], "dataset list", Nothing),
    ("dataset show", &[], "dataset show digits", Nothing),
    ("dataset log", &[], "dataset log digits", Nothing),
    ("dataset diff", &[], "dataset diff digits digits", Nothing),
    ("dataset verify", &[], "dataset verify digits", Nothing),
    ("dataset label", &[], "dataset label digits secret", Entries(&["dataset.labelled"])),
    ("dataset unlabel", &[], "dataset unlabel digits pii --reason blurred", Entries(&["dataset.labelled"])),
    ("dataset describe", &[], "dataset describe digits owner=Ada", Entries(&["dataset.described"])),
    ("dataset share", &[], "dataset share digits --to vision", Entries(&["dataset.shared", "dataset.added"])),
    ("archive", &[], "archive digits ../backup", Entries(&["archive.written"])),
    (
        "restore",
        &["archive digits ../backup", "retention set digits@1 0d", "gc --now --quiet"],
        "restore ../backup",
        Entries(&["archive.restored"]),
    ),
    ("retention show", &[], "retention show", Nothing),
    ("retention set", &[], "retention set digits@1 30d", Entries(&["retention.set"])),
    ("retention default", &[], "retention default runs 30d", Entries(&["retention.default"])),
    ("gc", &["retention set digits@1 0d"], "gc --now", Entries(&["retention.expired", "store.collected"])),
    ("role key", &[], "role key ../roles.key", Nothing),
    ("role sign", &[], "", Elsewhere),
    ("role check", &[], "", Elsewhere),
    ("role show", &[], "role show", Nothing),
    ("ledger show", &[], "ledger show", Nothing),
    ("ledger follow", &[], "", Elsewhere),
    ("ledger export", &[], "ledger export --as csv", Nothing),
    ("ledger verify", &[], "ledger verify", Nothing),
    ("ledger checkpoint", &[], "ledger checkpoint", Nothing),
    ("ledger prove", &[], "ledger prove 0", Nothing),
    ("ledger check", &["ledger prove 0 --out check.tlog-proof"], "ledger check check.tlog-proof", Nothing),
    ("ledger publish", &[], "ledger publish", Nothing),
    ("ledger rotate-key", &[RUN], "ledger rotate-key --reason planned", Entries(&["ledger.key-rotated"])),
    ("ledger witness add", &[KEY], ADD, Entries(&["witness.policy"])),
    ("ledger witness remove", &[KEY, ADD], "ledger witness remove one", Entries(&["witness.policy"])),
    ("ledger witness set", &[], "ledger witness set quorum", Entries(&["witness.policy"])),
    ("ledger witness list", &[KEY, ADD], "ledger witness list", Nothing),
    ("ledger witness update", &[KEY, ADD], ASK, Nothing),
    ("witness key", &[], KEY, Nothing),
    ("witness sign", &[KEY, ADD, ASK], SIGN, Nothing),
    ("witness serve", &[], "", Elsewhere),
    ("ledger erase", &[], "ledger erase digits --all --reason asked", Entries(&["ledger.erased"])),
    ("attest show", &[RUN], "attest show latest", Nothing),
    ("attest verify", &[RUN], "attest verify latest", Nothing),
    ("attest export", &[RUN], "attest export latest --as slsa --out p", Entries(&["attestation.exported"])),
    ("attest key", &[], "attest key --rotate --reason yearly", Entries(&["attestation.key"])),
    ("project report", &[RUN], "project report --output report.html", Nothing),
    ("catalog rebuild", &[], "catalog rebuild", Nothing),
    ("catalog verify", &[], "catalog verify", Nothing),
    ("catalog dump", &[], "catalog dump", Nothing),
    ("doctor", &[], "doctor", Nothing),
    ("drill", &[], "drill --family processes", Entries(&["drill.completed"])),
    ("completions", &[], "completions bash", Nothing),
];

/// A policy that speaks of no run.
const POLICY: &str = "@id(\"lab/nobody\")\n@message(\"not for you\")\n@advice(\"ask Ada\")\n\
                      forbid (principal == User::\"nobody\", action, resource);\n";
const RUN: &str = "run --quiet -- true";
const QUARANTINE: &str = "quarantine add digits@1 --reason leaked --yes";
const INCIDENT: &str = "incident open digits@1 --reason leaked --yes --out evidence";
const KEY: &str = "witness key w.example/one";
const ADD: &str = "ledger witness add {witness} --name one";
const ASK: &str = "ledger witness update --request to-one --witness one";
const SIGN: &str = "witness sign --log-file ../state/ledger/verifier --request to-one --cosignature from-one";
const MEASURED: &str = "run --quiet -- sh -c echo${IFS}{\"a\":1}>/out/metrics.jsonl";
const OUTPUT: &str = "run --quiet -- sh -c date>/out/a";

/// Every command of the help, with those below it.
pub(crate) fn commands(world: &World, above: &[&str]) -> BTreeSet<String> {
    let help = world.ok(&[above, &["--help"]].concat());
    let Some((_, listed)) = help.split_once("Commands:\n") else {
        return BTreeSet::from([above.join(" ")]);
    };
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .flat_map(|line| commands(world, &[above, &[line.split_whitespace().next().unwrap()]].concat()))
        .collect()
}

/// The words of a line, with the key of the witness of this world where it is asked for.
fn with_witness(world: &World, line: &str) -> Vec<String> {
    let key = |_| world.json(&words("witness key --json"))["key"].as_str().unwrap().to_owned();
    let key = line.contains("{witness}").then_some(()).map(key).unwrap_or_default();
    words(line).into_iter().map(|word| word.replace("{witness}", &key)).collect()
}

pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn kinds(world: &World) -> Vec<String> {
    let shown = world.json(&["ledger", "show", "--json"]);
    let entries = shown["entries"].as_array().unwrap().iter();
    entries.map(|entry| entry["entry"]["event"]["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_table_has_every_command() {
    let listed = commands(&World::new(), &[]);
    let rows: BTreeSet<_> = COMMANDS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(rows.len(), COMMANDS.len(), "each once");
    assert_eq!(rows, listed, "say in this table what a new command leaves in the ledger");
    assert!(listed.len() > 30);
}

#[test]
fn every_command_leaves_its_entries() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for some in COMMANDS.chunks(COMMANDS.len().div_ceil(threads)) {
            scope.spawn(move || some.iter().for_each(leaves_its_entries));
        }
    });
}

type Row = (&'static str, &'static [&'static str], &'static str, Leaves);

fn leaves_its_entries((name, before, command, leaves): &Row) {
    if matches!(leaves, Elsewhere) {
        return;
    }
    let world = World::new();
    world.write("rows/a", "1");
    world.write("quorum", "quorum none\n");
    world.write("policy/lab.cedar", POLICY);
    world.ok(&words("dataset add rows --name digits --label pii --licence MIT"));
    for line in *before {
        world.ok(&with_witness(&world, line));
    }
    let known = kinds(&world).len();
    let output = world.output(&with_witness(&world, command));
    // A machine that lacks a wall says so and is no failure of what is tested here.
    let lacking = [Some(5), Some(7)].contains(&output.status.code());
    assert!(
        output.status.success() || (["doctor", "drill"].contains(name) && lacking),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let new: BTreeSet<_> = kinds(&world).split_off(known).into_iter().collect();
    match leaves {
        Entries(wanted) => {
            let wanted: BTreeSet<_> = wanted.iter().map(|kind| (*kind).to_owned()).collect();
            assert!(wanted.is_subset(&new), "{name} leaves {new:?}, and not {wanted:?}");
        }
        Nothing | Elsewhere => assert!(new.is_empty(), "{name} leaves {new:?}"),
    }
}

/// A witness keeps what it saw in a state of its own, and writes into no ledger, not even its own.
#[test]
fn a_witness_that_serves_leaves_no_entry() {
    let world = World::new();
    world.write("rows/a", "1");
    world.ok(&words("dataset add rows --name digits"));
    world.ok(&words(KEY));
    let known = kinds(&world);
    let serve = words("witness serve --json --listen 127.0.0.1:0 --log-file ../state/ledger/verifier");
    let mut serving = world.command(&serve).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut first = [0; 1];
    serving.stdout.take().unwrap().read_exact(&mut first).unwrap(); // It says where it listens.
    serving.kill().unwrap();
    serving.wait().unwrap();
    assert_eq!(kinds(&world), known);
}

#[test]
fn revoking_is_recorded() {
    let world = World::new();
    let grant = "127.0.0.1:9";
    let mut run =
        world.command(&["run", "--quiet", "--network", grant, "--", "sleep", "600"]).spawn().unwrap();
    wait_until("the grant is revoked", || world.output(&["revoke", "latest", grant]).status.success());
    assert!(kinds(&world).contains(&"grant.revoked".to_owned()));
    let killed = std::process::Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert!(killed.success());
    run.wait().unwrap();
}

/// What the job was denied is an entry, in the commit that seals it.
#[test]
fn denials_are_recorded() {
    let world = World::new();
    let script = "import socket
try: socket.create_connection(('203.0.113.1', 443))
except OSError: pass";
    world.ok(&["run", "--quiet", "--network", "127.0.0.1:10", "--", "/usr/bin/python3", "-c", script]);
    let kinds = kinds(&world);
    assert!(kinds.contains(&"run.denied".to_owned()), "{kinds:?}");
}

#[test]
fn what_is_mounted_is_recorded() {
    let world = World::new();
    world.write("rows/a", "1");
    world.ok(&words("dataset add rows --name digits"));
    world.ok(&words("run --quiet --data d=digits -- true"));
    let shown = world.json(&words("ledger show --json --type run.started"));
    let planned = world.json(&words("ledger show --json --type run.planned"));
    let body = |shown: &Value| shown["entries"][0]["entry"]["event"]["body"].clone();
    assert_eq!(body(&shown)["mounted"], body(&planned)["inputs"]);
    assert!(body(&shown)["mounted"]["d"].is_string());
}
