//! What stays: records, lineage, ledger, catalog, environment.

use std::fs;
use std::process::Command;

use crate::world::World;

#[test]
fn the_document_of_a_run_has_everything() {
    let world = World::new();
    world.write("d/a.csv", "1\n");
    world.write("d/b.csv", "2\n");
    world.ok(&["dataset", "add", "d", "--name", "d", "--label", "pii"]);
    let script = "cat /data/train/a.csv > /out/copy.csv; cat $ASEPTIC_PARAMS; echo talk >&2";
    let (code, run) = world.run_json(&["--data", "train=d@1", "--param", "lr=0.1", "--", "sh", "-c", script]);
    assert_eq!(code, 0);
    assert_eq!(run["schema"], "aseptic.run/1");
    assert_eq!(run["status"], "succeeded");
    assert_eq!(run["exit_code"], 0);
    assert_eq!(run["inputs"]["train"]["source"]["dataset"]["version"], 1);
    assert_eq!(run["lineage"]["complete"], true);
    assert_eq!(run["lineage"]["read"]["train"], serde_json::json!(["a.csv"]));
    assert_eq!(run["labels"], serde_json::json!(["dirty-code", "pii"]));
    let output = &run["outputs"][0];
    assert_eq!((&output["path"], &output["size"]), (&"out/copy.csv".into(), &2.into()));
    let sha256 = "4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865";
    assert_eq!(output["sha256"], sha256, "sha256sum of `1\\n`");
    assert_eq!(output["blake3"].as_str().unwrap().len(), 64);
    for step in ["plan", "decide", "provision", "seal"] {
        assert!(run["overhead_ms"][step].is_number(), "{step}");
    }
    assert!(run["environment"]["host"]["kernel"].is_string());
    assert_eq!(world.ok(&["logs", "latest"]), "{\"lr\":0.1}");
    assert_eq!(world.ok(&["logs", "latest", "--stderr"]), "talk\n");
    let shown = world.json(&["show", "latest", "--json"]);
    assert_eq!((&shown["run"], &shown["outputs"]), (&run["run"], &run["outputs"]));
}

#[test]
fn equal_plans_have_equal_digests() {
    let world = World::new();
    world.write("train.py", "");
    let plan = |arguments: &[&str]| {
        world.json(&[&["plan", "--json"], arguments].concat())["digest"].as_str().unwrap().to_owned()
    };
    let first = plan(&["--param", "lr=1", "--", "true"]);
    assert_eq!(first, plan(&["--param", "lr=1", "--", "true"]));
    assert_ne!(first, plan(&["--param", "lr=2", "--", "true"]));
    world.write("train.py", "pass");
    assert_ne!(first, plan(&["--param", "lr=1", "--", "true"]));
}

/// However a file is read, it is opened; a listing opens no file.
#[test]
fn lineage_is_what_was_opened_however_that_was() {
    let world = World::new();
    for name in ["mapped", "sub/by-link", "by-descriptor", "looked-at", "other/listed"] {
        world.write(&format!("d/{name}"), "x\n");
    }
    std::os::unix::fs::symlink("sub/by-link", world.path("project/d/link")).unwrap();
    world.ok(&["dataset", "add", "d", "--name", "d"]);
    let script = "
import mmap, os
os.chdir('/data/d')
print(mmap.mmap(os.open('mapped', os.O_RDONLY), 0, prot=mmap.PROT_READ)[:])
open('link').read()
handle = os.open('by-descriptor', os.O_PATH)
os.read(os.open(f'/proc/self/fd/{handle}', os.O_RDONLY), 1)
os.stat('looked-at'); os.readlink('link'); os.listdir('other'); list(os.walk('/data'))
try:
    open('looked-at', 'w')
except OSError:
    pass";
    for options in [&[][..], &["--explain"]] {
        let data = ["--no-code", "--data", "d=d", "--", "/usr/bin/python3", "-c", script];
        let (code, run) = world.run_json(&[options, &data].concat());
        assert_eq!((code, &run["lineage"]["complete"]), (0, &true.into()), "{run:#}");
        assert_eq!(
            run["lineage"]["read"]["d"],
            serde_json::json!(["by-descriptor", "mapped", "sub/by-link"])
        );
    }
}

/// More directories than are watched: what is in the list was opened, and the record says that more may
/// have been.
#[test]
fn too_many_directories_make_lineage_incomplete() {
    let world = World::new();
    for number in 0..4_100 {
        world.write(&format!("d/{number:04}/x"), "");
    }
    world.ok(&["dataset", "add", "d", "--name", "d"]);
    let (_, run) =
        world.run_json(&["--no-code", "--data", "d=d", "--", "cat", "/data/d/0000/x", "/data/d/4099/x"]);
    let lineage = &run["lineage"];
    assert_eq!(lineage["complete"], false);
    assert_eq!(lineage["read"]["d"], serde_json::json!(["0000/x"]));
    let why = lineage["incomplete_because"].as_str().unwrap();
    assert!(why.contains("directories of the inputs were not watched"), "{why}");
}

#[test]
fn lineage_goes_through_runs() {
    let world = World::new();
    world.write("d/x", "1");
    let spec = "[project]\nname = \"p\"\n[experiment.train]\ncommand = [\"sh\", \"-c\", \"cp /data/d/x /out/model\"]\n\
                data = { d = \"raw\" }\n[experiment.evaluate]\ncommand = [\"cat\", \"/data/model/model\"]\n\
                data = { model = \"run:train/out/model\" }\n";
    world.write("aseptic.toml", spec);
    world.ok(&["dataset", "add", "d", "--name", "raw", "--label", "pii"]);
    world.ok(&["run", "train"]);
    assert_eq!(world.ok(&["run", "--quiet", "evaluate"]), "1");
    let lineage = world.ok(&["lineage", "run:train/out/model"]);
    assert!(lineage.contains("raw@1") && lineage.contains("read as /data/model: opened 1 file"), "{lineage}");
    let lineage = world.json(&["lineage", "raw", "--json"]);
    let edges = lineage["down"]["edges"].as_array().unwrap();
    let readers: Vec<_> =
        edges.iter().filter(|edge| edge["kind"] == "read").map(|edge| &edge["input"]).collect();
    assert_eq!(readers, ["d", "model"], "train and evaluate: {lineage:#}");
    let evaluated = world.json(&["show", "evaluate", "--json"]);
    assert_eq!(
        evaluated["labels"],
        serde_json::json!(["dirty-code", "pii"]),
        "labels flow through the artifact"
    );
}

#[test]
fn a_rebuilt_catalog_equals_the_original() {
    let world = World::new();
    world.write("d/x", "1");
    world.ok(&["dataset", "add", "d", "--name", "d", "--label", "l"]);
    world.ok(&["run", "--data", "d=d", "--param", "k=1", "--", "sh", "-c", "cat /data/d/x; echo 1 > /out/o"]);
    world.output(&["run", "--", "false"]);
    world.output(&["run", "--network", "h:1", "--", "true"]);
    let sealed = world.json(&["runs", "--json", "--status", "succeeded"])["runs"][0]["run"].clone();
    world.ok(&["export", sealed.as_str().unwrap(), "--to", "there"]);
    let original = world.ok(&["catalog", "dump"]);
    assert!(original.contains("out/o"), "{original}");
    world.ok(&["catalog", "rebuild"]);
    assert_eq!(world.ok(&["catalog", "dump"]), original);
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let _ = fs::remove_file(world.path("state").join(name));
    }
    assert_eq!(world.ok(&["catalog", "dump"]), original, "a lost catalog comes back by itself");
    fs::write(world.path("state/catalog.sqlite"), "not a database").unwrap();
    assert_eq!(world.ok(&["catalog", "dump"]), original, "and so does a damaged one");
}

#[test]
fn one_changed_byte_is_found_and_named() {
    let world = World::new();
    world.ok(&["run", "--", "true"]);
    world.ok(&["run", "--", "true"]);
    let copy = world.path("copy");
    assert!(
        Command::new("cp").arg("-r").arg(world.path("state/ledger")).arg(&copy).status().unwrap().success()
    );
    let verify = ["ledger", "verify", "--ledger", copy.to_str().unwrap()];
    assert!(world.ok(&verify).starts_with("verified 9 entries"));
    let log = copy.join("log");
    let mut bytes = fs::read(&log).unwrap();
    let place = bytes.windows(11).position(|window| window == b"run.decided").unwrap();
    bytes[place] ^= 1;
    fs::write(&log, bytes).unwrap();
    let output = world.run(&verify);
    assert!(
        output.starts_with("exit: 4") && output.contains("broken at entry 1: its bytes are not"),
        "{output}"
    );
    assert!(world.ok(&["ledger", "verify"]).starts_with("verified 9 entries"), "the original is untouched");
    let kept = world.path("kept");
    fs::copy(world.path("state/ledger/checkpoint"), &kept).unwrap();
    world.ok(&["run", "--", "true"]);
    let output = world.ok(&["ledger", "verify", "--checkpoint", kept.to_str().unwrap()]);
    assert!(output.contains("extends the kept checkpoint of 9 entries"), "{output}");
}

#[test]
fn a_python_environment_is_captured_and_mounted_read_only() {
    let world = World::new();
    let venv = world.path("project/.venv");
    let made =
        Command::new("/usr/bin/python3").args(["-m", "venv", "--without-pip"]).arg(&venv).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let site = fs::read_dir(venv.join("lib")).unwrap().next().unwrap().unwrap().path().join("site-packages");
    fs::create_dir_all(site.join("demo-1.5.dist-info")).unwrap();
    fs::write(site.join("demo-1.5.dist-info/METADATA"), "Metadata-Version: 2.1\nName: demo\nVersion: 1.5\n")
        .unwrap();
    fs::write(site.join("demo.py"), "answer = 42\n").unwrap();
    world.write(".gitignore", ".venv\n");
    world.write("aseptic.toml", "[project]\nname = \"p\"\n[experiment.a]\ncommand = [\"python\", \"a.py\"]\nenv = { python = \".venv\" }\n");
    world.write("a.py", "import demo, sys\nprint(demo.answer, sys.prefix)\ntry:\n    open(demo.__file__, 'a')\nexcept OSError as e:\n    print(e.errno)\n");
    let (code, run) = world.run_json(&["a"]);
    assert_eq!(code, 0, "{run:#}");
    assert_eq!(world.ok(&["logs", "latest"]), format!("42 {}\n30\n", venv.display()));
    let python = &run["environment"]["python"];
    assert_eq!(python["packages"][0]["name"], "demo");
    assert_eq!(python["packages"][0]["version"], "1.5");
    fs::write(site.join("demo-1.5.dist-info/METADATA"), "Name: demo\nVersion: 1.6\n").unwrap();
    assert_ne!(world.json(&["plan", "a", "--json"])["digest"], run["plan"], "packages are part of the plan");
}
