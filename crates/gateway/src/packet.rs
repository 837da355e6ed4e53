//! Packets that the kernel refused, as it reports them: where each was to go.
//!
//! The headers around a packet are the kernel's; the packet is the job's, which may have written every byte of
//! it. So what cannot be read is left out: a packet without a whole address of its destination, a port that is
//! not there.
//!
//! **Invariant:** pure, and bounded by the length of the datagram.
//! **Absent on purpose:** all of a packet but its destination, also what it says about where it came from.
//!
//! Source: netlink(7); `linux/netfilter/nfnetlink_log.h`; RFC 791, RFC 8200.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::Protocol;
use crate::reader::Reader;

/// Type of the messages with a packet: subsystem `NFNL_SUBSYS_ULOG`, message `NFULNL_MSG_PACKET`.
const PACKET: u16 = 4 << 8;
const MESSAGE_HEADER_BYTES: usize = 16;
/// `struct nfgenmsg`, in front of the attributes.
const FAMILY_HEADER_BYTES: usize = 4;
/// `NFULA_PAYLOAD`: the packet from its IP header on, or its beginning.
const PAYLOAD: u16 = 9;
/// Without the two flags that the type of an attribute can have.
const ATTRIBUTE_TYPE: u16 = 0x3fff;
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// Messages and attributes begin at a multiple of this.
const ALIGNMENT: usize = 4;

/// Most headers between that of IPv6 and what it carries. A sender needs two or three.
const EXTENSIONS_MAX: usize = 8;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP_6: u8 = 58;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// Destinations of the packets in one datagram of the kernel. Where there is no port, it is zero: in the later
/// fragments of a packet, too.
pub(crate) fn destinations(datagram: &[u8]) -> impl Iterator<Item = (Protocol, SocketAddr)> {
    let mut reader = Reader::new(datagram);
    std::iter::from_fn(move || message(&mut reader)).filter_map(|(kind, body)| {
        let payload = if kind == PACKET { payload(body) } else { None };
        payload.and_then(destination)
    })
}

/// The type of the next message, and what follows its header.
fn message<'a>(reader: &mut Reader<'a>) -> Option<(u16, &'a [u8])> {
    let length = usize::try_from(u32::from_ne_bytes(reader.array()?)).ok()?;
    let kind = u16::from_ne_bytes(reader.array()?);
    reader.array::<10>()?; // Flags, number, sender.
    let body = reader.take(length.checked_sub(MESSAGE_HEADER_BYTES)?)?;
    skip_padding(reader, length);
    Some((kind, body))
}

/// The packet in a message, the first one.
fn payload(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(body);
    reader.array::<FAMILY_HEADER_BYTES>()?;
    loop {
        let length = usize::from(u16::from_ne_bytes(reader.array()?));
        let kind = u16::from_ne_bytes(reader.array()?);
        let content = reader.take(length.checked_sub(ATTRIBUTE_HEADER_BYTES)?)?;
        if kind & ATTRIBUTE_TYPE == PAYLOAD {
            return Some(content);
        }
        skip_padding(&mut reader, length);
    }
}

/// The last message or attribute may have none.
fn skip_padding(reader: &mut Reader<'_>, length: usize) {
    let padding = length.next_multiple_of(ALIGNMENT) - length;
    reader.take(padding.min(reader.rest().len()));
}

fn destination(packet: &[u8]) -> Option<(Protocol, SocketAddr)> {
    let (address, carried, content): (IpAddr, _, _) = match packet.first()? >> 4 {
        4 => {
            let (address, carried, content) = read_4(packet)?;
            (address.into(), carried, content)
        }
        6 => {
            let (address, carried, content) = read_6(packet)?;
            (address.into(), carried, content)
        }
        _ => return None,
    };
    let protocol = match carried {
        Some(TCP) => Protocol::Tcp,
        Some(UDP) => Protocol::Udp,
        Some(ICMP) if address.is_ipv4() => Protocol::Icmp,
        Some(ICMP_6) if address.is_ipv6() => Protocol::Icmp,
        _ => Protocol::Other,
    };
    let port = match (protocol, content) {
        (Protocol::Tcp | Protocol::Udp, &[_, _, high, low, ..]) => u16::from_be_bytes([high, low]),
        _ => 0,
    };
    Some((protocol, SocketAddr::new(address, port)))
}

/// Destination, number of the protocol that is carried, and what is carried: nothing in a later fragment.
fn read_4(packet: &[u8]) -> Option<(Ipv4Addr, Option<u8>, &[u8])> {
    let mut reader = Reader::new(packet);
    let [first, ..] = reader.array::<6>()?;
    let fragment = reader.u16()?;
    let [_, carried, ..] = reader.array::<8>()?;
    let address = Ipv4Addr::from(reader.array::<4>()?);
    let header = usize::from(first & 15) * 4;
    let is_first = fragment & 0x1fff == 0;
    let content = packet.get(header..).filter(|_| is_first && header >= 20).unwrap_or_default();
    Some((address, Some(carried), content))
}

/// The same for IPv6; no number where the headers in front of it are too many or not there.
fn read_6(packet: &[u8]) -> Option<(Ipv6Addr, Option<u8>, &[u8])> {
    let mut reader = Reader::new(packet);
    let [.., next, _] = reader.array::<8>()?;
    reader.array::<16>()?; // Source.
    let address = Ipv6Addr::from(reader.array::<16>()?);
    let (carried, content) =
        skip_extensions(reader, next).map_or((None, &[][..]), |(next, rest)| (Some(next), rest));
    Some((address, carried, content))
}

fn skip_extensions(mut reader: Reader<'_>, mut next: u8) -> Option<(u8, &[u8])> {
    for _ in 0..EXTENSIONS_MAX {
        let length = match next {
            HOP_BY_HOP | ROUTING | DESTINATION => |length: u8| usize::from(length) * 8 + 6,
            AUTHENTICATION => |length: u8| usize::from(length) * 4 + 6,
            FRAGMENT => |_| 6,
            _ => return Some((next, reader.rest())),
        };
        let [after, size] = reader.array()?;
        let content = reader.take(length(size))?;
        let is_later =
            matches!(content, [high, low, ..] if next == FRAGMENT && (*high > 0 || low & 0xf8 > 0));
        next = after;
        if is_later {
            return Some((next, &[]));
        }
    }
    None
}

#[cfg(test)]
mod tests;
