//! Descriptors that are made inside of a jail and handed to its supervisor when the jail is ready.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Result;
use rustix::net::{AddressFamily, sockopt};

use crate::jail::{Attempts, Jail};
use crate::message::{HANDED_MAX, report_ready};
use crate::network::NetworkEnds;

/// What is handed out, each if the jail asks for it.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// The supervisor's side of the jail's terminal, which does not block.
    pub(crate) terminal: Option<OwnedFd>,
    /// The listener of what the program attempts, and the root directory in which it does.
    pub(crate) attempts: Option<[OwnedFd; 2]>,
    /// The ends of its network.
    pub(crate) network: Option<NetworkEnds>,
}

impl Handed {
    /// In the jail's first process: says that the jail is ready, hands everything out, and keeps nothing.
    pub(crate) fn report(self, control: BorrowedFd<'_>) -> Result<()> {
        let attempts = self.attempts.iter().flatten();
        let network =
            self.network.iter().flat_map(|NetworkEnds { names, connections, connections_6, refused }| {
                [Some(names), Some(connections), connections_6.as_ref(), refused.as_ref()]
                    .into_iter()
                    .flatten()
            });
        let mut handed = [control; HANDED_MAX]; // Nothing may be allocated here.
        let mut count = 0;
        for (slot, descriptor) in handed.iter_mut().zip(self.terminal.iter().chain(attempts).chain(network)) {
            *slot = descriptor.as_fd();
            count += 1;
        }
        report_ready(control, &handed[..count])
    }

    /// In the supervisor: what came, if it is what `jail` asks for.
    pub(crate) fn received(jail: &Jail, descriptors: Vec<OwnedFd>) -> Option<Self> {
        let mut descriptors = descriptors.into_iter().peekable();
        let terminal = match jail.terminal {
            Some(_) => Some(descriptors.next()?),
            None => None,
        };
        let attempts = match jail.attempts {
            Attempts::Seen => Some([descriptors.next()?, descriptors.next()?]),
            Attempts::Unseen => None,
        };
        let network = match jail.network {
            Some(_) => Some(NetworkEnds {
                names: descriptors.next()?,
                connections: descriptors.next()?,
                // These two are there if the kernel has them, and each is of a family of its own.
                connections_6: descriptors.next_if(|one| is_of(one, AddressFamily::INET6)),
                refused: descriptors.next_if(|one| is_of(one, AddressFamily::NETLINK)),
            }),
            None => None,
        };
        descriptors.next().is_none().then_some(Self { terminal, attempts, network })
    }
}

fn is_of(socket: &OwnedFd, family: AddressFamily) -> bool {
    sockopt::socket_domain(socket) == Ok(family)
}
