//! What a gateway tells its supervisor, and what it is told.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use aseptic_model::{Grant, Traffic};
use serde::{Deserialize, Serialize};

/// From the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "order")]
pub enum Order {
    /// Cut every connection of this grant, and let no other through. Answered by [`Report::Revoked`].
    Revoke {
        /// The grant.
        grant: Grant,
    },
    /// The run is over: say the rest and end. Answered by the last [`Report::Seen`] and [`Report::Finished`].
    Finish,
}

/// To the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "report")]
pub enum Report {
    /// Its walls stand and it serves.
    Ready,
    /// It cannot serve, and ends.
    Failed {
        /// Why, in words.
        why: String,
    },
    /// What changed since it was said last; every count is a total.
    Seen {
        /// Grants by their number in [`Settings::grants`](crate::Settings).
        grants: Vec<(u32, Traffic)>,
        /// Hosts.
        hosts: Vec<Reached>,
        /// Denials.
        denials: Vec<Denial>,
        /// Connections to hosts that did not fit into the list.
        unlisted_hosts: u64,
        /// Denials that did not fit into the list.
        unlisted_denials: u64,
        /// Whether the kernel had more refused packets than it could report.
        lost: bool,
    },
    /// Nothing goes through this grant any more.
    Revoked {
        /// The grant.
        grant: Grant,
        /// How many connections were cut.
        cut: u32,
    },
    /// There is nothing more to say.
    Finished,
}

/// A host that was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reached {
    /// A name, or an address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The addresses that it had.
    pub addresses: BTreeSet<IpAddr>,
    /// What went there.
    pub traffic: Traffic,
}

/// Something that a job wanted and did not get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// What it wanted.
    pub wish: Wish,
    /// Why it did not get it.
    pub why: Why,
    /// How often.
    pub count: u64,
}

/// What a job wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Wish {
    /// The address of a name, or another record of it. Escaped where it is no host name; at most 253 bytes.
    Name(String),
    /// A connection, or a packet, to a name that has an address here, and its port (0 where it has none).
    Host(Protocol, String, u16),
    /// A connection, or a packet, to an address.
    Address(Protocol, SocketAddr),
}

/// What a job sent to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// It wanted a connection.
    Tcp,
    /// A datagram.
    Udp,
    /// A ping.
    Icmp,
    /// Something else.
    Other,
}

/// Why a wish was not granted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Why {
    /// The plan does not grant it.
    NotGranted,
    /// The name has this address alone, or others like it, which only a literal grant permits.
    PrivateAddress(IpAddr),
    /// The client asked the host for this name in TLS; nothing where it named none.
    ServerName(Option<String>),
    /// The client asked the host for this name in HTTP; nothing where it named none.
    HostHeader(Option<String>),
    /// Names are asked for addresses alone; this is the number of the type that was asked for.
    RecordType(u16),
    /// What came looked like TLS or HTTP and could not be read as that.
    Malformed,
    /// Too many connections.
    Connections,
    /// Too many bytes.
    Traffic,
    /// More names below granted ones than there are addresses for.
    Names,
    /// The grant was revoked.
    Revoked,
}
