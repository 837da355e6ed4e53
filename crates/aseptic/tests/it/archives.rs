//! Archives: written, read back, restored, and refused when they are not what they were.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::world::World;

/// A world with a dataset of small files and a large one, and a place beside it.
fn world() -> World {
    let world = World::new();
    for number in 0..60 {
        world.write(&format!("rows/{number}.csv"), format!("{number}\n"));
    }
    let large: Vec<u8> =
        (0..3_000_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    world.write("rows/large", large);
    world.ok(&["dataset", "add", "rows", "--name", "digits", "--label", "pii", "--licence", "MIT"]);
    world
}

/// Files of an archive but its list.
fn files(place: &Path) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![place.to_owned()]);
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if !path.ends_with("manifest.json") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn in_other_ledger(world: &World, arguments: &[&str]) -> String {
    let output = world.command(arguments).env("ASEPTIC_HOME", world.path("other")).output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    format!("{}{}", output.status.code().unwrap(), String::from_utf8(both).unwrap())
}

fn count(world: &World, kind: &str) -> usize {
    world.ok(&["ledger", "show", "--json"]).matches(kind).count()
}

#[test]
fn what_expired_comes_back() {
    let world = world();
    let place = world.path("place");
    let to = place.to_str().unwrap();
    let archived = world.json(&["archive", "digits@1", to, "--json"]);
    assert_eq!(archived["schema"], "aseptic.archived/1");
    assert!(archived["new"] == true && archived["files"] == 61, "{archived}");
    let again = world.json(&["archive", "digits", to, "--json"]);
    assert!(again["new"] == false && again["manifest"] == archived["manifest"], "{again}");
    assert_eq!(count(&world, "archive.written"), 1, "nothing is recorded twice");

    world.ok(&["retention", "set", "digits@1", "0d"]);
    world.ok(&["gc", "--now"]);
    let gone = world.run(&["archive", "digits", world.path("elsewhere").to_str().unwrap()]);
    assert!(gone.contains("archive/expired") && gone.contains("aseptic restore file://"), "{gone}");
    let restored = world.json(&["restore", to, "--json"]);
    assert!(restored["new"] == true && restored["object"] == "digits@1", "{restored}");
    world.ok(&["dataset", "verify", "digits@1"]);
    let again = world.json(&["restore", to, "--json"]);
    assert_eq!(again["new"], false, "{again}");
    assert_eq!(count(&world, "archive.restored"), 1);
    assert!(fs::read_dir(world.path("state/archiving")).unwrap().next().is_none(), "nothing is left");
}

#[test]
fn a_dataset_travels_to_another_ledger() {
    let world = world();
    let place = world.path("place");
    let to = place.to_str().unwrap();
    let archived = world.json(&["archive", "digits", to, "--json"]);
    let manifest = archived["manifest"].as_str().unwrap();
    let other = in_other_ledger(&world, &["restore", to, "--manifest", &"0".repeat(64)]);
    assert!(other.starts_with('4') && other.contains("archive/other"), "{other}");
    let restored = in_other_ledger(&world, &["restore", to, "--manifest", manifest]);
    assert!(restored.starts_with("0restored digits@1"), "{restored}");
    let restored = in_other_ledger(&world, &["restore", to]);
    assert!(restored.starts_with("0unchanged digits@1"), "{restored}");
    in_other_ledger(&world, &["restore", to, "--as", "copy"]);
    let shown = in_other_ledger(&world, &["dataset", "show", "copy"]);
    for what in ["pii", "licence = MIT", "place"] {
        assert!(shown.contains(what), "{what}: {shown}");
    }
    in_other_ledger(&world, &["dataset", "verify", "copy"]);
    // A label that came later goes with it, and everything else stays as it is there.
    world.ok(&["dataset", "label", "digits", "holdout"]);
    let again = world.json(&["archive", "digits", to, "--json"]);
    assert!(again["new"] == false && again["manifest"] != archived["manifest"], "{again}");
    in_other_ledger(&world, &["restore", to]);
    assert!(in_other_ledger(&world, &["dataset", "show", "digits"]).contains("holdout"));
}

#[test]
fn damage_is_named_and_nothing_comes_of_it() {
    let world = world();
    let place = world.path("place");
    let to = place.to_str().unwrap();
    world.ok(&["archive", "digits", to]);
    for file in files(&place) {
        let bytes = fs::read(&file).unwrap();
        let name = file.strip_prefix(&place).unwrap().to_str().unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        for damaged in [&flipped[..], &bytes[..bytes.len() - 1], b""] {
            fs::write(&file, damaged).unwrap();
            let refused = in_other_ledger(&world, &["restore", to]);
            assert!(refused.starts_with('4') && refused.contains(name), "{name}: {refused}");
        }
        fs::remove_file(&file).unwrap();
        let refused = in_other_ledger(&world, &["restore", to]);
        assert!(refused.contains("archive/missing") && refused.contains(name), "{name}: {refused}");
        fs::write(&file, bytes).unwrap();
    }
    // The list itself: what says where it is known which one it was.
    let list = place.join("manifest.json");
    let text = fs::read_to_string(&list).unwrap();
    fs::write(&list, text.replace("\"pii\"", "")).unwrap();
    let refused = world.run(&["restore", to]);
    assert!(refused.starts_with("exit: 4") && refused.contains("archive/other"), "{refused}");
    fs::write(&list, &text[1..]).unwrap();
    assert!(in_other_ledger(&world, &["restore", to]).contains("archive/manifest"));
    fs::remove_file(&list).unwrap();
    assert!(in_other_ledger(&world, &["restore", to]).contains("archive/missing"));
    assert!(in_other_ledger(&world, &["dataset", "list"]).contains("No datasets"));
}

#[test]
fn a_place_of_something_else_is_left_alone() {
    let world = world();
    world.write("more/x", "x");
    world.ok(&["dataset", "add", "more", "--name", "more"]);
    let place = world.path("place");
    let to = place.to_str().unwrap();
    fs::create_dir(&place).unwrap();
    fs::write(place.join("thesis.tex"), "mine").unwrap();
    let refused = world.run(&["archive", "digits", to]);
    assert!(refused.contains("archive/occupied"), "{refused}");
    assert_eq!(files(&place), [place.join("thesis.tex")]);
    fs::remove_file(place.join("thesis.tex")).unwrap();

    world.ok(&["archive", "digits", to]);
    let before = files(&place);
    let refused = world.run(&["archive", "more", to]);
    assert!(refused.contains("taken by an archive of `digits@1`"), "{refused}");
    assert_eq!(files(&place), before);

    // One that was broken off is gone on with by its own kind, and its files do not stay.
    fs::rename(place.join("manifest.json"), world.path("manifest")).unwrap();
    let mark = format!(
        r#"{{"object":"digits@1","project":"default","schema":"aseptic.archive-incoming/1","snapshots":{}}}"#,
        serde_json::from_slice::<serde_json::Value>(&fs::read(world.path("manifest")).unwrap()).unwrap()["snapshots"]
    );
    fs::write(place.join("incoming.json"), mark).unwrap();
    let refused = world.run(&["archive", "more", to]);
    assert!(refused.contains("unfinished archive of `digits@1`"), "{refused}");
    world.ok(&["archive", "digits", to]);
    assert_eq!(files(&place).len(), before.len(), "{:?}", files(&place));
    assert!(in_other_ledger(&world, &["restore", to]).starts_with('0'));
}

#[test]
fn secrets_are_not_repeated() {
    let world = world();
    for url in
        ["https://me:hunter2@dav.example/x", "s3://bucket/x?key=hunter2", "https://hunter2@dav.example/x"]
    {
        for refused in [world.run(&["archive", "digits", url]), world.run(&["restore", url])] {
            assert!(refused.contains("archive/url") && !refused.contains("hunter2"), "{refused}");
        }
    }
    assert!(!world.ok(&["ledger", "show", "--json"]).contains("hunter2"));
}

#[test]
fn a_run_goes_and_comes_back() {
    let world = World::new();
    world.ok(&["run", "--", "sh", "-c", "echo said; echo made > /out/x"]);
    let place = world.path("place");
    let to = place.to_str().unwrap();
    let archived = world.json(&["archive", "run:latest", to, "--json"]);
    let run = archived["object"].as_str().unwrap().to_owned();
    world.ok(&["retention", "set", &run, "0d"]);
    world.ok(&["gc", "--now"]);
    let id = run.strip_prefix("run:").unwrap();
    assert!(!world.output(&["logs", id]).status.success());
    let refused = in_other_ledger(&world, &["restore", to]);
    assert!(refused.contains("archive/foreign-run"), "{refused}");
    world.ok(&["restore", to]);
    assert_eq!(world.ok(&["logs", id]), "said\n");
    world.ok(&["export", id, "--to", world.path("results").to_str().unwrap()]);
    assert_eq!(fs::read_to_string(world.path("results/out/x")).unwrap(), "made\n");
    let refused = world.run(&["archive", &format!("{run}/out/x"), world.path("part").to_str().unwrap()]);
    assert!(refused.contains("archive/part"), "{refused}");
}

#[test]
fn datasets_come_from_archives_and_pipes() {
    let world = world();
    let project = world.path("project");
    let tar = |arguments: &[&str]| {
        let output = Command::new("tar").args(arguments).current_dir(&project).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    tar(&["-czf", "rows.tar.gz", "-C", "rows", "."]);
    let same = world.ok(&["dataset", "add", "rows.tar.gz", "--unpack", "--name", "digits"]);
    assert!(same.starts_with("unchanged digits@1"), "{same}");
    let whole = world.run(&["dataset", "add", "rows.tar.gz", "--name", "packed"]);
    assert!(
        whole.contains("added packed@1") && whole.contains("`--unpack` imports what is in it"),
        "{whole}"
    );

    let piped = |arguments: &[&str], input: &[u8]| {
        let mut child = world.command(arguments);
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        // It may end before it took all.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let archive = tar(&["-cf", "-", "-C", "rows", "."]);
    let same = piped(&["dataset", "add", "-", "--unpack", "--name", "digits"], &archive);
    assert!(same.starts_with("unchanged digits@1"), "{same}");
    let cut = piped(&["dataset", "add", "-", "--unpack", "--name", "cut"], &archive[..archive.len() / 2]);
    assert!(cut.contains("store/tar-truncated"), "{cut}");
    let large =
        piped(&["dataset", "add", "-", "--unpack", "--max-size", "1MiB", "--name", "large"], &archive);
    assert!(large.contains("store/tar-too-large"), "{large}");
    let one = piped(&["dataset", "add", "-", "--file", "a.csv", "--name", "one"], b"1\n");
    assert!(one.starts_with("added one@1"), "{one}");
    assert!(piped(&["dataset", "add", "-", "--name", "none"], b"").contains("dataset/source"));
    let listed = world.ok(&["dataset", "list"]);
    assert!(!listed.contains("cut@") && !listed.contains("large@"), "{listed}");
}
