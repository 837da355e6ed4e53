//! Hold-out data: jobs that try to take it out of a run, and how often it may be looked at.

use std::process::Stdio;

use serde_json::Value;

use crate::session::Session;
use crate::world::World;

/// What nothing of a run may hold.
const SECRET: &str = "PATIENT-4711-HAS-IT";

fn world() -> World {
    let world = World::new();
    world.write("test.csv", format!("name,label\n{SECRET},1\n"));
    world.ok(&["dataset", "add", "test.csv", "--name", "digits-test", "--role", "holdout"]);
    world
}

const EVALUATE: [&str; 5] = ["--no-code", "--keep", "metrics", "--data", "test=digits-test"];

/// Runs a shell script that sees the hold-out; gives the exit code, what was printed and the record.
fn evaluate(world: &World, script: &str) -> (i32, String, Value) {
    let output = world.output(&[&["run"], EVALUATE.as_slice(), &["--", "sh", "-c", script]].concat());
    let printed = [output.stdout.as_slice(), &output.stderr].concat();
    let record = world.json(&["show", "latest", "--json"]);
    (output.status.code().unwrap(), String::from_utf8_lossy(&printed).into_owned(), record)
}

/// Every byte that is kept of a run: its files, its record, its logs.
fn kept(world: &World) -> String {
    let to = world.path("exported");
    let _ = std::fs::remove_dir_all(&to);
    world.ok(&["export", "latest", "--to", to.to_str().unwrap()]);
    let mut kept = String::new();
    for (path, bytes, _) in crate::world::contents(&to) {
        kept.push_str(&format!("{}\n{}\n", path.display(), String::from_utf8_lossy(&bytes)));
    }
    kept.push_str(&world.ok(&["show", "latest", "--json"]));
    kept.push_str(&world.ok(&["show", "latest"]));
    kept
}

fn names(list: &Value, key: &str) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|one| one[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn only_metrics_leave_a_run() {
    let world = world();
    let (code, _, record) = evaluate(
        &world,
        "cp /data/test/test.csv /out/copy.csv
         cp /data/test/test.csv /work/copy.csv
         mkdir -p /out/$(sed -n 2p /data/test/test.csv)
         ln -s $(sed -n 2p /data/test/test.csv) /out/link
         ln -s /data/test/test.csv /out/other
         echo '{\"step\":1,\"accuracy\":0.5}' > /out/metrics.jsonl",
    );
    assert_eq!(code, 0);
    assert_eq!(names(&record["outputs"], "path"), ["out/metrics.jsonl"]);
    assert_eq!(record["links"], serde_json::json!([]));
    assert_eq!(names(&record["skipped"], "path"), ["out", "work"]);
    assert!(names(&record["skipped"], "reason").iter().all(|why| why.starts_with("metrics-only")));
    assert_eq!(record["metrics"]["series"]["accuracy"]["last"], 0.5);
    assert_eq!(record["limits"]["outputs_bytes"], 1 << 20);
    assert_eq!(record["limits"]["metrics_bytes"], 64 << 10);
    assert!(!kept(&world).contains("PATIENT-4711"));
    // The same job without the wall.
    let script = "cp /data/test/test.csv /out/copy.csv";
    world.write("plain.csv", format!("{SECRET}\n"));
    world.ok(&["dataset", "add", "plain.csv", "--name", "plain"]);
    world.ok(&[
        "run",
        "--no-code",
        "--data",
        "test=plain",
        "--",
        "sh",
        "-c",
        "cp /data/test/plain.csv /out/copy.csv",
    ]);
    assert!(kept(&world).contains("PATIENT-4711"), "{script}");
}

#[test]
fn metrics_are_written_anew() {
    let world = world();
    let (_, _, record) = evaluate(
        &world,
        r#"s=$(sed -n 2p /data/test/test.csv)
         { echo "$s"
           echo "{\"a\":1,\"note\":\"$s\"}"
           echo "{\"$s\":1}"
           echo "{  \"b\" : 2.000 , \"a\":1, \"time\": 1234.5 }"
           echo "{\"a\":1,\"list\":[\"$s\"]}"
           echo '{"step":9007199254740991,"a":1}'
         } > /out/metrics.jsonl"#,
    );
    let file = kept(&world);
    assert!(file.contains("{\"a\":1.0}\n{\"a\":1.0,\"b\":2.0}\n{\"a\":1.0}\n"), "{file}");
    assert!(!file.contains("PATIENT-4711"), "{file}");
    assert_eq!(record["metrics"]["unreadable"], 0);
    let why = names(&record["skipped"], "reason");
    assert_eq!(why.len(), 6, "{why:?}");
}

#[test]
fn metrics_are_bounded_in_bytes_and_names() {
    let world = world();
    let (code, _, record) = evaluate(
        &world,
        r#"i=0; while [ $i -lt 9000 ]; do echo "{\"step\":$i,\"loss\":0.123456}"; i=$((i+1)); done > /out/metrics.jsonl"#,
    );
    assert_eq!(code, 0);
    let size = record["outputs"][0]["size"].as_u64().unwrap();
    assert!((60_000..=64 << 10).contains(&size), "{size}");
    let why = names(&record["skipped"], "reason");
    assert_eq!(why[0], "metrics beyond the bytes that are kept");
    let (_, _, record) = evaluate(
        &world,
        r#"i=0; while [ $i -lt 200 ]; do echo "{\"n$i\":1}"; i=$((i+1)); done > /out/metrics.jsonl"#,
    );
    assert_eq!(record["metrics"]["series"].as_object().unwrap().len(), 64);
    // More than the disk has room for ends the job.
    let (_, _, record) = evaluate(&world, "head -c 100000000 /dev/zero > /out/big; sleep 60");
    assert_eq!(record["status"], "outputs-full");
}

#[test]
fn a_file_of_metrics_that_is_none_is_not_followed() {
    let world = world();
    for script in [
        "ln -s /data/test/test.csv /out/metrics.jsonl",
        "mkfifo /out/metrics.jsonl",
        "mkdir /out/metrics.jsonl",
        "cp /data/test/test.csv /out/metrics.jsonl; chmod 0 /out/metrics.jsonl",
        "rmdir /out; true",
    ] {
        let (code, _, record) = evaluate(&world, script);
        assert_eq!((code, &record["outputs"]), (0, &serde_json::json!([])), "{script}");
        assert!(!kept(&world).contains("PATIENT-4711"), "{script}");
    }
    world.assert_no_leftovers();
}

#[test]
fn little_of_what_it_prints_leaves_it() {
    let world = world();
    let (code, printed, record) =
        evaluate(&world, "head -c 100000 /dev/zero | tr '\\0' o; head -c 100000 /dev/zero | tr '\\0' e >&2");
    assert_eq!(code, 0);
    assert!(printed.contains(&"o".repeat(8_192)) && !printed.contains(&"o".repeat(8_193)), "{printed}");
    assert!(printed.contains(&"e".repeat(8_192)) && !printed.contains(&"e".repeat(8_193)), "{printed}");
    assert!(printed.contains("only the first 8.0 KiB of each stream"), "{printed}");
    for stream in ["stdout", "stderr"] {
        assert_eq!(record["logs"][stream]["size"], 8_192);
        assert_eq!(record["logs"][stream]["dropped"], 131_072, "rounded up to a power of two");
    }
    assert_eq!(world.ok(&["logs", "latest"]).len(), 8_192);
}

#[test]
fn little_of_a_terminal_leaves_it_too() {
    let world = world();
    let script = "head -c 100000 /dev/zero | tr '\\0' o; echo; echo to-the-end";
    let session =
        Session::start(&world, &[&["run"], EVALUATE.as_slice(), &["--", "sh", "-c", script]].concat());
    let (status, shown) = session.end();
    assert!(status.success(), "{shown}");
    assert!(shown.contains(&"o".repeat(8_192)) && !shown.contains(&"o".repeat(8_193)), "{shown}");
    assert!(!shown.contains("\nto-the-end"), "{shown}");
    let record = world.json(&["show", "latest", "--json"]);
    assert_eq!(record["logs"]["stdout"]["size"], 8_192);
}

#[test]
fn what_it_attempts_is_not_named() {
    let world = world();
    let output = world.output(
        &[
            &["run", "--explain"],
            EVALUATE.as_slice(),
            &["--", "sh", "-c", "cat /etc/secret-4711; getent hosts secret-4711.example"],
        ]
        .concat(),
    );
    let said = String::from_utf8_lossy(&output.stderr).replace("cat: /etc/secret-4711", "");
    assert!(said.contains("attempts were not looked at"), "{said}");
    let record = world.ok(&["show", "latest", "--json"]);
    let mut record: Value = serde_json::from_str(&record).unwrap();
    record["command"] = Value::Null; // It is in the plan, and not the job's choice.
    assert!(!record.to_string().contains("secret-4711"), "{record}");
    assert_eq!(record["observed"], Value::Null);
}

#[test]
fn a_killed_supervisor_leaves_metrics_alone_too() {
    let world = world();
    let mut command = world.command(&[&["run"], EVALUATE.as_slice(), &["--", "sh", "-c",
        "cp /data/test/test.csv /out/copy.csv; cp /data/test/test.csv /work/; echo '{\"a\":1}' > /out/metrics.jsonl; \
         echo ready; sleep 600"]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    // What it measures is not to be had while it goes on, when nothing has written it anew.
    let output = world.output(&["metrics", "latest"]);
    assert!(!output.status.success(), "{output:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    crate::world::wait_until("the run is sealed", || {
        world.json(&["show", "latest", "--json"])["status"] == "aborted"
    });
    assert_eq!(names(&world.json(&["show", "latest", "--json"])["outputs"], "path"), ["out/metrics.jsonl"]);
    assert!(!kept(&world).contains("PATIENT-4711"));
}

#[test]
fn role_and_licence_give_labels() {
    let world = World::new();
    let labels =
        |name: &str| world.json(&["dataset", "show", name, "--json"])["versions"][0]["labels"].clone();
    world.write("a.csv", "1");
    let output = world.run(&["dataset", "add", "a.csv", "--name", "a", "--licence", "CC-BY-NC-ND-4.0"]);
    assert!(output.contains("labelled `non-commercial`, as its role or licence says"), "{output}");
    assert_eq!(labels("a"), serde_json::json!(["no-derivatives", "non-commercial"]));
    // What is said later counts as well, for the same bytes under another name, too.
    world.ok(&["dataset", "add", "a.csv", "--name", "b"]);
    world.ok(&["dataset", "describe", "b", "role=holdout"]);
    for name in ["a", "b"] {
        assert_eq!(labels(name), serde_json::json!(["holdout", "no-derivatives", "non-commercial"]));
    }
    // Taking a statement back takes no label off, and a label that was taken off stays off.
    world.ok(&["dataset", "describe", "b", "--unset", "role"]);
    assert!(labels("b").to_string().contains("holdout"));
    world.ok(&["dataset", "unlabel", "a", "non-commercial", "--reason", "bought"]);
    world.write("a.csv", "2");
    world.ok(&["dataset", "add", "a.csv", "--name", "a"]);
    assert_eq!(labels("a"), serde_json::json!(["holdout", "no-derivatives"]));
    world.ok(&["dataset", "add", "a.csv", "--name", "a", "--licence", "CC-BY-NC-4.0"]);
    assert!(labels("a").to_string().contains("non-commercial"), "somebody says so again");
}

#[test]
fn every_look_counts() {
    let world = world();
    let evaluated = || -> u64 {
        let shown = world.json(&["dataset", "show", "digits-test", "--json"]);
        assert_eq!(shown["evaluations"]["permitted"], 20);
        shown["evaluations"]["used"].as_u64().unwrap()
    };
    assert_eq!(evaluated(), 0);
    evaluate(&world, "exit 0");
    evaluate(&world, "exit 3");
    assert_eq!(evaluated(), 2);
    assert!(world.ok(&["dataset", "show", "digits-test"]).contains("evaluated   2 of 20 times\n"));
    // The same bytes under another name, and a new version, are the same hold-out.
    world.ok(&["dataset", "add", "test.csv", "--name", "copy"]);
    let copy = ["run", "--quiet", "--no-code", "--keep", "metrics", "--data", "test=copy", "--", "true"];
    world.ok(&copy);
    assert_eq!(evaluated(), 3);
    world.write("test.csv", "name,label\nanother,1\n");
    world.ok(&["dataset", "add", "test.csv", "--name", "digits-test"]);
    assert_eq!(evaluated(), 3);
    // A replay looks again; another dataset does not.
    world.output(&["replay", "latest", "--quiet"]);
    assert_eq!(evaluated(), 4);
    world.write("other.csv", "1\n");
    world.ok(&["dataset", "add", "other.csv", "--name", "other"]);
    world.ok(&["run", "--quiet", "--no-code", "--data", "x=other", "--", "true"]);
    assert_eq!(evaluated(), 4);
    let plan = world.ok(&[&["plan"], EVALUATE.as_slice(), &["--", "true"]].concat());
    assert!(plan.contains("hold-out `digits-test`: evaluation 5 of 20"), "{plan}");
}

#[test]
fn a_copy_that_was_made_before_counts_as_the_data() {
    let world = World::new();
    world.write("test.csv", "name,label\n1,1\n");
    world.ok(&["dataset", "add", "test.csv", "--name", "digits-test"]);
    let copy = ["run", "--quiet", "--no-code", "--data", "test=digits-test", "--", "sh", "-c"];
    world.ok(&[copy.as_slice(), &["cp /data/test/test.csv /out/copy; echo 1 > /out/more"]].concat());
    world.ok(&["export", "latest/out", "--to", "made"]);
    world.ok(&["dataset", "add", "made", "--name", "made"]);
    world.ok(&["dataset", "label", "digits-test", "holdout"]);
    let run = world.json(&["show", "latest", "--json"])["run"].as_str().unwrap().to_owned();
    let mut looks = 1;
    for data in [format!("x=run:{run}"), format!("x=run:{run}/out/copy"), "x=made".to_owned()] {
        let evaluate = ["--no-code", "--keep", "metrics", "--data", &data, "--", "true"];
        let plan = world.ok(&[&["plan"], evaluate.as_slice()].concat());
        assert!(plan.contains(&format!("evaluation {} of 20", looks + 1)), "{data}: {plan}");
        world.ok(&[&["run", "--quiet"], evaluate.as_slice()].concat());
        looks += 1;
        for name in ["digits-test", "made"] {
            let shown = world.json(&["dataset", "show", name, "--json"]);
            assert_eq!(shown["evaluations"]["used"], looks, "{name} after {data}");
        }
    }
}

#[test]
fn of_runs_that_start_at_once_only_so_many_look() {
    let world = world();
    let start = |_| {
        let mut command = world.command(&[&["run"], EVALUATE.as_slice(), &["--", "true"]].concat());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let children: Vec<_> = (0..23).map(start).collect();
    let codes = children.into_iter().map(|mut child| child.wait().unwrap().code().unwrap());
    let mut codes: Vec<_> = codes.collect();
    codes.sort_unstable();
    assert_eq!(codes, [vec![0; 20], vec![126; 3]].concat());
    let listed = world.json(&["runs", "--json"]);
    let statuses = names(&listed["runs"], "status");
    assert_eq!(statuses.iter().filter(|status| *status == "needs-approval").count(), 3);
    let shown = world.json(&["dataset", "show", "digits-test", "--json"]);
    assert_eq!(shown["evaluations"]["used"], 20);
}

#[test]
fn a_holdout_beside_the_code_is_not_read_uncounted() {
    let world = world();
    for keep in ["everything", "metrics"] {
        let denied = world.run(&["run", "--keep", keep, "--", "cat", "test.csv"]);
        assert!(denied.contains("exit: 126") && !denied.contains("4711"), "{denied}");
        assert!(
            denied.contains("the code has `test.csv` of digits-test@1, so every run of it sees"),
            "{denied}"
        );
        assert!(denied.contains("`.asepticignore`"), "{denied}");
    }
    // Neither under another name, nor with something else beside it.
    let name = world.path("project/test.csv");
    std::fs::create_dir(world.path("project/deep")).unwrap();
    std::fs::rename(name, world.path("project/deep/other")).unwrap();
    assert!(world.run(&["run", "--", "cat", "deep/other"]).contains("holdout/code"));
    world.write(".asepticignore", "deep/\n");
    world.ok(&["run", "--quiet", "--", "true"]);
    world.ok(&["run", "--quiet", "--keep", "metrics", "--data", "test=digits-test", "--", "true"]);
}

#[test]
fn every_label_that_means_it_is_counted() {
    let world = World::new();
    for (number, label) in ["role=holdout", "HOLDOUT", "holdout:2026"].into_iter().enumerate() {
        let name = format!("test{number}");
        world.write(&name, &name);
        world.ok(&["dataset", "add", &name, "--name", &name, "--label", label]);
        let data = format!("x={name}");
        world.ok(&["run", "--quiet", "--no-code", "--keep", "metrics", "--data", &data, "--", "true"]);
        let shown = world.json(&["dataset", "show", &name, "--json"]);
        assert_eq!(shown["evaluations"], serde_json::json!({ "used": 1, "permitted": 20 }), "{label}");
        let denied = world.run(&["run", "--quiet", "--no-code", "--data", &data, "--", "true"]);
        assert!(denied.contains("holdout/training"), "{denied}");
    }
}

#[test]
fn what_has_a_file_of_a_holdout_is_no_new_one() {
    let world = world();
    world.write("more/test.csv", std::fs::read(world.path("project/test.csv")).unwrap());
    for number in 1..=3 {
        world.write("more/number", format!("{number}\n"));
        let name = format!("more{number}");
        world.ok(&["dataset", "add", "more", "--name", &name]);
        let data = format!("x={name}");
        let run = ["run", "--quiet", "--no-code", "--keep", "metrics", "--data", &data, "--", "true"];
        world.ok(&run);
        for name in ["digits-test", &name] {
            let shown = world.json(&["dataset", "show", name, "--json"]);
            assert_eq!(shown["evaluations"]["used"], number, "{name}");
        }
    }
    // Another hold-out has no file of it.
    world.write("other.csv", "another\n");
    world.ok(&["dataset", "add", "other.csv", "--name", "other", "--role", "holdout"]);
    assert_eq!(world.json(&["dataset", "show", "other", "--json"])["evaluations"]["used"], 0);
}
