//! Signed statements about runs: made at seal, verified, given to others.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use insta::assert_snapshot;
use serde_json::Value;

use crate::world::World;

/// A run that read one of two files and left three.
fn sealed() -> World {
    let world = World::new();
    world.write("d/a.csv", "1\n");
    world.write("d/b.csv", "2\n");
    world.ok(&["dataset", "add", "d", "--name", "d", "--label", "model", "--licence", "CC0-1.0"]);
    let script = "mkdir -p /out/m/s; cat /data/d/a.csv > /out/m/s/w; echo x > /out/m/v; echo y > /out/log";
    world.ok(&["run", "--quiet", "--no-code", "--data", "d=d", "--", "sh", "-c", script]);
    world
}

fn entries(world: &World, kind: &str) -> Vec<Value> {
    let shown = world.json(&["ledger", "show", "--json"]);
    let all = shown["entries"].as_array().unwrap();
    all.iter().map(|entry| entry["entry"].clone()).filter(|entry| entry["event"]["type"] == kind).collect()
}

fn failed(world: &World, arguments: &[&str], code: &str) {
    let output = world.run(arguments);
    assert!(output.contains(&format!("code: {code}")), "{arguments:?}: {output}");
    assert!(!output.starts_with("exit: 0"), "{output}");
}

#[test]
fn a_sealed_run_is_attested() {
    let world = sealed();
    let shown = world.json(&["attest", "show", "latest", "--json"]);
    let [provenance, trace] = shown["statements"].as_array().unwrap().as_slice() else { panic!("{shown:#}") };
    let build = &provenance["predicate"]["buildDefinition"];
    assert_eq!(build["externalParameters"]["command"][0], "sh");
    let names: Vec<_> =
        build["resolvedDependencies"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["plan", "decision", "data/d"]);
    let subjects: Vec<_> = provenance["subject"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(subjects, ["outputs", "out/log", "out/m/s/w", "out/m/v"]);
    assert_eq!(trace["predicate"]["monitorLog"]["fileAccess"][0]["name"], "data/d/a.csv");
    assert_eq!(trace["subject"], provenance["subject"]);

    let sealed = &entries(&world, "run.sealed")[0]["event"]["body"];
    assert_eq!(sealed["attestation"], shown["attestation"]);
    assert_eq!(entries(&world, "attestation.key").len(), 1);
    world.ok(&["run", "--quiet", "--", "true"]);
    assert_eq!(entries(&world, "attestation.key").len(), 1, "a key is recorded once");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(world.path("state/attestation-key.pem")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_verify_and_export_say() {
    let world = sealed();
    world.ok(&["export", "latest", "--to", "copy"]);
    let keyless = |text: String| {
        text.lines().filter(|line| !line.starts_with("signed by key")).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(keyless(world.run(&["attest", "verify", "latest", "--outputs", "copy"])), @r"
    exit: 0
    --- stdout
    verified https://slsa.dev/provenance/v1, about 3 files
    verified https://in-toto.io/attestation/runtime-trace/v0.1, about 3 files
    run [run]: entry 5 of the ledger names it, entry 4 the key
    compared 3 files, 6 B: every one as stated
    --- stderr
    ");
    assert_snapshot!(world.run(&["attest", "export", "latest", "--as", "slsa", "--out", "p.jsonl"]), @r"
    exit: 0
    --- stdout
    wrote slsa of run:[run] to p.jsonl
    --- stderr
    ");
    fs::write(world.path("project/key.pem"), world.ok(&["attest", "key"])).unwrap();
    assert_snapshot!(keyless(world.run(&["attest", "verify", "p.jsonl", "--key", "key.pem"])), @r"
    exit: 0
    --- stdout
    verified https://slsa.dev/provenance/v1, about 3 files
    --- stderr
    not proven: whose key it is, and that a ledger names the statements; no ledger was asked
    ");
    let checked = world.json(&["attest", "verify", "p.jsonl", "--json"]);
    assert_eq!((&checked["entry"], &checked["key_entry"]), (&5.into(), &4.into()));
    fs::write(world.path("project/copy/out/m/v"), "z\n").unwrap();
    assert_snapshot!(world.run(&["attest", "verify", "p.jsonl", "--outputs", "copy"]), @r"
    exit: 4
    --- stdout
    --- stderr
    error: `out/m/v` has other bytes than the statement says
      help: do not use these files; `aseptic export RUN --to DIR` writes those of the run
      code: attest/differs
    ");
}

#[test]
fn files_are_compared_both_ways() {
    let world = sealed();
    world.ok(&["export", "latest/out/m", "--to", "m"]);
    let verify = ["attest", "verify", "latest", "--outputs", "m", "--part", "out/m"];
    assert!(world.ok(&verify).contains("compared 2 files"));
    world.write("m/more", "");
    failed(&world, &verify, "attest/differs");
    fs::remove_file(world.path("project/m/more")).unwrap();
    fs::remove_file(world.path("project/m/s/w")).unwrap();
    failed(&world, &verify, "attest/differs");
    // A link to the right bytes is no file of the statement.
    world.write("w", "1\n");
    std::os::unix::fs::symlink("../../w", world.path("project/m/s/w")).unwrap();
    failed(&world, &verify, "attest/differs");
    failed(&world, &["attest", "verify", "latest", "--outputs", "nowhere"], "attest/read");
    // A part that no statement has is no empty part.
    fs::create_dir(world.path("project/empty")).unwrap();
    failed(
        &world,
        &["attest", "verify", "latest", "--outputs", "empty", "--part", "out/typo"],
        "attest/unlisted",
    );
}

#[test]
fn statements_of_two_runs_are_not_taken_for_one() {
    let world = sealed();
    world.ok(&["attest", "export", "latest", "--as", "slsa", "--out", "one"]);
    world.ok(&["export", "latest/out", "--to", "results"]);
    world.ok(&["run", "--quiet", "--", "sh", "-c", "echo other > /out/other"]);
    world.ok(&["attest", "export", "latest", "--as", "slsa", "--out", "two"]);
    let both = ["one", "two"].map(|name| fs::read_to_string(world.path("project").join(name)).unwrap());
    world.write("both", both.concat());
    world.write("key.pem", world.ok(&["attest", "key"]));
    let verify =
        |file| ["attest", "verify", file, "--key", "key.pem", "--outputs", "results", "--part", "out"];
    assert!(world.ok(&verify("one")).contains("every one as stated"));
    failed(&world, &verify("both"), "attest/differs");
    failed(&world, &["attest", "verify", "one", "--key", "/dev/zero"], "attest/read");
}

#[test]
fn what_was_tampered_with_is_refused() {
    let world = sealed();
    world.ok(&["attest", "export", "latest", "--as", "slsa", "--out", "p"]);
    world.ok(&["attest", "export", "latest", "--as", "oms", "--out", "m"]);
    let other = sealed();
    fs::write(world.path("project/other.pem"), other.ok(&["attest", "key"])).unwrap();
    failed(&world, &["attest", "verify", "p", "--key", "other.pem"], "attest/signature");
    failed(&world, &["attest", "verify", "latest", "--key", "other.pem"], "attest/unanchored");
    // Another machine has neither the key nor the run.
    let here = |name: &str| world.path("project").join(name).display().to_string();
    failed(&other, &["attest", "verify", &here("p")], "attest/unanchored");
    failed(&other, &["attest", "verify", &here("m")], "attest/unanchored");
    // What is signed by the right key and is not what the ledger names.
    world.ok(&["run", "--quiet", "--", "true"]);
    let line = fs::read_to_string(world.path("project/p")).unwrap();
    for (name, bad) in [
        ("x", line.replace("payload\":\"e", "payload\":\"f")),
        ("y", format!("{line}{{}}\n")),
        ("z", String::new()),
    ] {
        world.write(name, bad);
        failed(
            &world,
            &["attest", "verify", name],
            if name == "x" { "attest/unanchored" } else { "attest/format" },
        );
    }
    failed(&world, &["attest", "verify", "other.pem", "--key", "p"], "attest/key");

    // The stored bytes themselves.
    let digest =
        world.json(&["attest", "show", "latest", "--json"])["attestation"].as_str().unwrap().to_owned();
    let objects = world.path("state/projects/default/store/objects");
    let object = [objects.join(&digest[..2]).join(&digest), objects.join(&digest[..2]).join(&digest[2..])];
    let object = object.iter().find(|path| path.exists()).unwrap();
    let mut bytes = fs::read(object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(object).unwrap();
    fs::write(object, bytes).unwrap();
    assert!(world.run(&["attest", "verify", "latest"]).starts_with("exit: 4"));
}

#[test]
fn every_document_is_written_once_and_recorded() {
    let world = sealed();
    let formats = ["slsa", "runtime-trace", "in-toto", "oms", "cyclonedx", "ro-crate", "openlineage"];
    for format in formats {
        world.ok(&["attest", "export", "latest", "--as", format, "--out", format]);
        failed(&world, &["attest", "export", "latest", "--as", format, "--out", format], "attest/exists");
    }
    world.ok(&["attest", "export", "d@1", "--as", "croissant", "--out", "croissant"]);
    let recorded = entries(&world, "attestation.exported");
    let recorded: Vec<_> = recorded.iter().map(|entry| &entry["event"]["body"]["formats"][0]).collect();
    assert_eq!(recorded, [&formats[..], &["croissant"]].concat());

    let read = |name: &str| fs::read_to_string(world.path("project").join(name)).unwrap();
    let croissant: Value = serde_json::from_str(&read("croissant")).unwrap();
    let sha256 = "4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865";
    assert_eq!(croissant["distribution"][0]["sha256"], sha256, "sha256sum of `1\\n`");
    assert_eq!(croissant["license"], "CC0-1.0");
    assert_eq!(read("ro-crate/out/m/v"), "x\n");
    assert_eq!(read("openlineage").lines().count(), 2);
    assert!(world.ok(&["attest", "verify", "oms"]).contains("about 3 files"));
    assert!(
        world
            .ok(&[
                "attest",
                "verify",
                "ro-crate/attestation.jsonl",
                "--outputs",
                "ro-crate/out",
                "--part",
                "out"
            ])
            .contains("compared 3")
    );
    let signed: Vec<_> =
        fs::read_dir(world.path("project/in-toto")).unwrap().flatten().map(|one| one.file_name()).collect();
    assert_eq!(signed.len(), 3, "{signed:?}");

    failed(&world, &["attest", "export", "latest/out", "--as", "slsa", "--out", "q"], "attest/not-for");
    failed(&world, &["attest", "export", "latest/out/none", "--as", "oms", "--out", "q"], "attest/not-for");
    failed(
        &world,
        &["attest", "export", "latest", "--as", "slsa", "--to", "http://127.0.0.1:9"],
        "attest/not-for",
    );
    failed(&world, &["attest", "export", "nothing", "--as", "croissant", "--out", "q"], "dataset/missing");
    assert!(!world.path("project/q").exists());
    assert_eq!(entries(&world, "attestation.exported").len(), 8);
}

#[test]
fn another_key_leaves_what_the_old_one_signed() {
    let world = sealed();
    let old = world.ok(&["attest", "key"]);
    assert!(world.run(&["attest", "key", "--rotate"]).starts_with("exit: 2"), "a reason is asked for");
    let new = world.ok(&["attest", "key", "--rotate", "--reason", "yearly"]);
    assert_ne!(old, new);
    assert_eq!(world.ok(&["attest", "key"]), new);
    world.ok(&["run", "--quiet", "--", "true"]);
    let runs = world.json(&["runs", "--json"]);
    for (run, key_entry) in runs["runs"].as_array().unwrap().iter().zip([6, 4]) {
        let checked = world.json(&["attest", "verify", "--json", run["run"].as_str().unwrap()]);
        assert_eq!(checked["key_entry"], key_entry, "{checked:#}");
    }
}

#[test]
fn a_key_that_the_ledger_does_not_have_is_recorded_before_it_signs() {
    let world = sealed();
    // As with a ledger from a copy that was made before the key was.
    let early = World::new();
    early.ok(&["attest", "key"]);
    fs::copy(early.path("state/attestation-key.pem"), world.path("state/attestation-key.pem")).unwrap();
    world.ok(&["run", "--quiet", "--", "true"]);
    assert_eq!(entries(&world, "attestation.key").len(), 2);
    assert!(world.ok(&["attest", "verify", "latest"]).contains("verified"));

    fs::write(world.path("state/attestation-key.pem"), "damaged").unwrap();
    let output = world.run(&["run", "--quiet", "--", "true"]);
    assert!(output.contains("code: attest/key-file") && output.starts_with("exit: 125"), "{output}");
    world.ok(&["attest", "key", "--rotate", "--reason", "damaged"]);
    let said = world.run(&["runs"]);
    assert!(said.contains("as aborted") || said.contains("succeeded"), "{said}");
    assert!(world.ok(&["attest", "verify", "latest"]).contains("verified"));
}

#[test]
fn what_never_ran_and_what_was_not_sealed_has_no_attestation() {
    let world = World::new();
    world.run(&["run", "--quiet", "--net", "127.0.0.1:1", "--accept", "nothing-of-this-name", "--", "true"]);
    if let Some(run) = world.json(&["runs", "--json"])["runs"][0]["run"].as_str() {
        failed(&world, &["attest", "show", run], "result/not-sealed");
    }
    world.run(&["run", "--quiet", "--", "false"]);
    let shown = world.json(&["attest", "show", "latest", "--json"]);
    let record = &shown["statements"][0]["predicate"]["runDetails"]["byproducts"][0];
    assert_eq!(
        (&record["annotations"]["status"], &record["annotations"]["exitCode"]),
        (&"failed".into(), &1.into())
    );
    assert!(world.ok(&["attest", "verify", "latest"]).contains("about 0 files"));
}

/// A catalog that takes two events and says 201.
fn catalog() -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/api/v1/lineage", listener.local_addr().unwrap());
    let take = move || {
        let mut requests = Vec::new();
        while requests.len() < 2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let length = stream.read(&mut buffer).unwrap();
                bytes.extend_from_slice(&buffer[..length]);
                let text = String::from_utf8_lossy(&bytes);
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let field = head.lines().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
                });
                if length == 0 || field.is_some_and(|field| body.len() >= field.parse().unwrap()) {
                    break;
                }
            }
            stream
                .write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .unwrap();
            requests.push(String::from_utf8(bytes).unwrap());
        }
        requests
    };
    (url, std::thread::spawn(take))
}

#[test]
fn events_go_to_a_catalog() {
    let world = sealed();
    let (url, server) = catalog();
    let arguments = ["attest", "export", "latest", "--as", "openlineage", "--to", &url];
    let output = world.command(&arguments).env("OPENLINEAGE_API_KEY", "a-secret").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let requests = server.join().unwrap();
    for (request, kind) in requests.iter().zip(["START", "COMPLETE"]) {
        assert!(request.starts_with("POST /api/v1/lineage ") && request.contains(kind), "{request}");
        assert!(request.to_ascii_lowercase().contains("authorization: bearer a-secret"), "{request}");
    }
    let recorded = &entries(&world, "attestation.exported")[0]["event"]["body"];
    assert_eq!(recorded["to"], url);
    for (path, bytes, _) in crate::world::contents(Path::new(&world.path("state"))) {
        assert!(!String::from_utf8_lossy(&bytes).contains("a-secret"), "{}", path.display());
    }
    for bad in ["ftp://x/y", "http://user:secret@127.0.0.1:9/x"] {
        failed(&world, &["attest", "export", "latest", "--as", "openlineage", "--to", bad], "attest/url");
    }
    failed(
        &world,
        &["attest", "export", "latest", "--as", "openlineage", "--to", "http://127.0.0.1:9/x"],
        "attest/send",
    );
}
