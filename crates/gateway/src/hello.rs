//! The name that a client asks for in TLS: the server name of its first message, the ClientHello.
//!
//! A hostile client wants that the gateway and the server read different names. So what servers could read in
//! two ways is [`Hello::Malformed`], also where some standard lets it pass: records of other kinds before the
//! message, bytes behind it, more than one name, a name that is no host name or ends in a dot, the older
//! message of SSL 2.
//!
//! A server may refuse the first message and ask for another one (HelloRetryRequest), which can have another
//! name. So what the client sends next is read with [`again`], until there is no such message.
//!
//! **Invariant:** pure, and bounded by [`BYTES_MAX`].
//! **Absent on purpose:** what is encrypted. A client that has the keys of a server may put another name into an
//! encrypted message inside (ECH), or into HTTP; who owns both names then is the same server. TLS that begins
//! later in a connection (STARTTLS) is not seen either.
//!
//! Source: RFC 8446, sections 4.1.2 and 5.1; RFC 6066, section 3.

use std::cmp::Ordering;

use aseptic_model::HostName;

use crate::reader::Reader;

/// Most bytes of one message with the headers of its records. Messages of today have a tenth of it.
pub(crate) const BYTES_MAX: usize = 16 << 10;

/// What the bytes of a client are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    /// Too few to say; always fewer than [`BYTES_MAX`].
    Partial,
    /// Not a TLS client's first message.
    NotTls,
    /// To be refused: TLS, or what a server could take for it, that names no host in one certain way.
    Malformed,
    /// The message, which ends after `length` bytes.
    Client {
        /// The name that it asks for, if it names one.
        name: Option<HostName>,
        /// Bytes of its records.
        length: usize,
    },
}

/// Why there is no message; becomes a [`Hello`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Partial,
    NotTls,
    Malformed,
}

/// Most bytes of one record. Those of an encrypted one may be a few more.
const RECORD_MAX: u16 = 16 << 10;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const HEARTBEAT: u8 = 24;
/// First half of the version of all records and messages since SSL 3; the second one is not looked at.
const MAJOR: u8 = 3;
/// Some servers do not look at the version of the first record, as long as it is not above this.
const MAJOR_MAX: u8 = 15;

const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// Reads the first bytes of a connection.
pub(crate) fn parse(bytes: &[u8]) -> Hello {
    decide(bytes, is_first(bytes).and_then(|()| read(bytes)))
}

/// Reads what a client sends after its message. [`Hello::NotTls`] where that is no other such message: nothing
/// has to be read any more then.
pub(crate) fn again(bytes: &[u8]) -> Hello {
    let before = ignored(bytes);
    let rest = bytes.get(before..).unwrap_or_default();
    let found = is_other(rest).and_then(|()| read(rest));
    decide(bytes, found.map(|(name, length)| (name, before + length)))
}

fn decide(bytes: &[u8], found: Result<(Option<HostName>, usize), Stop>) -> Hello {
    match found {
        Ok((name, length)) => Hello::Client { name, length },
        Err(Stop::Partial) if bytes.len() < BYTES_MAX => Hello::Partial,
        Err(Stop::Partial | Stop::Malformed) => Hello::Malformed,
        Err(Stop::NotTls) => Hello::NotTls,
    }
}

/// Whether these are the first bytes of a ClientHello. Other protocols begin with a length that looks like the
/// header of a record, so the content is looked at, too.
fn is_first(bytes: &[u8]) -> Result<(), Stop> {
    let contents: &[u8] = match bytes {
        [] => return Err(Stop::Partial),
        [0x80..=u8::MAX, ..] => return is_ssl_2(bytes),
        [HANDSHAKE | CHANGE_CIPHER_SPEC, ..] => &[1],
        [ALERT | HEARTBEAT, ..] => &[1, 2],
        _ => return Err(Stop::NotTls),
    };
    match bytes {
        [_, major, ..] if *major > MAJOR_MAX => Err(Stop::NotTls),
        [_, MAJOR, _, 0, 0, ..] => Err(Stop::Malformed), // Some servers pass over empty records.
        [HANDSHAKE, MAJOR, _, _, _, CLIENT_HELLO, ..] => Ok(()),
        [_, _, _, _, _, content, ..] if contents.contains(content) => Err(Stop::Malformed),
        [_, _, _, _, _, _, ..] => Err(Stop::NotTls),
        _ => Err(Stop::Partial),
    }
}

/// Whether the bytes can be the first message of SSL 2, which has no server name and which servers of later
/// versions read, too.
fn is_ssl_2(bytes: &[u8]) -> Result<(), Stop> {
    match bytes {
        [_, _, CLIENT_HELLO, 0, 2, ..] | [_, _, CLIENT_HELLO, MAJOR, ..] => Err(Stop::Malformed),
        [_] | [_, _] | [_, _, CLIENT_HELLO] | [_, _, CLIENT_HELLO, 0] => Err(Stop::Partial),
        _ => Err(Stop::NotTls),
    }
}

/// Bytes of the records that a server passes over before a second message: those that are there for
/// middleboxes (RFC 8446, appendix D.4), and warnings.
fn ignored(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let [CHANGE_CIPHER_SPEC, MAJOR, _, 0, 1, 1, after @ ..]
    | [ALERT, MAJOR, _, 0, 2, 1, _, after @ ..] = rest
    {
        rest = after;
    }
    bytes.len() - rest.len()
}

/// Whether these bytes begin with another ClientHello. Encrypted messages are in records of the same kind, so
/// more than the first byte inside has to be right.
fn is_other(bytes: &[u8]) -> Result<(), Stop> {
    let Some((&[kind, major, _, high, low], content)) = bytes.split_first_chunk() else {
        let could_be = |kind: &u8| [HANDSHAKE, CHANGE_CIPHER_SPEC, ALERT].contains(kind);
        let is_open = bytes.first().is_none_or(could_be) && bytes.get(1).is_none_or(|major| *major == MAJOR);
        return Err(if is_open { Stop::Partial } else { Stop::NotTls });
    };
    match (kind, u16::from_be_bytes([high, low]), content) {
        _ if major != MAJOR => Err(Stop::NotTls),
        (HANDSHAKE, 0, _) => Err(Stop::Malformed),
        (HANDSHAKE, length, _) => {
            let form = [(CLIENT_HELLO, CLIENT_HELLO), (0, 2), (0, u8::MAX), (0, u8::MAX), (MAJOR, MAJOR)];
            let wanted = form.len().min(length.into());
            let fits =
                content.iter().zip(form).take(wanted).all(|(byte, (low, high))| (low..=high).contains(byte));
            match fits {
                false => Err(Stop::NotTls),
                true if content.len() < wanted => Err(Stop::Partial),
                true => Ok(()),
            }
        }
        (CHANGE_CIPHER_SPEC, 1, []) | (ALERT, 2, [] | [1]) => Err(Stop::Partial),
        _ => Err(Stop::NotTls),
    }
}

/// The server name of the ClientHello that these records hold, and how many bytes they have.
fn read(bytes: &[u8]) -> Result<(Option<HostName>, usize), Stop> {
    let mut reader = Reader::new(bytes);
    let mut message = Vec::new();
    loop {
        let [kind, major, _, high, low] = reader.array().ok_or(Stop::Partial)?;
        let length = u16::from_be_bytes([high, low]);
        if (kind, major) != (HANDSHAKE, MAJOR) || !(1..=RECORD_MAX).contains(&length) {
            return Err(Stop::Malformed);
        }
        message.extend_from_slice(reader.take(length.into()).ok_or(Stop::Partial)?);
        let Some((&[_, high, middle, low], body)) = message.split_first_chunk() else { continue };
        let length = u32::from_be_bytes([0, high, middle, low]);
        match body.len().cmp(&usize::try_from(length).unwrap_or(usize::MAX)) {
            Ordering::Less => {}
            Ordering::Equal => {
                let name = read_message(body).ok_or(Stop::Malformed)?;
                return Ok((name, bytes.len() - reader.rest().len()));
            }
            Ordering::Greater => return Err(Stop::Malformed),
        }
    }
}

/// The server name of a whole ClientHello; nothing where it cannot be read.
fn read_message(body: &[u8]) -> Option<Option<HostName>> {
    let mut reader = Reader::new(body);
    let [major, _] = reader.array()?;
    reader.array::<32>()?; // Random bytes.
    let session = short(&mut reader)?;
    let suites = long(&mut reader)?;
    let compressions = short(&mut reader)?;
    let is_right =
        major == MAJOR && session.len() <= 32 && !suites.is_empty() && suites.len().is_multiple_of(2);
    if !is_right || compressions.is_empty() {
        return None;
    }
    if reader.is_empty() {
        return Some(None); // Extensions are newer than TLS.
    }
    let mut extensions = Reader::new(long(&mut reader)?);
    let mut name = None;
    while !extensions.is_empty() {
        let (kind, content) = (extensions.u16()?, long(&mut extensions)?);
        if kind == SERVER_NAME && name.replace(read_name(content)?).is_some() {
            return None;
        }
    }
    reader.is_empty().then_some(name)
}

/// The one name of a `server_name` extension.
fn read_name(content: &[u8]) -> Option<HostName> {
    let mut reader = Reader::new(content);
    let mut names = Reader::new(long(&mut reader)?);
    let (kind, name) = (names.u8()?, long(&mut names)?);
    let is_one = kind == HOST_NAME && names.is_empty() && reader.is_empty();
    let text = str::from_utf8(name).ok().filter(|text| is_one && !text.ends_with('.'))?;
    text.parse().ok()
}

/// Bytes behind their number, which is one byte.
fn short<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = reader.u8()?;
    reader.take(length.into())
}

/// Bytes behind their number, which is two bytes.
fn long<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = reader.u16()?;
    reader.take(length.into())
}

#[cfg(test)]
mod tests;
