//! Standard streams that are pipes, and runs beside each other, as people expect of any program.

use std::io::Read;
use std::process::{Command, Stdio};

use crate::terminal::{latest, send};
use crate::world::World;

#[test]
fn a_pipe_goes_through() {
    let world = World::new();
    let script = "head -c 100M /dev/urandom > ../original; cat ../original | \"$0\" run --quiet -- cat | cmp - ../original";
    let aseptic = world.command(&[""; 0]);
    let status = Command::new("sh")
        .args(["-c", script])
        .arg(aseptic.get_program())
        .current_dir(world.path("project"))
        .env("ASEPTIC_HOME", world.path("state"))
        .status()
        .unwrap();
    assert!(status.success());
    let run = latest(&world);
    let all = |log: &serde_json::Value| log["size"].as_u64().unwrap() + log["dropped"].as_u64().unwrap();
    let logs = &run["logs"];
    assert_eq!(all(&logs["stdin"]["piped"]), 100 << 20);
    assert_eq!(logs["stdin"]["piped"], logs["stdout"], "what was kept is the same: {logs}");
}

/// What a shell prints in which `aseptic` is the command.
fn script(world: &World, script: &str) -> (Option<i32>, String) {
    let aseptic = world.command(&[""; 0]);
    let output = Command::new("bash")
        .args(["-c", &format!("aseptic() {{ {} \"$@\"; }}; {script}", aseptic.get_program().display())])
        .current_dir(world.path("project"))
        .env("ASEPTIC_HOME", world.path("state"))
        .env_remove("VIRTUAL_ENV")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

#[test]
fn pipes_behave_as_with_any_program() {
    let world = World::new();
    let all = [
        ("printf 'a\\nb\\n' | aseptic run -q -- wc -l", "2\n"),
        ("printf 'a\\nb\\n' > rows; aseptic run -q -- wc -l < rows", "2\n"),
        ("yes | aseptic run -q -- head -1; echo ${PIPESTATUS[@]}", "y\n141 0\n"),
        ("aseptic run -q -- yes | head -1; echo ${PIPESTATUS[@]}", "y\n141 0\n"),
        ("aseptic run -q -- cat; echo $?", "0\n"),
        ("aseptic run -q -- cat <&-; echo $?", "0\n"),
        ("aseptic run -q -- cat < /; echo $?", "0\n"),
        ("printf 'a\\nb\\n' | { aseptic run -q -n -- cat; cat; }", "a\nb\n"),
        ("printf 'a\\nb\\n' | while read line; do aseptic run -q --no-stdin -- echo $line; done", "a\nb\n"),
        ("aseptic run -q -- sh -c 'echo out; echo err >&2' 2>&1 >/dev/null", "err\n"),
    ];
    for (line, printed) in all {
        assert_eq!(script(&world, line).1, printed, "{line}");
    }
}

#[test]
fn piped_input_is_kept_with_the_record() {
    let world = World::new();
    assert_eq!(script(&world, "printf 'a\\nb\\n' | aseptic run -q -- sort -r").1, "b\na\n");
    assert_eq!(world.ok(&["logs", "latest", "--stdin"]), "a\nb\n");
    let stdin = &latest(&world)["logs"]["stdin"]["piped"];
    assert_eq!((&stdin["size"], &stdin["dropped"]), (&4.into(), &0.into()));
    assert!(world.ok(&["show", "latest"]).contains("\nstdin       4 B  "));
    world.ok(&["run", "-q", "--", "true"]);
    assert!(latest(&world)["logs"].get("stdin").is_none(), "nothing was given");
}

#[test]
fn nohup_is_heeded() {
    let world = World::new();
    let job = "trap 'exit 3' USR1; echo ready; while :; do sleep 0.01; done";
    let aseptic = world.command(&["run", "-q", "--", "sh", "-c", job]);
    let mut child = Command::new("nohup")
        .arg(aseptic.get_program())
        .args(aseptic.get_args())
        .current_dir(world.path("project"))
        .env("ASEPTIC_HOME", world.path("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    let pid = child.id().to_string();
    send(&pid, "-HUP");
    send(&pid, "-USR1");
    assert_eq!(child.wait().unwrap().code(), Some(3), "the hangup would have ended it first");
}

#[test]
fn a_job_does_not_wait_for_input_that_it_does_not_read() {
    let world = World::new();
    let mut child = world
        .command(&["run", "-q", "--", "echo", "over"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let _open = child.stdin.take().unwrap(); // Nobody writes, and nobody closes.
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert_eq!((child.wait().unwrap().code(), printed.as_str()), (Some(0), "over\n"));
}

#[test]
fn input_that_another_program_takes_does_not_stop_the_clock() {
    let world = World::new();
    // Both wait for the same pipe; whichever comes late finds nothing, and must not wait for more.
    let script = "mkfifo pipe; exec 3<>pipe; for n in 1 2 3; do echo $n >&3; done
        for n in 1 2 3 4; do aseptic run -q --limit wall=1s -- cat <&3 >/dev/null 2>&1 & done
        for job in $(jobs -p); do wait $job; echo $?; done";
    assert_eq!(self::script(&world, script), (Some(0), "143\n143\n143\n143\n".to_owned()));
}

#[test]
fn runs_go_on_beside_each_other() {
    let world = World::new();
    let line =
        "for n in 1 2 3 4 5 6 7 8; do (seq $n | aseptic run -q -- wc -l > out$n) & done; wait; cat out[1-8]";
    assert_eq!(script(&world, line).1, "1\n2\n3\n4\n5\n6\n7\n8\n");
    assert_eq!(world.json(&["runs", "--json"])["runs"].as_array().unwrap().len(), 8);
    world.assert_no_leftovers();
}
