//! Questions of the domain name system and answers to them, as far as attempts and victims need them.
//!
//! Source: RFC 1035, section 4; RFC 3596.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// Types of records.
pub(crate) const A: u16 = 1;
pub(crate) const CNAME: u16 = 5;
pub(crate) const NULL: u16 = 10;
pub(crate) const MX: u16 = 15;
pub(crate) const TXT: u16 = 16;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;

const PORT: u16 = 53;
const INTERNET: u16 = 1;
const HEADER: usize = 12;

/// Longer than any answer takes; a refusal comes at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a question is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Udp,
    Tcp,
}

/// A question.
pub(crate) fn question(name: &str, kind: u16) -> Vec<u8> {
    let id = [0x5a, 0xa5];
    let mut message = [&id[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat(); // Recursion, and one question.
    message.extend(encoded(name));
    message.extend(kind.to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    message
}

/// A name as labels with their lengths. A label is at most 63 bytes.
fn encoded(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> = labels
        .flat_map(|label| [&[u8::try_from(label.len()).unwrap_or(0)], label.as_bytes()].concat())
        .collect();
    bytes.push(0);
    bytes
}

/// What `server` has of this type: the data of each record, which may be none.
///
/// # Errors
/// There is no such name, or no answer.
pub(crate) fn ask(server: IpAddr, over: Over, name: &str, kind: u16) -> io::Result<Vec<Vec<u8>>> {
    let question = question(name, kind);
    let server = SocketAddr::new(server, PORT);
    let mut answer = vec![0; 4096];
    let length = match over {
        Over::Udp => {
            let any: IpAddr = match server {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.connect(server)?;
            socket.send(&question)?;
            socket.recv(&mut answer)?
        }
        Over::Tcp => {
            let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(&framed(&question)?)?;
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let length = usize::from(u16::from_be_bytes(length)).min(answer.len());
            stream.read_exact(&mut answer[..length])?;
            length
        }
    };
    records(&answer[..length])
}

/// The address that the name server of this network gives for `name`.
pub(crate) fn address_of(server: IpAddr, name: &str, kind: u16) -> io::Result<IpAddr> {
    let records = ask(server, Over::Udp, name, kind)?;
    let address = records.iter().find_map(|data| match kind {
        A => <[u8; 4]>::try_from(data.as_slice()).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(data.as_slice()).ok().map(IpAddr::from),
    });
    address.ok_or_else(|| io::Error::other("the name has no address"))
}

/// A message with its length before it, as it is sent over TCP.
pub(crate) fn framed(message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes(), message].concat())
}

/// The data of the records in an answer.
fn records(answer: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    read_records(answer).ok_or_else(|| io::Error::other("an answer that cannot be read"))?
}

fn read_records(answer: &[u8]) -> Option<io::Result<Vec<Vec<u8>>>> {
    let code = answer.get(3)? & 15;
    if code != 0 {
        return Some(Err(io::Error::other(format!("answered with error {code}"))));
    }
    let [questions, records] = [number(answer, 4)?, number(answer, 6)?];
    let mut at = HEADER;
    for _ in 0..questions {
        at = after_name(answer, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..records {
        at = after_name(answer, at)?;
        let length = usize::from(number(answer, at + 8)?);
        found.push(answer.get(at + 10..at + 10 + length)?.to_vec());
        at += 10 + length;
    }
    Some(Ok(found))
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

/// Where a name that begins at `at` ends.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            0xc0.. => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

/// The answer of a name server that knows every name: `localhost` is this machine, other names lead to
/// metadata, and all other records hold the canary. None for what is no question.
fn answer(query: &[u8], canary: &[u8; 16]) -> Option<Vec<u8>> {
    let end = after_name(query, HEADER)?;
    let kind = number(query, end)?;
    let asked = query.get(HEADER..end + 4)?;
    let local = encoded("localhost");
    let is_local = asked.get(..local.len()).is_some_and(|name| name.eq_ignore_ascii_case(&local));
    let label = [&[16], canary.as_slice(), &[0]].concat();
    let data = match kind {
        A if is_local => Ipv4Addr::LOCALHOST.octets().to_vec(),
        A => vec![169, 254, 169, 254],
        AAAA if is_local => Ipv6Addr::LOCALHOST.octets().to_vec(),
        TXT => label[..17].to_vec(),
        MX => [&[0; 2], label.as_slice()].concat(),
        SRV => [&[0; 6], label.as_slice()].concat(),
        CNAME => label,
        _ => canary.to_vec(),
    };
    let length = u16::try_from(data.len()).ok()?;
    let mut message = [query.get(..2)?, &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0], asked].concat();
    message.extend([0xc0, 12]); // The name of the question.
    message.extend(kind.to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    message.extend([0; 4]);
    message.extend(length.to_be_bytes());
    message.extend(data);
    Some(message)
}

/// Answers every question at `socket`, as a careless server: what is no question is its end.
pub(crate) fn serve_udp(socket: &UdpSocket, canary: &[u8; 16]) -> Option<()> {
    let mut query = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut query).ok()?;
        let answer = answer(&query[..length], canary)?;
        let _ = socket.send_to(&answer, from); // Whoever is gone gets none.
    }
}

/// The same over TCP, one client after another.
pub(crate) fn serve_tcp(listener: &TcpListener, canary: &[u8; 16]) {
    for mut client in listener.incoming().flatten() {
        let _ = answer_tcp(&mut client, canary); // Whoever is gone gets none.
    }
}

fn answer_tcp(client: &mut TcpStream, canary: &[u8; 16]) -> io::Result<()> {
    let mut length = [0; 2];
    client.read_exact(&mut length)?;
    let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
    client.read_exact(&mut query)?;
    let answer = answer(&query, canary).ok_or(io::ErrorKind::InvalidData)?;
    client.write_all(&framed(&answer)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &[u8; 16] = b"0123456789abcdef";

    fn asked(name: &str, kind: u16) -> Vec<u8> {
        records(&answer(&question(name, kind), CANARY).unwrap()).unwrap().concat()
    }

    #[test]
    fn every_type_of_record_carries_something() {
        assert_eq!(asked("localhost", A), [127, 0, 0, 1]);
        assert_eq!(asked("a.b.example", A), [169, 254, 169, 254]);
        for kind in [AAAA, CNAME, NULL, MX, TXT, SRV, 65] {
            assert!(asked("a.b.example", kind).windows(16).any(|window| window == CANARY), "{kind}");
        }
    }

    #[test]
    fn what_is_no_message_is_none() {
        assert_eq!(answer(&[0; 7], CANARY), None);
        assert_eq!(answer(&question("a.example", A)[..14], CANARY), None);
        assert!(records(&[0; 5]).is_err());
        let refused = [0, 0, 0x81, 0x83, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(records(&refused).unwrap_err().to_string().contains('3'));
    }
}
