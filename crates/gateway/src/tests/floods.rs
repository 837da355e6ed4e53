//! A job does what it can to be in the way. What is open goes on, and memory stays bounded.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::support::{Machine, assert_echoes, echo, hello, is_reset, silent};
use crate::seen::LISTED_MAX;
use crate::{Order, Why};

/// As many connections as there are descriptors for, of which each takes four in one process, where other tests
/// may run, too; up to `most`.
fn connections(most: usize) -> usize {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let descriptors = maximum.and_then(|maximum| usize::try_from(maximum).ok()).unwrap_or(usize::MAX);
    most.min(descriptors / 10)
}

/// Bytes of memory that this process has.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Most bytes that one connection may take on which nothing happens.
const IDLE_BYTES_MAX: usize = 4 << 10;

#[test]
fn a_connection_on_which_nothing_happens_costs_little() {
    let (port, other, count) = (silent(), echo(), connections(4_000));
    let mut gateway = Machine::new().host("a.example", port).host("b.example", other).start();
    let address = SocketAddr::new(gateway.resolve("a.example").unwrap().into(), port);
    let first = gateway.connect("b.example", other);
    assert_echoes(&first);
    let before = memory();
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = gateway.connect_to(address);
        stream.write_all(&hello(Some("a.example"))).unwrap();
        streams.push(stream);
    }
    let sent = u64::try_from(count * hello(Some("a.example")).len()).unwrap();
    gateway.until(|told| told.grants.get(&0).is_some_and(|traffic| traffic.sent_bytes == sent));
    let each = memory().saturating_sub(before) / count;
    assert!(each <= IDLE_BYTES_MAX, "{each} bytes for each of {count} connections");
    assert_echoes(&first);

    gateway.order(&Order::Revoke { grant: format!("a.example:{port}").parse().unwrap() });
    gateway.until(|told| !told.revoked.is_empty());
    assert_eq!(usize::try_from(gateway.told.revoked[0].1), Ok(count));
    assert!(streams.iter().all(is_reset));
    assert_echoes(&first);
}

#[test]
fn half_messages_hold_up_nobody() {
    let (port, other, count) = (silent(), echo(), connections(2_000));
    let gateway = Machine::new().host("a.example", port).host("b.example", other).start();
    let address = SocketAddr::new(gateway.resolve("a.example").unwrap().into(), port);
    let before = memory();
    let halves: [&[u8]; 3] = [&hello(Some("a.example"))[..50], b"\x16", b"GET / HTTP/1.1\r\nHost: a.exam"];
    let streams: Vec<TcpStream> = (0..count)
        .map(|number| {
            let mut stream = gateway.connect_to(address);
            stream.write_all(halves[number % halves.len()]).unwrap();
            stream
        })
        .collect();
    let other = gateway.connect("b.example", other);
    assert_echoes(&other);
    let each = memory().saturating_sub(before) / count;
    assert!(each <= IDLE_BYTES_MAX, "{each} bytes for each of {count} connections");
    drop(streams);
    assert_echoes(&other);
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let port = echo();
    let mut gateway = Machine::new().host("a.example", port).start();
    let granted = SocketAddr::new(gateway.resolve("a.example").unwrap().into(), port);
    let denied = "198.18.9.9:9".parse().unwrap();
    for _ in 0..2_000 {
        drop(gateway.connect_to(granted));
        assert!(gateway.refuses_at(denied));
    }
    gateway.until(|told| {
        told.denials.values().sum::<u64>() == 2_000
            && told.grants.get(&0).is_some_and(|t| t.connections == 2_000)
    });
    assert_echoes(&gateway.connect_to(granted));
}

#[test]
fn questions_without_end_hold_up_nobody() {
    let port = echo();
    let mut gateway = Machine::new().host("a.example", port).start();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stream = gateway.connect("a.example", port);
    let before = memory();
    for number in 0..20_000_u32 {
        let name = format!("x{number}.{}.example", "y".repeat(60));
        gateway.send_name_server(&socket, &super::support::question(&name, 1));
        gateway.send_name_server(&socket, &number.to_be_bytes().repeat(100));
        if number % 1_000 == 0 {
            assert_echoes(&stream);
        }
    }
    assert!(gateway.resolve("a.example").is_ok());
    gateway.until(|told| told.denials.len() == LISTED_MAX && told.unlisted_denials > 0);
    assert!(gateway.told.denials.keys().all(|(_, why)| *why == Why::NotGranted));
    let grown = memory().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes");
}
