//! Lineage of real runs, in every form that it is given in.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::world::World;

const SPEC: &str = r#"
[project]
name = "p"
[experiment.prepare]
command = ["sh", "-c", "cp /data/raw/train.csv /out/rows"]
data = { raw = "digits@1" }
[experiment.train]
command = ["sh", "-c", "cp /data/rows/rows /out/model"]
data = { rows = "run:prepare/out/rows" }
[experiment.report]
command = ["sh", "-c", "cat /data/model/model > /out/report"]
data = { model = "run:train/out/model" }
[experiment.other]
command = ["sh", "-c", "cat /data/raw/test.csv > /out/other"]
data = { raw = "digits@1" }
"#;

/// Three runs in a row that begin with one of two files, and one that reads the other.
fn chain() -> (World, [String; 4]) {
    let world = World::new();
    world.write("rows/train.csv", "1,2\n");
    world.write("rows/test.csv", "3,4\n");
    world.write("aseptic.toml", SPEC);
    world.ok(&["dataset", "add", "rows", "--name", "digits", "--label", "pii"]);
    let run = |name: &str| {
        world.ok(&["run", "--quiet", name]);
        world.json(&["show", name, "--json"])["run"].as_str().unwrap().to_owned()
    };
    let runs = ["prepare", "train", "report", "other"].map(run);
    (world, runs)
}

/// The runs at the ends of `graph`, in its order.
fn runs_of(graph: &Value) -> Vec<&str> {
    let nodes = graph["nodes"].as_array().unwrap();
    let id = |node: &Value| node["type"] == "run";
    nodes
        .iter()
        .filter(|node| id(node))
        .map(|node| node["id"].as_str().unwrap().trim_start_matches("run:"))
        .collect()
}

fn sorted(mut runs: Vec<&str>) -> Vec<&str> {
    runs.sort_unstable();
    runs
}

#[test]
fn only_who_opened_a_file_read_it() {
    let (world, [prepare, train, report, other]) = chain();
    let down = |object: &str| world.json(&["lineage", object, "--down", "--json"]);
    let of_train = down("digits@1/train.csv");
    assert_eq!(of_train["schema"], "aseptic.lineage/2");
    assert_eq!(of_train["place"], "digits@1/train.csv");
    assert_eq!(sorted(runs_of(&of_train["down"])), sorted(vec![&prepare, &train, &report]));
    let read =
        of_train["down"]["edges"].as_array().unwrap().iter().find(|edge| edge["kind"] == "read").unwrap();
    assert_eq!(
        (&read["evidence"], &read["opened"], &read["path"]),
        (&"observed".into(), &1.into(), &"train.csv".into())
    );
    assert!(of_train.get("up").is_none());
    // The same bytes in another version are the same file, under whatever name.
    world.write("more/copy.csv", "3,4\n");
    world.ok(&["dataset", "add", "more", "--name", "digits"]);
    world.ok(&["run", "--quiet", "--data", "d=digits@2", "--", "cat", "/data/d/copy.csv"]);
    let last = world.json(&["show", "latest", "--json"])["run"].as_str().unwrap().to_owned();
    let of_test = down("digits@1/test.csv");
    assert_eq!(sorted(runs_of(&of_test["down"])), sorted(vec![&other, &last]));
    let digest = of_test["object"].as_str().unwrap();
    assert_eq!(down(digest)["down"], of_test["down"]);
    let all = down("digits");
    assert_eq!(runs_of(&all["down"]).len(), 5);
    let machine = world.json(&["show", "latest", "--json"])["host"].as_str().map(str::to_owned);
    if let Some(machine) = machine {
        assert_eq!(runs_of(&down(&format!("host:{machine}"))["down"]).len(), 5);
    }
    let up = world.json(&["lineage", "run:report", "--up", "--json"]);
    assert_eq!(sorted(runs_of(&up["up"])), sorted(vec![&prepare, &train, &report]));
    let near = world.json(&["lineage", "run:report", "--up", "--depth", "1", "--json"]);
    assert_eq!(sorted(runs_of(&near["up"])), sorted(vec![&train, &report]));
}

#[test]
fn an_output_that_became_a_dataset_goes_on() {
    let (world, [_, train, ..]) = chain();
    world.ok(&["export", "run:train/out/model", "--to", "copy"]);
    world.ok(&["dataset", "add", "copy", "--name", "models"]);
    world.ok(&[
        "run", "--quiet", "--data", "m=models", "--", "find", "/data/m", "-type", "f", "-exec", "cat", "{}",
        "+",
    ]);
    let last = world.json(&["show", "latest", "--json"])["run"].as_str().unwrap().to_owned();
    let down = world.json(&["lineage", "run:train/out/model", "--down", "--json"]);
    assert!(runs_of(&down["down"]).contains(&last.as_str()), "{down:#}");
    // The rows that the model is a copy of were there before it.
    let ids: Vec<_> = down["down"]["nodes"].as_array().unwrap().iter().map(|node| &node["id"]).collect();
    assert!(
        ids.contains(&&"dataset:models@1".into()) && !ids.contains(&&"dataset:digits@1".into()),
        "{down:#}"
    );
    assert_eq!(ids.len(), ids.iter().map(|id| id.as_str()).collect::<std::collections::BTreeSet<_>>().len());
    let up = world.json(&["lineage", "models", "--up", "--json"]);
    assert!(runs_of(&up["up"]).contains(&train.as_str()), "{up:#}");
}

#[test]
fn every_form_is_read_by_those_it_is_for() {
    let (world, runs) = chain();
    let text = world.ok(&["lineage", "digits@1", "--down"]);
    assert!(text.contains("read as /data/raw: opened 1 file, observed: run:"), "{text}");
    assert!(text.contains("[pii]"), "{text}");
    let csv = world.ok(&["lineage", "digits@1", "--csv"]);
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines[0], "direction,hops,from,kind,to,input,evidence,opened,path");
    assert_eq!(lines[1], format!("down,1,dataset:digits@1,read,run:{},raw,observed,1,", runs[0]));
    assert_eq!(lines.len(), 7);
    let dot = world.ok(&["lineage", "digits@1", "--dot"]);
    let drawn = world.write("lineage.dot", &dot);
    let output =
        Command::new("dot").arg("-Tsvg").arg(&drawn).output().expect("graphviz is installed by make test");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap().matches("class=\"edge\"").count(), 6);
    world.ok(&["lineage", "digits@1", "--svg", "lineage.svg", "--html", "lineage.html"]);
    for file in ["lineage.svg", "lineage.html"] {
        let path = world.path("project").join(file);
        let parse = "import sys, xml.dom.minidom as d\n\
                     print(sum(1 for p in d.parse(sys.argv[1]).getElementsByTagName('path') if p.getAttribute('class')[:4] == 'edge'))";
        let parsed = Command::new("/usr/bin/python3").args(["-c", parse]).arg(&path).output().unwrap();
        assert!(parsed.status.success(), "{parsed:?}");
        assert_eq!(String::from_utf8(parsed.stdout).unwrap().trim(), "6");
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains("<script")
                && !text.replace("http://www.w3.org/", "").contains("http:")
                && !text.contains("https:"),
            "{text}"
        );
    }
    let again = world.run(&["lineage", "digits@1", "--svg", "lineage.svg"]);
    assert!(again.contains("code: lineage/file"), "{again}");
    let page = world.run(&["lineage", "digits@1", "--down", "--limit", "2", "--csv"]);
    assert!(page.contains("note: there is more down; `--cursor 2` shows it"), "{page}");
    let rest = world.ok(&["lineage", "digits@1", "--down", "--limit", "9", "--cursor", "2", "--csv"]);
    assert_eq!(rest.lines().skip(1).collect::<Vec<_>>(), lines[3..]);
}

#[test]
fn what_names_nothing_says_so() {
    let world = World::new();
    world.write("rows/a", "1");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    for (object, code) in [
        ("absent", "dataset/missing"),
        ("digits@1/absent", "result/no-file"),
        ("digits@9", "dataset/missing"),
        ("run:absent", "run/"),
        (&"0".repeat(64), "result/no-digest"),
    ] {
        let answer = world.run(&["lineage", object]);
        assert!(answer.contains(&format!("code: {code}")), "{object}: {answer}");
    }
    for object in ["host:nowhere", "package:numpy@1.26", &format!("policy:{}", "0".repeat(64))] {
        let answer = world.json(&["lineage", object, "--down", "--json"]);
        assert_eq!(answer["down"]["edges"], serde_json::json!([]), "{object}");
    }
    let far = world.run(&["lineage", "digits", "--cursor", "1000000"]);
    assert!(far.contains("code: result/too-far"), "{far}");
}

#[test]
fn what_quarantine_reaches_is_marked_in_every_form() {
    let world = crate::quarantine::lineage();
    let known = world.json(&["runs", "--json"]);
    let first = known["runs"][1]["run"].as_str().unwrap().to_owned();
    let clean = world.ok(&["lineage", "digits", "--down"]);
    assert!(!clean.contains("QUARANTINE"), "{clean}");
    world.ok(&["quarantine", "add", &format!("run:{first}"), "--reason", "x", "--yes"]);
    let tree = world.ok(&["lineage", "digits", "--down"]);
    let through = format!("IN QUARANTINE through run:{first}");
    assert!(tree.matches(&through).count() >= 2 && tree.contains("IN QUARANTINE\n"), "{tree}");
    let json = world.json(&["lineage", "back", "--up", "--json"]);
    assert_eq!(json["objects"][0]["reached_by"], format!("run:{first}"), "{json:#}");
    let source = json["up"]["nodes"].as_array().unwrap().iter().find(|node| node["id"] == "dataset:digits@1");
    assert!(source.unwrap().get("reached_by").is_none(), "what it came from is not reached: {json:#}");
    world.ok(&["lineage", "digits", "--down", "--svg", "l.svg", "--html", "l.html"]);
    for file in ["l.svg", "l.html"] {
        let drawn = fs::read_to_string(world.path("project").join(file)).unwrap();
        assert!(drawn.matches(" quarantined\"").count() >= 3 && drawn.contains(&through), "{drawn}");
    }
    let dot = world.ok(&["lineage", "digits", "--down", "--dot"]);
    assert!(dot.matches("#dc2626").count() >= 3, "{dot}");
}
