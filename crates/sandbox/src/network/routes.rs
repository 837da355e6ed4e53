//! Addresses and routes of a jail's network, as messages of rtnetlink(7).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::Family;
use super::netlink::{Attributes, CREATE, Messages};
use super::nft::MARK;

// Kinds of messages, `RTM_*`.
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const NEW_RULE: u16 = 32;

/// The loopback interface is the first of every network namespace.
const LOOPBACK: u32 = 1;

// Attributes of an address, `IFA_*`, of a route, `RTA_*`, and of a rule, `FRA_*`.
const ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const TO: u16 = 1;
const INTERFACE: u16 = 4;
const SOURCE: u16 = 7;
const PRIORITY: u16 = 6;
const RULE_MARK: u16 = 10;

/// `IFA_F_NODAD`: of an address that nobody else can have, use can be made at once.
const NO_DUPLICATES: u8 = 2;

const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u8 = 255;
/// `RTPROT_STATIC`.
const STATIC: u8 = 4;
// How far what a route leads to is away, `RT_SCOPE_*`.
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;
// Kinds of routes, `RTN_*`.
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
const THROW: u8 = 9;
/// `FR_ACT_UNREACHABLE`.
const UNREACHABLE: u8 = 7;

/// What is this machine to the job: its addresses, those that stand for names, and the literal ones.
pub(super) fn own(family: &Family, literals: &BTreeSet<SocketAddr>) -> Messages {
    let mut messages = Messages::default();
    for address in [&family.job].into_iter().chain(&family.name_server) {
        let length = bits(address);
        let [a, b, c, d] = LOOPBACK.to_ne_bytes();
        let header = [family.number, length, NO_DUPLICATES, 0, a, b, c, d];
        let attributes = Attributes::new().put(ADDRESS_LOCAL, address).put(ADDRESS, address);
        messages.add(NEW_ADDRESS, CREATE, &header, &attributes);
    }
    let mut names = family.names.clone();
    names.resize(family.job.len(), 0);
    local(&mut messages, family, &names, bits(&family.names));
    let addresses: BTreeSet<_> =
        literals.iter().map(SocketAddr::ip).filter(|address| !address.is_loopback()).collect();
    for address in addresses {
        let address = bytes(address);
        if address.len() == family.job.len() {
            local(&mut messages, family, &address, bits(&address));
        }
    }
    messages.await_last()
}

fn bits(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len() * 8).unwrap_or(u8::MAX)
}

fn local(messages: &mut Messages, family: &Family, to: &[u8], length: u8) {
    let header = route(family, length, [TABLE_LOCAL, SCOPE_HOST, LOCAL]);
    messages.add(NEW_ROUTE, CREATE, &header, &through_loopback(family).put(TO, to));
}

/// `struct rtmsg` of a route for addresses that have so many bits in common.
fn route(family: &Family, length: u8, [table, scope, kind]: [u8; 3]) -> [u8; 12] {
    [family.number, length, 0, 0, table, STATIC, scope, kind, 0, 0, 0, 0]
}

fn through_loopback(family: &Family) -> Attributes {
    Attributes::new().put(INTERFACE, &LOOPBACK.to_ne_bytes()).put(SOURCE, &family.job)
}

/// A way for packets to all other addresses up to the rules, where they are marked and find no way on.
pub(super) fn others(family: &Family) -> Messages {
    let mut messages = Messages::default();
    let header = [family.number, 0, 0, 0, 0, 0, 0, UNREACHABLE, 0, 0, 0, 0];
    let attributes =
        Attributes::new().put(PRIORITY, &1_u32.to_ne_bytes()).put(RULE_MARK, &MARK.to_ne_bytes());
    messages.add(NEW_RULE, CREATE, &header, &attributes);
    // Not to groups: what is sent there is not routed again.
    let (first, bits) = family.groups;
    let mut groups = vec![first];
    groups.resize(family.job.len(), 0);
    let header = route(family, bits, [TABLE_MAIN, 0, THROW]);
    messages.add(NEW_ROUTE, CREATE, &header, &Attributes::new().put(TO, &groups));
    let header = route(family, 0, [TABLE_MAIN, SCOPE_LINK, UNICAST]);
    messages.add(NEW_ROUTE, CREATE, &header, &through_loopback(family));
    messages.await_last()
}

/// The bytes of an address in the order of the network.
pub(super) fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
