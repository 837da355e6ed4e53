//! The part of a run's record that is about its network.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Grant;

/// What a run had of the network, as its gateway counted it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// Whether every connection and every denied name and address is counted.
    pub complete: bool,
    /// Why not, if not.
    pub incomplete_because: Option<String>,
    /// Each grant of the plan, in its order, and what went through it.
    pub grants: Vec<GrantUse>,
    /// Hosts that were reached, by name and port; the first thousand.
    pub hosts: Vec<HostReached>,
    /// Connections to hosts that are not in `hosts`.
    pub unlisted_hosts: u64,
    /// Denied attempts that are not in `denied`.
    pub unlisted_denials: u64,
    /// `HOST:PORT` of the proxy through which they were reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
}

/// What went through one grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantUse {
    /// The grant.
    pub grant: Grant,
    /// What went through it.
    pub traffic: Traffic,
    /// Whether it was revoked while the job ran.
    pub revoked: bool,
}

/// A host that was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostReached {
    /// `HOST:PORT`, with the name that the job asked for.
    pub host: String,
    /// The addresses that it had, as text; none where a proxy looked it up.
    pub addresses: BTreeSet<IpAddr>,
    /// What went there.
    pub traffic: Traffic,
}

/// Connections and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Connections that were made.
    pub connections: u64,
    /// Connections that could not be made, though they were granted.
    pub failed: u64,
    /// Bytes that the job sent.
    pub sent_bytes: u64,
    /// Bytes that it received.
    pub received_bytes: u64,
}
