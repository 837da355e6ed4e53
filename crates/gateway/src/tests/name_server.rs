//! What a job is told about names.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use super::support::{Machine, Running, address, question};
use crate::resolve::NoAddress;
use crate::{Why, Wish};

const A: u8 = 1;
const AAAA: u8 = 28;
const TXT: u8 = 16;
const HTTPS: u8 = 65;

const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;
const REFUSED: u8 = 5;

/// Code of the answer, and how many records are in it.
fn answer(gateway: &Running, name: &str, kind: u8) -> (u8, u8) {
    let answer = gateway.ask(&question(name, kind));
    (answer[3] & 15, answer[7])
}

fn wish(name: &str) -> Wish {
    Wish::Name(name.to_owned())
}

#[test]
fn granted_names_have_an_address_that_stays() {
    let machine = Machine::new().grant("a.example:443").grant("*.b.example:443");
    let gateway = machine.name("a.example", &["192.0.2.1"]).name("x.b.example", &["192.0.2.2"]).start();
    let first = gateway.resolve("a.example").unwrap();
    let second = gateway.resolve("x.b.example").unwrap();
    assert_eq!(first, Ipv4Addr::new(198, 18, 0, 1));
    assert_eq!(second, Ipv4Addr::new(198, 18, 0, 2));
    assert_eq!(gateway.resolve("A.Example"), Ok(first));
    let answer = gateway.ask(&question("a.example", AAAA));
    assert!(answer.ends_with(&[0xfd, 0xa5, 0xe9, 0x71, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
    assert_eq!(gateway.asked(), ["a.example", "x.b.example"]);
    assert!(gateway.finish().denials.is_empty());
}

#[test]
fn names_that_are_not_granted_do_not_exist_and_are_never_asked_for() {
    let mut gateway = Machine::new().grant("a.example:443").start();
    for name in ["b.example", "example", "x.a.example", "secret-in-a-name.example.net", "not a host.example"]
    {
        assert_eq!(answer(&gateway, name, A), (NO_SUCH_NAME, 0), "{name}");
        gateway.until_denied(&wish(&name.replace(' ', "\\032")), &Why::NotGranted);
    }
    assert_eq!(gateway.asked(), Vec::<String>::new());
}

#[test]
fn a_granted_name_is_what_it_is_outside() {
    let machine = Machine::new().grant("*.example:443");
    let machine =
        machine.failing("empty.example", NoAddress::Empty).failing("down.example", NoAddress::Failed);
    let gateway = machine.name("a.example", &["192.0.2.1"]).start();
    assert_eq!(answer(&gateway, "gone.example", A), (NO_SUCH_NAME, 0));
    assert_eq!(answer(&gateway, "empty.example", A), (NO_ERROR, 0));
    assert_eq!(answer(&gateway, "down.example", AAAA), (SERVER_FAILURE, 0));
    assert_eq!(answer(&gateway, "a.example", A), (NO_ERROR, 1));
}

#[test]
fn other_records_are_empty_or_refused() {
    let mut gateway = Machine::new().grant("a.example:443").name("a.example", &["192.0.2.1"]).start();
    assert_eq!(answer(&gateway, "a.example", HTTPS), (NO_ERROR, 0));
    assert_eq!(answer(&gateway, "a.example", TXT), (REFUSED, 0));
    gateway.until_denied(&wish("a.example"), &Why::RecordType(16));
    assert_eq!(gateway.asked(), Vec::<String>::new());
}

#[test]
fn without_ipv6_there_are_no_addresses_of_it() {
    let machine = Machine::new().grant("a.example:443").name("a.example", &["192.0.2.1"]);
    let gateway = machine.without_6().start();
    assert_eq!(answer(&gateway, "a.example", AAAA), (NO_ERROR, 0));
    assert_eq!(answer(&gateway, "a.example", A), (NO_ERROR, 1));
}

#[test]
fn what_nobody_wanted_is_not_in_the_list() {
    let gateway = Machine::new().grant("a.example:443").start();
    assert_eq!(answer(&gateway, "a.example.localdomain", A), (NO_SUCH_NAME, 0));
    assert_eq!(answer(&gateway, "1.0.19.198.in-addr.arpa", 12), (NO_SUCH_NAME, 0));
    assert_eq!(answer(&gateway, "1.0.0.127.in-addr.arpa", 12), (NO_SUCH_NAME, 0));
    assert_eq!(gateway.resolve("localhost"), Ok(Ipv4Addr::LOCALHOST));
    assert_eq!(answer(&gateway, "b.example", A), (NO_SUCH_NAME, 0));
    assert_eq!(answer(&gateway, "b.example.localdomain", A), (NO_SUCH_NAME, 0));
    assert_eq!(answer(&gateway, "4.3.2.1.in-addr.arpa", 12), (NO_SUCH_NAME, 0));
    let told = gateway.finish();
    let wishes: Vec<&Wish> = told.denials.keys().map(|(wish, _)| wish).collect();
    assert_eq!(wishes, [&wish("4.3.2.1.in-addr.arpa"), &wish("b.example")]);
}

#[test]
fn questions_come_over_streams_too() {
    let gateway = Machine::new().grant("a.example:443").name("a.example", &["192.0.2.1"]).start();
    let mut stream = gateway.connect_to("198.19.0.53:53".parse().unwrap());
    for _ in 0..2 {
        let question = question("a.example", A);
        let length = u16::try_from(question.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length, &question[..]].concat()).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(address(&answer), Ok(Ipv4Addr::new(198, 18, 0, 1)));
    }
}

#[test]
fn an_unbounded_number_of_names_gets_a_bounded_number_of_addresses() {
    let machine = Machine::new().grant("*.example:443").with(|settings| {
        let except = Vec::new();
        settings.proxy =
            Some(crate::Proxy { host: "127.0.0.1".to_owned(), port: 9, credentials: None, except });
    });
    let mut gateway = machine.start();
    let max = usize::from(crate::names::NAMES_MAX);
    for number in 0..max {
        assert!(gateway.resolve(&format!("n{number}.example")).is_ok());
    }
    assert_eq!(answer(&gateway, "more.example", A), (SERVER_FAILURE, 0));
    gateway.until_denied(&wish("more.example"), &Why::Names);
    assert_eq!(gateway.asked(), Vec::<String>::new());
}

#[test]
fn garbage_is_answered_or_not_and_does_no_harm() {
    let gateway = Machine::new().grant("a.example:443").name("a.example", &["192.0.2.1"]).start();
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let whole = question("a.example", A);
    for length in 0..whole.len() {
        gateway.send_name_server(&socket, &whole[..length]);
    }
    for byte in 0..=u8::MAX {
        gateway.send_name_server(&socket, &vec![byte; usize::from(byte) * 4]);
        if byte % 16 == 0 {
            assert!(gateway.resolve("a.example").is_ok()); // What does not fit into its socket is lost.
        }
    }
    assert!(gateway.resolve("a.example").is_ok());
}
