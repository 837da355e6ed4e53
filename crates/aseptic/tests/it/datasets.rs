//! Datasets: what is said about them, and what differs.

use std::process::Stdio;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::session::Session;
use crate::world::World;

pub(crate) fn digits() -> World {
    let world = World::new();
    world.write("d/rows.csv", "1,2\n");
    world.write("d/sub/old.csv", "3,4\n");
    world.write("d/run.sh", "#!/bin/sh\n");
    world.ok(&["dataset", "add", "d", "--name", "digits", "--label", "public"]);
    world
}

pub(crate) fn newest(world: &World, name: &str) -> Value {
    world.json(&["dataset", "show", name, "--json"])["versions"][0].clone()
}

/// Types of the entries of the ledger, oldest first.
pub(crate) fn entries(world: &World) -> Vec<String> {
    let ledger = world.json(&["ledger", "show", "--json"]);
    let all = ledger["entries"].as_array().unwrap();
    let mut types: Vec<_> =
        all.iter().map(|entry| entry["entry"]["event"]["type"].as_str().unwrap().to_owned()).collect();
    if all.first().unwrap()["index"] != 0 {
        types.reverse();
    }
    types
}

#[test]
fn a_version_is_described_when_it_is_added() {
    let world = World::new();
    world.write("d/x", "1");
    let options = ["--label", "pii", "--licence", "CC0-1.0", "--owner", "data team", "--role", "holdout"];
    let more = ["--source", "https://example.org/x", "--meta", "faces=blurred", "--retention", "90d"];
    world.ok(&[&["dataset", "add", "d", "--name", "d"][..], &options, &more].concat());
    assert_snapshot!(world.run(&["dataset", "show", "d"]), @"
    exit: 0
    --- stdout
    dataset     d@1
    snapshot    [digest]
    content     1 file, 1 B
    added       [time] by [user]
    labels      holdout pii
    evaluated   0 of 20 times
    says        faces = blurred
    says        licence = CC0-1.0
    says        owner = data team
    says        role = holdout
    says        source = https://example.org/x
    stored      1 file, 1 B loose; 56 B on disk
    retention   90d
    --- stderr
    ");
    let said = json!({
        "faces": "blurred", "licence": "CC0-1.0", "owner": "data team", "role": "holdout",
        "source": "https://example.org/x",
    });
    let version = newest(&world, "d");
    assert_eq!((&version["metadata"], &version["retention"]), (&said, &"90d".into()));
    // The next version is other bytes, so they come from elsewhere.
    world.write("d/x", "2");
    world.ok(&["dataset", "add", "d", "--name", "d", "--owner", "me"]);
    let version = newest(&world, "d");
    let inherited = json!({ "faces": "blurred", "licence": "CC0-1.0", "owner": "me", "role": "holdout" });
    assert_eq!((&version["version"], &version["metadata"]), (&2.into(), &inherited));
    assert_eq!((&version["labels"], &version["retention"]), (&json!(["holdout", "pii"]), &Value::Null));
    let twice = ["dataset", "add", "d", "--name", "d", "--owner", "me", "--meta", "owner=you"];
    assert!(world.run(&twice).contains("error: `owner` is said twice"));
    assert!(world.run(&["dataset", "add", "d", "--name", "d", "--meta", "x"]).contains("expected KEY=VALUE"));
    let many: Vec<_> = (0..33).flat_map(|key| ["--meta".to_owned(), format!("k{key}=v")]).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let output = world.run(&[&["dataset", "add", "d", "--name", "many"][..], &many].concat());
    assert!(output.contains("33 statements about `many@1`, and there is room for 32"), "{output}");
    assert!(world.ok(&["dataset", "list"]).lines().count() == 2, "and nothing was added");
}

#[test]
fn unchanged_bytes_stay_one_version_whatever_is_said() {
    let world = digits();
    let add =
        |options: &[&str]| world.run(&[&["dataset", "add", "d", "--name", "digits"][..], options].concat());
    assert_snapshot!(add(&["--label", "pii", "--owner", "me", "--retention", "hold"]), @"
    exit: 0
    --- stdout
    unchanged digits@1 [short] (3 files, 18 B)
    labelled digits@1 +pii
    described digits@1 owner=me
    retention digits@1 hold
    --- stderr
    ");
    let count = entries(&world).len();
    assert_snapshot!(add(&["--label", "public", "--owner", "me", "--retention", "hold"]), @"
    exit: 0
    --- stdout
    unchanged digits@1 [short] (3 files, 18 B)
    --- stderr
    ");
    assert_eq!(entries(&world).len(), count, "nothing new was said");
    assert_snapshot!(add(&["--retention", "7d"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: `digits@1` is on hold
      help: lift the hold first with `aseptic retention set digits@1 CLASS --reason TEXT`
      code: dataset/held
    ");
}

#[test]
fn labels_and_statements_change_by_entries() {
    let world = digits();
    world.ok(&["run", "--quiet", "--no-code", "--data", "d=digits", "--", "true"]);
    assert_snapshot!(world.run(&["dataset", "label", "digits", "pii", "public"]), @"
    exit: 0
    --- stdout
    labelled digits@1 +pii
    --- stderr
    1 run that came of it now has `pii`
    ");
    assert_snapshot!(world.run(&["dataset", "label", "digits@1", "pii"]), @"
    exit: 0
    --- stdout
    --- stderr
    Nothing was recorded: digits@1 already has these labels.
    ");
    assert_snapshot!(world.run(&["dataset", "unlabel", "digits", "pii", "x", "--reason", "names are gone"]), @"
    exit: 0
    --- stdout
    labelled digits@1 -pii
    --- stderr
    1 run that came of it lost `pii`
    ");
    assert_snapshot!(world.run(&["dataset", "unlabel", "digits", "pii", "--reason", "again"]), @"
    exit: 0
    --- stdout
    --- stderr
    Nothing was recorded: digits@1 has none of these labels, but `public`.
    ");
    assert_snapshot!(world.run(&["dataset", "describe", "digits", "owner=me", "licence=CC0"]), @"
    exit: 0
    --- stdout
    described digits@1 licence=CC0, owner=me
    --- stderr
    ");
    assert_snapshot!(world.run(&["dataset", "describe", "digits", "owner=you", "--unset", "licence"]), @"
    exit: 0
    --- stdout
    described digits@1 owner=you, without licence
    --- stderr
    ");
    assert_snapshot!(world.run(&["dataset", "describe", "digits", "owner=you", "--unset", "licence"]), @"
    exit: 0
    --- stdout
    --- stderr
    Nothing was recorded: digits@1 is already described so.
    ");
    let described = world.json(&["dataset", "describe", "digits", "--unset", "owner", "--json"]);
    assert_eq!(described["recorded"][0]["body"]["unset"], json!(["owner"]));
    // The columns are as wide as the name of who runs this.
    let log = world.run(&["dataset", "log", "digits"]);
    let header: Vec<&str> = log.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(header, ["time", "version", "who", "what"]);
    assert_snapshot!(log.lines().filter(|line| !line.starts_with("time ")).collect::<Vec<_>>().join("\n"), @"
    exit: 0
    --- stdout
    [time]  digits@1  [user]  described without owner
    [time]  digits@1  [user]  described owner=you, without licence
    [time]  digits@1  [user]  described licence=CC0, owner=me
    [time]  digits@1  [user]  labelled -pii: names are gone
    [time]  digits@1  [user]  labelled +pii
    [time]  digits@1  [user]  added 3 files, 18 B +public
    --- stderr
    ");
    let log = world.json(&["dataset", "log", "digits", "--json", "--limit", "4"]);
    let changes = log["changes"].as_array().unwrap();
    assert_eq!((changes.len(), &changes[3]["event"]["body"]["reason"]), (4, &"names are gone".into()));
    for wrong in [
        &["label", "digits"][..],
        &["label", "digits", "a b"],
        &["unlabel", "digits", "pii"],
        &["unlabel", "digits", "pii", "--reason", ""],
        &["describe", "digits"],
        &["describe", "digits", "owner=x", "owner=y"],
        &["describe", "digits", "owner=x", "--unset", "owner"],
        &["label", "nothing", "pii"],
        &["label", "digits@2", "pii"],
    ] {
        let output = world.run(&[&["dataset"], wrong].concat());
        assert!(output.starts_with("exit: 2"), "{wrong:?}: {output}");
    }
    assert_eq!(newest(&world, "digits")["labels"], json!(["public"]));
    // What was taken off does not come back by importing the same bytes, only by saying so.
    assert!(world.ok(&["dataset", "add", "d", "--name", "digits"]).starts_with("unchanged"));
    assert_eq!(newest(&world, "digits")["labels"], json!(["public"]));
    assert!(
        world
            .ok(&["dataset", "add", "d", "--name", "digits", "--label", "pii"])
            .contains("labelled digits@1 +pii")
    );
    let original = world.ok(&["catalog", "dump"]);
    world.ok(&["catalog", "rebuild"]);
    assert_eq!(world.ok(&["catalog", "dump"]), original);
}

#[test]
fn the_same_bytes_have_the_same_labels_under_every_name() {
    let world = digits();
    world.ok(&["dataset", "add", "d", "--name", "copy"]);
    assert_eq!(newest(&world, "copy")["labels"], json!(["public"]));
    world.ok(&["dataset", "label", "copy", "pii"]);
    assert_eq!(newest(&world, "digits")["labels"], json!(["pii", "public"]));
    let run = world.run_json(&["--no-code", "--data", "d=digits", "--", "true"]).1;
    assert_eq!(run["labels"], json!(["pii", "public"]), "a plan that comes later has them");
    let third = world.ok(&["dataset", "add", "d", "--name", "third", "--label", "eu"]);
    assert!(third.contains("labelled copy@1 +eu") && third.contains("labelled digits@1 +eu"), "{third}");
    let output = world.run(&["dataset", "unlabel", "digits", "pii", "--reason", "r"]);
    assert!(output.contains("note: copy@1 is the same bytes and still has pii"), "{output}");
    world.ok(&["dataset", "add", "d", "--name", "copy"]);
    world.ok(&["dataset", "add", "d", "--name", "fourth"]);
    assert_eq!(newest(&world, "digits")["labels"], json!(["eu", "public"]), "it stays off");
    assert_eq!(newest(&world, "fourth")["labels"], json!(["eu", "pii", "public"]), "and protects new names");
}

#[test]
fn concurrent_labels_are_all_kept() {
    let world = digits();
    let labels: Vec<_> = (0..12).map(|number| format!("l{number:02}")).collect();
    let mut started: Vec<_> = labels
        .iter()
        .map(|label| {
            let mut command = world.command(&["dataset", "label", "digits", label, "same"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    assert!(started.iter_mut().all(|process| process.wait().unwrap().success()));
    let mut expected = labels.clone();
    expected.extend(["public".to_owned(), "same".to_owned()]);
    assert_eq!(newest(&world, "digits")["labels"], json!(expected));
    let log = world.json(&["dataset", "log", "digits", "--json"]);
    let changes = log["changes"].as_array().unwrap();
    let same = json!("same");
    let gave =
        |change: &&Value| change["event"]["body"]["added"].as_array().is_some_and(|all| all.contains(&same));
    assert_eq!((changes.len(), changes.iter().filter(gave).count()), (13, 1), "each fact is recorded once");
}

#[test]
fn what_differs_is_listed_and_counted() {
    let world = digits();
    world.write("d/rows.csv", "1,2\n5,6\n");
    std::fs::rename(world.path("project/d/sub/old.csv"), world.path("project/d/moved\n.csv")).unwrap();
    std::fs::remove_dir(world.path("project/d/sub")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(world.path("project/d/run.sh"), mode).unwrap();
    world.write("d/new/a.csv", "7");
    world.write("d/new/b.csv", "8");
    std::os::unix::fs::symlink("rows.csv", world.path("project/d/link")).unwrap();
    world.ok(&["dataset", "add", "d", "--name", "digits"]);
    assert_snapshot!(world.run(&["dataset", "diff", "digits@1", "digits"]), @r"
    exit: 0
    --- stdout
    added    link                          link to rows.csv
    renamed  sub/old.csv -> moved\x0a.csv  4 B
    added    new/                          directory of 2 files, 2 B
    added    new/a.csv                     1 B
    added    new/b.csv                     1 B
    changed  rows.csv                      4 B -> 8 B (+4 B)
    mode     run.sh                        10 B, now executable
    removed  sub/                          directory of 1 file, 4 B
    added 2 files, 2 B; renamed 1 file, 4 B; changed 2 files, 14 B -> 18 B (+4 B); 3 other changes
    --- stderr
    ");
    assert_snapshot!(world.run(&["dataset", "diff", "digits", "digits@1", "--limit", "1"]), @"
    exit: 0
    --- stdout
    removed  link  link to rows.csv
    removed 2 files, 2 B; renamed 1 file, 4 B; changed 2 files, 18 B -> 14 B (-4 B); 3 other changes
    --- stderr
    There are more changes than `--limit 1` lists; the last line counts all.
    ");
    let diff = world.json(&["dataset", "diff", "digits@1", "digits", "--json"]);
    assert_eq!((&diff["schema"], &diff["equal"]), (&"aseptic.dataset-diff/1".into(), &false.into()));
    assert_eq!(
        (&diff["before"]["reference"], &diff["after"]["reference"]),
        (&"digits@1".into(), &"digits@2".into())
    );
    let renamed = &diff["changes"][1];
    assert_eq!(
        (&renamed["change"], &renamed["from"]),
        (&"renamed".into(), &"sub/old.csv".into()),
        "{diff:#}"
    );
    let digest = diff["after"]["snapshot"].as_str().unwrap();
    let same = world.ok(&["dataset", "diff", digest, "digits@2"]);
    assert_eq!(same, format!("{digest} and digits@2 are the same bytes\n"));
    let file = renamed["after"]["digest"].as_str().unwrap();
    for nothing in [file, &"0".repeat(64)] {
        let output = world.run(&["dataset", "diff", nothing, "digits"]);
        assert!(output.starts_with("exit: 2") && output.contains("code: dataset/no-snapshot"), "{output}");
    }
    assert!(world.run(&["dataset", "diff", "run:latest", "digits"]).starts_with("exit: 2"));
}

#[test]
fn progress_has_a_bar_a_rate_and_an_end() {
    let world = World::new();
    world.write("d/x", vec![1; 3 << 20]);
    world.write("d/y", "2");
    for (arguments, step) in [
        (&["dataset", "add", "d", "--name", "d"][..], "reading"),
        (&["dataset", "verify", "d"], "reading"),
        (&["dataset", "share", "d", "--to", "other"], "copying"),
    ] {
        let (status, shown) = Session::start(&world, arguments).end();
        assert!(status.success(), "{shown}");
        let of_files = shown.contains(&format!("{step} 1 of 2 files ["))
            || shown.contains(&format!("{step} 0 of 2 files ["))
            || shown.contains(&format!("{step} 2 of 2 files ["));
        assert!(of_files && shown.contains(" of 3.00 MiB, ") && shown.contains("/s, "), "{shown:?}");
        let last = shown.trim_end().rsplit('\r').next().unwrap();
        assert!(last.ends_with("2 files, 3.0 MiB)") || last.ends_with("copied)"), "cleared before: {last:?}");
        let quiet = [&["--quiet"], arguments].concat();
        assert!(!Session::start(&world, &quiet).end().1.contains("files ["));
    }
}

#[test]
fn a_version_is_verified_whole_or_in_part() {
    let world = World::new();
    for number in 0..50 {
        world.write(&format!("d/{number:02}"), format!("{number:02}"));
    }
    world.ok(&["dataset", "add", "d", "--name", "d"]);
    let verify = |options: &[&str]| world.run(&[&["dataset", "verify", "d"], options].concat());
    assert!(verify(&[]).contains("verified d@1 (50 files, 100 B)"));
    let sample = verify(&["--sample", "7"]);
    assert!(sample.contains("verified a sample of d@1 (7 files, 14 B of 50 files, 100 B, seed "), "{sample}");
    let percent = verify(&["--sample", "10.5%", "--seed", "3"]);
    assert!(percent.contains("a sample of d@1 (6 files, 12 B of 50 files, 100 B, seed 3)"), "{percent}");
    assert!(verify(&["--seed", "3"]).starts_with("exit: 2"));
    assert!(verify(&["--sample", "101%"]).contains("up to `100%`"));
    assert!(verify(&["--sample", "0"]).starts_with("exit: 2"));
    assert!(verify(&["--sample", "7", "--changed"]).starts_with("exit: 2"));
    assert!(verify(&["--changed"]).contains("verified what was written of d@1 ("));
    let document = world.json(&["dataset", "verify", "d", "--sample", "100", "--json"]);
    assert_eq!((&document["portion"], &document["verified_files"]), (&"sample".into(), &50.into()));
    assert!(document["sample_seed"].is_u64());
    // Whoever writes into a pack is found by all of them.
    let packs = world.path("state/projects/default/store/packs");
    let pack = std::fs::read_dir(packs).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&pack).unwrap();
    let place = bytes.windows(2).position(|window| window == b"42").unwrap();
    bytes[place] = b'5';
    std::fs::remove_file(&pack).unwrap();
    std::fs::write(&pack, bytes).unwrap();
    for options in [&[][..], &["--sample", "50"], &["--changed"]] {
        let output = verify(options);
        assert!(output.starts_with("exit: 4") && output.contains("`42` (other content)"), "{output}");
    }
}
