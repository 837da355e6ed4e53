//! Diff: a change that was planted is named first.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::world::World;

/// A venv made by hand, with one installed package.
pub(crate) struct Package {
    pub(crate) site: PathBuf,
    name: &'static str,
}

/// Makes `.venv` in the project with the package `name`.
pub(crate) fn venv_with(world: &World, name: &'static str, version: &str) -> Package {
    let venv = world.path("project/.venv");
    let python = fs::canonicalize("/usr/bin/python3").unwrap();
    let minor = python.file_name().unwrap().to_str().unwrap().to_owned();
    let site = venv.join("lib").join(minor).join("site-packages");
    fs::create_dir_all(venv.join("bin")).unwrap();
    fs::create_dir_all(&site).unwrap();
    std::os::unix::fs::symlink("/usr/bin/python3", venv.join("bin/python3")).unwrap();
    fs::write(venv.join("pyvenv.cfg"), "home = /usr/bin\ninclude-system-site-packages = false\n").unwrap();
    world.write(".gitignore", ".venv\n");
    let package = Package { site, name };
    package.set(version);
    package
}

impl Package {
    /// Installs it in another version.
    pub(crate) fn set(&self, version: &str) {
        for entry in fs::read_dir(&self.site).unwrap().flatten() {
            if entry.file_name().to_string_lossy().ends_with(".dist-info") {
                fs::remove_dir_all(entry.path()).unwrap();
            }
        }
        let info = self.site.join(format!("{}-{version}.dist-info", self.name));
        fs::create_dir(&info).unwrap();
        let metadata = format!("Metadata-Version: 2.1\nName: {}\nVersion: {version}\n", self.name);
        fs::write(info.join("METADATA"), metadata).unwrap();
        fs::write(self.site.join(format!("{}.py", self.name)), format!("version = '{version}'\n")).unwrap();
        fs::write(info.join("RECORD"), format!("{}.py,sha256={version},10\n", self.name)).unwrap();
    }
}

const TRAIN: &str = "import json, os, demo
params = json.load(open(os.environ['ASEPTIC_PARAMS']))
rows = [line.split(',') for line in open('/data/train/rows.csv')][1:]
loss = sum(float(row[1]) for row in rows) * params['lr'] + float(demo.version)
json.dump({'loss': loss}, open('/out/metrics.json', 'w'))
";

/// A project with a dataset, a package and code, and a run of it.
struct Planted {
    world: World,
    package: Package,
    first: String,
}

impl Planted {
    fn new() -> Self {
        let world = World::new();
        let package = venv_with(&world, "demo", "1.5");
        world.write("src/train.py", TRAIN);
        world.write("src/README.md", "# Training\n");
        world.write("rows/rows.csv", "id,x\n1,0.5\n2,0.25\n3,1.5\n");
        world.write("rows/unread.csv", "id,x\n");
        world.ok(&["dataset", "add", "rows", "--name", "digits"]);
        let mut planted = Self { world, package, first: String::new() };
        planted.first = planted.run("0.1");
        planted
    }

    fn run(&self, lr: &str) -> String {
        let lr = format!("lr={lr}");
        let (_, record) = self.world.run_json(&[
            "--quiet",
            "--python",
            ".venv",
            "--code",
            "src",
            "--data",
            "train=digits",
            "--param",
            &lr,
            "--",
            "python3",
            "train.py",
        ]);
        assert_eq!(record["status"], "succeeded", "{record:#}");
        record["run"].as_str().unwrap().to_owned()
    }

    /// The difference to the first run.
    fn diff(&self, run: &str) -> Value {
        let output = self.world.output(&["diff", "--json", &self.first, run]);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code() == Some(0), document["equal"] == true, "{document:#}");
        document
    }
}

#[track_caller]
fn names(document: &Value, index: usize, likelihood: &str, name: &str) {
    let cause = &document["causes"][index];
    assert_eq!(
        (cause["likelihood"].as_str(), cause["name"].as_str()),
        (Some(likelihood), Some(name)),
        "{document:#}"
    );
}

#[test]
fn nothing_differs() {
    let planted = Planted::new();
    let document = planted.diff(&planted.run("0.1"));
    assert_eq!((&document["equal"], &document["causes"]), (&Value::Bool(true), &serde_json::json!([])));
    assert_eq!(document["effects"]["verdict"], "identical");
}

#[test]
fn one_row_of_a_dataset_is_named_first() {
    let planted = Planted::new();
    planted.world.write("rows/rows.csv", "id,x\n1,0.5\n2,0.75\n3,1.5\n");
    planted.world.write("rows/unread.csv", "id,x,y\n");
    planted.world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    let run = planted.run("0.1");
    let document = planted.diff(&run);
    names(&document, 0, "opened-file", "train/rows.csv");
    assert_eq!(document["causes"][0]["details"], serde_json::json!(["line 3: `2,0.25` -> `2,0.75`"]));
    names(&document, 1, "unopened-file", "train/unread.csv");
    let output = &document["effects"]["outputs"][0];
    assert_eq!((&output["path"], &output["change"]), (&"out/metrics.json".into(), &"different".into()));
    assert_eq!(output["values"]["first"][0]["at"], "/loss");
    let text = planted.world.output(&["diff", &planted.first, &run]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with("data        train/rows.csv (opened)"), "{text}");
    // The bytes of the first version are given up: it says so, and what else is known stays.
    planted.world.ok(&["retention", "set", "digits@1", "0d"]);
    planted.world.ok(&["gc", "--now", "--quiet"]);
    let document = planted.diff(&run);
    assert!(
        document["causes"][0]["name"].as_str().unwrap().contains("its bytes were deleted"),
        "{document:#}"
    );
    assert_eq!(document["effects"]["verdict"], "different");
}

#[test]
fn one_package_version_is_named_first() {
    let planted = Planted::new();
    planted.package.set("1.6");
    let document = planted.diff(&planted.run("0.1"));
    names(&document, 0, "package", "package demo");
    assert_eq!(
        (&document["causes"][0]["before"], &document["causes"][0]["after"]),
        (&"1.5".into(), &"1.6".into())
    );
    assert_eq!(document["causes"].as_array().unwrap().len(), 1, "{document:#}");
}

#[test]
fn one_parameter_is_named_first() {
    let planted = Planted::new();
    let document = planted.diff(&planted.run("0.2"));
    names(&document, 0, "parameter", "lr");
    assert_eq!(
        (&document["causes"][0]["before"], &document["causes"][0]["after"]),
        (&"0.1".into(), &"0.2".into())
    );
    assert_eq!(document["causes"].as_array().unwrap().len(), 1, "{document:#}");
}

/// Everything at once is listed in the order of the table.
#[test]
fn everything_is_listed_in_order() {
    let planted = Planted::new();
    let world = &planted.world;
    planted.package.set("1.6");
    world.write("rows/rows.csv", "id,x\n1,0.5\n");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    world.write("src/train.py", TRAIN.replace("1:]", "1:] # all"));
    world.write("src/README.md", "# Another\n");
    let (_, record) = world.run_json(&[
        "--quiet",
        "--python",
        ".venv",
        "--code",
        "src",
        "--data",
        "train=digits",
        "--param",
        "lr=0.2",
        "--env",
        "A=1",
        "--limit",
        "wall=1h",
        "--",
        "python3",
        "-u",
        "train.py",
    ]);
    let document = planted.diff(record["run"].as_str().unwrap());
    let order: Vec<_> = document["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| cause["likelihood"].as_str().unwrap())
        .collect();
    let expected =
        ["command", "parameter", "opened-file", "source", "package", "variable", "setting", "document"];
    assert_eq!(order, expected, "{document:#}");
    let patch = document["causes"][3]["patch"].as_str().unwrap();
    assert!(patch.starts_with("--- a/train.py\n+++ b/train.py\n") && patch.contains("1:] # all"), "{patch}");
    let only = world.output(&["diff", &planted.first, "latest", "--only", "code", "--patch"]);
    let only = String::from_utf8(only.stdout).unwrap();
    assert!(only.contains("+++ b/train.py") && !only.contains("package demo"), "{only}");
    assert!(world.run(&["diff", &planted.first, "latest", "--only", "x"]).starts_with("exit: 2"));
}

#[test]
fn a_denied_run_is_compared_as_far_as_it_came() {
    let world = World::new();
    world.ok(&["run", "--quiet", "--", "true"]);
    let first = world.json(&["runs", "--json"])["runs"][0]["run"].as_str().unwrap().to_owned();
    world.output(&["run", "--quiet", "--gpu", "63", "--", "true"]);
    let output = world.output(&["diff", "--json", &first, "latest"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &document["after"]["status"]),
        (Some(1), &"denied".into()),
        "{document:#}"
    );
    assert_eq!((&document["effects"], &document["causes"][0]["likelihood"]), (&Value::Null, &"gpu".into()));
}

#[test]
fn hostile_names_and_lines_are_shown_plainly() {
    let world = World::new();
    world.write("src/\u{1b}[2J.py", "a\n");
    world.ok(&["run", "--quiet", "--code", "src", "--", "true"]);
    let first = world.json(&["runs", "--json"])["runs"][0]["run"].as_str().unwrap().to_owned();
    world.write("src/\u{1b}[2J.py", "a\u{1b}]0;owned\u{7}\tb\n");
    world.ok(&["run", "--quiet", "--code", "src", "--", "true"]);
    for extra in [&[][..], &["--patch"]] {
        let output = world.output(&[&["diff", &first, "latest"], extra].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("owned") && !text.contains(['\u{1b}', '\u{7}']), "{text:?}");
    }
}
