//! A grant that is revoked is gone at once.

use std::net::TcpStream;

use super::support::{Machine, assert_echoes, echo, host, is_reset};
use crate::resolve::NoAddress;
use crate::{Order, Protocol, Why, Wish};

#[test]
fn its_connections_are_cut_and_others_go_on() {
    let port = echo();
    let mut gateway = Machine::new().host("a.example", port).host("b.example", port).start();
    let cut: Vec<TcpStream> = (0..20).map(|_| gateway.connect("a.example", port)).collect();
    let other = gateway.connect("b.example", port);
    cut.iter().for_each(assert_echoes);
    assert_echoes(&other);
    let grant = format!("a.example:{port}").parse().unwrap();
    gateway.order(&Order::Revoke { grant });
    gateway.until(|told| !told.revoked.is_empty());
    assert_eq!(gateway.told.revoked[0].1, 20);
    assert!(cut.iter().all(is_reset));
    assert_echoes(&other);

    let address = gateway.resolve("a.example");
    assert_eq!(address, Err(3));
    gateway.until_denied(&Wish::Name("a.example".to_owned()), &Why::Revoked);
    let kept_by_the_job = ("198.18.0.1".parse::<std::net::IpAddr>().unwrap(), port).into();
    assert!(gateway.refuses_at(kept_by_the_job));
    gateway.until_denied(&Wish::Host(Protocol::Tcp, "a.example".to_owned(), port), &Why::Revoked);
}

#[test]
fn a_connection_that_is_being_made_is_cut() {
    let port = host(|_| {});
    let machine =
        Machine::new().grant(format!("slow.example:{port}")).failing("slow.example", NoAddress::Failed);
    let (machine, release) = machine.holding("slow.example");
    let mut gateway = machine.start();
    let stream = gateway.connect_to(("198.18.0.1".parse::<std::net::IpAddr>().unwrap(), port).into());
    gateway.until_asked("slow.example");
    gateway.order(&Order::Revoke { grant: format!("slow.example:{port}").parse().unwrap() });
    gateway.until(|told| !told.revoked.is_empty());
    assert_eq!(gateway.told.revoked[0].1, 1);
    assert!(is_reset(&stream));
    drop(release);
}

#[test]
fn what_was_never_granted_has_no_connections() {
    let mut gateway = Machine::new().start();
    gateway.order(&Order::Revoke { grant: "a.example:443".parse().unwrap() });
    gateway.until(|told| !told.revoked.is_empty());
    assert_eq!(gateway.told.revoked[0].1, 0);
}
