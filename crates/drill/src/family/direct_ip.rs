//! Addresses that no grant names, and every way to connect to one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

use super::{ANSWER_WITHIN, NETWORK, greeting};
use crate::attempt::{Attempt, Family};
use crate::dns::{self, A};
use crate::outside::{
    JOB, LOCAL, METADATA, NAME_SERVER, PORT, PRIVATE, PUBLIC, PUBLIC_6, STANDS_FOR_A_NAME,
    STANDS_FOR_A_NAME_6, at,
};
use crate::sys::net;
use crate::{Said, Scene};

pub(super) const FAMILY: Family = Family {
    name: "direct-ip",
    about: "addresses that no grant names, by every way to connect",
    attempts: &[
        Attempt::new("public-address", NETWORK, "connect to an address of the Internet", |_| connect(PUBLIC)),
        Attempt::new("public-address-ipv6", NETWORK, "connect to an IPv6 address of the Internet", |_| {
            connect(PUBLIC_6)
        }),
        Attempt::new("private-address", NETWORK, "connect to an address of a private network", |_| {
            connect(PRIVATE)
        }),
        Attempt::new("local-network", NETWORK, "connect to a machine of the local network", |_| {
            connect(LOCAL)
        }),
        Attempt::new("mapped-address", NETWORK, "connect to an IPv4 address as one of IPv6", |_| {
            let IpAddr::V4(address) = PUBLIC else { return Said::refused("no such address") };
            connect(address.to_ipv6_mapped().into())
        }),
        Attempt::new("multipath", FILTER, "connect by multipath TCP", |_| {
            raw_connect(libc::IPPROTO_MPTCP, |_| Ok(()))
        }),
        Attempt::new("fast-open", FILTER, "connect by sending data", fast_open),
        Attempt::new("by-device", NETWORK, "connect over a chosen interface", |_| {
            raw_connect(0, |socket| net::set_option(socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo\0"))
        }),
        Attempt::new("without-routes", NETWORK, "connect without asking for a route", |_| {
            raw_connect(0, |socket| {
                net::set_option(socket, libc::SOL_SOCKET, libc::SO_DONTROUTE, &1_u32.to_ne_bytes())
            })
        }),
        Attempt::new("from-the-own-address", NETWORK, "connect from the address of the run", |_| {
            raw_connect(0, |socket| Ok(rustix::net::bind(socket, &at(JOB, 0))?))
        }),
        Attempt::new("source-routing", NETWORK, "have a packet sent on from the own machine", |_| {
            raw_connect(0, through_own)
        }),
        Attempt::new("loopback-spellings", NETWORK, "connect to 127.0.0.1 in other spellings", |scene| {
            let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
            let ways: [(_, IpAddr); 3] = [
                ("0.0.0.0", Ipv4Addr::UNSPECIFIED.into()),
                ("::", Ipv6Addr::UNSPECIFIED.into()),
                ("::ffff:127.0.0.1", mapped.into()),
            ];
            scene.each(ways, |address| {
                scene.ask(|target| {
                    let port =
                        if address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) { target.tcp6 } else { target.tcp };
                    greeting(open(at(address, port))?)
                })
            })
        })
        .canary(),
        Attempt::new(
            "port-beside-a-literal",
            NETWORK,
            "connect to another port of a granted address",
            to_tcp,
        )
        .network(&["127.0.0.1:{service}"])
        .canary(),
        Attempt::new("port-beside-a-name", NETWORK, "connect to another port of a granted name", |scene| {
            greeting(open(at(STANDS_FOR_A_NAME, scene.host()?.tcp))?)
        })
        .network(&["localhost:{service}", "127.0.0.1:{service}"])
        .canary(),
        Attempt::new("address-of-a-name", NETWORK, "connect to a granted name by its address", to_tcp)
            .network(&["localhost:{tcp}"])
            .canary(),
        Attempt::new(
            "address-of-no-name",
            "gateway",
            "connect to addresses that stand for no name",
            |scene| {
                let host = scene.host()?;
                let ways =
                    [("IPv4", at(STANDS_FOR_A_NAME, host.tcp)), ("IPv6", at(STANDS_FOR_A_NAME_6, host.tcp6))];
                scene.each(ways, |address| greeting(open(address)?))
            },
        )
        .network(&["*.example.invalid:{tcp}", "*.example.invalid:{tcp6}"])
        .canary(),
        Attempt::new("observed-address", "gateway", "connect to an address while all is observed", |scene| {
            let port = scene.host()?.tcp;
            let address = dns::address_of(NAME_SERVER, "observed.invalid", A)?;
            scene.each(
                [("by name", at(address, port)), ("by address", at(Ipv4Addr::LOCALHOST.into(), port))],
                |to| greeting(open(to)?),
            )
        })
        .network(&["observe"])
        .canary(),
        Attempt::new("port-of-a-service", NETWORK, "connect to metadata at a granted port", |_| {
            connect(METADATA)
        })
        .network(&["localhost:80"]),
    ],
};

const FILTER: &str = "system call filter";

pub(super) fn open(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(super::PATIENCE))?;
    Ok(stream)
}

pub(super) fn connect(address: IpAddr) -> io::Result<Said> {
    let address = at(address, PORT);
    TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    Said::reached(format_args!("connected to {address}"))
}

/// To the port that is not granted, of the host's own address.
fn to_tcp(scene: &Scene) -> io::Result<Said> {
    greeting(open(at(Ipv4Addr::LOCALHOST.into(), scene.host()?.tcp))?)
}

/// Connects to a host of the Internet by a socket that was prepared.
fn raw_connect(protocol: i32, prepare: impl FnOnce(&OwnedFd) -> io::Result<()>) -> io::Result<Said> {
    connect_prepared(at(PUBLIC, PORT), protocol, prepare)
}

/// The same to any address of IPv4; the other end has to say something.
pub(super) fn connect_prepared(
    to: SocketAddr,
    protocol: i32,
    prepare: impl FnOnce(&OwnedFd) -> io::Result<()>,
) -> io::Result<Said> {
    let socket = net::socket(libc::AF_INET, libc::SOCK_STREAM, protocol)?;
    prepare(&socket)?;
    // Of connect(2) as well: packets that are not sent on are lost without a word.
    sockopt::set_socket_timeout(&socket, Timeout::Send, Some(ANSWER_WITHIN))?;
    rustix::net::connect(&socket, &to)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(super::PATIENCE))?;
    greeting(stream)
}

/// Has packets go to the run's own address first, from where they are to be sent on.
///
/// Source: RFC 791, loose source and record route.
pub(super) fn through_own(socket: &OwnedFd) -> io::Result<()> {
    const LOOSE_ROUTE: u8 = 131;
    const END: u8 = 0;
    let IpAddr::V4(own) = JOB else { return Err(io::ErrorKind::InvalidInput.into()) };
    let [a, b, c, d] = own.octets();
    // The kernel puts the last address, which the socket is connected to, in place of the first.
    net::set_option(socket, libc::IPPROTO_IP, libc::IP_OPTIONS, &[LOOSE_ROUTE, 7, 4, a, b, c, d, END])
}

fn fast_open(_: &Scene) -> io::Result<Said> {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let opening = SendFlags::from_bits_retain(libc::MSG_FASTOPEN.cast_unsigned());
    rustix::net::sendto(&socket, b"?", opening, &at(PUBLIC, PORT))?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(super::PATIENCE))?;
    greeting(stream)
}
