//! `aseptic incident`: one command quarantines, stops and writes evidence, which anyone can check.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::quarantine::lineage;
use crate::stopping::start;
use crate::world::{World, contents};

fn key(world: &World) -> String {
    fs::read_to_string(world.path("state/ledger/verifier")).unwrap().trim().to_owned()
}

/// What a machine that never saw the ledger says of the evidence.
fn verified(world: &World, dir: &Path, key: &str) -> String {
    let elsewhere = World::new();
    let said = elsewhere.run(&["incident", "verify", dir.to_str().unwrap(), "--key", key]);
    assert!(!elsewhere.path("state").exists(), "it needs no state");
    said.replace(world.path("").to_str().unwrap(), "")
}

fn opened(world: &World) -> PathBuf {
    world.ok(&[
        "incident",
        "open",
        "--dataset",
        "digits@1",
        "--reason",
        "published <b>",
        "--yes",
        "--out",
        "evidence",
    ]);
    world.path("project/evidence")
}

#[test]
fn evidence_is_verified_on_another_machine() {
    let world = lineage();
    let mut run = start(&world, &["--data", "d=digits", "--param", "token=s3cret"], "true");
    let dir = opened(&world);
    assert_eq!(run.wait().unwrap().code(), Some(143));
    let said = verified(&world, &dir, &key(&world));
    assert!(said.starts_with("exit: 0"), "{said}");
    assert!(
        said.contains("3 runs have signed statements") && said.contains("not proven: that it is complete"),
        "{said}"
    );
    assert!(said.contains("no witness cosigned") && !said.contains("whose ledger"), "{said}");
    let report = fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(report.contains("published &lt;b&gt;") && !report.contains("<script"), "{report}");
    assert!(report.contains("run.exported") && report.contains("back@1"), "{report}");
    let picture = fs::read_to_string(dir.join("lineage.svg")).unwrap();
    assert!(picture.contains("dataset:digits@1") && picture.contains("dataset:back@1"), "{picture}");
    assert!(report.contains("<h2>Lineage</h2>") && report.contains("class=\"lineage\""), "{report}");
    let told = fs::read_to_string(dir.join("incident.json")).unwrap() + &report;
    assert!(!told.contains("s3cret"), "parameters may be secret");
    let stranger = "other.example/x+c5ab30b0+AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAh";
    assert!(!verified(&world, &dir, stranger).starts_with("exit: 0"));
    assert_eq!(world.ok(&["incident", "list"]).matches("  open  ").count(), 1);
    assert!(world.ok(&["incident", "show", "latest"]).contains("3 runs and 2 dataset versions"));
    world.ok(&["incident", "close", "latest", "--reason", "rotated"]);
    assert!(world.run(&["incident", "close", "latest", "--reason", "x"]).contains("incident/closed"));
    world.ok(&["incident", "export", "latest", "--out", "later"]);
    assert!(verified(&world, &world.path("project/later"), &key(&world)).starts_with("exit: 0"));
    let denied = world.run(&["run", "--data", "d=digits", "--", "true"]);
    assert!(denied.contains("exit: 126"), "closing lifts nothing: {denied}");
}

/// One changed byte in any file, a file too many, one too few.
#[test]
fn whatever_is_changed_is_found() {
    let world = lineage();
    let dir = opened(&world);
    let key = key(&world);
    for (path, bytes, _) in contents(&dir) {
        for at in [0, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            let said = verified(&world, &dir, &key);
            assert!(
                said.starts_with("exit: 4") && said.contains("incident/bundle"),
                "{}: {said}",
                path.display()
            );
        }
        fs::remove_file(&path).unwrap();
        assert!(verified(&world, &dir, &key).starts_with("exit: 4"), "{}", path.display());
        fs::write(&path, &bytes).unwrap();
    }
    assert!(verified(&world, &dir, &key).starts_with("exit: 0"));
    fs::write(dir.join("entries/more.html"), "x").unwrap();
    assert!(verified(&world, &dir, &key).contains("not in the manifest"));
    fs::remove_file(dir.join("entries/more.html")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.join("link")).unwrap();
    assert!(verified(&world, &dir, &key).contains("no file of it"));
}

#[test]
fn what_was_erased_is_in_no_evidence() {
    let world = lineage();
    world.ok(&["dataset", "describe", "digits", "owner=Lovelace"]);
    world.ok(&["ledger", "erase", "digits", "--all", "--reason", "asked"]);
    let dir = opened(&world);
    for (path, bytes, _) in contents(&dir) {
        assert!(!String::from_utf8_lossy(&bytes).contains("Lovelace"), "{}", path.display());
    }
    let said = verified(&world, &dir, &key(&world));
    assert!(said.starts_with("exit: 0") && said.contains("values of people were"), "{said}");
}

/// The quarantine comes first, and evidence can be written again, whatever became of the first try.
#[test]
fn evidence_that_cannot_be_written_leaves_the_quarantine() {
    let world = lineage();
    let said =
        world.run(&["incident", "open", "digits@1", "--reason", "x", "--yes", "--out", "no/such/place"]);
    assert!(said.contains("exit: 5") && said.contains("aseptic incident export"), "{said}");
    assert!(world.ok(&["quarantine", "list"]).contains("dataset:digits@1"));
    // One that was killed in the middle left this.
    fs::create_dir_all(world.path("project/.again.0123456789ab.partial/entries")).unwrap();
    world.ok(&["incident", "export", "latest", "--out", "again"]);
    assert!(!world.path("project/.again.0123456789ab.partial").exists());
    assert!(verified(&world, &world.path("project/again"), &key(&world)).starts_with("exit: 0"));
    let there = world.run(&["incident", "export", "latest", "--out", "again"]);
    assert!(there.contains("incident/exists"), "{there}");
    for (arguments, code) in [
        (vec!["incident", "open", "--reason", "x", "--yes"], "incident/object"),
        (vec!["incident", "show", "nothing"], "incident/missing"),
        (vec!["incident", "verify", "again", "--key", "no key"], "incident/key"),
        (vec!["incident", "open", "digits@1", "--reason", "x"], "quarantine/unconfirmed"),
    ] {
        let said = world.run(&arguments);
        assert!(said.contains(code), "{arguments:?}: {said}");
    }
}

#[test]
fn killed_while_evidence_is_written_nothing_half_is_there() {
    let world = lineage();
    world.ok(&["incident", "open", "digits@1", "--reason", "x", "--yes", "--out", "first"]);
    for wait in 0..8 {
        let name = format!("try-{wait}");
        let mut export = world.command(&["incident", "export", "latest", "--out", &name]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait * 6)); // Any moment will do.
        let _ = export.kill();
        export.wait().unwrap();
        let dir = world.path("project").join(&name);
        if dir.exists() {
            assert!(verified(&world, &dir, &key(&world)).starts_with("exit: 0"), "{name}");
        } else {
            world.ok(&["incident", "export", "latest", "--out", &name]);
        }
    }
}

/// What is no bundle at all: read within bounds, refused by name, and no escape sequence of it reaches a terminal.
#[test]
fn whatever_lies_in_a_bundle_is_refused_by_its_name() {
    let world = lineage();
    let dir = opened(&world);
    let key = key(&world);
    let report = fs::read(dir.join("report.html")).unwrap();
    let refused = |what: &str, said: &str| {
        let answer = verified(&world, &dir, &key);
        assert!(answer.starts_with("exit: 4") && answer.contains(said), "{what}: {answer}");
        assert!(!answer.contains('\u{1b}'), "{what}: {answer}");
    };
    for (name, why) in [("more", "no file of it"), ("entries/more", "no file of it")] {
        fs::create_dir(dir.join(name)).unwrap();
        refused(name, why);
        fs::remove_dir(dir.join(name)).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.join(name), rustix::fs::Mode::RUSR).unwrap();
        refused(name, why);
        fs::remove_file(dir.join(name)).unwrap();
    }
    for name in ["\u{1b}[31mred", "r\u{e9}port.html", "report.html\u{202e}"] {
        fs::write(dir.join(name), "x").unwrap();
        refused(name, "not in the manifest");
        fs::remove_file(dir.join(name)).unwrap();
    }
    let sparse = fs::File::create(dir.join("large")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    refused("sparse", "larger than any bundle");
    fs::remove_file(dir.join("large")).unwrap();
    // The same bytes behind a link may change after they were verified.
    fs::rename(dir.join("report.html"), world.path("report.html")).unwrap();
    std::os::unix::fs::symlink(world.path("report.html"), dir.join("report.html")).unwrap();
    refused("link", "`report.html` is no file of it");
    fs::remove_file(dir.join("report.html")).unwrap();
    fs::write(dir.join("report.html"), report).unwrap();
    let document = fs::read(dir.join("incident.json")).unwrap();
    fs::write(dir.join("incident.json"), "{\"\\u001b[31m\": 1}").unwrap();
    refused("document", "incident.json");
    fs::write(dir.join("incident.json"), document).unwrap();
    fs::rename(dir.join("reached"), world.path("reached")).unwrap();
    let said = verified(&world, &dir, &key);
    assert!(!said.starts_with("exit: 0"), "{said}");
    fs::rename(world.path("reached"), dir.join("reached")).unwrap();
    assert!(verified(&world, &dir, &key).starts_with("exit: 0"));
}

/// Files of another ledger in a bundle of this one, and a bundle that another ledger made of the same things.
#[test]
fn what_another_ledger_says_is_not_this_ledgers_evidence() {
    let (world, other) = (lineage(), lineage());
    let (dir, forged) = (opened(&world), opened(&other));
    assert!(verified(&other, &forged, &key(&other)).starts_with("exit: 0"));
    let said = verified(&other, &forged, &key(&world));
    assert!(said.starts_with("exit: 4") && said.contains("not signed by the given key"), "{said}");
    for name in ["checkpoint", "verifier", "attestation-key.pem", "manifest.json", "values.jsonl"] {
        let own = fs::read(dir.join(name)).unwrap();
        fs::copy(forged.join(name), dir.join(name)).unwrap();
        assert!(verified(&world, &dir, &key(&world)).starts_with("exit: 4"), "{name}");
        fs::write(dir.join(name), own).unwrap();
    }
}

#[test]
fn evidence_lies_outside_of_the_state() {
    let world = lineage();
    for out in ["../state/evidence", "../state/ledger/evidence"] {
        let said = world.run(&["incident", "open", "digits@1", "--reason", "x", "--yes", "--out", out]);
        assert!(said.contains("exit: 2") && said.contains("incident/state"), "{said}");
    }
    assert!(!world.ok(&["quarantine", "list"]).contains("digits"), "it is refused before anything is done");
    let opened = world.ok(&["incident", "open", "digits@1", "--reason", "x", "--yes", "--out", "first/"]);
    assert!(opened.contains("evidence of incident"), "{opened}");
    for place in ["nowhere", "/dev/null"] {
        assert!(world.run(&["incident", "verify", place]).contains("incident/directory"));
    }
    // What another one that goes on writes, and what somebody else calls so.
    for (name, is_held) in [(".busy.0123456789ab.partial", true), (".busy.partial", false)] {
        let partial = world.write(&format!("{name}/own"), "mine");
        let held = fs::File::open(partial.parent().unwrap()).unwrap();
        if is_held {
            rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
        }
        world.ok(&["incident", "export", "latest", "--out", "busy"]);
        assert!(partial.exists(), "{name}");
        fs::remove_dir_all(world.path("project/busy")).unwrap();
    }
}

#[test]
fn of_many_who_write_to_one_place_one_does() {
    let world = lineage();
    for round in 0..4 {
        let out = format!("evidence-{round}");
        let open = ["incident", "open", "digits@1", "--reason", "x", "--yes", "--out", out.as_str()];
        let all: Vec<_> = (0..4)
            .map(|_| world.command(&open).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
            .collect();
        let done = all.into_iter().filter_map(|mut one| one.wait().unwrap().success().then_some(())).count();
        assert_eq!(done, 1, "round {round}");
        assert!(verified(&world, &world.path("project").join(&out), &key(&world)).starts_with("exit: 0"));
    }
    let names = fs::read_dir(world.path("project")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().ends_with(".partial")));
}

/// Names that jobs and people chose are text in every document, for a parser as for a terminal.
#[test]
fn hostile_names_are_text_in_every_document() {
    let world = World::new();
    world.write("rows/a", "1");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    let name = "</title><script>alert(1)</script>&\"'\u{1b}[31m\u{202e}]]>\n\u{fffe}";
    let made = format!(
        "cat /data/d/a > '/out/{}'; printf x > \"$(printf '/out/\\377\\033')\"",
        name.replace('\'', "'\\''")
    );
    world.ok(&["run", "--quiet", "--no-code", "--data", "d=digits", "--", "sh", "-c", &made]);
    world.run(&["annotate", "latest", "--name", "last", "--note", name]);
    world.ok(&["export", "latest", "--to", "back"]);
    world.ok(&["dataset", "add", "back", "--name", "back"]);
    let reason = "<script>\u{202e}&\"]]>";
    world.ok(&["incident", "open", "digits@1", "--reason", reason, "--yes", "--out", "evidence"]);
    world.ok(&["lineage", "digits", "--svg", "l.svg", "--html", "l.html"]);
    let parse =
        "import sys, xml.dom.minidom as d; print(len(d.parse(sys.argv[1]).getElementsByTagName('script')))";
    for file in ["l.svg", "l.html", "evidence/lineage.svg", "evidence/report.html"] {
        let path = world.path("project").join(file);
        let parsed = Command::new("/usr/bin/python3").args(["-c", parse]).arg(&path).output().unwrap();
        assert!(parsed.status.success(), "{file}: {parsed:?}");
        assert_eq!(String::from_utf8(parsed.stdout).unwrap().trim(), "0", "{file}");
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("<script") && !text.contains(['\u{1b}', '\u{202e}']), "{file}: {text}");
    }
    assert!(verified(&world, &world.path("project/evidence"), &key(&world)).starts_with("exit: 0"));
    for shown in [
        world.run(&["lineage", "digits"]),
        world.run(&["lineage", "digits", "--dot"]),
        world.run(&["lineage", "digits", "--csv"]),
        world.run(&["quarantine", "show", "digits@1"]),
        world.run(&["quarantine", "list"]),
        world.run(&["incident", "show", "latest"]),
        world.run(&["incident", "list"]),
    ] {
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
    let listed = world.ok(&["incident", "list"]) + &world.ok(&["incident", "show", "latest"]);
    assert!(listed.contains("<script>\u{fffd}&") && !listed.contains('\u{202e}'), "{listed}");
}
