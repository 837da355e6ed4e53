//! Metrics: whoever writes them, whatever is in the file, while a run goes on and after it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::world::{World, wait_until};

/// Runs a Python program that must succeed; gives the record.
fn python(world: &World, program: &str) -> Value {
    world.write("measure.py", program);
    world.ok(&["run", "--quiet", "--", "/usr/bin/python3", "measure.py"]);
    world.json(&["show", "--json", "latest"])
}

fn shell(world: &World, script: &str) -> Value {
    world.shell(script);
    world.json(&["show", "--json", "latest"])
}

#[test]
fn a_python_program_measures_and_everything_shows_it() {
    let world = World::new();
    let record = python(
        &world,
        "import json, os
with open(os.environ['ASEPTIC_METRICS'], 'a', buffering=1) as metrics:
    for step in range(200):
        line = {'step': step, 'time': 1e9 + step, 'loss': 1 / (step + 1), 'test': {'accuracy': step / 200}}
        print(json.dumps(line), file=metrics)
    print(json.dumps({'step': 200, 'loss': float('nan')}), file=metrics)
",
    );
    let metrics = &record["metrics"];
    assert_eq!((&metrics["file"], &metrics["lines"]), (&"out/metrics.jsonl".into(), &201.into()));
    let loss = &metrics["series"]["loss"];
    assert_eq!(
        (&loss["count"], &loss["not_finite"], &loss["last_step"]),
        (&201.into(), &1.into(), &200.into())
    );
    assert_eq!((&loss["max"], &loss["last"]), (&1.0.into(), &0.005.into()));
    assert_eq!(metrics["series"]["test/accuracy"]["shape"].as_array().unwrap().len(), 40);
    let shown = world.ok(&["show", "latest"]);
    assert!(
        shown.contains("1 of 201 values not finite") && shown.contains("201 lines in out/metrics.jsonl"),
        "{shown}"
    );
    let table = world.ok(&["metrics", "latest", "--name", "test/*"]);
    insta::assert_snapshot!(table, @r"
    metric         values  step  last   min  max    shape
    test/accuracy  200     199   0.995  0    0.995  _____.....,,,,,-----~~~~~+++++*****#####
    ");
    let utf8 = world.command(&["metrics", "latest"]).env("LANG", "en_GB.UTF-8").output().unwrap();
    assert!(String::from_utf8_lossy(&utf8.stdout).contains('█'));
    let csv = world.ok(&["metrics", "latest", "--csv"]);
    let lines: Vec<_> = csv.split("\r\n").collect();
    assert_eq!((lines.len(), lines[0]), (1 + 200 * 2 + 1 + 1, "run,name,step,time,value"));
    assert!(
        lines[3].ends_with(",loss,1,1000000001,0.5") && lines[401].ends_with(",loss,200,,NaN"),
        "{lines:?}"
    );
    let before = world.ok(&["catalog", "dump"]);
    assert!(before.contains("test/accuracy"));
    world.ok(&["catalog", "rebuild"]);
    assert_eq!(world.ok(&["catalog", "dump"]), before);
}

#[test]
fn a_shell_and_printf_measure() {
    let world = World::new();
    let script = "echo '{\"a\": 1}' >>$ASEPTIC_METRICS
        awk 'BEGIN { for (i = 0; i < 50; i++) printf \"{\\\"step\\\":%d,\\\"b\\\":%g}\\r\\n\", i, i / 7 }' >>$ASEPTIC_METRICS
        printf '{\"a\": nan}\\n{\"a\": -inf}\\n\\n{\"a\": 3}' >>$ASEPTIC_METRICS";
    let metrics = &shell(&world, script)["metrics"];
    assert_eq!((&metrics["lines"], &metrics["unreadable"]), (&54.into(), &0.into()));
    let a = &metrics["series"]["a"];
    assert_eq!(
        (&a["count"], &a["not_finite"], &a["last"], &a["last_step"]),
        (&4.into(), &2.into(), &3.0.into(), &3.into())
    );
    assert_eq!(metrics["series"]["b"]["count"], 50);
}

#[test]
fn processes_that_append_at_once_lose_nothing() {
    let world = World::new();
    let record = python(
        &world,
        "import json, multiprocessing, os
def measure(number):
    with open(os.environ['ASEPTIC_METRICS'], 'a', buffering=1) as metrics:
        for step in range(500):
            print(json.dumps({'step': step, f'worker/{number}': step, 'pad': 'x' * 300}), file=metrics)
workers = [multiprocessing.Process(target=measure, args=(n,)) for n in range(8)]
for worker in workers: worker.start()
for worker in workers: worker.join()
",
    );
    let metrics = &record["metrics"];
    assert_eq!((&metrics["lines"], &metrics["unreadable"]), (&4_000.into(), &0.into()));
    let series = metrics["series"].as_object().unwrap();
    assert!(series.len() == 8 && series.values().all(|one| one["count"] == 500 && one["max"] == 499.0));
}

/// The job dies in the middle of a line.
#[test]
fn half_a_line_of_a_killed_job_is_counted() {
    let world = World::new();
    let script =
        "echo '{\"a\": 1}' >/out/metrics.jsonl; printf '{\"a\": 2, \"b' >>/out/metrics.jsonl; kill -9 $$";
    let (code, record) = world.run_json(&["--", "sh", "-c", script]);
    assert_ne!(code, 0);
    let metrics = &record["metrics"];
    assert_eq!((&metrics["lines"], &metrics["unreadable"]), (&2.into(), &1.into()));
    assert_eq!(metrics["series"]["a"]["count"], 1);
    let said = world.run(&["metrics", "latest"]);
    assert!(said.contains("note: 1 of 2 lines of run [run] could not be read"), "{said}");
}

/// The supervisor is killed: the next command seals what the job and the sampler wrote until then.
#[test]
fn the_metrics_of_a_killed_supervisor_are_kept() {
    let world = World::new();
    let script =
        "i=0; while :; do echo \"{\\\"a\\\": $i}\" >>/out/metrics.jsonl; i=$((i+1)); sleep 0.05; done";
    let mut run = world.command(&["run", "--quiet", "--", "sh", "-c", script]).spawn().unwrap();
    wait_until("the machine was looked at", || {
        world.output(&["metrics", "latest", "--system"]).status.success()
    });
    run.kill().unwrap();
    run.wait().unwrap();
    let record = world.json(&["show", "--json", "latest"]);
    assert_eq!(record["status"], "aborted");
    assert!(record["metrics"]["series"]["a"]["count"].as_u64().unwrap() > 1);
    assert!(record["system"]["size"].as_u64().unwrap() > 0);
    assert!(world.ok(&["metrics", "latest", "--system"]).contains("cpu_cores"));
    world.assert_no_leftovers();
}

#[test]
fn long_series_are_drawn_with_their_spikes() {
    let world = World::new();
    let record = python(
        &world,
        "with open('/out/metrics.jsonl', 'w') as metrics:
    for step in range(200_000):
        metrics.write('{\"step\":%d,\"loss\":%s}\\n' % (step, 9 if step == 123_456 else 0.5))
",
    );
    assert_eq!(record["metrics"]["series"]["loss"]["count"], 200_000);
    let document = world.json(&["metrics", "latest", "--json", "--points", "100"]);
    let points = document["runs"][0]["metrics"][0]["points"].as_array().unwrap();
    assert!((50..=100).contains(&points.len()));
    let spike: Vec<_> = points.iter().filter(|point| point["max"] == 9.0).collect();
    assert_eq!(spike.len(), 1);
    world.ok(&["metrics", "latest", "--plot", "a.svg"]);
    let svg = fs::read_to_string(world.path("project/a.svg")).unwrap();
    assert!(svg.len() < 100_000 && svg.contains("200000 values"), "{}", svg.len());
}

#[test]
fn what_is_no_file_is_no_metrics_file() {
    for (script, listed) in [
        ("ln -s /etc/passwd /out/metrics.jsonl", "link "),
        ("mkfifo /out/metrics.jsonl", "not kept "),
        ("mkdir /out/metrics.jsonl; echo '{\"a\":1}' >/out/metrics.jsonl/metrics.jsonl", "output "),
        ("truncate -s 1T /out/metrics.jsonl", "not kept "),
    ] {
        let world = World::new();
        let record = shell(&world, script);
        assert!(record.get("metrics").is_none(), "{script}");
        let shown = world.ok(&["show", "latest"]);
        assert!(shown.contains(listed) && !shown.contains("\nmetric"), "{script}: {shown}");
        let said = world.run(&["metrics", "latest"]);
        assert!(said.starts_with("exit: 2\n") && said.contains("code: metrics/none"), "{said}");
    }
}

/// Of a run that goes on, nothing that a job puts there is waited for, and nothing outside is read.
#[test]
fn a_pipe_or_link_in_the_place_of_the_file_is_not_opened() {
    for script in ["mkfifo /out/metrics.jsonl", "ln -s /proc/self/root/etc/passwd /out/metrics.jsonl"] {
        let world = World::new();
        let script = format!("{script}; touch /out/ready; sleep 600");
        let mut run = world.command(&["run", "--quiet", "--", "sh", "-c", &script]).spawn().unwrap();
        let runs = world.path("state/runs/default");
        let is_ready = || {
            let dirs = fs::read_dir(&runs).into_iter().flatten().flatten();
            dirs.map(|dir| dir.path().join("out/ready")).any(|ready| ready.exists())
        };
        wait_until("the job has put it there", is_ready);
        let said = world.run(&["metrics", "latest"]);
        assert!(said.contains("code: metrics/none"), "{said}");
        assert!(world.ok(&["show", "latest"]).contains("is running"));
        assert!(Command::new("kill").args(["-TERM", &run.id().to_string()]).status().unwrap().success());
        run.wait().unwrap();
    }
}

#[test]
fn hostile_lines_and_names_do_no_harm() {
    let world = World::new();
    let record = python(
        &world,
        r#"import os
with open(os.environ['ASEPTIC_METRICS'], 'wb') as m:
    m.write(b'\xef\xbb\xbf{"ok": 1}\n\x00\x00\n\xff\xfe\n{"a": 1e99999, "a": 2}\n')
    m.write(b'{"\\u001b[2Jclear": 1, "</text><script>": 2, "\\u202eabc": 3, "=1+1": 4}\n')
    m.write(b'[' * 1_000_000 + b'\n' + b'{"x":' * 100_000 + b'\n' + b'{"' + b'n' * 5_000_000 + b'":1}\n')
    for i in range(10_200): m.write(b'{"many/%d": 1}\n' % i)
"#,
    );
    let metrics = &record["metrics"];
    let series = metrics["series"].as_object().unwrap();
    assert_eq!(series.len(), 10_000);
    assert_eq!(series["a"]["last"], 2.0);
    assert!(series.contains_key("</text><script>") && !series.keys().any(|name| name.contains('\u{1b}')));
    let shown = world.output(&["show", "latest"]).stdout;
    let text = String::from_utf8(shown).unwrap();
    assert!(
        !text.contains(['\u{1b}', '\u{202e}']) && text.contains("9980 more: `aseptic metrics RUN`"),
        "{text}"
    );
    world.ok(&["metrics", "latest", "--name", "?*", "--name", "ok", "--csv"]);
    world.ok(&["metrics", "latest", "--name", "<*", "--name", "*abc", "--plot", "a.svg"]);
    let svg = fs::read_to_string(world.path("project/a.svg")).unwrap();
    assert!(!svg.contains("<script") && !svg.contains('\u{202e}'));
    let many = world.run(&["metrics", "latest", "--plot", "b.svg"]);
    assert!(many.contains("code: metrics/too-many"), "{many}");
}

#[test]
fn a_run_that_goes_on_is_followed_to_its_end() {
    let world = World::new();
    let script = "i=0; while [ ! -e /out/stop ]; do echo \"{\\\"step\\\": $i, \\\"a\\\": $i, \\\"b\\\": 2}\" \
                  >>/out/metrics.jsonl; i=$((i+1)); sleep 0.02; done; printf '{\"step\": -1, \"end\": 1}' >>/out/metrics.jsonl";
    let mut run = world.command(&["run", "--quiet", "--", "sh", "-c", script]).spawn().unwrap();
    wait_until("it measures", || world.output(&["metrics", "latest"]).status.success());
    let shown = world.ok(&["show", "latest"]);
    assert!(shown.contains("in out/metrics.jsonl so far") && shown.contains("metric  a "), "{shown}");
    assert_eq!(world.json(&["metrics", "latest", "--json"])["runs"][0]["goes_on"], true);
    assert!(world.json(&["show", "latest", "--json"])["metrics"]["series"]["a"].is_object());
    let mut follow =
        world.command(&["metrics", "latest", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "step 0  a 0  b 2");
    let dir = fs::read_dir(world.path("state/runs/default")).unwrap().next().unwrap().unwrap().path();
    fs::write(dir.join("out/stop"), "").unwrap();
    let last = lines.map(Result::unwrap).last().unwrap();
    assert_eq!(last, "step -1  end 1");
    assert!(follow.wait().unwrap().success() && run.wait().unwrap().success());
    let documents = world.ok(&["metrics", "latest", "--follow", "--json"]);
    let first: Value = serde_json::from_str(documents.lines().next().unwrap()).unwrap();
    assert_eq!((&first["values"]["b"], &first["schema"]), (&2.0.into(), &"aseptic.metrics-line/1".into()));
}

#[test]
fn the_machine_is_looked_at_from_the_first_second_on() {
    let world = World::new();
    let record = python(
        &world,
        "import time
held = bytearray(64 << 20)
started = time.monotonic()
while time.monotonic() - started < 2.6: pass
",
    );
    assert_eq!(record["system"]["dropped"], 0);
    let document = world.json(&["metrics", "latest", "--system", "--json"]);
    let metrics = document["runs"][0]["metrics"].as_array().unwrap();
    let of = |name: &str| metrics.iter().find(|metric| metric["name"] == name).unwrap();
    assert!(of("cpu_cores")["count"].as_u64().unwrap() >= 2);
    assert!(of("cpu_cores")["max"].as_f64().unwrap() > 0.05);
    assert!(of("memory_bytes")["max"].as_f64().unwrap() >= f64::from(64 << 20));
    assert_eq!(of("processes")["max"], 1.0);
    assert!(metrics.iter().all(|metric| metric["name"] != "network_sent_bytes"), "nothing is granted");
    assert!(world.ok(&["show", "latest"]).contains("machine     cpu_cores"));
    world.ok(&["gc", "--now", "--quiet"]);
    assert!(world.ok(&["metrics", "latest", "--system"]).contains("cpu_cores"), "a collection keeps it");
    let short = shell(&world, "true");
    assert!(short.get("system").is_none() && short.get("metrics").is_none());
    let said = world.run(&["metrics", "latest", "--system"]);
    assert!(said.contains("has no metrics of the machine") && said.contains("code: metrics/none"), "{said}");
}

#[test]
fn runs_are_beside_each_other_and_no_other_file_is_replaced() {
    let world = World::new();
    for value in ["1", "2"] {
        world.shell(&format!("echo '{{\"a\": {value}}}' >/out/metrics.jsonl"));
    }
    let runs = world.json(&["runs", "--json"]);
    let ids: Vec<_> =
        runs["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
    let both = world.ok(&[&["metrics"], ids.as_slice()].concat());
    assert_eq!(both.lines().count(), 3, "{both}");
    world.ok(&[&["metrics"], ids.as_slice(), &["--plot", "a.svg"]].concat());
    world.ok(&["metrics", "latest", "--plot", "a.svg"]);
    world.write("b.svg", "my notes");
    let said = world.run(&["metrics", "latest", "--plot", "b.svg"]);
    assert!(said.starts_with("exit: 2\n") && said.contains("code: metrics/plot"), "{said}");
    assert_eq!(fs::read_to_string(world.path("project/b.svg")).unwrap(), "my notes");
    let left: Vec<_> =
        fs::read_dir(world.path("project")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(world.run(&["metrics", "latest", "--name", "b"]).contains("code: metrics/no-name"));
}

#[test]
fn what_goes_through_a_granted_network_is_a_metric_of_the_machine() {
    let world = World::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::copy(&mut stream.try_clone().unwrap(), &mut stream).unwrap();
    });
    let script = format!(
        "
import socket, time
s = socket.create_connection(('127.0.0.1', {port}))
s.sendall(b'x' * 50_000)
got = 0
while got < 50_000: got += len(s.recv(65536))
time.sleep(3.5)
"
    );
    let grant = format!("127.0.0.1:{port}");
    world.ok(&["run", "--quiet", "--network", &grant, "--", "/usr/bin/python3", "-c", &script]);
    let document = world.json(&["metrics", "latest", "--system", "--json", "--name", "network_*"]);
    let metrics = document["runs"][0]["metrics"].as_array().unwrap();
    assert_eq!(metrics.len(), 2);
    assert!(metrics.iter().all(|metric| metric["max"] == 50_000.0), "{document:#}");
}

/// Numbers at the ends of what there is must not make a record that cannot be read again.
#[test]
fn a_record_with_the_largest_numbers_can_be_read() {
    let world = World::new();
    let script = "for step in 9223372036854775807 -9223372036854775808 9007199254740993 9007199254740991 -9007199254740991
        do for value in 1.7976931348623157e308 -1.7976931348623157e308 5e-324 -0.0 1e21
        do echo \"{\\\"step\\\": $step, \\\"time\\\": $value, \\\"a\\\": $value}\"; done; done >/out/metrics.jsonl";
    let record = shell(&world, script);
    let metrics = &record["metrics"];
    assert_eq!((&metrics["lines"], &metrics["unreadable"]), (&25.into(), &15.into()));
    let a = &metrics["series"]["a"];
    assert_eq!((&a["max"], &a["last_step"]), (&f64::MAX.into(), &(-9_007_199_254_740_991_i64).into()));
    world.ok(&["show", "latest"]);
    world.ok(&["metrics", "latest", "--plot", "a.svg", "--x", "time"]);
    world.ok(&["catalog", "rebuild"]);
    assert!(world.ok(&["runs"]).contains(" ms"), "its record was read");
}
