//! Ways around the network namespace: other families of sockets, and its own settings.

use std::fs;
use std::net::Ipv4Addr;

use super::first;
use crate::Said;
use crate::attempt::{Attempt, Family};
use crate::sys::net;

pub(super) const FAMILY: Family = Family {
    name: "network",
    about: "ways around the network namespace, and its settings",
    attempts: &[
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
        Attempt::new("add-an-address", CAPABILITIES, "give the interface another address", |_| {
            net::add_address(99, Ipv4Addr::new(198, 51, 100, 99))?;
            Said::reached("added it")
        }),
        Attempt::new("add-a-route", CAPABILITIES, "add a way to every address", |_| {
            net::add_route()?;
            Said::reached("added it")
        }),
        Attempt::new("mark-packets", CAPABILITIES, "mark packets, as routes and rules know them", |_| {
            let socket = net::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
            net::set_option(&socket, libc::SOL_SOCKET, libc::SO_MARK, &1_u32.to_ne_bytes())?;
            Said::reached("packets have a mark")
        }),
        Attempt::new("other-addresses", CAPABILITIES, "take connections to any address", |_| {
            let socket = net::socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
            net::set_option(&socket, libc::SOL_IP, libc::IP_TRANSPARENT, &1_u32.to_ne_bytes())?;
            Said::reached("a socket for any address")
        }),
        Attempt::new("network-settings", "procfs", "let every user have every port", |_| {
            fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")?;
            Said::reached("every port is free")
        }),
    ],
};

const FILTER: &str = "system call filter";
const CAPABILITIES: &str = "capabilities";
