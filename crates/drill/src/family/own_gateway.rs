//! The sockets and the process of the gateway that a run has itself.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::net::SocketType;
use rustix::process::{Pid, Signal};

use super::direct_ip::{connect_prepared, open, through_own};
use super::fronting::hello;
use super::other_gateways::take_socket;
use super::{NETWORK, first, greeting};
use crate::attempt::{Attempt, Family};
use crate::outside::{JOB, JOB_6, LISTENER_PORT, NAME_SERVER, at, shared};
use crate::victim::REVOCATIONS;
use crate::{Said, Scene};

pub(super) const FAMILY: Family = Family {
    name: "own-gateway",
    about: "the sockets and the process of the run's own gateway",
    attempts: &[
        Attempt::new("own-listener", NETWORK, "connect to where the own gateway listens", |scene| {
            let ways = [("IPv4", at(JOB, LISTENER_PORT)), ("IPv6", at(JOB_6, LISTENER_PORT))];
            scene.each(ways, |address| greeting(open(address)?))
        })
        .network(GRANT)
        .canary(),
        Attempt::new("own-listener-routed", NETWORK, "have the own machine send packets on to it", |_| {
            connect_prepared(at(JOB, LISTENER_PORT), 0, through_own)
        })
        .network(GRANT)
        .canary(),
        Attempt::new("listening-port", CAPABILITIES, "listen in place of the gateway", |_| {
            let socket = shared(at(JOB, LISTENER_PORT), SocketType::STREAM, 0)?;
            rustix::net::listen(&socket, 1)?;
            Said::reached("it listens")
        })
        .network(GRANT),
        Attempt::new("name-server-port", CAPABILITIES, "answer in place of the name server", |scene| {
            scene.each([("UDP", SocketType::DGRAM), ("TCP", SocketType::STREAM)], |kind| {
                shared(at(NAME_SERVER, 53), kind, 0)?;
                Said::reached("its port was taken")
            })
        })
        .network(GRANT),
        Attempt::new(
            "inherited-sockets",
            "no descriptor left",
            "use a socket of the gateway that was left",
            |_| {
                let own = rustix::process::getpid().as_raw_nonzero().get();
                first(3..1024, |number| take_socket(own, number))
            },
        )
        .network(GRANT),
        Attempt::new("end-own-gateway", "process namespace", "signal every process that there may be", end)
            .network(GRANT),
        Attempt::new(
            "own-revocations",
            "mount namespace",
            "find the socket that takes grants back",
            |scene| {
                let root = scene.place.out.parent().unwrap_or(Path::new("/"));
                match find(root, DEPTH) {
                    Some(socket) => Said::reached(socket.display()),
                    None => Said::refused("there is none"),
                }
            },
        )
        .network(GRANT),
    ],
};

const GRANT: &[&str] = &["127.0.0.1:{service}"];
const CAPABILITIES: &str = "capabilities";

/// How many directories deep a socket is looked for.
const DEPTH: u32 = 5;

/// More than the processes of most machines.
const PIDS: i32 = 1 << 16;

fn end(scene: &Scene) -> io::Result<Said> {
    let own = rustix::process::getpid();
    for pid in (2..PIDS).filter_map(Pid::from_raw).filter(|pid| *pid != own) {
        let _ = rustix::process::kill_process(pid, Signal::KILL); // There is no such process.
    }
    match hello(scene) {
        Ok(()) => Said::refused("it serves"),
        Err(error) => Said::reached(format_args!("nobody serves any more: {error}")),
    }
}

/// A socket by its name, in what is not the system's.
fn find(directory: &Path, depth: u32) -> Option<PathBuf> {
    let system = ["/usr", "/proc", "/sys", "/dev"].map(Path::new);
    if depth == 0 || system.contains(&directory) {
        return None;
    }
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_type().ok()?, entry))).find_map(|(kind, entry)| {
        match (kind.is_socket(), kind.is_dir()) {
            (true, _) => (entry.file_name() == REVOCATIONS).then(|| entry.path()),
            (_, true) => find(&entry.path(), depth - 1),
            _ => None,
        }
    })
}
