//! Terminal behaviour that people expect of any program.

use std::process::Command;

use crate::session::Session;
use crate::world::{World, processes_with, wait_until};

pub(crate) fn send(pid: &str, signal: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
}

/// The record of the newest run.
pub(crate) fn latest(world: &World) -> serde_json::Value {
    world.json(&["show", "latest", "--json"])
}

#[test]
fn an_interpreter_is_used_as_outside() {
    let world = World::new();
    let mut session = Session::start(&world, &["run", "--", "python3", "-i"]);
    session.sees(">>> ");
    session.types("import os, sys; [os.isatty(stream) for stream in range(3)]\r");
    session.sees("[True, True, True]");
    session
        .types("os.ttyname(0), tuple(os.get_terminal_size()), os.environ['TERM'], os.environ['COLORTERM']\r");
    session.sees("('/dev/pts/0', (90, 30), 'xterm-256color', 'truecolor')");
    session.types("[name for name in ('LINES', 'COLUMNS', 'PYTHONUNBUFFERED') if name in os.environ]\r");
    session.sees("\n[]");
    // Ctrl-C is one KeyboardInterrupt, and the interpreter goes on.
    session.types("while True: pass\r\r");
    session.sees("... \r\n");
    session.types("\x03");
    session.sees("KeyboardInterrupt");
    session.types("6 * 7\r");
    assert!(!session.sees("42").contains("KeyboardInterrupt"), "more than one");
    session.sees(">>> "); // An end that is typed before the prompt is not one.
    session.types("\x04");
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(shown.contains("\nsucceeded after"), "on a line of its own: {shown}");
    let run = latest(&world);
    assert_eq!(run["logs"]["stdin"], "terminal", "what was typed is not kept");
    assert_eq!(run["logs"]["stderr"], serde_json::Value::Null, "one stream");
    assert!(world.ok(&["logs", "latest"]).contains("42\r\n"));
    assert!(world.ok(&["show", "latest"]).contains("typed on a terminal, not kept"));
}

#[test]
fn a_debugger_is_used_as_outside() {
    let world = World::new();
    world.write("train.py", "loss = 3\nloss -= 1\nprint('loss', loss)\n");
    let mut session = Session::start(&world, &["run", "--quiet", "--", "python3", "-m", "pdb", "train.py"]);
    for (seen, typed) in
        [("(Pdb) ", "next\r"), ("-> loss -= 1", "next\r"), ("-> print", "p loss * 100\r"), ("200", "q\r")]
    {
        session.sees(seen);
        session.types(typed);
    }
    assert_eq!(session.end().0.code(), Some(0));
}

#[test]
fn a_progress_bar_is_drawn_and_the_terminal_left_clean() {
    let world = World::new();
    let script = "import sys, os
print(sys.stderr.isatty(), os.get_terminal_size(2).columns)
for step in range(3): print(f'\\r\\x1b[32m{step}/3', end='', file=sys.stderr, flush=True)";
    let session = Session::start(&world, &["run", "--", "python3", "-c", script]);
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(shown.contains("True 90\r\n\r\x1b[32m0/3\r\x1b[32m1/3\r\x1b[32m2/3"), "{shown:?}");
    let (_, after) = shown.split_once("2/3").unwrap();
    assert!(
        after.contains("\x1b[0m") && after.contains("\x1b[?25h"),
        "colours and cursor are reset: {after:?}"
    );
    assert!(after.contains("\r\nsucceeded"), "on a line of its own: {after:?}");
    // Nothing is reset that was not touched.
    let session = Session::start(&world, &["run", "--quiet", "--", "echo", "plain"]);
    assert_eq!(session.end().1, "plain\r\n");
}

#[test]
fn the_window_size_is_passed_on() {
    let world = World::new();
    let script = "trap 'stty size; exit 0' WINCH; stty size; while :; do read line; done";
    let mut session = Session::start(&world, &["run", "--quiet", "--", "sh", "-c", script]);
    session.sees("30 90");
    session.resize(50, 132);
    session.sees("50 132");
    assert_eq!(session.end().0.code(), Some(0));
    // To a job whose output alone is on the terminal, too.
    let script = "trap 'stty size <&2 >&2; exit 0' WINCH; echo ready >&2; while :; do sleep 0.05; done";
    let line = format!("aseptic run -q -- sh -c {} | cat\n", quoted(script));
    let mut session = Session::shell(&world);
    session.types(&line);
    session.sees("ready\r");
    session.resize(20, 60);
    session.sees("20 60");
    session.sees("$ ");
    session.types("exit\n");
    session.end();
}

fn quoted(script: &str) -> String {
    format!("'{}'", script.replace('\'', r"'\''"))
}

#[test]
fn an_interrupt_ends_a_job_that_does_not_care() {
    let world = World::new();
    let mut session = Session::start(&world, &["run", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
    session.sees("ready\r");
    session.types("\x03");
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(130), "{shown}");
    let run = latest(&world);
    assert_eq!((&run["status"], &run["reason"]), (&"aborted".into(), &"interrupted by signal 2".into()));
}

#[test]
fn three_quits_end_a_job_that_takes_no_notice() {
    let world = World::new();
    let script = "trap '' INT QUIT TERM TSTP; echo ready; while :; do read line; done";
    let mut session = Session::start(&world, &["run", "--", "sh", "-c", script]);
    session.sees("ready\r");
    session.types("\x03\x03\x03\x1a");
    session.types("\x1c\x1c\x1c");
    assert_eq!(session.end().0.code(), Some(137));
    assert_eq!(latest(&world)["status"], "aborted");
    world.assert_no_leftovers();
}

#[test]
fn a_job_is_stopped_and_continued_in_a_shell() {
    let world = World::new();
    let mut shell = Session::shell(&world);
    shell.types("aseptic run -- sh -c 'echo ready; while read word; do echo got $word; done'\n");
    shell.sees("ready\r");
    shell.types("one\n");
    shell.sees("got one");
    for round in ["two", "three"] {
        shell.types("\x1a");
        shell.sees("Stopped");
        shell.sees("$ ");
        shell.types("stty -a | grep -c ' icanon'; echo modes $?\n");
        shell.sees("1\r\nmodes 0");
        shell.sees("$ ");
        shell.types("fg\n");
        shell.sees("aseptic run");
        shell.types(&format!("{round}\n"));
        shell.sees(&format!("got {round}"));
    }
    // A window that changed in the meantime, and a stop that no key asked for.
    let pid = aseptic_of(&shell);
    send(&pid, "-TSTP");
    shell.sees("Stopped");
    shell.sees("$ ");
    shell.types("fg\n");
    shell.sees("aseptic run");
    shell.types("four\n");
    shell.sees("got four");
    shell.types("\x04");
    shell.sees("succeeded");
    shell.sees("$ "); // Until then, what is typed is the job's.
    shell.types("exit\n");
    assert_eq!(shell.end().0.code(), Some(0));
}

/// The child of a shell.
fn aseptic_of(shell: &Session) -> String {
    let path = format!("/proc/{0}/task/{0}/children", shell.id());
    let children = std::fs::read_to_string(path).unwrap();
    children.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_script_around_a_run_is_stopped_with_it() {
    let world = World::new();
    world.write(
        "script",
        "aseptic run --quiet -- sh -c 'echo ready; read word; echo got $word'\necho script goes on\n",
    );
    let mut shell = Session::shell(&world);
    shell.types("sh script\n");
    shell.sees("ready\r");
    shell.types("\x1a");
    shell.sees("Stopped");
    shell.sees("$ ");
    shell.types("fg\n");
    shell.sees("sh script");
    shell.types("word\n");
    shell.sees("got word");
    shell.sees("script goes on");
    shell.sees("$ "); // Until then, what is typed is the job's.
    shell.types("exit\n");
    assert_eq!(shell.end().0.code(), Some(0));
}

#[test]
fn without_a_shell_to_continue_it_nothing_stops() {
    let world = World::new();
    let script = "echo ready; read word; echo got $word";
    let mut session = Session::start(&world, &["run", "--quiet", "--", "sh", "-c", script]);
    session.sees("ready\r");
    session.types("\x1a");
    session.sees("^Z");
    session.types("word\n");
    session.sees("got word");
    assert_eq!(session.end().0.code(), Some(0));
}

#[test]
fn a_shell_inside_has_its_own_job_control() {
    let world = World::new();
    let mut session =
        Session::start(&world, &["run", "--quiet", "--", "bash", "--norc", "--noediting", "-i"]);
    session.sees("bash-");
    session.types("cat\n");
    session.types("echoed\n");
    session.sees("echoed\r\nechoed\r\n");
    session.types("\x1a");
    session.sees("Stopped");
    session.sees("bash-");
    session.types("fg\n");
    session.sees("fg\r\ncat\r\n"); // What is typed before that is echoed by the shell.
    session.types("again\n");
    session.sees("again\r\nagain\r\n");
    session.types("\x03");
    session.sees("bash-");
    session.types("echo status $?; exit 5\n");
    session.sees("status 130");
    assert_eq!(session.end().0.code(), Some(5));
}

#[test]
fn the_modes_come_back_after_term() {
    let world = World::new();
    let mut session =
        Session::start(&world, &["run", "--quiet", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
    session.sees("ready\r");
    wait_until("the terminal is raw", || session.is_raw());
    send(&session.id(), "-TERM");
    assert_eq!(session.end().0.code(), Some(143)); // The modes are compared there.
}

#[test]
fn a_run_in_the_background_takes_no_keys_until_it_is_in_front() {
    let world = World::new();
    let mut shell = Session::shell(&world);
    shell.types("aseptic run --quiet -- sh -c 'echo ready; read word; echo got $word' &\n");
    shell.sees("ready\r");
    shell.types("echo the shell has the $((40 + 2)) keys\n");
    shell.sees("has the 42 keys");
    shell.sees("$ ");
    shell.types("fg\n");
    shell.sees("aseptic run");
    shell.types("word\n");
    shell.sees("got word");
    shell.sees("$ "); // Until then, what is typed is the job's.
    shell.types("exit\n");
    assert_eq!(shell.end().0.code(), Some(0));
}

#[test]
fn each_stream_is_a_terminal_or_not_as_outside() {
    let world = World::new();
    let sum = "n=0; test -t 0 && n=$((n+1)); test -t 1 && n=$((n+2)); test -t 2 && n=$((n+4)); exit $n";
    world.write("sum", sum);
    let mut shell = Session::shell(&world);
    let all = [
        ("aseptic run -q -- sh sum", 7),
        ("aseptic run -q -- sh sum > log", 5),
        ("aseptic run -q -- sh sum 2> log", 3),
        ("aseptic run -q -- sh sum > log 2>&1", 0),
        ("aseptic run -q -- sh sum < /dev/null", 6),
        ("aseptic run -q -n -- sh sum", 6),
        ("true | aseptic run -q -- sh sum", 6),
        // A pager that is at the other end has the keyboard.
        ("aseptic run -q -- sh sum | cat", 4),
    ];
    for (line, sum) in all {
        shell.types(&format!("{line}; echo over ${{PIPESTATUS[@]}} \\.\n"));
        let shown = shell.sees(" .\r\n");
        let statuses = shown.rsplit_once("over ").unwrap().1;
        assert!(statuses.split(' ').any(|status| status == sum.to_string()), "{line}: {statuses}");
    }
    shell.types("exit\n");
    shell.end();
}

#[test]
fn a_document_goes_to_standard_output_and_the_job_to_the_terminal() {
    let world = World::new();
    let mut shell = Session::shell(&world);
    shell.types(
        "aseptic run --json -- sh -c 'test -t 1 && read word && echo got $word' > result.json; echo over\n",
    );
    shell.types("word\n");
    shell.sees("got word");
    shell.sees("\nover");
    shell.sees("$ "); // Until then, what is typed is the job's.
    shell.types("exit\n");
    shell.end();
    let text = std::fs::read(world.path("project/result.json")).unwrap();
    let run: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(run["status"], "succeeded");
}

#[test]
fn a_run_in_the_background_does_not_wait_for_a_terminal_that_is_gone() {
    let world = World::new();
    let mut shell = Session::shell(&world);
    let word = format!("word_{}", std::process::id());
    shell.types(&format!("aseptic run --quiet -- sh -c 'echo ready; read {word}; echo end > /out/end' &\n"));
    shell.sees("ready\r");
    shell.vanishes();
    wait_until("the run has ended", || processes_with(&word).is_empty());
    assert_eq!(latest(&world)["outputs"][0]["path"], "out/end");
}

/// While aseptic is stopped, it enforces nothing: a job must not be able to stop it and go on.
#[test]
fn nothing_of_a_stopped_run_goes_on() {
    let world = World::new();
    let mut shell = Session::shell(&world);
    let word = format!("word_{}", std::process::id());
    let script = format!("(while :; do : {word}; done) & echo ready; kill -STOP $$; echo over; kill $!");
    shell.types(&format!("set +H; aseptic run --quiet -- bash -mc '{script}'\n"));
    shell.sees("ready\r");
    shell.sees("Stopped");
    let states = || -> Vec<String> {
        let state = |pid: &String| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        let stats = processes_with(&word).iter().filter_map(state).collect::<Vec<_>>();
        stats.iter().map(|stat| stat.rsplit_once(") ").unwrap().1[..1].to_owned()).collect()
    };
    // The shell that was told to, and the one that it started in a group of its own.
    wait_until("all of it is stopped", || states().iter().filter(|state| *state == "T").count() >= 3);
    shell.types("fg\n");
    shell.sees("over\r");
    shell.sees("$ ");
    shell.types("exit\n");
    shell.end();
}
