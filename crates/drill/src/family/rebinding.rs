//! Names that lead to this machine or its network, whatever the owner of the name says.
//!
//! Of all names only `localhost` is granted here: it leads to this machine, and nobody else is asked for it.

use std::io;
use std::net::IpAddr;

use super::direct_ip::open;
use super::fronting::ask_hello;
use super::greeting;
use crate::attempt::{Attempt, Family};
use crate::outside::{STANDS_FOR_A_NAME, STANDS_FOR_A_NAME_6, at};
use crate::service::NAME;
use crate::{Said, Scene};

pub(super) const FAMILY: Family = Family {
    name: "rebinding",
    about: "granted names that lead to this machine or its network",
    attempts: &[
        Attempt::new("rebinding", GATEWAY, "connect to a granted name that leads to this machine", |scene| {
            by_name(scene, STANDS_FOR_A_NAME)
        })
        .network(&["localhost:{tcp}", "localhost:{service}", "127.0.0.1:{service}"])
        .canary(),
        Attempt::new("rebinding-ipv6", GATEWAY, "the same over IPv6", |scene| {
            by_name(scene, STANDS_FOR_A_NAME_6)
        })
        .network(&["localhost:{tcp}", "localhost:{tcp6}", "localhost:{service}", "127.0.0.1:{service}"])
        .canary(),
        Attempt::new("rebinding-beside", GATEWAY, "the same beside other addresses of it", |scene| {
            by_name(scene, STANDS_FOR_A_NAME)
        })
        .network(&[
            "localhost:{tcp}",
            "localhost:{service}",
            "127.0.0.1:{service}",
            "127.0.0.2:{tcp}",
            "[::1]:{service}",
        ])
        .canary(),
        Attempt::new(
            "rebinding-any-name",
            GATEWAY,
            "the same where other names in TLS are allowed",
            |scene| by_name(scene, STANDS_FOR_A_NAME),
        )
        .network(&["localhost:{tcp},tls=any", "localhost:{service}", "127.0.0.1:{service}"])
        .canary(),
        Attempt::new("rebinding-again", GATEWAY, "connect until the name leads elsewhere", |scene| {
            super::first(0..TRIES, |_| by_name(scene, STANDS_FOR_A_NAME))
        })
        .network(&["localhost:{tcp}", "localhost:{service}", "127.0.0.1:{service}"])
        .canary(),
    ],
};

const GATEWAY: &str = "gateway";

/// How often a careless gateway could be made to look the name up again.
const TRIES: u32 = 20;

/// Connects where the name leads: to the port where it may, and then to the one where it may not.
fn by_name(scene: &Scene, address: IpAddr) -> io::Result<Said> {
    let host = scene.host()?;
    let allowed = open(at(STANDS_FOR_A_NAME, host.service));
    if let Err(error) = allowed.and_then(|mut stream| ask_hello(&mut stream, NAME)) {
        return Said::tried(format_args!("what is granted is not reached: {error}"));
    }
    let port = if address.is_ipv6() { host.tcp6 } else { host.tcp };
    greeting(open(at(address, port))?)
}
