//! Hosts are reached through a proxy.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use super::support::{Machine, assert_echoes, echo, host};
use crate::{Proxy, Settings};

/// The head of a request.
fn head(mut stream: &TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// A proxy that reaches every host at this port of the machine itself, if it is asked as it wants to be.
fn proxy(port: u16) -> u16 {
    host(move |mut client| {
        let head = head(&client);
        let wanted = format!("CONNECT a.example:{port} HTTP/1.1\r\n");
        if !head.starts_with(&wanted) || !head.contains("\r\nProxy-Authorization: Basic dTpw\r\n") {
            client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").unwrap();
            return;
        }
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        // What the host says first comes in one piece with the answer.
        client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: it\r\n\r\nhello").unwrap();
        let (mut back, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut client, &mut to));
        let _ = std::io::copy(&mut server, &mut back);
    })
}

fn through(port: u16, credentials: Option<&str>) -> impl FnOnce(&mut Settings) {
    let credentials = credentials.map(str::to_owned);
    let except = vec!["b.example".to_owned()];
    move |settings| {
        settings.proxy = Some(Proxy { host: "proxy.example".to_owned(), port, credentials, except });
    }
}

#[test]
fn a_host_is_reached_and_its_name_is_not_looked_up() {
    let port = echo();
    let machine = Machine::new().grant(format!("a.example:{port}")).name("proxy.example", &["127.0.0.1"]);
    let gateway = machine.with(through(proxy(port), Some("u:p"))).start();
    let mut stream = gateway.connect("a.example", port);
    let mut greeting = [0; 5];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"hello");
    assert_echoes(&stream);
    assert_eq!(gateway.asked(), ["proxy.example"]);
    let told = gateway.finish();
    assert!(told.hosts[&("a.example".to_owned(), port)].addresses.is_empty());
    assert_eq!(told.grants[&0].connections, 1);
}

#[test]
fn exceptions_are_reached_without_it() {
    let port = echo();
    let machine = Machine::new().host("b.example", port);
    let gateway = machine.with(through(9, None)).start();
    assert_echoes(&gateway.connect("b.example", port));
    assert_eq!(gateway.asked(), ["b.example"]);
}

#[test]
fn a_proxy_that_refuses_or_talks_nonsense_is_a_failure() {
    let port = echo();
    let endless = host(|mut stream| while stream.write_all(b"HTTP/1.1 200 OK\r\nA: b\r\n").is_ok() {});
    let silent = host(|stream| drop(head(&stream)));
    let half = host(|mut stream| {
        head(&stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
    });
    for proxy in [proxy(port), endless, silent, half] {
        let machine = Machine::new().grant(format!("a.example:{port}")).name("proxy.example", &["127.0.0.1"]);
        let gateway = machine.with(through(proxy, Some("wrong"))).start();
        assert!(gateway.refuses("a.example", port));
        let traffic = gateway.finish().grants[&0];
        assert_eq!((traffic.connections, traffic.failed), (0, 1));
    }
}
