//! Datagrams, raw packets, and all that is neither TCP nor a ping.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustix::net::{SocketType, sockopt};

use super::{ANSWER_WITHIN, NETWORK, first, tail};
use crate::Said;
use crate::attempt::{Attempt, Family};
use crate::outside::{DATAGRAM_PORT, GROUP, GROUP_PORT, PRIVATE, PUBLIC, PUBLIC_6, UDP_LITE, at};
use crate::sys::net;

pub(super) const FAMILY: Family = Family {
    name: "packets",
    about: "datagrams, raw packets, and other protocols than TCP",
    attempts: &[
        Attempt::new("datagrams", NETWORK, "send a datagram to the Internet", |_| {
            answered(&socket(PUBLIC)?, at(PUBLIC, DATAGRAM_PORT), b"?")
        })
        .canary(),
        Attempt::new("datagrams-ipv6", NETWORK, "send a datagram over IPv6", |_| {
            answered(&socket(PUBLIC_6)?, at(PUBLIC_6, DATAGRAM_PORT), b"?")
        })
        .canary(),
        Attempt::new("datagrams-to-private", NETWORK, "send a datagram to a private network", |_| {
            answered(&socket(PRIVATE)?, at(PRIVATE, DATAGRAM_PORT), b"?")
        })
        .canary(),
        Attempt::new("datagrams-quic", NETWORK, "begin a connection of HTTP/3", |_| {
            answered(&socket(PUBLIC)?, at(PUBLIC, DATAGRAM_PORT), &quic())
        })
        .canary(),
        Attempt::new("datagrams-to-a-grant", NETWORK, "send a datagram to a granted port", |scene| {
            let host = at(Ipv4Addr::LOCALHOST.into(), scene.host()?.udp);
            answered(&socket(host.ip())?, host, b"?")
        })
        .network(&["127.0.0.1:{udp}"])
        .canary(),
        Attempt::new("datagrams-by-device", NETWORK, "send a datagram over a chosen interface", |_| {
            let socket = socket(PUBLIC)?;
            net::set_option(&socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo\0")?;
            answered(&socket, at(PUBLIC, DATAGRAM_PORT), b"?")
        })
        .canary(),
        Attempt::new("datagrams-in-fragments", NETWORK, "send a datagram in pieces", |_| {
            let socket = socket(PUBLIC_6)?;
            net::set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU, &1280_u32.to_ne_bytes())?;
            answered(&socket, at(PUBLIC_6, DATAGRAM_PORT), &[b'?'; 4000])
        })
        .canary(),
        Attempt::new("multicast", NETWORK, "send to every machine of the local network", |_| {
            let socket = socket(GROUP.into())?;
            sockopt::set_ip_multicast_if(&socket, &Ipv4Addr::LOCALHOST)?;
            answered(&socket, at(GROUP.into(), GROUP_PORT), b"?")
        })
        .canary(),
        Attempt::new("broadcast", NETWORK, "send to every machine on the same wire", |_| {
            let socket = socket(PUBLIC)?;
            sockopt::set_socket_broadcast(&socket, true)?;
            net::set_option(&socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo\0")?;
            answered(&socket, at(Ipv4Addr::BROADCAST.into(), GROUP_PORT), b"?")
        })
        .canary(),
        Attempt::new("raw-socket", CAPABILITIES, "open a raw socket, for ICMP", |_| {
            net::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)?;
            Said::reached("a raw socket")
        }),
        Attempt::new("raw-socket-ipv6", CAPABILITIES, "open a raw socket, for ICMP over IPv6", |_| {
            net::socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)?;
            Said::reached("a raw socket")
        }),
        Attempt::new(
            "raw-headers",
            CAPABILITIES,
            "open a socket for packets with headers of its own",
            |_| {
                net::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
                Said::reached("a raw socket")
            },
        ),
        Attempt::new("raw-protocols", CAPABILITIES, "open a raw socket for any other protocol", |_| {
            first(0..=255, |protocol| {
                net::socket(libc::AF_INET, libc::SOCK_RAW, protocol)?;
                Said::reached(format_args!("a raw socket for protocol {protocol}"))
            })
        }),
        Attempt::new("packet-socket", FILTER, "open a socket for every packet", |_| {
            first([libc::SOCK_RAW, libc::SOCK_DGRAM], |kind| {
                net::socket(libc::AF_PACKET, kind, 0)?;
                Said::reached("a packet socket")
            })
        }),
        Attempt::new("other-transports", NETWORK, "send by any protocol but TCP and UDP", |_| {
            first([UDP_LITE, libc::IPPROTO_SCTP, libc::IPPROTO_DCCP], other_transport)
        }),
    ],
};

const CAPABILITIES: &str = "capabilities";
const FILTER: &str = "system call filter";

/// A socket for datagrams to addresses like this one.
pub(super) fn socket(like: IpAddr) -> io::Result<UdpSocket> {
    let any: IpAddr =
        if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(ANSWER_WITHIN))?;
    Ok(socket)
}

/// What comes back for a datagram, from whomever.
fn answered(socket: &UdpSocket, to: SocketAddr, bytes: &[u8]) -> io::Result<Said> {
    socket.send_to(bytes, to)?;
    let mut bytes = [0; 16];
    let (length, _) = socket.recv_from(&mut bytes)?;
    Said::reached(tail(&bytes[..length]))
}

/// The beginning of a connection in QUIC: a long header, version 1, two connection ids, and padding.
///
/// Source: RFC 9000, section 17.2.2.
fn quic() -> Vec<u8> {
    let mut packet = vec![0xc0, 0, 0, 0, 1, 8];
    packet.extend(b"drill-to\x08drill-me\0");
    packet.resize(1200, 0);
    packet
}

fn other_transport(protocol: i32) -> io::Result<Said> {
    let to = at(PUBLIC, DATAGRAM_PORT);
    if protocol == UDP_LITE {
        let from = at(Ipv4Addr::UNSPECIFIED.into(), 0);
        let socket = UdpSocket::from(crate::outside::shared(from, SocketType::DGRAM, protocol)?);
        socket.set_read_timeout(Some(ANSWER_WITHIN))?;
        return answered(&socket, to, b"?");
    }
    let kind = if protocol == libc::IPPROTO_DCCP { libc::SOCK_DCCP } else { libc::SOCK_STREAM };
    let socket = net::socket(libc::AF_INET, kind, protocol)?;
    rustix::net::connect(&socket, &to)?;
    Said::reached(format_args!("connected by protocol {protocol}"))
}
