//! Services of clouds that give credentials to whoever can connect to them, by every spelling of their address.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};

use super::direct_ip::{connect, open};
use super::{ANSWER_WITHIN, NETWORK, greeting};
use crate::Said;
use crate::attempt::{Attempt, Family};
use crate::dns::{self, A};
use crate::outside::{
    METADATA, METADATA_6, METADATA_MORE, METADATA_OF_TASKS, METADATA_OTHER, METADATA_WITHIN, NAME_SERVER,
    PORT, at,
};

pub(super) const FAMILY: Family = Family {
    name: "metadata",
    about: "metadata and credentials of clouds, by every spelling of their addresses",
    attempts: &[
        Attempt::new("metadata-cloud", NETWORK, "connect to the metadata of a cloud", |_| connect(METADATA)),
        Attempt::new("metadata-tasks", NETWORK, "connect to the credentials of a container task", |_| {
            connect(METADATA_OF_TASKS)
        }),
        Attempt::new("metadata-other-cloud", NETWORK, "connect to the metadata of another cloud", |_| {
            connect(METADATA_OTHER)
        }),
        Attempt::new("metadata-ipv6", NETWORK, "connect to the metadata of a cloud over IPv6", |_| {
            connect(METADATA_6)
        }),
        Attempt::new(
            "metadata-more-clouds",
            NETWORK,
            "connect to metadata and agents of more clouds",
            |scene| scene.each(METADATA_MORE.map(|address| ("one of them", address)), connect),
        ),
        Attempt::new(
            "metadata-numbers",
            NETWORK,
            "write the address in decimal, octal, hex, short",
            |scene| scene.each(SPELLINGS.map(|spelling| (spelling, spelling)), spelled),
        ),
        Attempt::new("metadata-mapped", NETWORK, "write it as an address of IPv6", |scene| {
            let ways = ["::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "0:0:0:0:0:ffff:a9fe:a9fe"];
            scene.each(ways.map(|spelling| (spelling, spelling)), spelled)
        }),
        Attempt::new("metadata-translated", NETWORK, "have a translator or a tunnel lead to it", |scene| {
            scene.each(METADATA_WITHIN.map(|address| ("one of them", address)), connect)
        }),
        Attempt::new("metadata-names", "gateway", "look it up by its names", |scene| {
            scene.each(NAMES.map(|name| (name, name)), |name| {
                greeting(open(at(dns::address_of(NAME_SERVER, name, A)?, PORT))?)
            })
        })
        .network(&["localhost:80"])
        .canary(),
    ],
};

/// What inet_aton(3) takes for the same address.
const SPELLINGS: [&str; 8] = [
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "025177524776",
    "0251.0376.0251.0376",
    "0xa9.0xfe.0xa9.0xfe",
    "169.16689662",
    "169.254.43518",
];

const NAMES: [&str; 4] =
    ["metadata.google.internal", "instance-data.ec2.internal", "metadata.invalid", "169.254.169.254.nip.io"];

/// Connects by an address as the C library reads it.
fn spelled(address: &str) -> io::Result<Said> {
    let address = (address, PORT).to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    Said::reached(format_args!("connected to {address}"))
}
