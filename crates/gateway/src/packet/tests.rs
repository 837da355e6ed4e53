use proptest::prelude::*;

use super::*;

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 4).unwrap();
    padded([&length.to_ne_bytes(), &kind.to_ne_bytes(), content].concat())
}

fn netlink(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 16).unwrap();
    padded([&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], body].concat())
}

/// A message as the kernel sends it: the packet is between other attributes.
fn logged(packet: &[u8]) -> Vec<u8> {
    let parts =
        [attribute(1, &[8, 0, 3, 0]), attribute(10, b"out\0x"), attribute(9, packet), attribute(11, &[0; 4])];
    netlink(0x400, &[&[2, 0, 0, 1], &parts.concat()[..]].concat())
}

fn v4(protocol: u8, fragment: u16, options: &[u8], content: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options.len() / 4).unwrap();
    let start = [0x40 | words, 0, 0, 40, 0, 1];
    let rest = [64, protocol, 0, 0, 198, 19, 0, 1, 192, 0, 2, 7];
    [&start[..], &fragment.to_be_bytes(), &rest, options, content].concat()
}

fn v6(next: u8, content: &[u8]) -> Vec<u8> {
    let address: Ipv6Addr = "2001:db8::7".parse().unwrap();
    [&[0x60, 0, 0, 0, 0, 40, next, 64][..], &[1; 16], &address.octets(), content].concat()
}

fn read(packet: &[u8]) -> Option<(Protocol, SocketAddr)> {
    let all: Vec<_> = destinations(&logged(packet)).collect();
    assert!(all.len() < 2);
    all.first().copied()
}

fn to(protocol: Protocol, address: &str) -> Option<(Protocol, SocketAddr)> {
    Some((protocol, address.parse().unwrap()))
}

const PORTS: &[u8] = b"\x99\x99\x01\xbb\0\0\0\0";

#[test]
fn a_destination_is_read() {
    assert_eq!(read(&v4(6, 0x4000, b"", PORTS)), to(Protocol::Tcp, "192.0.2.7:443"));
    assert_eq!(read(&v4(17, 0, b"", PORTS)), to(Protocol::Udp, "192.0.2.7:443"));
    assert_eq!(read(&v4(1, 0, b"", PORTS)), to(Protocol::Icmp, "192.0.2.7:0"));
    assert_eq!(read(&v4(58, 0, b"", PORTS)), to(Protocol::Other, "192.0.2.7:0"));
    assert_eq!(read(&v4(132, 0, b"", PORTS)), to(Protocol::Other, "192.0.2.7:0"));
    assert_eq!(read(&v4(6, 0, &[1; 40], PORTS)), to(Protocol::Tcp, "192.0.2.7:443"));
    assert_eq!(read(&v6(6, PORTS)), to(Protocol::Tcp, "[2001:db8::7]:443"));
    assert_eq!(read(&v6(17, PORTS)), to(Protocol::Udp, "[2001:db8::7]:443"));
    assert_eq!(read(&v6(58, PORTS)), to(Protocol::Icmp, "[2001:db8::7]:0"));
    assert_eq!(read(&v6(1, PORTS)), to(Protocol::Other, "[2001:db8::7]:0"));
}

#[test]
fn what_is_cut_has_no_port_or_no_destination() {
    let whole = v4(6, 0, &[1; 4], PORTS);
    for length in 0..whole.len() {
        let expected = match length {
            0..20 => None,
            20..28 => to(Protocol::Tcp, "192.0.2.7:0"),
            _ => to(Protocol::Tcp, "192.0.2.7:443"),
        };
        assert_eq!(read(&whole[..length]), expected, "{length}");
    }
    let whole = v6(60, &[b"\x11\x01", &[0; 14][..], PORTS].concat());
    for length in 0..whole.len() {
        let expected = match length {
            0..40 => None,
            40..56 => to(Protocol::Other, "[2001:db8::7]:0"),
            56..60 => to(Protocol::Udp, "[2001:db8::7]:0"),
            _ => to(Protocol::Udp, "[2001:db8::7]:443"),
        };
        assert_eq!(read(&whole[..length]), expected, "{length}");
    }
    let mut short = v4(6, 0, b"", PORTS);
    short[0] = 0x44;
    assert_eq!(read(&short), to(Protocol::Tcp, "192.0.2.7:0"));
    short[0] = 0x55;
    assert_eq!(read(&short), None);
}

#[test]
fn a_later_fragment_has_no_port() {
    assert_eq!(read(&v4(17, 0x2000, b"", PORTS)), to(Protocol::Udp, "192.0.2.7:443"));
    assert_eq!(read(&v4(17, 0x2001, b"", PORTS)), to(Protocol::Udp, "192.0.2.7:0"));
    for (offset, port) in [(0_u16, 443), (1, 443), (8, 0), (0x100, 0)] {
        let header = [&[17, 0], &offset.to_be_bytes()[..], &[0; 4]].concat();
        let expected = to(Protocol::Udp, &format!("[2001:db8::7]:{port}"));
        assert_eq!(read(&v6(44, &[&header, PORTS].concat())), expected);
    }
}

#[test]
fn headers_of_ipv6_are_passed_over() {
    let chain = |count: usize| {
        let middle = b"\x3c\0\0\0\0\0\0\0".repeat(count - 1);
        read(&v6(0, &[&middle[..], b"\x06\0\0\0\0\0\0\0", PORTS].concat()))
    };
    assert_eq!(chain(1), to(Protocol::Tcp, "[2001:db8::7]:443"));
    assert_eq!(chain(7), to(Protocol::Tcp, "[2001:db8::7]:443"));
    assert_eq!(chain(8), to(Protocol::Other, "[2001:db8::7]:0"));
    assert_eq!(chain(1000), to(Protocol::Other, "[2001:db8::7]:0"));
    let authentication = [b"\x06\x04", &[0; 22][..], PORTS].concat();
    assert_eq!(read(&v6(51, &authentication)), to(Protocol::Tcp, "[2001:db8::7]:443"));
    for sealed in [50, 59] {
        assert_eq!(read(&v6(sealed, PORTS)), to(Protocol::Other, "[2001:db8::7]:0"));
    }
}

#[test]
fn a_datagram_has_several_messages() {
    let tcp = v4(6, 0, b"", PORTS);
    let others =
        [netlink(2, &[0; 20]), netlink(3, b""), netlink(4, b""), netlink(0x401, &logged(&tcp)[16..])];
    let datagram =
        [&logged(&tcp)[..], &others.concat(), &logged(&v6(17, b"\0\0\0\x35x")), &logged(&tcp)].concat();
    let all: Vec<_> = destinations(&datagram).collect();
    let expected = [
        to(Protocol::Tcp, "192.0.2.7:443"),
        to(Protocol::Udp, "[2001:db8::7]:53"),
        to(Protocol::Tcp, "192.0.2.7:443"),
    ];
    assert_eq!(all.into_iter().map(Some).collect::<Vec<_>>(), expected);
}

#[test]
fn lengths_that_are_wrong_end_it() {
    let good = logged(&v4(6, 0, b"", PORTS));
    for length in [0_u32, 15, u32::MAX] {
        let bad = [&length.to_ne_bytes(), &good[4..]].concat();
        assert_eq!(destinations(&[&bad[..], &good].concat()).count(), 0, "{length}");
    }
    for length in [0_u16, 3, u16::MAX] {
        let mut bad = good.clone();
        bad[20..22].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(destinations(&[bad, good.clone()].concat()).count(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300), first in any::<u8>()) {
        destinations(&bytes).count();
        let packet = [&[first], &bytes[..]].concat();
        let found = read(&packet);
        prop_assert!(found.is_none() || packet.len() >= 20);
    }

    #[test]
    fn any_packet_of_the_kernel_has_a_destination(
        protocol in any::<u8>(), fragment in any::<u16>(), content in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let address = |found: Option<(Protocol, SocketAddr)>| found.map(|(_, to)| to.ip().to_string());
        prop_assert_eq!(address(read(&v4(protocol, fragment, b"", &content))), Some("192.0.2.7".to_owned()));
        prop_assert_eq!(address(read(&v6(protocol, &content))), Some("2001:db8::7".to_owned()));
    }
}
