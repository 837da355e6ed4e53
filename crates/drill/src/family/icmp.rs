//! Pings, and what other machines say of packets that did not arrive.

use std::io;
use std::net::{IpAddr, UdpSocket};

use super::{ANSWER_WITHIN, NETWORK, packets};
use crate::Said;
use crate::attempt::{Attempt, Family};
use crate::outside::{CLOSED_PORT, PRIVATE, PUBLIC, PUBLIC_6, at};
use crate::sys::net;

pub(super) const FAMILY: Family = Family {
    name: "icmp",
    about: "pings, and errors that other machines report",
    attempts: &[
        Attempt::new("ping-socket", NETWORK, "open a socket for pings", |_| {
            net::socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP)?;
            Said::reached("a socket for pings")
        }),
        Attempt::new("ping", NETWORK, "ping an address of the Internet", |_| ping(PUBLIC)),
        Attempt::new("ping-ipv6", NETWORK, "ping an IPv6 address of the Internet", |_| ping(PUBLIC_6)),
        Attempt::new("ping-private", NETWORK, "ping an address of a private network", |_| ping(PRIVATE)),
        Attempt::new("port-unreachable", NETWORK, "learn from an ICMP error that a machine is there", |_| {
            error_of(PUBLIC)
        }),
        Attempt::new("port-unreachable-ipv6", NETWORK, "the same over IPv6", |_| error_of(PUBLIC_6)),
    ],
};

/// Types of ICMP (RFC 792) and ICMPv6 (RFC 4443).
const ECHO: u8 = 8;
const ECHO_6: u8 = 128;

fn ping(address: IpAddr) -> io::Result<Said> {
    let (family, protocol, echo) = match address {
        IpAddr::V4(_) => (libc::AF_INET, libc::IPPROTO_ICMP, ECHO),
        IpAddr::V6(_) => (libc::AF_INET6, libc::IPPROTO_ICMPV6, ECHO_6),
    };
    // It behaves as a socket for datagrams.
    let socket = UdpSocket::from(net::socket(family, libc::SOCK_DGRAM, protocol)?);
    socket.set_read_timeout(Some(ANSWER_WITHIN))?;
    socket.connect(at(address, 0))?;
    // Type, code, checksum and id, which the kernel fills in, and a number.
    socket.send(&[echo, 0, 0, 0, 0, 0, 0, 1])?;
    let length = socket.recv(&mut [0; 64])?;
    Said::reached(format_args!("{length} bytes came back from {address}"))
}

/// Asks a port where nobody listens, and waits for the complaint.
fn error_of(address: IpAddr) -> io::Result<Said> {
    let socket = packets::socket(address)?;
    socket.connect(at(address, CLOSED_PORT))?;
    socket.send(b"?")?;
    match socket.recv(&mut [0; 16]) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Said::reached(format_args!("{address} says that nobody listens there"))
        }
        Err(error) => Err(error),
        Ok(_) => Said::reached(format_args!("{address} answered")),
    }
}
