//! Bytes arrive as they were sent, and so do ends and errors.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use super::support::{Machine, echo, host, is_reset, read_all};

/// Bytes that repeat nowhere near.
fn bytes(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(length).collect();
    bytes[0] = 0; // No protocol that is looked at begins like that.
    bytes
}

#[test]
fn megabytes_go_both_ways_at_once() {
    check_megabytes(Machine::new());
}

#[test]
fn megabytes_go_both_ways_without_pipes() {
    check_megabytes(Machine::new().without_pipes());
}

#[test]
fn megabytes_go_both_ways_at_a_bounded_speed() {
    check_megabytes(Machine::new().with(|settings| settings.limits.bandwidth_bytes = Some(40_000_000)));
}

fn check_megabytes(machine: Machine) {
    let port = host(|stream| {
        let writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            (&writer).write_all(&bytes(20_000_003, 1)).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        assert_eq!(read_all(&stream).unwrap(), bytes(20_000_003, 2));
        writing.join().unwrap();
    });
    let gateway = machine.host("a.example", port).start();
    let stream = gateway.connect("a.example", port);
    let writer = stream.try_clone().unwrap();
    let writing = thread::spawn(move || {
        (&writer).write_all(&bytes(20_000_003, 2)).unwrap();
        writer
    });
    let received = read_all(&stream).unwrap();
    assert!(received == bytes(20_000_003, 1));
    writing.join().unwrap().shutdown(Shutdown::Write).unwrap();
    let told = gateway.finish();
    let traffic = told.grants[&0];
    assert_eq!((traffic.connections, traffic.failed), (1, 0));
    assert_eq!((traffic.sent_bytes, traffic.received_bytes), (20_000_003, 20_000_003));
    let host = &told.hosts[&("a.example".to_owned(), port)];
    assert_eq!(host.traffic, traffic);
    assert_eq!(host.addresses, ["127.0.0.1".parse().unwrap()].into());
}

#[test]
fn the_end_of_one_direction_leaves_the_other_open() {
    let port = host(|mut stream| {
        let received = read_all(&stream).unwrap();
        stream.write_all(&received).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    let gateway = Machine::new().host("a.example", port).start();
    let mut stream = gateway.connect("a.example", port);
    stream.write_all(b"\0until the end").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&stream).unwrap(), b"\0until the end");
}

#[test]
fn the_host_may_end_first() {
    let port = host(|mut stream| {
        stream.write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&stream).unwrap(), b"\0after that");
    });
    let gateway = Machine::new().host("a.example", port).start();
    let mut stream = gateway.connect("a.example", port);
    assert_eq!(read_all(&stream).unwrap(), b"bye");
    stream.write_all(b"\0after that").unwrap();
    drop(stream);
    assert_eq!(gateway.finish().grants[&0].sent_bytes, 11);
}

#[test]
fn a_host_that_speaks_first_is_heard() {
    let port = host(|mut stream| {
        stream.write_all(b"220 hello\r\n").unwrap();
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).unwrap();
        stream.write_all(&answer).unwrap();
    });
    let gateway = Machine::new().host("a.example", port).start();
    let mut stream = gateway.connect("a.example", port);
    let mut greeting = [0; 11];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"220 hello\r\n");
    stream.write_all(b"EHLO\r\n").unwrap();
    assert_eq!(read_all(&stream).unwrap(), b"EHLO\r\n");
}

#[test]
fn an_error_of_the_host_is_one_for_the_job() {
    let port = host(|mut stream| {
        stream.read_exact(&mut [0; 1]).unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO)).unwrap();
    });
    let gateway = Machine::new().host("a.example", port).start();
    let mut stream = gateway.connect("a.example", port);
    stream.write_all(b"\0").unwrap();
    assert!(is_reset(&stream));
}

#[test]
fn an_error_of_the_job_is_one_for_the_host() {
    let (told, hears) = std::sync::mpsc::channel();
    let port = host(move |mut stream| {
        stream.write_all(b"x").unwrap();
        told.send(is_reset(&stream)).unwrap();
    });
    let gateway = Machine::new().host("a.example", port).start();
    let mut stream = gateway.connect("a.example", port);
    stream.read_exact(&mut [0; 1]).unwrap();
    rustix::net::sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
    assert!(hears.recv().unwrap());
}

#[test]
fn a_host_that_is_not_there_is_an_error_and_counted() {
    let port = host(|_| {});
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gateway = Machine::new().host("a.example", port).host("gone.example", closed).start();
    assert!(gateway.refuses("gone.example", closed));
    let told = gateway.finish();
    assert_eq!((told.grants[&2].connections, told.grants[&2].failed), (0, 1));
    assert_eq!(told.hosts[&("gone.example".to_owned(), closed)].traffic.failed, 1);
}

/// A host that reads nothing fills what is between it and the job, and not the gateway.
#[test]
fn a_host_that_does_not_read_stops_the_job_and_nobody_else() {
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let hold = std::sync::Mutex::new(hold);
    let port = host(move |_stream| _ = hold.lock().unwrap().recv());
    let other = echo();
    let gateway = Machine::new().host("a.example", port).host("b.example", other).start();
    let stuck: Vec<TcpStream> = (0..4).map(|_| fill(gateway.connect("a.example", port))).collect();
    super::support::assert_echoes(&gateway.connect("b.example", other));
    drop((release, stuck));
}

/// Sends until nothing more is taken.
fn fill(mut stream: TcpStream) -> TcpStream {
    stream.set_write_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    let piece = vec![0; 64 << 10];
    let mut sent = 0;
    while let Ok(length) = stream.write(&piece) {
        sent += length;
        assert!(sent < 64 << 20, "the gateway keeps what the host does not read");
    }
    stream
}

#[test]
fn bytes_that_come_one_by_one_arrive_one_by_one() {
    let port = host(|mut stream| {
        for byte in *b"\0trickle" {
            let mut got = [0];
            stream.read_exact(&mut got).unwrap();
            assert_eq!(got, [byte]);
            stream.write_all(&got).unwrap();
        }
    });
    let gateway = Machine::new().host("a.example", port).start();
    let mut stream = gateway.connect("a.example", port);
    for byte in *b"\0trickle" {
        stream.write_all(&[byte]).unwrap();
        let mut got = [0];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(got, [byte]);
    }
}
