//! Other machines, and ways around the network namespace.
//!
//! In the twin's network the addresses below are on the loopback interface: nothing leaves the machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use super::{ANSWER_WITHIN, first};
use crate::Said;
use crate::attempt::{Attempt, Family};
use crate::sys::net;
use crate::victim::{OUTSIDE, OUTSIDE_PORT};

pub(super) const FAMILY: Family = Family {
    name: "network",
    about: "other machines, and ways around the network namespace",
    attempts: &[
        Attempt::new("metadata-cloud", NETWORK, "connect to the metadata of a cloud", |_| {
            connect(OUTSIDE[0])
        }),
        Attempt::new("metadata-tasks", NETWORK, "connect to the credentials of a container task", |_| {
            connect(OUTSIDE[1])
        }),
        Attempt::new("metadata-other-cloud", NETWORK, "connect to the metadata of another cloud", |_| {
            connect(OUTSIDE[2])
        }),
        Attempt::new("metadata-ipv6", NETWORK, "connect to the metadata of a cloud over IPv6", |_| {
            connect(OUTSIDE[6])
        }),
        Attempt::new("public-address", NETWORK, "connect to an address of the Internet", |_| {
            connect(OUTSIDE[3])
        }),
        Attempt::new("public-address-ipv6", NETWORK, "connect to an IPv6 address of the Internet", |_| {
            connect(OUTSIDE[7])
        }),
        Attempt::new("private-address", NETWORK, "connect to an address of a private network", |_| {
            connect(OUTSIDE[4])
        }),
        Attempt::new("local-network", NETWORK, "connect to a machine of the local network", |_| {
            connect(OUTSIDE[5])
        }),
        Attempt::new("datagrams", NETWORK, "find a route for datagrams to the Internet", |_| {
            // Connecting a datagram socket looks for a route and sends nothing.
            UdpSocket::bind("0.0.0.0:0")?.connect((OUTSIDE[3], OUTSIDE_PORT))?;
            Said::reached("there is a route")
        }),
        Attempt::new("raw-socket", "capabilities", "open a raw socket, for ICMP", |_| {
            net::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)?;
            Said::reached("a raw socket")
        }),
        Attempt::new("raw-socket-ipv6", "capabilities", "open a raw socket, for ICMP over IPv6", |_| {
            net::socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)?;
            Said::reached("a raw socket")
        }),
        Attempt::new("ping-socket", NETWORK, "open a socket for pings", |_| {
            net::socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP)?;
            Said::reached("a socket for pings")
        }),
        Attempt::new("packet-socket", FILTER, "open a socket for every packet", |_| {
            net::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
            Said::reached("a packet socket")
        }),
        Attempt::new("netfilter", FILTER, "talk to the packet filter of the kernel", |_| {
            net::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER)?;
            Said::reached("a netfilter socket")
        }),
        Attempt::new("kernel-events", FILTER, "listen to events of devices", |_| {
            net::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_KOBJECT_UEVENT)?;
            Said::reached("a socket for events")
        }),
        Attempt::new("other-families", FILTER, "open sockets that know no network namespace", |_| {
            let families =
                [libc::AF_VSOCK, libc::AF_ALG, libc::AF_RDS, libc::AF_TIPC, libc::AF_BLUETOOTH, 42];
            let kinds = [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET];
            first(
                families.into_iter().flat_map(|family| kinds.map(|kind| (family, kind))),
                |(family, kind)| {
                    net::socket(family, kind, 0)?;
                    Said::reached(format_args!("a socket of family {family}"))
                },
            )
        }),
        Attempt::new("add-an-address", "capabilities", "give the interface another address", |_| {
            net::add_address(99, Ipv4Addr::new(198, 51, 100, 99))?;
            Said::reached("added it")
        }),
    ],
};

const NETWORK: &str = "network namespace";
const FILTER: &str = "system call filter";

fn connect(address: &str) -> io::Result<Said> {
    let address: IpAddr = address.parse().map_err(io::Error::other)?;
    TcpStream::connect_timeout(&SocketAddr::new(address, OUTSIDE_PORT), ANSWER_WITHIN)?;
    Said::reached(format_args!("connected to {address}"))
}
