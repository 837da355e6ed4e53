//! The network of a jail: one way out, to whoever holds its [`NetworkEnds`], for what is granted.
//!
//! Everything is local to the jail. Addresses that stand for names, literal addresses and the name server's
//! are addresses of the jail's own loopback interface; rules of the kernel lead what is granted to one
//! listening socket per family, and refuse and report all else. The sockets are handed out of the jail, and
//! no other way leads out of it.
//!
//! The messages to the kernel are made in the supervisor; the jail's first process only sends them, while it
//! has the privileges for it.

mod netlink;
mod nft;
mod routes;
mod setup;
mod support;

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::OwnedFd;

use aseptic_model::{JOB_ADDRESS, JOB_ADDRESS_6, NAME_SERVER, NAMES, NAMES_6};

use crate::error::PrepareError;
use crate::jail::{Network, Ports};
use netlink::{Attributes, Messages};
use nft::Refused;

pub(crate) use setup::open_sockets;
pub use support::{NetworkSupport, network_support};

/// Sockets that were made inside of a jail's network, for what serves it from outside. None of them blocks.
#[derive(Debug)]
pub struct NetworkEnds {
    /// The UDP socket of the name server that the jail's programs ask.
    pub names: OwnedFd,
    /// Accepts connections; the local address of each is where the program wanted to connect to.
    pub connections: OwnedFd,
    /// The same for IPv6, where the kernel has it.
    pub connections_6: Option<OwnedFd>,
    /// Netlink socket on which the kernel reports packets that it refused (`NFULNL_MSG_PACKET`, with the
    /// first [`NetworkEnds::REPORTED_BYTES`] of each), where it can. A lost report is the error `ENOBUFS`.
    pub refused: Option<OwnedFd>,
}

impl NetworkEnds {
    /// Headers of every protocol, with some options.
    pub const REPORTED_BYTES: u32 = 128;
}

/// Where the sockets listen that connections are led to. It takes a privilege to have, so no job can.
const LISTENING_PORT: u16 = 1;

/// Of name servers, for TCP and UDP.
pub(crate) const NAME_SERVER_PORT: u16 = 53;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4_096;

/// Room for reports while nobody reads them; the kernel grants less where it is set so.
const REPORTS_BYTES: usize = 1 << 20;

/// Most ports, and most literal addresses: what the kernel takes in one message has a bound.
const GRANTS_MAX: usize = 1_024;

/// What differs between IPv4 and IPv6. Addresses and the beginnings of addresses are in network order.
struct Family {
    /// `AF_INET` or `AF_INET6`.
    number: u8,
    /// Where the destination stands in the header.
    destination_at: u32,
    job: Vec<u8>,
    loopback: Vec<u8>,
    names: Vec<u8>,
    name_server: Option<Vec<u8>>,
    /// The first byte, and how many of its bits count, from which on addresses are those of groups.
    groups: (u8, u8),
}

impl Family {
    fn v4() -> Self {
        let (names, length) = NAMES;
        Self {
            number: 2,
            destination_at: 16,
            job: JOB_ADDRESS.octets().to_vec(),
            loopback: vec![127],
            names: names.octets()[..usize::from(length / 8)].to_vec(),
            name_server: Some(NAME_SERVER.octets().to_vec()),
            groups: (224, 3),
        }
    }

    fn v6() -> Self {
        let (names, length) = NAMES_6;
        Self {
            number: 10,
            destination_at: 24,
            job: JOB_ADDRESS_6.octets().to_vec(),
            loopback: Ipv6Addr::LOCALHOST.octets().to_vec(),
            names: names.octets()[..usize::from(length / 8)].to_vec(),
            name_server: None,
            groups: (255, 8),
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        routes::bytes(address).len() == self.job.len()
    }
}

/// The messages that make a network, per family.
#[derive(Debug)]
pub(crate) struct Plan {
    v4: FamilyPlan,
    v6: FamilyPlan,
    bind_reports: Messages,
}

#[derive(Debug)]
struct FamilyPlan {
    own_routes: Messages,
    other_routes: Messages,
    reporting_rules: Messages,
    silent_rules: Messages,
}

impl Plan {
    pub(crate) fn of(network: &Network) -> Result<Self, PrepareError> {
        let refuse = |what: String| Err(PrepareError::Description { what });
        let network = network.canonical();
        let many = match &network.ports {
            Ports::These(ports) => ports.len().max(network.literals.len()),
            Ports::Every => network.literals.len(),
        };
        if many > GRANTS_MAX {
            return refuse(format!("more than {GRANTS_MAX} ports or literal addresses of a network"));
        }
        if let Some(literal) = network.literals.iter().find(|literal| !is_literal(literal.ip())) {
            return refuse(format!("`{literal}` as a literal address of its network"));
        }
        let plan = |family: &Family| FamilyPlan {
            own_routes: routes::own(family, &network.literals),
            other_routes: routes::others(family),
            reporting_rules: nft::rules(family, &network, Refused::Reported),
            silent_rules: nft::rules(family, &network, Refused::Silent),
        };
        Ok(Self { v4: plan(&Family::v4()), v6: plan(&Family::v6()), bind_reports: bind_reports() })
    }
}

/// What an address is in a jail with a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The job's own, or its name server's.
    Own,
    /// It stands for a name.
    Name,
    Elsewhere,
}

pub(crate) fn place(address: IpAddr) -> Place {
    let own = [JOB_ADDRESS.into(), NAME_SERVER.into(), JOB_ADDRESS_6.into()].contains(&address);
    let is_name = [Family::v4(), Family::v6()]
        .iter()
        .any(|family| family.has(address) && routes::bytes(address).starts_with(&family.names));
    match (own, is_name) {
        (true, _) => Place::Own,
        (false, true) => Place::Name,
        (false, false) => Place::Elsewhere,
    }
}

/// Whether one host can have this address, and not the jail's network itself.
fn is_literal(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    place(address) == Place::Elsewhere
        && !(address.is_unspecified() || address.is_multicast() || is_broadcast)
}

/// Has the kernel report the packets of a group to the socket that sends this, each at once.
///
/// Source: `linux/netfilter/nfnetlink_log.h`.
fn bind_reports() -> Messages {
    const CONFIGURE: u16 = 4 << 8 | 1;
    const BIND: u8 = 1;
    const PACKETS: u8 = 2;
    let [a, b, c, d] = NetworkEnds::REPORTED_BYTES.to_be_bytes();
    let attributes = Attributes::new()
        .put(1, &[BIND])
        .put(2, &[a, b, c, d, PACKETS, 0])
        .number(3, 4 * NetworkEnds::REPORTED_BYTES) // What is set aside for one report.
        .number(5, 1);
    let mut messages = Messages::default();
    messages.add(CONFIGURE, 0, &nft::header(0, nft::REPORTS), &attributes);
    messages.await_last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_the_address_of_one_host() {
        for literal in ["127.0.0.1", "192.168.1.1", "169.254.169.254", "198.19.1.1", "::1", "fe80::1"] {
            assert!(is_literal(literal.parse().unwrap()), "{literal}");
        }
        for other in [
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "198.18.0.9",
            "198.19.0.1",
            "198.19.0.53",
            "fda5:e971:c000::9",
            "fda5:e971:c000:1::1",
        ] {
            assert!(!is_literal(other.parse().unwrap()), "{other}");
        }
    }
}
