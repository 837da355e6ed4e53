//! Sharing: what another project gets of a dataset, and what it does not.

use std::process::Stdio;

use insta::assert_snapshot;

use crate::datasets::{digits, entries, newest};
use crate::world::World;

#[test]
fn sharing_is_explicit_and_recorded_in_both_projects() {
    let world = digits();
    world.ok(&["dataset", "describe", "digits", "licence=CC0"]);
    let other = |arguments: &[&str]| world.run(&[&["--project", "other"], arguments].concat());
    let digest = newest(&world, "digits")["snapshot"].as_str().unwrap().to_owned();
    // Nothing of this project can be named from the other one.
    for name in [&["dataset", "show", "digits"][..], &["plan", "--data", "d=digits", "--", "true"]] {
        assert!(other(name).contains("project `other` has no dataset `digits`"), "{name:?}");
    }
    world.ok(&["run", "--quiet", "--", "sh", "-c", "echo 1 > /out/x"]);
    let run = world.json(&["runs", "--json"])["runs"][0]["run"].as_str().unwrap().to_owned();
    let artifact = format!("d=run:{run}");
    assert!(other(&["plan", "--data", &artifact, "--", "true"]).starts_with("exit: 2"));
    let diff = other(&["dataset", "diff", &digest, &digest]);
    assert!(diff.contains("project `other` has no snapshot"), "{diff}");

    assert_snapshot!(world.run(&["dataset", "share", "digits", "--to", "other", "--as", "theirs"]), @"
    exit: 0
    --- stdout
    shared digits@1 with project other as theirs@1 (3 files, 18 B copied)
    --- stderr
    ");
    let count = entries(&world).len();
    assert_snapshot!(world.run(&["dataset", "share", "digits@1", "--to", "other", "--as", "theirs"]), @"
    exit: 0
    --- stdout
    unchanged digits@1 is theirs@1 of project other
    --- stderr
    ");
    assert_eq!(entries(&world).len(), count, "it is there already");
    assert_snapshot!(other(&["dataset", "show", "theirs"]), @"
    exit: 0
    --- stdout
    dataset     theirs@1
    snapshot    [digest]
    content     3 files, 18 B
    added       [time] by [user]
    from        project default: digits@1
    labels      public
    says        licence = CC0
    stored      3 files, 18 B loose; 242 B on disk
    retention   keep, as the project
    --- stderr
    ");
    assert!(world.ok(&["dataset", "log", "digits"]).contains("shared with project other"));
    assert!(other(&["dataset", "log", "theirs"]).contains("from project default: digits@1 +public"));
    assert!(other(&["dataset", "verify", "theirs"]).contains("verified theirs@1"));
    let read = other(&["run", "--quiet", "--data", "d=theirs", "--", "cat", "/data/d/rows.csv"]);
    assert!(read.contains("1,2"), "{read}");

    // The two are strangers from then on, but labels go with what is shared again.
    world.ok(&["dataset", "label", "digits", "pii"]);
    assert!(!other(&["dataset", "show", "theirs"]).contains("pii"));
    let again = world.ok(&["dataset", "share", "digits", "--to", "other", "--as", "theirs"]);
    assert!(again.contains("labelled theirs@1 +pii"), "{again}");
    world.write("d/rows.csv", "changed");
    world.ok(&["dataset", "add", "d", "--name", "digits"]);
    let next = world.ok(&["dataset", "share", "digits", "--to", "other", "--as", "theirs"]);
    assert!(
        next.starts_with("shared digits@2 with project other as theirs@2 (1 file, 7 B copied)"),
        "{next}"
    );
    let before = world.ok(&["dataset", "share", "digits@1", "--to", "other", "--as", "theirs"]);
    assert!(before.starts_with("unchanged digits@1 is theirs@1 of project other"), "{before}");
    let itself = world.run(&["dataset", "share", "digits", "--to", "default"]);
    assert!(itself.contains("code: dataset/to-itself"), "{itself}");
    let document = world.json(&["dataset", "share", "digits", "--to", "third", "--json"]);
    assert_eq!((&document["new"], &document["project"]), (&true.into(), &"third".into()), "{document:#}");
    assert_eq!(document["versions"][0]["origin"]["shared"]["version"], 2);
    let typo = world.run(&["dataset", "share", "digits", "--to", "fourht"]);
    assert!(typo.contains("note: there was nothing in project `fourht` before"), "{typo}");
    let original = world.ok(&["catalog", "dump"]);
    world.ok(&["catalog", "rebuild"]);
    assert_eq!(world.ok(&["catalog", "dump"]), original);
}

#[test]
fn projects_share_with_each_other_at_the_same_time() {
    let world = World::new();
    for project in ["a", "b"] {
        world.write("d/x", project);
        world.ok(&["dataset", "add", "d", "--name", project, "--project", project]);
    }
    let share = |from, to| {
        let mut command = world.command(&["dataset", "share", from, "--project", from, "--to", to]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut started: Vec<_> = (0..4).flat_map(|_| [share("a", "b"), share("b", "a")]).collect();
    assert!(started.iter_mut().all(|process| process.wait().unwrap().success()));
    for (project, other) in [("a", "b"), ("b", "a")] {
        let got = world.json(&["dataset", "show", other, "--project", project, "--json"]);
        assert_eq!(got["versions"].as_array().unwrap().len(), 1);
        let log = world.json(&["dataset", "log", project, "--project", project, "--json"]);
        assert_eq!(log["changes"].as_array().unwrap().len(), 2, "added and shared: {log:#}");
    }
}

#[test]
fn what_was_deleted_is_neither_shared_nor_compared() {
    let world = digits();
    world.ok(&["retention", "set", "digits@1", "0d"]);
    world.ok(&["gc", "--now"]);
    for command in [&["share", "digits", "--to", "other"][..], &["diff", "digits", "digits@1"]] {
        let output = world.run(&[&["dataset"], command].concat());
        assert!(output.contains("code: retention/expired"), "{output}");
    }
    let shown = world.json(&["dataset", "show", "digits", "--json"]);
    assert!(shown["storage"].is_null() && shown["versions"][0]["expired"].is_string(), "{shown:#}");
    let log = world.ok(&["dataset", "log", "digits"]);
    assert!(log.contains("expired after 0d") && log.contains("retention 0d"), "{log}");
    let again = world.ok(&["dataset", "add", "d", "--name", "digits"]);
    assert!(
        again.starts_with("added digits@2"),
        "the bytes of a version that is gone are a new one: {again}"
    );
    assert_eq!(newest(&world, "digits")["labels"], serde_json::json!(["public"]));
}
