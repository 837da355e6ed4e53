//! What the processes of a jail are about to open, execute or connect to, and what the jail says to it.
//!
//! The kernel lets the calls of a table, [`WATCHED`], wait until the supervisor has looked at them
//! (seccomp_unotify(2)); then each goes on as if nobody had.
//!
//! **Invariant:** a report, never a wall. A thread of the job can change a path between our look and the
//! kernel's, and a job can make its memory unreadable, so nothing may be decided by what is seen here.
//! **Invariant:** every call gets its answer, readable or not, and the answer tells the job nothing.
//! **Not seen:** what a job merely asks about, such as stat(2): watching that would slow every import.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use libc::c_long;
use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, Result};

use crate::jail::Network;
use crate::judge::judge;
use crate::network::{Place, place};
use crate::sys::notify::{self, Notice};
use crate::target::Reader;
use crate::watched::{Call, Kind, WATCHED};

/// Hears of what the processes of a jail attempt; each attempt waits for it.
#[derive(Debug)]
pub struct AttemptListener {
    listener: OwnedFd,
    /// The jail's root directory.
    root: OwnedFd,
    reader: Reader,
    /// The jail's network, if it has one; canonical.
    network: Option<Network>,
}

/// One thing that a process of the jail attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// What was attempted.
    pub action: Action,
    /// On what.
    pub target: Target<'a>,
    /// What the jail says to it.
    pub verdict: Verdict,
}

/// A kind of attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Open a file or directory to read it, or enter a directory.
    Open,
    /// Open a file to write, or make, rename or remove one.
    Write,
    /// Execute a program.
    Execute,
    /// Connect or send to an address.
    Connect,
    /// Take an address.
    Bind,
}

/// What an attempt is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A path in the jail: absolute, without `.`, `..` and doubled slashes.
    Path(&'a [u8]),
    /// An address of the internet protocols.
    Address(SocketAddr),
}

/// What the jail says to an attempt, at the moment it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing of the jail stands against it, or that could not be found out.
    Allowed,
    /// There is nothing of this name in the jail.
    Missing,
    /// It is mounted read-only.
    ReadOnly,
    /// The permissions of the file, its mount or the address do not allow it.
    Forbidden,
    /// No interface of the jail leads to this address.
    Unreachable,
}

impl AttemptListener {
    pub(crate) fn new(listener: OwnedFd, root: OwnedFd, network: Option<Network>) -> Self {
        // Only faster, so a kernel without it is as good.
        let _ = notify::take_turns(listener.as_fd());
        Self { listener, root, reader: Reader::new(), network }
    }

    /// Answers and reports attempts until no process of the jail is left. Blocks: a thread of its own
    /// should call it, since everything in the jail that opens a file waits for it. `found` is called
    /// when the attempt has already gone on.
    ///
    /// # Errors
    /// The kernel's, when it gives no more notice of attempts. Drop the listener then: what waits fails
    /// with `ENOSYS` instead of waiting for ever.
    ///
    /// Source: seccomp_unotify(2).
    pub fn watch(&mut self, mut found: impl FnMut(Attempt<'_>)) -> Result<()> {
        loop {
            let mut polled = [PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN)];
            match rustix::event::poll(&mut polled, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            }
            let events = polled[0].revents();
            if events.contains(PollFlags::IN) {
                self.answer(&mut found)?;
            } else if events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
                return Ok(());
            }
        }
    }

    fn answer(&mut self, found: &mut impl FnMut(Attempt<'_>)) -> Result<()> {
        let notice = match notify::receive(self.listener.as_fd()) {
            Ok(notice) => notice,
            Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => return Ok(()), // Whoever waited is gone.
            Err(error) => return Err(error),
        };
        let Self { listener, root, reader, network } = self;
        let seen = look(root, reader, network.as_ref(), &notice);
        match notify::let_go(listener.as_fd(), notice.id) {
            Ok(()) => {}
            // It was killed meanwhile; what was read may be of another process that has its number now.
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error),
        }
        if let Some(attempt) = seen {
            found(attempt);
        }
        Ok(())
    }
}

fn look<'r>(
    root: &OwnedFd,
    reader: &'r mut Reader,
    network: Option<&Network>,
    notice: &Notice,
) -> Option<Attempt<'r>> {
    let watched = WATCHED.iter().find(|watched| watched.call == c_long::from(notice.data.nr))?;
    let call = reader.read(notice, watched)?;
    Some(match call {
        Call::Path(intent) => {
            let verdict = judge(root, reader.raw(), intent);
            Attempt { action: intent.action(), target: Target::Path(reader.clean()), verdict }
        }
        Call::Address(address) => {
            let action = if watched.kind == Kind::Bind { Action::Bind } else { Action::Connect };
            Attempt {
                action,
                target: Target::Address(address),
                verdict: judge_address(action, address, network),
            }
        }
    })
}

/// A jail has its own loopback interface and, with a network, what is granted of it.
fn judge_address(action: Action, address: SocketAddr, network: Option<&Network>) -> Verdict {
    let ip = address.ip().to_canonical();
    let local = ip.is_loopback()
        || ip.is_unspecified()
        || network.is_some_and(|network| match place(ip) {
            Place::Own => true,
            Place::Name => action == Action::Bind || network.has_port(address.port()),
            Place::Elsewhere => network.literals.contains(&SocketAddr::new(ip, address.port())),
        });
    match (local, action) {
        (true, Action::Bind) if (1..PORTS_FREE_FROM).contains(&address.port()) => Verdict::Forbidden,
        (true, _) => Verdict::Allowed,
        // A name is bound to a group of receivers without any of them being there.
        (false, Action::Bind) if matches!(ip, IpAddr::V4(ip) if ip.is_multicast()) => Verdict::Allowed,
        (false, _) => Verdict::Unreachable,
    }
}

/// Ports below take a privilege: ip(7), `ip_unprivileged_port_start`.
const PORTS_FREE_FROM: u16 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jail::Ports;

    #[test]
    fn only_loopback_is_reachable() {
        let judged = |action, address: &str| judge_address(action, address.parse().unwrap(), None);
        assert_eq!(judged(Action::Connect, "127.0.0.1:80"), Verdict::Allowed);
        assert_eq!(judged(Action::Connect, "[::1]:80"), Verdict::Allowed);
        assert_eq!(judged(Action::Connect, "[::ffff:127.0.0.1]:80"), Verdict::Allowed);
        assert_eq!(judged(Action::Connect, "1.1.1.1:443"), Verdict::Unreachable);
        assert_eq!(judged(Action::Connect, "[2606:4700::1]:443"), Verdict::Unreachable);
        assert_eq!(judged(Action::Bind, "0.0.0.0:8080"), Verdict::Allowed);
        assert_eq!(judged(Action::Bind, "0.0.0.0:0"), Verdict::Allowed);
        assert_eq!(judged(Action::Bind, "0.0.0.0:80"), Verdict::Forbidden);
        assert_eq!(judged(Action::Bind, "10.0.0.1:8080"), Verdict::Unreachable);
        assert_eq!(judged(Action::Connect, "198.18.0.7:443"), Verdict::Unreachable);
    }

    #[test]
    fn what_a_network_grants_is_reachable() {
        let network = Network {
            ports: Ports::These([443].into()),
            literals: ["192.0.2.1:5432".parse().unwrap()].into(),
        };
        let judged = |address: &str| judge_address(Action::Connect, address.parse().unwrap(), Some(&network));
        for granted in
            ["198.18.0.7:443", "[fda5:e971:c000::7]:443", "198.19.0.53:53", "[::ffff:192.0.2.1]:5432"]
        {
            assert_eq!(judged(granted), Verdict::Allowed, "{granted}");
        }
        for other in ["198.18.0.7:80", "192.0.2.1:443", "1.1.1.1:443", "[2606:4700::1]:443"] {
            assert_eq!(judged(other), Verdict::Unreachable, "{other}");
        }
    }
}
