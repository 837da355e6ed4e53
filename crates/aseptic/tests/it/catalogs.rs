//! The catalog on a PostgreSQL server.

use serde_json::Value;

use crate::private::Private;
use crate::world::{World, contents};

fn world(server: &Private) -> World {
    let mut world = World::new();
    world.catalog = Some(server.line.clone());
    world
}

/// What the file makes of the same ledger and stores.
fn dump_of_file(world: &World) -> String {
    let output = world.command(&["catalog", "dump"]).env_remove("ASEPTIC_CATALOG").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn dump(world: &World) -> String {
    world.ok(&["catalog", "dump"])
}

#[test]
fn the_answers_of_a_server_are_those_of_a_file() {
    let server = Private::start(&[]);
    let (world, other) = (world(&server), world(&server));
    world.write("rows/a.csv", "1\n");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    world.ok(&[
        "run",
        "--quiet",
        "--data",
        "d=digits",
        "--",
        "sh",
        "-c",
        "cat $ASEPTIC_DATA/d/a.csv > out.csv",
    ]);
    assert!(!world.path("state/catalog.sqlite").exists(), "there is no file beside it");
    other.shell("echo other > other.txt");
    let list = |command: &[&str]| {
        let file = world.command(command).env_remove("ASEPTIC_CATALOG").output().unwrap();
        assert_eq!(world.ok(command), String::from_utf8(file.stdout).unwrap(), "{command:?}");
    };
    list(&["runs"]);
    list(&["runs", "--json"]);
    list(&["show", "latest", "--json"]);
    list(&["lineage", "digits", "--json"]);
    let before = dump(&world);
    assert_eq!(before, dump_of_file(&world));
    assert!(before.contains("digits") && !before.contains("other.txt"), "two ledgers do not meet: {before}");
    world.ok(&["catalog", "rebuild"]);
    assert_eq!(dump(&world), before);
    world.ok(&["catalog", "verify"]);
    assert_eq!(dump(&other), dump_of_file(&other));
}

#[test]
fn what_is_asked_of_a_file_is_asked_of_a_server() {
    let server = Private::start(&[]);
    let world = world(&server);
    world.write("rows/a.csv", "1\n");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    for lr in ["lr=0.1", "lr=0.2"] {
        let start = ["run", "--quiet", "--no-code", "--data", "d=digits", "--param", lr, "--"];
        world.ok(&[&start[..], &["sh", "-c", "cat /data/d/a.csv > /out/model"]].concat());
    }
    world.ok(&["run", "--quiet", "--no-code", "--data", "m=run:latest/out/model", "--", "true"]);
    let known = world.json(&["runs", "--json"]);
    let runs: Vec<_> =
        known["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
    let [reader, second, first] = runs[..] else { panic!("{known:#}") };
    world.ok(&["annotate", first, "--name", "baseline", "--tag", "paper", "--note", "the first"]);
    world.ok(&["replay", "baseline"]);
    let same = |command: &[&str]| {
        let file = world.command(command).env_remove("ASEPTIC_CATALOG").output().unwrap();
        let server = world.output(command);
        assert_eq!(server.status.code(), file.status.code(), "{command:?}: {server:?}");
        assert!(matches!(server.status.code(), Some(0 | 1)), "{command:?}: {server:?}");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let server = text(server.stdout);
        assert_eq!(server, text(file.stdout), "{command:?}");
        server
    };
    for search in [
        "param.lr > 0.15",
        "tag:paper and dataset:digits@1 and not note ~ 'second'",
        "read:a.csv or has replays",
        "name = baseline or status in (failed, aborted)",
    ] {
        for sort in ["planned", "duration", "param.lr:asc", "name", "started"] {
            let found = same(&["runs", "--json", "--where", search, "--sort", sort]);
            assert!(found.contains("\"run\":"), "{search}: {found}");
        }
    }
    for object in ["digits", &format!("run:{first}"), &format!("run:{second}/out/model")] {
        same(&["lineage", object, "--json"]);
    }
    same(&["lineage", reader, "--up", "--json"]);
    same(&["show", "baseline", "--json"]);
    same(&["diff", first, second, "--json"]);

    let reason = ["--reason", "leaked", "--yes"];
    world.ok(&[&["incident", "open", "digits@1", "--out", "evidence"][..], &reason].concat());
    let key = std::fs::read_to_string(world.path("state/ledger/verifier")).unwrap();
    world.ok(&["incident", "verify", "evidence", "--key", key.trim()]);
    same(&["incident", "list", "--json"]);
    same(&["quarantine", "list", "--json"]);
    same(&["quarantine", "show", "digits@1", "--json"]);
    assert!(world.run(&["run", "--data", "m=run:baseline/out/model", "--", "true"]).contains("exit: 126"));
    world.ok(&["quarantine", "lift", "digits@1", "--reason", "it was another one"]);
    world.ok(&[&["quarantine", "add", &format!("run:{second}/out/model")][..], &reason].concat());
    same(&["quarantine", "list", "--json"]);
    assert!(world.run(&["run", "--data", "m=run:baseline/out/model", "--", "true"]).contains("exit: 0"));
    assert_eq!(dump(&world), dump_of_file(&world));
    world.ok(&["catalog", "verify"]);
}

#[test]
fn processes_share_a_server() {
    let server = Private::start(&[]);
    let world = world(&server);
    world.shell("true");
    let runs: Vec<_> = (0..4)
        .map(|number| {
            let script = format!("echo {number} > out.txt");
            world.command(&["run", "--quiet", "--", "sh", "-c", &script]).spawn().unwrap()
        })
        .collect();
    for mut run in runs {
        assert!(run.wait().unwrap().success());
    }
    world.ok(&["catalog", "verify"]);
    assert_eq!(dump(&world).lines().filter(|line| line.starts_with("run\t")).count(), 5);
}

#[test]
fn what_was_erased_is_gone_from_a_server() {
    let server = Private::start(&[]);
    let world = world(&server);
    world.write("rows/a.csv", "1\n");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    world.ok(&["dataset", "describe", "digits", "owner=Moritz"]);
    assert!(dump(&world).contains("Moritz"));
    world.ok(&["ledger", "erase", "1", "--all", "--reason", "asked"]);
    assert!(!dump(&world).contains("Moritz"));
    assert_eq!(dump(&world), dump_of_file(&world));
    world.ok(&["catalog", "verify"]);
}

#[test]
fn a_server_that_cannot_be_used_says_why_and_never_the_password() {
    let server = Private::start(&["--tls"]);
    let [url, port, certificate] = server.line.split(' ').collect::<Vec<_>>()[..] else { unreachable!() };
    let tcp = |options: &str| format!("postgresql://aseptic:hunter2@localhost:{port}/postgres?{options}");
    let socket =
        |change: &str| url.replace("user=aseptic", &format!("user=aseptic&password=hunter2{change}"));
    let mut world = World::new();
    for (url, code) in [
        (url.replace("user=aseptic", "user=aseptic&password=hunter3"), "catalog/server-login"),
        (socket("").replace("/postgres?", "/absent?"), "catalog/server-database"),
        (tcp("sslmode=require"), "catalog/server-tls"),
        ("postgresql://aseptic:hunter2@/postgres?host=/absent".to_owned(), "catalog/server-unreachable"),
        ("postgresql://aseptic:hunter2@localhost:1/postgres".to_owned(), "catalog/server-unreachable"),
        ("postgresql://aseptic:hunter2@localhost:port/postgres".to_owned(), "catalog/url"),
        (tcp("sslrootcert=/absent"), "catalog/url"),
        ("mysql://aseptic:hunter2@localhost/postgres".to_owned(), "catalog/url"),
    ] {
        world.catalog = Some(url.clone());
        let output = world.output(&["runs", "--json"]);
        let text = [output.stdout.clone(), output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains("hunter"), "{url}: {text}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["code"], code, "{url}: {text}");
    }
    for url in
        [socket(""), tcp(&format!("sslmode=verify-full&sslrootcert={certificate}")), tcp("sslmode=disable")]
    {
        world.catalog = Some(url);
        let seen = world.shell("env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null");
        assert!(!seen.contains("hunter") && !seen.contains("ASEPTIC_CATALOG"), "{seen}");
    }
    assert_eq!(dump(&world).lines().filter(|line| line.starts_with("run\t")).count(), 3);
    for (path, bytes, _) in contents(&world.path("state")) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("hunter"), "{}", path.display());
    }
}
