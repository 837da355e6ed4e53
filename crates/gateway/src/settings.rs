//! What one gateway is told at its start: all that it will ever let through.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aseptic_model::Grant;
use serde::{Deserialize, Serialize};

/// The settings of one gateway, for one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What may be reached; nothing else is.
    pub grants: Vec<Grant>,
    /// Whether every name gets an address, and every connection that is not granted is accepted and ended,
    /// so that its port and protocol are seen.
    pub observe: bool,
    /// Bounds of all connections together.
    pub limits: Limits,
    /// A proxy through which hosts are reached, if there is one.
    pub proxy: Option<Proxy>,
}

/// Bounds of all connections of a run together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Connections that are open at once; without one, [`Limits::CONNECTIONS`].
    pub connections: Option<u32>,
    /// Bytes in both directions.
    pub traffic_bytes: Option<u64>,
    /// Bytes per second in both directions.
    pub bandwidth_bytes: Option<u64>,
}

impl Limits {
    /// Connections where the plan names none: more than a program has, and bounded memory.
    pub const CONNECTIONS: u32 = 16_384;
}

/// An HTTP proxy that makes connections (`CONNECT`).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Its host: a name or an address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password as `user:password`, if it wants them.
    pub credentials: Option<String>,
    /// Hosts that are reached without it, as in `NO_PROXY`: names with all names below them, or addresses.
    pub except: Vec<String>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port) // Never the credentials.
    }
}

/// Descriptors that were made inside of the run's network and handed out of it.
#[derive(Debug)]
pub struct Ends {
    /// The UDP socket of the run's name server.
    pub names: OwnedFd,
    /// Accepts connections; the local address of each is where the job wanted to connect to.
    pub connections: OwnedFd,
    /// The same for IPv6, where the kernel has it.
    pub connections_6: Option<OwnedFd>,
    /// Netlink socket on which the kernel reports packets that it refused, where it can.
    pub refused: Option<OwnedFd>,
}

impl Ends {
    /// Those that are there, in the order of the fields.
    #[must_use]
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let Self { names, connections, connections_6, refused } = self;
        let all = [Some(names), Some(connections), connections_6.as_ref(), refused.as_ref()];
        all.into_iter().flatten().map(AsFd::as_fd).collect()
    }
}
