//! The outside world of a twin: its addresses are on the loopback interface of the twin's own network.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::dns;
use crate::sys::net;
use crate::victim::greet_tcp;

/// Metadata of a cloud, of most.
pub(crate) const METADATA: IpAddr = v4(169, 254, 169, 254);
/// Credentials of container tasks.
pub(crate) const METADATA_OF_TASKS: IpAddr = v4(169, 254, 170, 2);
/// Metadata of one more cloud.
pub(crate) const METADATA_OTHER: IpAddr = v4(100, 100, 100, 200);
/// Metadata of a cloud over IPv6.
pub(crate) const METADATA_6: IpAddr = v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]);

/// Metadata, credentials and agents of other clouds.
pub(crate) const METADATA_MORE: [IpAddr; 9] = [
    v4(168, 63, 129, 16),
    v4(169, 254, 170, 23),
    v4(169, 254, 42, 42),
    v4(169, 254, 0, 23),
    v4(192, 0, 0, 192),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23]),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]),
    v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42]),
    v6([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe]),
];

/// Addresses of IPv6 with [`METADATA`] in them: of translators (RFC 6052, RFC 8215), tunnels (RFC 3056,
/// RFC 5214), and one that was never used (RFC 4291).
pub(crate) const METADATA_WITHIN: [IpAddr; 5] = [
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0xa9fe, 0xa9fe]),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0xa9fe, 0xa9fe]),
    v6([0x2002, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1]),
    v6([0x2001, 0xdb8, 0, 0, 0, 0x5efe, 0xa9fe, 0xa9fe]),
    v6([0, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe]),
];

/// Addresses that documents use, for any host of the Internet.
pub(crate) const PUBLIC: IpAddr = v4(198, 51, 100, 1);
pub(crate) const PUBLIC_6: IpAddr = v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
/// An address of a private network.
pub(crate) const PRIVATE: IpAddr = v4(10, 1, 2, 3);
/// A machine of the local network.
pub(crate) const LOCAL: IpAddr = v4(192, 168, 1, 1);

/// Name servers that everybody may ask.
pub(crate) const RESOLVERS: [IpAddr; 4] =
    [v4(8, 8, 8, 8), v4(1, 1, 1, 1), v4(9, 9, 9, 9), v6([0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888])];

/// The name server of every run.
pub(crate) const NAME_SERVER: IpAddr = v4(198, 19, 0, 53);
/// A run's own address, and that for IPv6. Where the gateway listens, on [`LISTENER_PORT`].
pub(crate) const JOB: IpAddr = v4(198, 19, 0, 1);
pub(crate) const JOB_6: IpAddr = v6([0xfda5, 0xe971, 0xc000, 1, 0, 0, 0, 1]);
pub(crate) const LISTENER_PORT: u16 = 1;
/// The address that stands for the first granted name in a run, and that for IPv6.
pub(crate) const STANDS_FOR_A_NAME: IpAddr = v4(198, 18, 0, 1);
pub(crate) const STANDS_FOR_A_NAME_6: IpAddr = v6([0xfda5, 0xe971, 0xc000, 0, 0, 0, 0, 1]);

/// The port on which the outside world listens.
pub(crate) const PORT: u16 = 80;
/// The port on which it takes datagrams, which is that of HTTP/3.
pub(crate) const DATAGRAM_PORT: u16 = 443;
/// A port on which nobody listens.
pub(crate) const CLOSED_PORT: u16 = 9;

/// A group to which every machine of a local network may listen, and its port.
pub(crate) const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
pub(crate) const GROUP_PORT: u16 = 5353;

/// The number of the loopback interface.
const LOOPBACK: u32 = 1;

/// UDP-Lite (RFC 3828), which some kernels have.
pub(crate) const UDP_LITE: i32 = 136;

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h))
}

/// A port of `address`; one of a single link is that of the loopback interface.
pub(crate) fn at(address: IpAddr, port: u16) -> SocketAddr {
    match address {
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            SocketAddrV6::new(address, port, 0, LOOPBACK).into()
        }
        address => SocketAddr::new(address, port),
    }
}

/// Hosts that greet with the canary.
fn hosts() -> impl Iterator<Item = IpAddr> {
    let first = [METADATA, METADATA_OF_TASKS, METADATA_OTHER, METADATA_6, PUBLIC, PUBLIC_6, PRIVATE, LOCAL];
    first.into_iter().chain(METADATA_MORE).chain(METADATA_WITHIN)
}

/// Gives the loopback interface all addresses.
pub(crate) fn add_addresses() -> io::Result<()> {
    let own = [NAME_SERVER, JOB, JOB_6, STANDS_FOR_A_NAME, STANDS_FOR_A_NAME_6];
    for (alias, address) in hosts().chain(RESOLVERS).chain(own).enumerate() {
        match address {
            IpAddr::V4(address) => net::add_address(alias, address)?,
            IpAddr::V6(address) => {
                let _ = net::add_address_6(address); // A kernel without IPv6.
            }
        }
    }
    await_addresses_6();
    Ok(())
}

/// An address of IPv6 is of use when the kernel has seen to it, which takes it a moment.
fn await_addresses_6() {
    const TENTATIVE: u32 = 0x40;
    let is_tentative = |line: &str| {
        let flags = line.split_whitespace().nth(4).and_then(|flags| u32::from_str_radix(flags, 16).ok());
        flags.is_some_and(|flags| flags & TENTATIVE != 0)
    };
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        let addresses = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
        if !addresses.lines().any(is_tentative) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Plays the outside world. What a kernel without IPv6 or UDP-Lite cannot have is not there; its attempts then
/// prove nothing.
pub(crate) fn play(canary: &'static [u8; 16]) -> io::Result<()> {
    let listeners = hosts().map(|host| at(host, PORT));
    let own = [JOB, JOB_6].map(|address| at(address, LISTENER_PORT));
    for listener in listeners.chain(own).filter_map(|address| listener(address).ok()) {
        greet_tcp(listener, canary);
    }
    for server in RESOLVERS.into_iter().chain([NAME_SERVER]).map(|server| at(server, 53)) {
        if let (Ok(socket), Ok(listener)) = (datagrams(server, 0), listener(server)) {
            thread::spawn(move || dns::serve_udp(&socket, canary));
            thread::spawn(move || dns::serve_tcp(&listener, canary));
        }
    }
    let hosts = [PUBLIC, PUBLIC_6, PRIVATE].map(|host| (at(host, DATAGRAM_PORT), 0));
    let lite = (at(PUBLIC, DATAGRAM_PORT), UDP_LITE);
    for socket in hosts.into_iter().chain([lite]).filter_map(|(host, kind)| datagrams(host, kind).ok()) {
        greet_udp(socket, canary);
    }
    let everybody = datagrams(at(Ipv4Addr::UNSPECIFIED.into(), GROUP_PORT), 0)?;
    sockopt::set_ip_add_membership(&everybody, &GROUP, &Ipv4Addr::LOCALHOST)?;
    greet_udp(everybody, canary);
    Ok(())
}

/// Sends the canary to whoever sends something.
pub(crate) fn greet_udp(socket: UdpSocket, canary: &'static [u8; 16]) {
    thread::spawn(move || {
        let mut bytes = [0; 1 << 16];
        while let Ok((_, from)) = socket.recv_from(&mut bytes) {
            let _ = socket.send_to(canary, from); // Whoever is gone gets none.
        }
    });
}

/// Listens at a port that others may take as well, as a careless server.
fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = shared(address, SocketType::STREAM, 0)?;
    rustix::net::listen(&socket, 128)?;
    Ok(socket.into())
}

fn datagrams(address: SocketAddr, protocol: i32) -> io::Result<UdpSocket> {
    Ok(shared(address, SocketType::DGRAM, protocol)?.into())
}

/// A socket that is bound to a port which others may take as well.
pub(crate) fn shared(address: SocketAddr, kind: SocketType, protocol: i32) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let protocol = u32::try_from(protocol).ok().and_then(std::num::NonZeroU32::new);
    let protocol = protocol.map(rustix::net::Protocol::from_raw);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}
