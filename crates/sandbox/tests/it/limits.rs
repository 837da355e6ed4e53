//! Every limit, by whatever this host enforces it with: a control group for root, less for others.

use std::fs;
use std::path::PathBuf;

use aseptic_sandbox::{
    Ended, Jail, OutOfMemory, Running, Strength, enforceable, enforces_task_limit, prepare, remove_group,
};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::support::{Pipes, pipes, prepared, python, run, shell};

const MIB: u64 = 1 << 20;

/// Takes memory a megabyte at a time, and says how much it could have.
const GREED: &str = "import sys
taken = []
try:
    while len(taken) < 400: taken.append(b'x' * (1 << 20))
except MemoryError: print('no more'); sys.exit(3)
print('unbounded')";

fn strength(limit: &str) -> Strength {
    let all = enforceable();
    all.iter().find(|enforcement| enforcement.limit == limit).unwrap().strength
}

/// Every control group of the host whose name begins so.
fn groups(beginning: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().unwrap().is_dir()) {
            if entry.file_name().to_str().unwrap().starts_with(beginning) {
                found.push(entry.path());
            }
            open.push(entry.path());
        }
    }
    found
}

/// Whether it ends within some milliseconds.
fn has_ended(running: &Running) -> bool {
    let mut ended = [PollFd::from_borrowed_fd(running.descriptor(), PollFlags::IN)];
    let timeout = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    rustix::event::poll(&mut ended, Some(&timeout)).unwrap() > 0
}

/// As a supervisor does: looks at the memory every few milliseconds until the jail has ended.
fn watch(jail: &Jail) -> (Running, Ended, Option<OutOfMemory>, Pipes) {
    let (prepared, pipes) = prepared(jail);
    let mut running = prepared.start();
    let meter = running.meter();
    let mut seen = None;
    loop {
        if has_ended(&running) {
            break;
        }
        if seen.is_none() {
            seen = meter.out_of_memory();
            if seen.is_some() {
                running.kill();
            }
        }
    }
    let ended = running.wait();
    let out_of_memory = seen.or(running.out_of_memory());
    (running, ended, out_of_memory, pipes)
}

#[test]
fn memory_is_bounded_for_one_process() {
    let mut jail = python(GREED);
    run(&jail).assert(Ended::Exited(0), "unbounded");
    jail.limits.memory = Some(64 * MIB);
    let (running, ended, out_of_memory, mut pipes) = watch(&jail);
    let (printed, complained) = pipes.read_all();
    if strength("memory") == Strength::Hard {
        assert!(matches!(ended, Ended::Signaled(9) | Ended::Killed), "{ended:?} {complained}");
        assert!(matches!(out_of_memory, Some(OutOfMemory::Limit { used: 1.. })), "{out_of_memory:?}");
        let peak = running.usage().unwrap().memory_peak.unwrap();
        assert!((60 * MIB..=64 * MIB).contains(&peak), "{peak}");
    } else {
        assert_eq!((ended, printed.trim()), (Ended::Exited(3), "no more"), "{complained}");
    }
}

/// Each process has less than the limit, all of them together more.
#[test]
fn memory_is_bounded_for_all_processes_together() {
    let script = "import os, signal, time
for number in range(8):
    if os.fork() == 0:
        kept = bytearray(os.urandom(1 << 20)) * 20
        print('taken', flush=True)
        while True: time.sleep(1)
while True: time.sleep(1)";
    let mut jail = python(script);
    jail.limits.memory = Some(96 * MIB);
    let (_, _, out_of_memory, _) = watch(&jail);
    assert!(matches!(out_of_memory, Some(OutOfMemory::Limit { .. })), "{out_of_memory:?}");
}

/// Pages that a fork shares are counted once.
#[test]
fn shared_memory_is_no_excess() {
    let script = "import os
kept = bytearray(os.urandom(1 << 20)) * 20
for number in range(8):
    if os.fork() == 0: os.read(0, 1); os._exit(0)
for number in range(8): os.wait()
print('done')";
    let mut jail = python(script);
    jail.limits.memory = Some(96 * MIB);
    let (prepared, mut pipes) = prepared(&jail);
    let mut running = prepared.start();
    let meter = running.meter();
    while meter.processes().len() < 9 {
        std::thread::yield_now();
    }
    assert_eq!(meter.out_of_memory(), None);
    pipes.read_all().0.lines().for_each(|line| assert_eq!(line, "done"));
    assert_eq!(running.wait(), Ended::Exited(0));
}

#[test]
fn processors_are_bounded() {
    let mut jail = python("import os; print(len(os.sched_getaffinity(0)), flush=True)\nwhile True: pass");
    jail.limits.cpus = Some(1);
    jail.name = format!("test-cpus-{}", std::process::id());
    let (prepared, mut pipes) = prepared(&jail);
    let running = prepared.start();
    let cpus: usize = pipes.read_line().parse().unwrap();
    if running.enforced.iter().any(|one| one.limit == "cpus" && one.by.contains("affinity")) {
        assert_eq!(cpus, 1);
        return;
    }
    // One busy thread never uses up one processor, so the limit itself is looked at.
    let mut found = groups(&format!("aseptic-{}", jail.name));
    found.retain(|group| !group.to_string_lossy().ends_with(".supervisor")); // Where this process moved to.
    let read = |name: &str| found.iter().find_map(|group| fs::read_to_string(group.join(name)).ok());
    let quota = read("cpu.max").or(read("cpu.cfs_quota_us")).unwrap_or_default();
    assert!(quota.starts_with("100000"), "{quota} in {found:?}");
}

#[test]
fn more_work_than_processors_is_throttled() {
    if !enforceable().iter().any(|one| one.limit == "cpus" && one.by.contains("control group")) {
        return; // Affinity, which the test above looks at.
    }
    let mut jail = shell("for n in 1 2 3 4; do (while :; do :; done) & done; wait");
    jail.limits.cpus = Some(1);
    jail.name = format!("test-throttled-{}", std::process::id());
    let (prepared, _pipes) = prepared(&jail);
    let running = prepared.start();
    let mut groups = groups(&format!("aseptic-{}", jail.name));
    groups.retain(|group| !group.to_string_lossy().ends_with(".supervisor")); // Where this process moved to.
    let read = |name: &str| groups.iter().find_map(|group| fs::read_to_string(group.join(name)).ok());
    // Else a machine that is busy with other things would never let it come to its limit.
    let raised = [("cpu.weight", "10000"), ("cpu.shares", "262144")].into_iter().any(|(name, most)| {
        groups.iter().any(|group| group.join(name).exists() && fs::write(group.join(name), most).is_ok())
    });
    assert!(raised, "{groups:?}");
    while read("cpu.stat").unwrap().lines().any(|line| line == "nr_throttled 0") {
        assert!(!has_ended(&running), "it runs for ever");
    }
}

#[test]
fn a_few_processes_are_bounded_exactly_where_that_can_be() {
    let script = "import os, signal
count = 0
try:
    while count < 2000:
        if os.fork() == 0: signal.pause()
        count += 1
except OSError: print(count)";
    let mut jail = python(script);
    jail.limits.tasks = Some(20);
    if strength("processes") == Strength::None {
        prepare(&jail, pipes().0, &[]).unwrap_err();
        return;
    }
    let output = run(&jail);
    let count: u32 = output.printed.trim().parse().unwrap();
    let exact = enforceable().iter().any(|one| one.limit == "processes" && one.by.contains("control group"));
    if exact { assert_eq!(count, 19, "and the program itself") } else { assert!(count <= 320, "{count}") }
}

#[test]
fn open_files_are_bounded() {
    let script = "import os, resource
count = 0
try:
    while count < 5000: os.dup(0); count += 1
except OSError as error: print(count + 3, error.errno)
try: resource.setrlimit(resource.RLIMIT_NOFILE, (5000, 5000))
except ValueError: print('for good')";
    let mut jail = python(script);
    jail.limits.files = Some(40);
    let bounded = run(&jail);
    assert_eq!(bounded.printed, "40 24\nfor good\n", "{}", bounded.complained);
}

#[test]
fn the_size_of_a_file_is_bounded() {
    let mut jail = shell("head -c 3000000 /dev/zero > /tmp/large");
    run(&jail).assert(Ended::Exited(0), "");
    jail.limits.file_bytes = Some(1 << 20);
    let ended = run(&jail).ended;
    assert!(matches!(ended, Ended::Signaled(25) | Ended::Exited(153)), "SIGXFSZ: {ended:?}");
}

#[test]
fn what_it_used_is_what_it_did() {
    let script = "import os, sys, time
def burn(seconds):
    start = time.process_time()
    while time.process_time() - start < seconds: pass
for number in range(2):
    if os.fork() == 0: burn(0.2); os._exit(0)
os.wait(); os.wait()
if os.fork() == 0:  # Nobody waits for this one.
    burn(0.2)
    kept = b'x' * (50 << 20)
    print('burnt', flush=True)
    time.sleep(1000)
sys.stdin.read()";
    for limited in [false, true] {
        let mut jail = python(script);
        jail.limits.memory = limited.then_some(512 * MIB);
        for killed in [false, true] {
            let (prepared, mut pipes) = prepared(&jail);
            let mut running = prepared.start();
            assert_eq!((running.usage(), pipes.read_line()), (None, "burnt".to_owned()));
            if killed {
                running.kill();
            }
            pipes.read_all();
            running.wait();
            let usage = running.usage().unwrap();
            let seconds = (usage.user + usage.system).as_secs_f64();
            assert!((0.5..60.0).contains(&seconds), "limited {limited}, killed {killed}: {usage:?}");
            // Of a process that was killed with the jail nobody knows how large it was without a group.
            let peak = usage.memory_peak.unwrap();
            assert!(
                peak > if killed { MIB } else { 50 * MIB },
                "limited {limited}, killed {killed}: {usage:?}"
            );
        }
    }
}

#[test]
fn the_job_sees_no_group_above_its_own() {
    let mut jail = shell("cat /proc/self/cgroup | cut -d: -f3 | sort -u");
    jail.limits = aseptic_sandbox::Limits { memory: Some(256 * MIB), cpus: Some(1), ..jail.limits };
    run(&jail).assert(Ended::Exited(0), "/");
}

#[test]
fn no_group_is_left_and_none_is_made_without_need() {
    let name = format!("test-left-{}", std::process::id());
    let mut jail = shell("echo ready; read line; exit 0");
    jail.name.clone_from(&name);
    jail.limits.files = Some(64);
    let look = |jail: &Jail| {
        let (prepared, mut pipes) = prepared(jail);
        let mut running = prepared.start();
        assert_eq!(pipes.read_line(), "ready");
        let needed = running.enforced.iter().any(|one| one.by.contains("control group"));
        assert_eq!(groups(&format!("aseptic-{name}")).is_empty(), !needed, "{:?}", running.enforced);
        pipes.read_all();
        assert_eq!(running.wait(), Ended::Exited(0));
        assert_eq!(groups(&format!("aseptic-{name}")), Vec::<PathBuf>::new());
        needed
    };
    jail.limits.tasks = None;
    assert!(!look(&jail));
    jail.limits.tasks = enforces_task_limit().then_some(16_384);
    look(&jail);
    jail.limits.memory = Some(64 * MIB);
    assert_eq!(look(&jail), strength("memory") == Strength::Hard);
}

/// Said by whoever starts the tests on a host that has been made for it, so that a mistake in finding control
/// groups does not pass as a host without them.
#[test]
fn limits_are_hard_where_they_are_said_to_be() {
    if std::env::var_os("ASEPTIC_TEST_LIMITS_HARD").is_some() {
        for one in enforceable() {
            assert_eq!(one.strength, Strength::Hard, "{one:?}");
            let grouped = matches!(one.limit, "memory" | "cpus" | "processes");
            assert_eq!(one.by.contains("control group"), grouped, "{one:?}");
        }
    }
}

/// A supervisor to be killed; see `lifetime.rs`.
#[test]
#[ignore = "the child's part of another test"]
fn supervisor() {
    let mut jail = shell("echo ready; while :; do sleep 1000; done");
    jail.name = std::env::var("ASEPTIC_TEST_GROUP").unwrap();
    jail.limits.memory = Some(64 * MIB);
    jail.limits.tasks = Some(50);
    let (prepared, mut pipes) = prepared(&jail);
    let running = prepared.start();
    assert_eq!(pipes.read_line(), "ready");
    rustix::io::write(std::io::stdout(), b"\nready\n").unwrap();
    pipes.read_line();
    drop(running);
}

#[test]
fn the_groups_of_a_killed_supervisor_can_be_removed() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let name = format!("test-killed-{}", std::process::id());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "limits::supervisor", "--ignored", "--nocapture", "--test-threads=1"])
        .env("ASEPTIC_TEST_GROUP", &name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "ready"), "the supervisor ended");
    let beginning = format!("aseptic-{name}");
    assert_eq!(groups(&beginning).is_empty(), strength("memory") != Strength::Hard);
    child.kill().unwrap();
    child.wait().unwrap();
    remove_group(&name).unwrap();
    assert_eq!(groups(&beginning), Vec::<PathBuf>::new());
    remove_group(&name).unwrap();
}
