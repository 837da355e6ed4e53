//! `runs --where`, its pages and forms.

use serde_json::Value;

use crate::world::World;

/// Ten runs with a parameter of 0 to 9; the odd ones fail and have a tag.
fn world() -> World {
    let world = World::new();
    for index in 0..10 {
        let (param, exit) = (format!("i={index}"), format!("exit {}", index % 2));
        let mut words = vec!["run", "--quiet", "--param", &param];
        if index % 2 == 1 {
            words.extend(["--tag", "odd"]);
        }
        words.extend(["--", "sh", "-c", &exit]);
        world.output(&words);
    }
    world
}

fn params(document: &Value) -> Vec<i64> {
    document["runs"].as_array().unwrap().iter().map(|run| run["params"]["i"].as_i64().unwrap()).collect()
}

#[test]
fn conditions_orders_and_pages() {
    let world = world();
    let find = |arguments: &[&str]| params(&world.json(&[&["runs", "--json"][..], arguments].concat()));
    assert_eq!(find(&["--where", "param.i > 6"]), [9, 8, 7]);
    assert_eq!(find(&["--where", "tag:odd and param.i < 5"]), [3, 1]);
    assert_eq!(find(&["--where", "exit_code = 1", "--sort", "param.i:asc"]), [1, 3, 5, 7, 9]);
    assert_eq!(find(&["--status", "failed", "--where", "param.i in (1, 2, 3)"]), [3, 1]);
    assert_eq!(
        find(&["--where", "planned > 2020-01-01 and duration < 10m and not tag:odd", "--limit", "2"]),
        [8, 6]
    );
    assert_eq!(world.ok(&["runs", "--where", "status = succeeded", "--count"]), "5\n");
    assert_eq!(world.json(&["runs", "--count", "--json"])["count"], 10);
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut words =
            vec!["runs", "--json", "--sort", "param.i", "--where", "param.i >= 0", "--limit", "3"];
        if let Some(cursor) = &cursor {
            words.extend(["--cursor", cursor]);
        }
        let page = world.json(&words);
        all.extend(params(&page));
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(all, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
}

#[test]
fn the_next_page_is_a_command() {
    let world = world();
    let output = world.output(&["runs", "--where", "param.i < 3", "--limit", "2"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let next = stderr.trim().strip_prefix("more: aseptic ").unwrap();
    assert!(next.starts_with("runs --where 'param.i < 3' --limit 2 --cursor "), "{next}");
    let cursor = next.rsplit(' ').next().unwrap();
    let page = world.ok(&["runs", "--where", "param.i < 3", "--limit", "2", "--cursor", cursor]);
    assert!(page.contains("i=0") && !page.contains("i=1"), "{page}");
    for (arguments, code) in [
        (vec!["--cursor", cursor], "runs/cursor"),
        (vec!["--cursor", "abc"], "runs/cursor"),
        (vec!["--where", "metrics.a > 1"], "runs/search"),
        (vec!["--sort", "code"], "runs/search"),
        (vec!["--columns", "nothing"], "runs/search"),
    ] {
        let said = world.run(&[&["runs"][..], &arguments].concat());
        assert!(said.starts_with("exit: 2") && said.contains(&format!("code: {code}")), "{said}");
    }
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    let world = World::new();
    insta::assert_snapshot!(world.run(&["runs", "--where", "label:pii and metrc.accuracy > 0.9"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no such field
      label:pii and metrc.accuracy > 0.9
                    ^
      help: did you mean `metric.NAME`? fields are metric.NAME, param.NAME, data.INPUT, package.NAME, tag:TAG, label:LABEL, dataset:NAME, read:PATH, status, experiment, name, planned, duration and more: see docs/search.md
      code: runs/search
    ");
}

#[test]
fn columns_and_csv() {
    let world = World::new();
    world.ok(&["run", "--quiet", "--param", "x=-1", "--param", "t==1+1", "--note", "=cmd", "--", "true"]);
    let table = world.ok(&["runs", "--columns", "status,param.x,param.t,tags,metric.loss"]);
    let lines: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["run", "status", "param.x", "param.t", "tags", "metric.loss"]);
    assert_eq!(lines[1][1..], ["succeeded", "-1", "=1+1", "-"]);
    let csv = world.ok(&["runs", "--columns", "status,param.x,param.t,note,metric.loss", "--csv"]);
    let (head, line) = csv.split_once("\r\n").unwrap();
    assert_eq!(head, "run,status,param.x,param.t,note,metric.loss");
    assert_eq!(line.split_once(',').unwrap().1, "succeeded,-1,\"'=1+1\",\"'=cmd\",\r\n");
    let document = world.json(&["runs", "--columns", "param.x,metric.loss", "--json"]);
    let columns = &document["runs"][0]["columns"];
    assert_eq!((&columns["param.x"], &columns["metric.loss"]), (&Value::from(-1.0), &Value::Null));
    assert_eq!(document["next"], Value::Null);
    // A number is never hundreds of digits wide.
    let huge = "echo '{\"a\": -1e300, \"b\": 2e-300, \"c\": 1234567.5}' > $ASEPTIC_METRICS";
    world.shell(huge);
    let csv = world.ok(&["runs", "--columns", "metric.a,metric.b,metric.c", "--csv", "--limit", "1"]);
    assert!(csv.ends_with(",-1e300,2e-300,1234567.5\r\n"), "{csv}");
}

#[test]
fn a_parameter_does_not_speak_to_the_terminal() {
    let world = World::new();
    world.ok(&["run", "--quiet", "--param", "x=\u{1b}[2J\u{7}", "--", "true"]);
    for arguments in [&["runs"][..], &["runs", "--columns", "param.x,params"]] {
        let listed = world.ok(arguments);
        assert!(listed.chars().all(|c| c == '\n' || !c.is_control()), "{listed:?}");
    }
}
