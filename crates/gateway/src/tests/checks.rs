//! What a client asks its host for, and where the host is.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use super::support::{Machine, Running, assert_echoes, echo, hello, is_reset, read_all};
use crate::{Protocol, Why, Wish};

fn wish(port: u16) -> Wish {
    Wish::Host(Protocol::Tcp, "a.example".to_owned(), port)
}

/// Sends this in two pieces and reads that it comes back.
fn assert_passes(mut stream: &TcpStream, bytes: &[u8]) {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    stream.write_all(first).unwrap();
    stream.write_all(second).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(read_all(stream).unwrap() == bytes, "{}", bytes.escape_ascii());
}

fn assert_refused(gateway: &mut Running, port: u16, bytes: &[u8], why: &Why) {
    let mut stream = gateway.connect("a.example", port);
    stream.write_all(bytes).unwrap();
    assert!(is_reset(&stream), "{}", bytes.escape_ascii());
    gateway.until_denied(&wish(port), why);
}

#[test]
fn a_client_may_ask_for_its_host_alone() {
    let port = echo();
    let mut gateway = Machine::new().host("a.example", port).start();
    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    assert_passes(&gateway.connect("a.example", port), &hello(Some("a.example")));
    assert_passes(&gateway.connect("a.example", port), request);
    assert_passes(&gateway.connect("a.example", port), b"anything else");
    assert_passes(&gateway.connect("a.example", port), b"no line");
    let other = Some("b.example".to_owned());
    let names = [
        (hello(Some("b.example")), Why::ServerName(other.clone())),
        (hello(None), Why::ServerName(None)),
        (b"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n".to_vec(), Why::HostHeader(other.clone())),
        ([&request[..], b"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n"].concat(), Why::HostHeader(other)),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Why::HostHeader(None)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), Why::Malformed),
        (b"\x16\x03\x01\0\0".to_vec(), Why::Malformed),
    ];
    for (bytes, why) in names {
        assert_refused(&mut gateway, port, &bytes, &why);
    }
}

#[test]
fn a_word_whose_client_waits_passes_and_is_judged_with_what_follows() {
    let port = echo();
    let mut gateway = Machine::new().host("a.example", port).start();
    let ask = |gateway: &Running, pieces: &[&[u8]]| {
        let mut stream = gateway.connect("a.example", port);
        for piece in pieces {
            stream.write_all(piece).unwrap();
            let mut back = vec![0; piece.len()];
            stream.read_exact(&mut back).unwrap(); // So it has passed.
            assert_eq!(back, *piece);
        }
        stream
    };
    ask(&gateway, &[b"PING", b" again", b"\x00 and again"]);
    ask(&gateway, &[b"\x01\x02", b"\x03\n", b"anything"]);
    ask(&gateway, &[b"GE", b"T / HT", b"TP/1.1\r\nHost: a.example\r\n\r\n"]);
    for (shown, rest, why) in [
        (
            &b"GET / HT"[..],
            &b"TP/1.1\r\nHost: b.example\r\n\r\n"[..],
            Why::HostHeader(Some("b.example".to_owned())),
        ),
        (b"GET / HTTP/1.1", b"\r\n\r\n", Why::HostHeader(None)),
        (b"\x01GET / HT", b"TP/1.1\r\nHost: b.example\r\n\r\n", Why::Malformed),
        (b"PRI * ", b"HTTP/2.0\r\n\r\nSM\r\n\r\n", Why::Malformed),
    ] {
        let mut stream = ask(&gateway, &[shown]);
        stream.write_all(rest).unwrap();
        assert!(is_reset(&stream), "{}", rest.escape_ascii());
        gateway.until_denied(&wish(port), &why);
    }
}

#[test]
fn a_client_that_ends_in_the_middle_of_its_hello_is_refused() {
    let port = echo();
    let mut gateway = Machine::new().host("a.example", port).start();
    let stream = gateway.connect("a.example", port);
    (&stream).write_all(&hello(Some("a.example"))[..20]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(is_reset(&stream));
    gateway.until_denied(&wish(port), &Why::Malformed);
}

/// Some servers take the end of a connection for the end of a request.
#[test]
fn what_passed_before_it_was_whole_is_judged_at_the_end_of_its_client() {
    let port = echo();
    let mut gateway = Machine::new().host("a.example", port).start();
    for (bytes, passes) in [
        (&b"GET / HTTP/1.1"[..], false),
        (b"GET http://b.example/", false),
        (b"\x01GET / HTTP/1.1", false),
        (b"\n\x01GET / HTTP/1.1", false),
        (b"\x01word", true),
        (b"word", true),
    ] {
        let mut stream = gateway.connect("a.example", port);
        stream.write_all(bytes).unwrap();
        let mut passed = vec![0; bytes.len()];
        stream.read_exact(&mut passed).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(is_reset(&stream), !passes, "{}", bytes.escape_ascii());
    }
    gateway.until_denied(&wish(port), &Why::Malformed);
}

/// A server that wants no WebSocket, and takes any method and any white space, reads a frame as a request.
#[test]
fn frames_of_a_web_socket_that_may_be_a_request_are_refused() {
    let port = echo();
    let mut gateway = Machine::new().host("a.example", port).start();
    let ask = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let frames = |rest: &[u8]| [&ask[..], rest].concat();
    assert_passes(&gateway.connect("a.example", port), &frames(b"\x81\x85keyshello\x81\x85keys\nello"));
    assert_passes(&gateway.connect("a.example", port), &frames(b"\x81\x85keyshello"));
    for rest in [&b"A\xa0/aaaaaaaa HTTP/1.1\r\nHost: b.example\r\n\r\n"[..], b"\x81\x85/ HTTP/1.1\n"] {
        assert_refused(&mut gateway, port, &frames(rest), &Why::Malformed);
        let mut stream = gateway.connect("a.example", port);
        stream.write_all(ask).unwrap();
        stream.read_exact(&mut vec![0; ask.len()]).unwrap();
        let (early, late) = rest.split_at(7);
        stream.write_all(early).unwrap();
        stream.read_exact(&mut vec![0; early.len()]).unwrap();
        stream.write_all(late).unwrap();
        assert!(is_reset(&stream));
    }
}

#[test]
fn any_name_passes_where_any_is_granted() {
    let port = echo();
    let machine = Machine::new().name("a.example", &["127.0.0.1"]).grant(format!("127.0.0.1:{port}"));
    let gateway = machine.grant(format!("a.example:{port},tls=any")).start();
    assert_passes(&gateway.connect("a.example", port), &hello(Some("b.example")));
    assert_passes(&gateway.connect("a.example", port), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}

#[test]
fn a_name_below_a_granted_one_must_be_asked_for_itself() {
    let port = echo();
    let machine = Machine::new().name("a.example", &["127.0.0.1"]).name("b.example", &["127.0.0.1"]);
    let mut gateway = machine.grant(format!("*.example:{port}")).grant(format!("127.0.0.1:{port}")).start();
    assert_passes(&gateway.connect("a.example", port), &hello(Some("a.example")));
    assert_passes(&gateway.connect("b.example", port), &hello(Some("b.example")));
    let why = Why::ServerName(Some("b.example".to_owned()));
    assert_refused(&mut gateway, port, &hello(Some("b.example")), &why);
}

#[test]
fn an_address_has_no_name() {
    let port = echo();
    let mut gateway = Machine::new().grant(format!("127.0.0.1:{port}")).start();
    let to = format!("127.0.0.1:{port}").parse().unwrap();
    assert_passes(&gateway.connect_to(to), &hello(None));
    assert_passes(&gateway.connect_to(to), format!("GET / HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes());
    let mut stream = gateway.connect_to(to);
    stream.write_all(&hello(Some("a.example"))).unwrap();
    assert!(is_reset(&stream));
    let why = Why::ServerName(Some("a.example".to_owned()));
    gateway.until_denied(&Wish::Address(Protocol::Tcp, to), &why);
}

/// A body is long, and goes through what looks at requests.
#[test]
fn bodies_pass_as_they_are() {
    let port = echo();
    let gateway = Machine::new().host("a.example", port).start();
    let mut stream = gateway.connect("a.example", port);
    let body = vec![b'x'; 3_000_000];
    let head = format!("PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n", body.len());
    let request = [head.as_bytes(), &body, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"].concat();
    let mut reader = stream.try_clone().unwrap();
    let length = request.len();
    let reading = std::thread::spawn(move || {
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).map(|()| answer)
    });
    stream.write_all(&request).unwrap();
    assert!(reading.join().unwrap().unwrap() == request);
}

#[test]
fn what_is_not_granted_is_refused() {
    let port = echo();
    let mut gateway = Machine::new().host("a.example", port).start();
    let other = port ^ 1;
    assert!(gateway.refuses("a.example", other));
    gateway.until_denied(&wish(other), &Why::NotGranted);
    let stands_for_nothing = "198.18.77.77:443".parse().unwrap();
    assert!(gateway.refuses_at(stands_for_nothing));
    gateway.until_denied(&Wish::Address(Protocol::Tcp, stands_for_nothing), &Why::NotGranted);
}

#[test]
fn a_name_leads_to_private_addresses_only_where_they_are_granted() {
    let port = echo();
    let machine = Machine::new().name("a.example", &["127.0.0.1", "::1"]).grant(format!("a.example:{port}"));
    let mut gateway =
        machine.grant(format!("127.0.0.2:{port}")).grant(format!("127.0.0.1:{}", port ^ 1)).start();
    assert!(gateway.refuses("a.example", port));
    gateway.until_denied(&wish(port), &Why::PrivateAddress("127.0.0.1".parse().unwrap()));
    let told = gateway.finish();
    assert_eq!(told.grants.get(&0).map_or(0, |traffic| traffic.connections), 0);

    // One of its addresses is granted, and that one is used.
    let machine = Machine::new().name("a.example", &["10.0.0.1", "127.0.0.1"]);
    let gateway = machine.grant(format!("a.example:{port}")).grant(format!("127.0.0.1:{port}")).start();
    assert_echoes(&gateway.connect("a.example", port));
}

#[test]
fn the_other_address_is_tried_when_one_fails() {
    let port = echo();
    let machine = Machine::new().name("a.example", &["::1", "127.0.0.2", "127.0.0.1"]);
    let machine = ["a.example", "[::1]", "127.0.0.1", "127.0.0.2"]
        .iter()
        .fold(machine, |machine, host| machine.grant(format!("{host}:{port}")));
    let gateway = machine.start();
    assert_echoes(&gateway.connect("a.example", port));
}

#[test]
fn what_is_observed_is_accepted_and_ended() {
    let port = echo();
    let mut gateway = Machine::new().host("a.example", port).with(|settings| settings.observe = true).start();
    assert_echoes(&gateway.connect("a.example", port));
    assert!(gateway.refuses("wanted.example", 5432));
    let wish = Wish::Host(Protocol::Tcp, "wanted.example".to_owned(), 5432);
    gateway.until_denied(&wish, &Why::NotGranted);
    gateway.until_denied(&Wish::Name("wanted.example".to_owned()), &Why::NotGranted);
    assert_eq!(gateway.asked(), ["a.example"]);
}
