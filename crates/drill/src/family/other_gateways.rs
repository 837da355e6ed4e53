//! What another run is granted, and the gateway that it has for it.

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use super::direct_ip::open;
use super::{NETWORK, first, greeting};
use crate::Said;
use crate::attempt::{Attempt, Family};
use crate::dns::{self, A, AAAA, Over};
use crate::outside::{JOB, JOB_6, LISTENER_PORT, NAME_SERVER, STANDS_FOR_A_NAME, STANDS_FOR_A_NAME_6, at};
use crate::service::NAME;
use crate::sys::process;
use crate::victim::REVOCATIONS;

pub(super) const FAMILY: Family = Family {
    name: "other-gateways",
    about: "what other runs are granted, and their gateways",
    attempts: &[
        Attempt::new("grant-of-another", NETWORK, "connect where another run may", |scene| {
            let port = scene.host()?.tcp;
            greeting(open(at(Ipv4Addr::LOCALHOST.into(), port))?)
        })
        .canary(),
        Attempt::new("name-of-another", "gateway", "look up a name that another run is granted", |scene| {
            scene.each([("A", A), ("AAAA", AAAA)], |kind| {
                dns::ask(NAME_SERVER, Over::Udp, "other.invalid", kind).and_then(|records| {
                    match records.len() {
                        0 => Said::refused("no address"),
                        _ => Said::reached("an address"),
                    }
                })
            })
        }),
        Attempt::new(
            "address-of-another",
            NETWORK,
            "connect to an address that another run has for a name",
            |scene| {
                let host = scene.host()?;
                let ways =
                    [("IPv4", at(STANDS_FOR_A_NAME, host.tcp)), ("IPv6", at(STANDS_FOR_A_NAME_6, host.tcp6))];
                scene.each(ways, |address| greeting(open(address)?))
            },
        )
        .canary(),
        Attempt::new("listener-of-another", NETWORK, "connect to where a gateway listens", |scene| {
            let ways = [("IPv4", at(JOB, LISTENER_PORT)), ("IPv6", at(JOB_6, LISTENER_PORT))];
            scene.each(ways, |address| greeting(open(address)?))
        })
        .canary(),
        Attempt::new("sockets-of-another", PROCESS, "take a socket from a gateway", |scene| {
            first(scene.processes(), |pid| first(0..DESCRIPTORS, |number| take_socket(pid, number)))
        }),
        Attempt::new("debug-a-gateway", PROCESS, "attach to a gateway by ptrace", |scene| {
            let gateways = scene.targets.iter().map(|target| target.gateway);
            first(gateways.filter(|pid| *pid > 0), |pid| {
                process::seize(pid)?;
                Said::reached(format_args!("attached to process {pid}"))
            })
        }),
        Attempt::new("connections-of-all", NETWORK, "list the sockets of this machine", |scene| {
            let port = format!(":{:04X} ", scene.host()?.tcp);
            let own = ["/proc/net/tcp".to_owned(), "/proc/1/net/tcp".to_owned()];
            let of_others = scene.processes().into_iter().map(|pid| format!("/proc/{pid}/net/tcp"));
            first(own.into_iter().chain(of_others), |list| {
                match fs::read_to_string(&list)?.lines().any(|line| line.contains(&port)) {
                    true => Said::reached(format_args!("{list} has the socket of a victim")),
                    false => Said::refused("nothing to see"),
                }
            })
        }),
        Attempt::new("revoke-for-another", "mount namespace", "take a grant from another run", |scene| {
            let runs = fs::read_dir(scene.host.state.join("runs/drill"))?.flatten();
            first(runs, |run| revoke(&File::open(run.path())?))
        }),
    ],
};

const PROCESS: &str = "process namespace";

/// More than a gateway has before its first connection.
const DESCRIPTORS: i32 = 32;

pub(super) fn take_socket(pid: i32, number: i32) -> io::Result<Said> {
    let process = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    let process = rustix::process::pidfd_open(process, PidfdFlags::empty())?;
    let taken = rustix::process::pidfd_getfd(&process, number, PidfdGetfdFlags::empty())?;
    let address = rustix::net::getsockname(&taken)?;
    Said::reached(format_args!("a socket of process {pid}: {address:?}"))
}

/// Sends something to the socket of a run in whose directory it is.
fn revoke(directory: &File) -> io::Result<Said> {
    let socket = UnixDatagram::unbound()?;
    socket.send_to(NAME.as_bytes(), format!("/proc/self/fd/{}/{REVOCATIONS}", directory.as_raw_fd()))?;
    Said::reached("it was sent")
}
