//! Bounds of all connections together.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::support::{Machine, assert_echoes, echo, host, is_reset};
use crate::{Protocol, Why, Wish};

#[test]
fn connections_are_bounded_and_come_back() {
    let port = echo();
    let machine = Machine::new().host("a.example", port);
    let mut gateway = machine.with(|settings| settings.limits.connections = Some(2)).start();
    let first = gateway.connect("a.example", port);
    let second = gateway.connect("a.example", port);
    assert_echoes(&first);
    assert_echoes(&second);
    assert!(gateway.refuses("a.example", port));
    let wish = Wish::Host(Protocol::Tcp, "a.example".to_owned(), port);
    gateway.until_denied(&wish, &Why::Connections);
    assert_echoes(&first);
    drop(first);
    // The gateway hears of the end when it does; until then one more is one too many.
    while is_reset_at_once(&gateway.connect("a.example", port)) {}
}

fn is_reset_at_once(mut stream: &std::net::TcpStream) -> bool {
    stream.write_all(b"\0").is_err() || stream.read_exact(&mut [0]).is_err()
}

#[test]
fn bytes_are_bounded_to_the_byte() {
    let port = echo();
    let machine = Machine::new().host("a.example", port);
    let mut gateway = machine.with(|settings| settings.limits.traffic_bytes = Some(25)).start();
    let mut stream = gateway.connect("a.example", port);
    assert_echoes(&stream);
    assert_echoes(&stream);
    stream.write_all(b"\0ping").unwrap();
    assert!(is_reset(&stream));
    let wish = Wish::Host(Protocol::Tcp, "a.example".to_owned(), port);
    gateway.until_denied(&wish, &Why::Traffic);
    assert!(gateway.refuses("a.example", port));
    gateway.until(|told| told.denied(&wish, &Why::Traffic) == 2);
    let traffic = gateway.finish().grants[&0];
    assert_eq!(traffic.sent_bytes + traffic.received_bytes, 25);
}

/// A request that is looked at passes whole, or not at all.
#[test]
fn what_is_looked_at_is_bounded_too() {
    let port = echo();
    let machine = Machine::new().host("a.example", port);
    let mut gateway = machine.with(|settings| settings.limits.traffic_bytes = Some(25)).start();
    let mut stream = gateway.connect("a.example", port);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    assert!(is_reset(&stream));
    gateway.until_denied(&Wish::Host(Protocol::Tcp, "a.example".to_owned(), port), &Why::Traffic);
    assert_eq!(gateway.finish().grants[&0].sent_bytes, 0);
}

/// A slower machine takes longer, and none is faster.
#[test]
fn bytes_per_second_are_bounded() {
    let port = host(|mut stream| drop(stream.write_all(&[7; 3_000_000])));
    let machine = Machine::new().host("a.example", port);
    let gateway = machine.with(|settings| settings.limits.bandwidth_bytes = Some(2_000_000)).start();
    let start = Instant::now();
    let mut threads = Vec::new();
    for _ in 0..2 {
        let mut stream = gateway.connect("a.example", port);
        threads.push(std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()).unwrap()));
    }
    let received: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(received, 6_000_000);
    assert!(start.elapsed() > Duration::from_millis(2_700), "{:?}", start.elapsed());
}
