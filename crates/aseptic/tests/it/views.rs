//! What a policy lets somebody look at, by its labels; what lists leave out; and what becomes of many refusals.

use std::collections::BTreeSet;
use std::fs;

use aseptic_runner::{Home, policy};
use serde_json::{Value, json};

use crate::recorded::words;
use crate::roles::{make_key, me, put_in_force, write_roles};
use crate::world::World;

const PHI: &str = "@id(\"lab/phi\") @message(\"`{value}` has patient data\") @advice(\"ask the data-steward\")\n\
                   forbid (principal, action == Action::\"View\", resource) when { context.labels.contains(\"phi\") };\n";

/// A dataset with patient data and a run that read it, the same without, and a policy that forbids to look at the first.
/// Returns the ids of both runs.
fn with_patients() -> (World, String, String) {
    let world = World::new();
    // Not beside the code, where their bytes would be recognised.
    world.write("../rows/a", "born 1815");
    world.write("../other/a", "3.1415");
    world.write("views/phi.cedar", PHI);
    world.ok(&words("dataset add ../rows --name patients --label phi"));
    world.ok(&words("dataset add ../other --name free"));
    world.write(
        "job.sh",
        "echo hello; echo '{\"step\":1,\"loss\":0.5}' > $1/metrics.jsonl; cat $2/a > $1/a\n",
    );
    let run = |data: &str| {
        world.ok(&words(&format!("run --quiet --data d={data} -- sh job.sh /out /data/d")));
        world.json(&words("show latest --json"))["run"].as_str().unwrap().to_owned()
    };
    let (phi, free) = (run("patients"), run("free"));
    world.ok(&words("policy apply views --reason reviewed"));
    (world, phi, free)
}

/// Commands about one object: `{d}` is a dataset, `{r}` a run, and `free` another dataset.
const OF_ONE: &[&str] = &[
    "show {r}",
    "logs {r}",
    "metrics {r}",
    "diff {r} {r}",
    "env list {r}",
    "env diff {r} now",
    "policy explain {r}",
    "lineage run:{r}",
    "lineage run:{r}/out/a",
    "lineage {d}",
    "lineage {d}@1/a",
    "lineage --labels {d}",
    "dataset show {d}",
    "dataset show {d}@1",
    "dataset log {d}",
    "dataset diff {d} free",
    "dataset diff free {d}",
    "dataset verify {d}",
    "retention show {d}@1",
    "retention show run:{r}",
    "attest show {r}",
    "attest verify {r}",
    "ledger prove {r}",
    "replay --quiet {r}",
];

#[test]
fn what_may_not_be_viewed_is_shown_by_no_command() {
    let (world, phi, free) = with_patients();
    for line in OF_ONE {
        for json in ["", " --json"] {
            let of = |run: &str, data: &str| format!("{line}{json}").replace("{r}", run).replace("{d}", data);
            let seen = world.output(&words(&of(&free, "free")));
            assert!(seen.status.success(), "{line}: {seen:?}");
            let denied = world.output(&words(&of(&phi, "patients")));
            let said = String::from_utf8_lossy(&denied.stderr);
            assert_eq!(denied.status.code(), Some(3), "{line}{json}: {denied:?}");
            assert!(said.contains("has patient data"), "{line}{json}: {said}");
            let out = String::from_utf8_lossy(&denied.stdout);
            assert!(out.is_empty() || !json.is_empty() && out.contains("policy/act-denied"), "{line}: {out}");
        }
    }
}

/// Not even whether there is such a file is said.
#[test]
fn names_of_files_are_part_of_what_is_viewed() {
    let (world, phi, _) = with_patients();
    for line in ["lineage patients/none", "lineage run:{r}/out/none", "quarantine show patients/none"]
        .map(|line| line.replace("{r}", &phi))
    {
        assert_eq!(world.output(&words(&line)).status.code(), Some(3), "{line}");
    }
}

/// Whoever may only look is told no more by what a quarantine would reach, which names a file by its digest.
#[test]
fn a_quarantine_that_is_only_tried_shows_no_files() {
    let (world, ..) = with_patients();
    let tried = |file: &str| {
        world.output(&words(&format!("quarantine add {file} --reason leaked --dry-run"))).status.code()
    };
    assert_eq!(tried("patients/a"), Some(0));
    make_key(&world, "roles.key");
    world.write("roles/phi.cedar", PHI);
    let members = format!("policy-author = [\"pat\"]\nviewer = [\"{}\"]", me(&world));
    write_roles(&world, &["roles.key"], "roles.key", &members);
    put_in_force(&world).unwrap();
    for file in ["patients/a", "patients/none"] {
        assert_eq!(tried(file), Some(3), "{file}");
    }
    assert_eq!(tried("free/a"), Some(0));
}

#[test]
fn a_digest_alone_is_not_compared_where_policies_tell_things_apart() {
    let (world, ..) = with_patients();
    let listed = world.json(&words("dataset list --json"));
    let digest = listed["versions"][0]["snapshot"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(
        world.run(&words(&format!("dataset diff {digest} {digest}"))), @r"
    exit: 3
    --- stdout
    --- stderr
    error: project `default` has policies about what may be looked at, and [digest] does not say what it is
      help: name versions instead: `aseptic dataset diff NAME@VERSION NAME@VERSION`
      code: dataset/by-digest
    ");
}

#[test]
fn lists_leave_out_what_may_not_be_viewed() {
    let (world, phi, free) = with_patients();
    let names = |document: &Value, list: &str, key: &str| -> BTreeSet<String> {
        document[list].as_array().unwrap().iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
    };
    let datasets = world.json(&words("dataset list --json"));
    assert_eq!(names(&datasets, "versions", "name"), BTreeSet::from(["free".to_owned()]));
    let runs = world.json(&words("runs --json"));
    assert_eq!(names(&runs, "runs", "run"), BTreeSet::from([free.clone()]));
    assert_eq!(world.json(&words("runs --count --json"))["count"], 1);
    let dump = world.run(&words("catalog dump"));
    assert!(dump.starts_with("exit: 3") && dump.contains("has patient data"), "{dump}");
    // What is named elsewhere is named, and no more than that.
    assert!(world.ok(&words("ledger show --json")).contains(&phi));
    world.ok(&words("quarantine add patients@1 --reason leaked --yes"));
    assert!(world.ok(&words("quarantine list")).contains("patients@1"));
    let shown = world.run(&words("quarantine show patients@1"));
    assert!(shown.starts_with("exit: 3") && shown.contains("has patient data"), "{shown}");
    world.ok(&words("quarantine lift patients@1 --reason checked"));
    // A run that reads it is decided as a run.
    world.ok(&words("run --quiet --data d=patients -- true"));
}

#[test]
fn a_label_that_is_taken_off_shows_it_again() {
    let (world, phi, _) = with_patients();
    assert_eq!(world.output(&words(&format!("show {phi}"))).status.code(), Some(3));
    world.ok(&words(&format!("declassify run:{phi}/out/a --label phi --reason counts")));
    world.ok(&words(&format!("lineage run:{phi}/out/a")));
    world.ok(&words("dataset unlabel patients phi --reason blurred"));
    for line in ["dataset show patients", &format!("show {phi}"), &format!("logs {phi}")] {
        world.ok(&words(line));
    }
}

#[test]
fn data_is_not_imported_with_a_label_that_a_policy_forbids() {
    let world = World::new();
    world.write("rows/a", "1");
    world.write("views/phi.cedar", PHI.replace("View", "AddDataset"));
    world.ok(&words("policy apply views --reason reviewed"));
    let refused = world.run(&words("dataset add rows --name patients --label phi"));
    assert!(refused.starts_with("exit: 3") && refused.contains("has patient data"), "{refused}");
    world.ok(&words("dataset add rows --name free"));
    assert!(!world.ok(&words("dataset list")).contains("patients"));
}

#[test]
fn an_output_is_exported_by_its_own_labels() {
    let (world, phi, _) = with_patients();
    world.write("exports/no.cedar", PHI.replace("View", "Export"));
    world.ok(&words("policy apply exports --reason reviewed"));
    world.ok(&words(&format!("declassify run:{phi}/out/metrics.jsonl --label phi --reason counts")));
    world.ok(&words(&format!("export {phi}/out/metrics.jsonl --to ../one")));
    for path in ["", "/out/a"] {
        let refused = world.output(&words(&format!("export {phi}{path} --to ../two")));
        assert_eq!(refused.status.code(), Some(3), "{path}: {refused:?}");
        assert!(!world.path("two").exists(), "nothing is copied first");
    }
}

fn bodies(world: &World, kind: &str) -> Vec<Value> {
    let entries = world.json(&words(&format!("ledger show --json --type {kind}")));
    entries["entries"].as_array().unwrap().iter().map(|one| one["entry"]["event"]["body"].clone()).collect()
}

/// Whoever is refused in a loop leaves one entry, and the number later.
#[test]
fn refusals_in_a_loop_are_counted() {
    let (world, phi, _) = with_patients();
    for _ in 0..5 {
        assert_eq!(world.output(&words(&format!("show {phi}"))).status.code(), Some(3));
    }
    assert_eq!(world.output(&words("dataset show patients")).status.code(), Some(3));
    let denied = bodies(&world, "act.denied");
    let objects: Vec<_> = denied.iter().map(|body| body["object"].as_str().unwrap()).collect();
    assert_eq!(objects, [&format!("run:{phi}"), "dataset:patients@1"]);
    assert_eq!(denied[1]["labels"], json!(["phi"]));
    assert_eq!(bodies(&world, "act.denials"), Vec::<Value>::new());

    // The hour is over.
    let place = world.path("state/refusals");
    let mut counted: Value = serde_json::from_slice(&fs::read(&place).unwrap()).unwrap();
    for hour in counted["users"].as_object_mut().unwrap().values_mut() {
        hour["since"] = json!("2026-01-01T00:00:00.000Z");
    }
    fs::write(&place, counted.to_string()).unwrap();
    world.ok(&words("runs"));
    let counts = bodies(&world, "act.denials");
    assert_eq!(counts.len(), 1, "{counts:?}");
    assert_eq!(counts[0]["acts"], json!({ "View": 4 }));
    assert_eq!(counts[0]["user"], json!(format!("user:{}", me(&world))));
    world.ok(&words("project report --output report.html"));
    assert!(!place.exists());
}

/// More labels than an entry of the ledger has room for.
#[test]
fn who_is_refused_what_has_many_labels_is_recorded_as_well() {
    let (world, ..) = with_patients();
    for part in 0..3 {
        let labels: Vec<String> = (0..500).map(|n| format!("{}{part}-{n:04}", "x".repeat(50))).collect();
        let labels = labels.iter().map(String::as_str);
        world.ok(&["dataset", "label", "patients"].into_iter().chain(labels).collect::<Vec<_>>());
    }
    let denied = world.run(&words("dataset show patients"));
    assert!(denied.starts_with("exit: 3") && denied.contains("has patient data"), "{denied}");
    let denied = bodies(&world, "act.denied");
    let labels = denied[0]["labels"].as_array().unwrap();
    assert_eq!((labels.len() as u64) + denied[0]["unlisted_labels"].as_u64().unwrap(), 1501);
    assert_eq!(labels[0], json!("phi"));
}

/// The ledger of a state directory shows to each user the projects that they may look at.
#[test]
fn the_ledger_shows_the_projects_that_a_user_may_look_at() {
    let world = World::new();
    make_key(&world, "roles.key");
    world.ok(&words("run --quiet -- true"));
    world.ok(&words("run --quiet --project hidden -- true"));
    write_roles(&world, &[], "roles.key", "policy-author = [\"pat\"]");
    world.ok(&words("role sign --key ../roles.key roles --project hidden"));
    let mut home = Home::open(&world.path("state")).unwrap();
    policy::apply(&mut home, &"hidden".parse().unwrap(), &world.path("project/roles"), None).unwrap();
    drop(home);

    let shown = world.json(&words("ledger show --json"));
    let entries = shown["entries"].as_array().unwrap();
    let projects: BTreeSet<_> = entries.iter().map(|one| one["entry"]["project"].as_str().unwrap()).collect();
    assert_eq!(projects, BTreeSet::from(["default"]));
    let all = entries.last().unwrap()["index"].as_u64().unwrap() + shown["left_out"].as_u64().unwrap();
    assert!(all + 1 >= entries.len() as u64 + shown["left_out"].as_u64().unwrap(), "{shown}");
    let table = world.output(&words("ledger show --type run.sealed"));
    assert!(
        String::from_utf8_lossy(&table.stderr).contains("of projects that you may not look at"),
        "{table:?}"
    );
    let exported = world.ok(&words("ledger export --as jsonl"));
    assert!(exported.contains("\"default\"") && !exported.contains("\"hidden\""), "{exported}");
    // By whatever name it is the ledger of the state.
    std::os::unix::fs::symlink(world.path("state"), world.path("alias")).unwrap();
    for ledger in ["../state/ledger", "../alias/ledger"] {
        let named = world.json(&words(&format!("ledger show --json --ledger {ledger}")));
        assert_eq!(named["left_out"], shown["left_out"], "{ledger}");
    }

    let indices: BTreeSet<_> = entries.iter().map(|one| one["index"].as_u64().unwrap()).collect();
    let hidden = (0..).find(|index| !indices.contains(index)).unwrap();
    for line in [
        format!("ledger prove {hidden}"),
        "catalog dump".to_owned(),
        "ledger show --project hidden".to_owned(),
    ] {
        let refused = world.run(&words(&line));
        assert!(
            refused.starts_with("exit: 3") && refused.contains("in the project `hidden`"),
            "{line}: {refused}"
        );
    }
    world.ok(&words("ledger prove 0"));
    write_roles(&world, &["roles.key"], "roles.key", "policy-author = [\"pat\"]");
    put_in_force(&world).unwrap();
    assert_eq!(world.output(&words("ledger show --ledger ../alias/ledger")).status.code(), Some(3));
}
