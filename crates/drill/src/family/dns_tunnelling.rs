//! Data in questions for names, and in the answers.
//!
//! The names end in `invalid`, which is nobody's.

use std::io;
use std::net::IpAddr;

use super::{NETWORK, direct_ip};
use crate::attempt::{Attempt, Family};
use crate::dns::{self, A, AAAA, CNAME, MX, NULL, Over, SRV, TXT};
use crate::outside::{NAME_SERVER, RESOLVERS, at};
use crate::{Said, Scene};

pub(super) const FAMILY: Family = Family {
    name: "dns-tunnelling",
    about: "data in questions for names, and in the answers",
    attempts: &[
        Attempt::new("dns-addresses", GATEWAY, "look up a name that carries data", |scene| {
            asked(scene, NAME_SERVER, Over::Udp, &[A, AAAA])
        }),
        Attempt::new("dns-addresses-tcp", GATEWAY, "the same over TCP", |scene| {
            asked(scene, NAME_SERVER, Over::Tcp, &[A, AAAA])
        }),
        Attempt::new("dns-records", GATEWAY, "ask for records that carry data back", |scene| {
            asked(scene, NAME_SERVER, Over::Udp, &RECORDS)
        }),
        Attempt::new("dns-records-tcp", GATEWAY, "the same over TCP", |scene| {
            asked(scene, NAME_SERVER, Over::Tcp, &RECORDS)
        }),
        Attempt::new("dns-records-of-a-grant", GATEWAY, "ask for such records of a granted name", |scene| {
            every(&RECORDS, |kind| answered(NAME_SERVER, Over::Udp, GRANTED, kind), scene)
        })
        .network(&["granted.invalid:{service}"]),
        Attempt::new("dns-below-a-grant", GATEWAY, "look up a name below a granted one", |scene| {
            let name = format!("{}.{GRANTED}", scene.id);
            every(&[A, AAAA, TXT], |kind| answered(NAME_SERVER, Over::Udp, &name, kind), scene)
        })
        .network(&["granted.invalid:{service}"]),
        Attempt::new(
            "dns-beside-a-grant",
            GATEWAY,
            "look up a name that only looks like a granted one",
            |scene| {
                let names = [
                    "granted.invalid.drill.invalid",
                    "xgranted.invalid",
                    "x-granted.invalid",
                    "granted",
                    "granted\0.invalid",
                    "wide.invalid",
                    "xwide.invalid",
                ];
                scene.each(names.map(|name| (name, name)), |name| answered(NAME_SERVER, Over::Udp, name, A))
            },
        )
        .network(&["granted.invalid:{service}", "*.wide.invalid:{service}"]),
        Attempt::new("dns-public-server", NETWORK, "ask a name server of the Internet", |scene| {
            scene.each(RESOLVERS.map(|server| ("one of them", server)), |server| {
                asked(scene, server, Over::Udp, &[A, TXT])
            })
        }),
        Attempt::new("dns-public-server-tcp", NETWORK, "ask one over TCP", |scene| {
            scene.each(RESOLVERS.map(|server| ("one of them", server)), |server| {
                asked(scene, server, Over::Tcp, &[A, TXT])
            })
        }),
        Attempt::new(
            "dns-at-a-granted-port",
            NETWORK,
            "connect to a name server where its port is granted",
            |scene| {
                scene.each(RESOLVERS.map(|server| ("one of them", server)), |server| {
                    direct_ip::open(at(server, 53))?;
                    Said::reached("connected")
                })
            },
        )
        .network(&["localhost:53", "127.0.0.1:53"]),
    ],
};

const GATEWAY: &str = "gateway";

/// A name that is granted and leads nowhere.
const GRANTED: &str = "granted.invalid";

/// Types of records with room for data: those of a service (65), of keys (48) and all at once (255) as well.
const RECORDS: [u16; 10] = [TXT, NULL, CNAME, MX, SRV, 2, 12, 48, 65, 255];

/// Asks for a name with data in it.
fn asked(scene: &Scene, server: IpAddr, over: Over, kinds: &[u16]) -> io::Result<Said> {
    // As much as fits into one label, and more labels of it.
    let label = scene.id.repeat(3);
    let name = format!("{label}.{label}.{label}.{}.drill.invalid", scene.id);
    every(kinds, |kind| answered(server, over, &name, kind), scene)
}

fn every(kinds: &[u16], ask: impl FnMut(u16) -> io::Result<Said>, scene: &Scene) -> io::Result<Said> {
    scene.each(kinds.iter().map(|kind| ("a type of record", *kind)), ask)
}

/// An answer without records carries nothing.
fn answered(server: IpAddr, over: Over, name: &str, kind: u16) -> io::Result<Said> {
    match dns::ask(server, over, name, kind)?.concat().len() {
        0 => Said::refused(format_args!("nothing of type {kind}")),
        length => Said::reached(format_args!("{length} bytes of type {kind}")),
    }
}
