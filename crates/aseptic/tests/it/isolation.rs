//! What a job sees and what it cannot reach. Each attempt has a twin outside that works.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::world::{World, contents};

#[test]
fn the_environment_is_clean() {
    let world = World::new();
    let mut command = world.command(&["run", "--quiet", "--", "env"]);
    let output = command.env("AWS_SECRET_ACCESS_KEY", "sesame").env("LD_PRELOAD", "").output().unwrap();
    let seen = String::from_utf8(output.stdout).unwrap();
    assert!(!seen.contains("sesame") && !seen.contains("LD_PRELOAD"), "{seen}");
    for name in ["HOME=/home/job", "ASEPTIC_OUT=/out", "HF_HOME=/home/job/.cache/huggingface", "TMPDIR=/tmp"]
    {
        assert!(seen.lines().any(|line| line == name), "{name}: {seen}");
    }
}

#[test]
fn the_job_works_in_a_private_copy_of_the_tree() {
    let world = World::new();
    world.write("code/a.txt", "as it was");
    world.write("code/deep/b.txt", "b");
    let before = contents(&world.path("project"));
    let script =
        "cd code && echo new > a.txt && echo more > deep/c.txt && rm deep/b.txt && mkdir deep/d && pwd";
    let (code, run) = world.run_json(&["--", "sh", "-c", script]);
    assert_eq!(code, 0, "{run:#}");
    let outputs: Vec<_> = run["outputs"].as_array().unwrap().iter().map(|output| &output["path"]).collect();
    assert_eq!(outputs, ["work/code/a.txt", "work/code/deep/c.txt"]);
    assert_eq!(run["deleted"], serde_json::json!(["work/code/deep/b.txt"]));
    assert_eq!(contents(&world.path("project")), before, "the user's own tree was changed");
    world.assert_no_leftovers();
}

#[test]
fn ignored_files_are_not_readable() {
    let world = World::new();
    world.write(".gitignore", ".env\n");
    world.write(".asepticignore", "data/\n");
    world.write(".env", "TOKEN=sesame");
    world.write("data/big.bin", "big");
    world.write("train.py", "");
    let seen = world.shell("find . -type f | sort");
    assert_eq!(seen, "./.asepticignore\n./.gitignore\n./train.py\n");
}

#[test]
fn inputs_are_read_only_and_exactly_what_was_named() {
    let world = World::new();
    world.write("d/x.csv", "1\n");
    world.write("y.csv", "2\n");
    world.ok(&["dataset", "add", "d", "--name", "dir"]);
    world.ok(&["dataset", "add", "y.csv", "--name", "file"]);
    let script = "cd /data && find . -type f | sort && cat dir/x.csv file/y.csv
        for attempt in 'echo 9 > dir/x.csv' 'rm file/y.csv' 'touch dir/new' 'chmod 777 dir/x.csv' 'mv dir d2'; do
            sh -c \"$attempt\" 2>/dev/null && echo \"breached: $attempt\"
        done; true";
    let data =
        ["run", "--quiet", "--no-code", "--data", "dir=dir", "--data", "file=file@1", "--", "sh", "-c"];
    let seen = world.ok(&[&data[..], &[script]].concat());
    assert_eq!(seen, "./dir/x.csv\n./file/y.csv\n1\n2\n");
    // The twin: the same attempts work on the user's own files.
    let twin = Command::new("sh")
        .args([
            "-c",
            "cd \"$0\" && mkdir dir file && echo 1 > dir/x.csv && echo 2 > file/y.csv && echo 9 > dir/x.csv \
               && rm file/y.csv && touch dir/new && chmod 777 dir/x.csv && mv dir d2",
        ])
        .arg(world.path("user"))
        .status();
    assert!(twin.unwrap().success());
}

#[test]
fn host_files_and_other_runs_are_not_there() {
    let world = World::new();
    fs::create_dir(world.path("user/.ssh")).unwrap();
    fs::write(world.path("user/.ssh/id_ed25519"), "sesame").unwrap();
    world.shell("echo first > /out/first.txt");
    let root = world.path("");
    let script = format!(
        "cat {0}/user/.ssh/id_ed25519 2>&1; ls {0} 2>&1; ls -d /root /home/* /etc/shadow /mnt /media /srv /boot 2>/dev/null; true",
        root.display()
    );
    let twin = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(String::from_utf8_lossy(&twin.stdout).contains("sesame"), "the attempt itself is broken");
    let seen = world.shell(&script);
    assert!(!seen.contains("sesame") && !seen.contains("state"), "{seen}");
    assert_eq!(seen.lines().last(), Some("/home/job"), "{seen}");
}

#[test]
fn nothing_is_left_for_the_next_run() {
    let world = World::new();
    let places = "/tmp/left /var/tmp/left /dev/shm/left $HOME/left /work/left /out/left $HF_HOME/left";
    let leave = format!("mkdir -p $HF_HOME; for place in {places}; do echo x > $place || exit 1; done");
    let look = format!("for place in {places}; do [ -e $place ] && echo found $place; done; true");
    world.shell(&leave);
    assert_eq!(world.shell(&look), "");
    assert_eq!(world.shell(&format!("{leave}; {look}")).lines().count(), 7, "the look itself works");
}

#[test]
fn there_is_no_network() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let attempt = "import socket, sys
for host, port in [host.split(':') for host in sys.argv[1:]]:
    try:
        socket.create_connection((host, port), timeout=3).close()
        print('breached', host)
    except OSError as error:
        print(error.errno)
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM); s.bind(('127.0.0.1', 0)); s.listen()
socket.create_connection(s.getsockname(), timeout=3)
print('own loopback works')";
    let local = format!("127.0.0.1:{port}");
    let hosts = [local.as_str(), "1.1.1.1:443", "169.254.169.254:80"];
    let command = ["run", "--quiet", "--", "/usr/bin/python3", "-c", attempt];
    let seen = world.ok(&[&command[..], &hosts].concat());
    // Refused on a loopback of its own, and everywhere else.
    assert_eq!(seen, "111\n111\n111\nown loopback works\n");
    let twin = Command::new("/usr/bin/python3").args(["-c", attempt, &local]).output().unwrap();
    assert!(String::from_utf8_lossy(&twin.stdout).starts_with("breached 127.0.0.1"), "{twin:?}");
}

#[test]
fn other_processes_are_invisible() {
    let world = World::new();
    let seen = world.shell("ls /proc | grep -c '^[0-9]'; cat /proc/1/environ /proc/1/cmdline 2>&1 | tr '\\0' ' '; ps -e 2>/dev/null | wc -l; echo $$");
    let host = fs::read_dir("/proc").unwrap().count();
    let visible: usize = seen.lines().next().unwrap().parse().unwrap();
    assert!(visible < 8 && host > 8, "{seen}");
    assert!(!seen.contains("ASEPTIC_HOME"), "{seen}");
}

#[test]
fn two_runs_of_one_dataset_share_no_locks() {
    let world = World::new();
    world.write("d/x", "1");
    world.ok(&["dataset", "add", "d", "--name", "d"]);
    let hold = "import fcntl, time, os; f = open('/data/d/x'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True)
while not os.path.exists('/work/never'): time.sleep(0.05)";
    let mut holder = world.command(&[
        "run",
        "--quiet",
        "--data",
        "d=d",
        "--limit",
        "wall=50s",
        "--limit",
        "grace=1s",
        "--",
        "/usr/bin/python3",
        "-c",
        hold,
    ]);
    let mut holder = holder.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut first = [0; 4];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut first).unwrap();
    let take =
        "import fcntl; f = open('/data/d/x'); fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')";
    let seen = world.ok(&["run", "--quiet", "--data", "d=d", "--", "/usr/bin/python3", "-c", take]);
    assert_eq!(seen, "free\n");
    holder.kill().unwrap();
    holder.wait().unwrap();
}
