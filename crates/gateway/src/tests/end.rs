//! The end of a run, and of its supervisor.

use std::io::{Read, Write};
use std::sync::mpsc;

use super::support::{Machine, assert_echoes, echo, host, is_reset, read_all};

/// A job may write, close and exit at once; what it wrote arrives all the same.
#[test]
fn what_a_job_sent_last_arrives() {
    for length in [1, 1_000, 3_000_000] {
        let (told, hears) = mpsc::channel();
        let port = host(move |stream| told.send(read_all(&stream).map(|bytes| bytes.len())).unwrap());
        let gateway = Machine::new().host("a.example", port).start();
        let mut stream = gateway.connect("a.example", port);
        let writing = std::thread::spawn(move || stream.write_all(&vec![0; length]));
        writing.join().unwrap().unwrap();
        let traffic = gateway.finish().grants[&0];
        assert_eq!(traffic.sent_bytes, u64::try_from(length).unwrap());
        assert_eq!(hears.recv().unwrap().unwrap(), length);
    }
}

/// A host that never ends does not keep the gateway, when its job has.
#[test]
fn nobody_waits_for_hosts_of_a_job_that_is_gone() {
    let (told, hears) = mpsc::channel();
    let port = host(move |mut stream| {
        stream.read_exact(&mut [0]).unwrap();
        told.send(()).unwrap();
        std::thread::park();
    });
    let gateway = Machine::new().host("a.example", port).start();
    let mut stream = gateway.connect("a.example", port);
    stream.write_all(b"\0").unwrap();
    hears.recv().unwrap();
    drop(stream);
    assert_eq!(gateway.finish().grants[&0].connections, 1);
}

#[test]
fn everything_ends_with_the_supervisor() {
    let port = echo();
    let gateway = Machine::new().host("a.example", port).start();
    let stream = gateway.connect("a.example", port);
    assert_echoes(&stream);
    gateway.abandon();
    assert!(is_reset(&stream));
}
