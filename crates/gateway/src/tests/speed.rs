//! How fast bytes pass, beside a connection without a gateway: numbers to look at, and no test of them.
//!
//! `cargo test --release -p aseptic-gateway -- --ignored --nocapture --test-threads 1 speed`

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use super::support::{Machine, Running, echo, host, silent};
use crate::Order;

const BYTES: u64 = 2 << 30;

/// A host that sends without end.
fn source() -> u16 {
    host(|mut stream| {
        let piece = vec![7; 256 << 10];
        while stream.write_all(&piece).is_ok() {}
    })
}

/// Gigabits per second of so many connections together.
fn gigabits(count: u64, connect: impl Fn() -> TcpStream) -> f64 {
    let start = Instant::now();
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let stream = connect();
            thread::spawn(move || {
                let mut piece = vec![0; 256 << 10];
                let (mut stream, mut left) = (stream, BYTES / count);
                while left > 0 {
                    let length = stream.read(&mut piece).unwrap();
                    left = left.saturating_sub(u64::try_from(length).unwrap());
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    8e-9 * f64::from(u32::try_from(BYTES >> 10).unwrap()) * 1024.0 / start.elapsed().as_secs_f64()
}

/// HAProxy in front of a host, as it passes bytes on fastest; where it is installed.
fn haproxy(port: u16) -> Option<(Child, u16)> {
    let at = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let settings = directory.path().join("haproxy.cfg");
    let text = format!(
        "global\n nbthread 1\n maxconn 4000\n tune.pipesize 262144\ndefaults\n mode tcp\n option splice-auto\n \
         timeout connect 10s\n timeout client 1m\n timeout server 1m\n\
         listen all\n bind 127.0.0.1:{at}\n server host 127.0.0.1:{port}\n"
    );
    std::fs::write(&settings, text).unwrap();
    let child = Command::new("haproxy").arg("-f").arg(&settings).arg("-q").spawn().ok()?;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, at)).is_err() {
        thread::sleep(Duration::from_millis(10));
    }
    Some((child, at))
}

/// The middle one of many times that it takes to connect and to get one byte back.
fn latency(connect: impl Fn() -> TcpStream) -> Duration {
    let mut times: Vec<Duration> = (0..2_000)
        .map(|_| {
            let start = Instant::now();
            let mut stream = connect();
            stream.write_all(b"\0").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn direct(port: u16) -> TcpStream {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap()
}

#[test]
#[ignore = "measures"]
#[expect(clippy::print_stdout, reason = "the numbers are what it is for")]
fn speed() {
    let (source, echo, silent) = (source(), echo(), silent());
    let gateway =
        Machine::new().host("a.example", source).host("b.example", echo).host("c.example", silent).start();
    let peer = haproxy(source);
    for count in [1, 8, 64] {
        let without = gigabits(count, || direct(source));
        let with = gigabits(count, || gateway.connect("a.example", source));
        println!(
            "{count:2} connections: {without:5.1} Gbit/s direct, {with:5.1} Gbit/s: {:.2}",
            with / without
        );
        if let Some((_, at)) = &peer {
            let other = gigabits(count, || direct(*at));
            println!("                {other:5.1} Gbit/s through HAProxy: {:.2}", with / other);
        }
    }
    if let Some((mut peer, _)) = peer {
        peer.kill().unwrap();
        peer.wait().unwrap();
    }
    let address = std::net::SocketAddr::new(gateway.resolve("b.example").unwrap().into(), echo);
    let (without, with) = (latency(|| direct(echo)), latency(|| gateway.connect_to(address)));
    println!("connect and one byte: {without:?} direct, {with:?}");
    revocation(gateway, silent);
}

#[expect(clippy::print_stdout, reason = "the numbers are what it is for")]
fn revocation(mut gateway: Running, port: u16) {
    let address = std::net::SocketAddr::new(gateway.resolve("c.example").unwrap().into(), port);
    let streams: Vec<TcpStream> = (0..4_000).map(|_| gateway.connect_to(address)).collect();
    gateway.until(|told| told.grants.get(&4).is_some_and(|traffic| traffic.connections == 4_000));
    let start = Instant::now();
    gateway.order(&Order::Revoke { grant: format!("c.example:{port}").parse().unwrap() });
    gateway.until(|told| !told.revoked.is_empty());
    println!("{} connections cut in {:?}", streams.len(), start.elapsed());
}
