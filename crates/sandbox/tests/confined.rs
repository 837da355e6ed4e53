//! A process that confines itself: what it can still do, and what it cannot any more.
//!
//! This is its own harness, of one test, since the process must have no other thread when it confines itself.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

use std::fmt::Debug;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use aseptic_model::WallState;
use aseptic_sandbox::{ConfineError, Confinement, Landlock, confine, missing_walls, resolver_paths};
use rustix::process::{Pid, Resource, Rlimit};

/// Lists or runs the one test, as runners of tests ask for it.
#[expect(clippy::print_stdout, reason = "how a runner of tests learns what there is")]
fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if has("--ignored") {
        return;
    }
    if has("--list") {
        println!("a_confined_process_reads_connects_and_does_nothing_else: test");
        return;
    }
    a_confined_process_reads_connects_and_does_nothing_else();
}

fn a_confined_process_reads_connects_and_does_nothing_else() {
    a_process_with_threads_is_not_confined_in_part();
    let place = tempfile::tempdir().unwrap();
    let (given, secret, socket) =
        (place.path().join("given"), place.path().join("secret"), place.path().join("socket"));
    fs::create_dir(&given).unwrap();
    fs::write(given.join("file"), "given").unwrap();
    fs::write(&secret, "secret").unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let _unix = UnixListener::bind(&socket).unwrap();
    let port = server.local_addr().unwrap().port();
    let kept = fs::File::create(place.path().join("kept")).unwrap();
    // Another process of the same user, which ends when its input does.
    let mut other = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&other);
    // The same attempts work before.
    for (what, result) in attempts(&given, &secret, &socket, pid) {
        assert_eq!(result, "done", "{what}");
    }

    let readable = [resolver_paths(), vec![given.clone(), "/proc/self/status".into()]].concat();
    let walls = confine(&Confinement { readable, landlock: Landlock::WhereAvailable }).unwrap();
    let missing: Vec<_> = walls.iter().filter(|wall| wall.state != WallState::Done).collect();
    assert_eq!(missing.len(), missing_walls().len(), "{missing:?}");

    assert_eq!(fs::read_dir(&given).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(given.join("file")).unwrap(), "given");
    assert!(("localhost", port).to_socket_addrs().unwrap().next().is_some());
    TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"through").unwrap();
    let mut greeted = String::new();
    server.accept().unwrap().0.read_to_string(&mut greeted).unwrap();
    assert_eq!(greeted, "through");
    UdpSocket::bind("127.0.0.1:0").unwrap();
    UnixStream::pair().unwrap();
    (&kept).write_all(b"what was open stays open").unwrap();
    let found = std::thread::spawn(|| ("localhost", 1).to_socket_addrs().unwrap().count()).join().unwrap();
    assert_ne!(found, 0);

    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1", "2"));
    for (what, result) in attempts(&given, &secret, &socket, pid) {
        let refused = match what {
            "connect to a socket by its path" => "Uncategorized",
            _ => "PermissionDenied",
        };
        let by_landlock =
            ["read a secret", "list the home directory", "write", "take a port"].contains(&what);
        if !by_landlock || missing_walls().is_empty() {
            assert_eq!(result, refused, "{what}");
        }
    }
    drop(other.stdin.take());
    assert!(other.wait().unwrap().success());
}

/// What a confined process cannot do.
fn attempts(given: &Path, secret: &Path, socket: &Path, other: Pid) -> Vec<(&'static str, String)> {
    let limit = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = rustix::process::prlimit(Some(other), Resource::Core, limit);
    vec![
        ("read a secret", said(fs::read(secret))),
        ("list the home directory", said(fs::read_dir(std::env::var_os("HOME").unwrap()))),
        ("write", said(fs::write(given.join("file"), "given"))),
        ("take a port", said(TcpListener::bind("127.0.0.1:0"))),
        ("execute", said(Command::new("/bin/true").status())),
        ("connect to a socket by its path", said(UnixStream::connect(socket))),
        ("limit another process", said(limited.map_err(io::Error::from))),
        ("signal another process", said(rustix::process::test_kill_process(other).map_err(io::Error::from))),
    ]
}

fn said<T: Debug>(result: io::Result<T>) -> String {
    result.map_or_else(|error| format!("{:?}", error.kind()), |_| "done".to_owned())
}

fn a_process_with_threads_is_not_confined_in_part() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receiver.recv());
    let refused = confine(&Confinement::default()).unwrap_err();
    assert!(matches!(refused, ConfineError::Threads(2..)), "{refused}");
    drop(sender);
    thread.join().unwrap().unwrap_err();
}
