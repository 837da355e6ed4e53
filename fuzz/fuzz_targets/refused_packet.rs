//! Packets of a hostile job; another library reads the same destination.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use aseptic_gateway::{Protocol, fuzz};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let found = fuzz::refused_packet(bytes);
    let Ok(packet) = SlicedPacket::from_ip(bytes) else { return };
    let address: IpAddr = match &packet.net {
        Some(NetSlice::Ipv4(packet)) => packet.header().destination_addr().into(),
        Some(NetSlice::Ipv6(packet)) => packet.header().destination_addr().into(),
        _ => return,
    };
    let (protocol, port) = match &packet.transport {
        Some(TransportSlice::Tcp(segment)) => (Protocol::Tcp, segment.destination_port()),
        Some(TransportSlice::Udp(datagram)) => (Protocol::Udp, datagram.destination_port()),
        _ => {
            assert_eq!(found.map(|(_, to)| to.ip()), Some(address));
            return;
        }
    };
    let expected = (protocol, SocketAddr::new(address, port));
    // More headers than the gateway looks at.
    assert!(
        found == Some(expected) || found == Some((Protocol::Other, SocketAddr::new(address, 0))),
        "{found:?}"
    );
});
