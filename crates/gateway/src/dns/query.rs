//! What a client asks.

use aseptic_model::HostName;

use super::answer::failure;
use super::{CLASS_IN, Code, Header, PAYLOAD_MAX, PAYLOAD_MIN, TYPE_A, TYPE_AAAA, TYPE_OPT};
use crate::reader::Reader;

/// Longest name in bytes as it is sent: its parts with a length each, and the empty one at the end.
const NAME_MAX: usize = 255;
/// Longest [`Question::name`].
const TEXT_MAX: usize = 253;
/// Ends a [`Question::name`] that was cut; no name has two dots in a row.
const CUT: &str = "...";

/// What one message asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Query {
    /// This, which can be answered.
    Asked(Question),
    /// Nothing that is answered otherwise than with an error, which these bytes say.
    Failed(Vec<u8>),
    /// It is not a question.
    Ignored,
}

/// The one question of a message, of class IN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(super) header: Header,
    /// Name, type and class as they were sent: clients compare the case of letters with that of the answer.
    pub(super) asked: Vec<u8>,
    /// Flags of EDNS, if the client speaks it.
    pub(super) edns: Option<u16>,
    /// What is wanted of the name.
    pub(crate) record: Record,
    /// The name, where it is that of a host.
    pub(crate) host: Option<HostName>,
    /// The name in lower case for people, without a final dot. Bytes that are not printable, and dots and
    /// backslashes inside of a part, are escaped as in zone files; at most 253 bytes, the rest is cut off.
    pub(crate) name: String,
    /// Most bytes of an answer over UDP.
    pub(crate) limit: u16,
}

/// Type of the records that are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Others, by their number.
    Other(u16),
}

/// Reads one message, without the length that precedes it over TCP.
pub(crate) fn parse(message: &[u8]) -> Query {
    let mut reader = Reader::new(message);
    let Some((header, counts)) = read_header(&mut reader) else { return Query::Ignored };
    if header.flags & Header::ANSWER != 0 {
        return Query::Ignored;
    }
    match read_question(reader, header, counts) {
        Ok(question) => Query::Asked(question),
        Err(code) => Query::Failed(failure(header, code)),
    }
}

/// The header and how many questions, answers, authorities and additional records follow.
fn read_header(reader: &mut Reader<'_>) -> Option<(Header, [u16; 4])> {
    let header = Header { id: reader.u16()?, flags: reader.u16()? };
    Some((header, [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?]))
}

fn read_question(mut reader: Reader<'_>, header: Header, counts: [u16; 4]) -> Result<Question, Code> {
    if header.flags & Header::OPCODE != 0 {
        return Err(Code::NotImplemented);
    }
    let [1, 0, 0, additional @ (0 | 1)] = counts else { return Err(Code::FormatError) };
    let all = reader.rest();
    let (name, host) = read_name(&mut reader).ok_or(Code::FormatError)?;
    let record = reader.u16().ok_or(Code::FormatError)?;
    let class = reader.u16().ok_or(Code::FormatError)?;
    let asked = all.strip_suffix(reader.rest()).unwrap_or(all).to_vec();
    let edns = if additional == 1 { Some(read_edns(&mut reader).ok_or(Code::FormatError)?) } else { None };
    if !reader.is_empty() {
        return Err(Code::FormatError);
    }
    if edns.as_ref().is_some_and(|edns| edns.version != 0) {
        return Err(Code::BadVersion);
    }
    if class != CLASS_IN {
        return Err(Code::Refused);
    }
    let record = match record {
        TYPE_A => Record::A,
        TYPE_AAAA => Record::Aaaa,
        other => Record::Other(other),
    };
    let limit = edns.as_ref().map_or(PAYLOAD_MIN, |edns| edns.payload.clamp(PAYLOAD_MIN, PAYLOAD_MAX));
    Ok(Question { header, asked, edns: edns.map(|edns| edns.flags), record, host, name, limit })
}

/// The text of a name, and the host that it is. A part that points to another place is none.
fn read_name(reader: &mut Reader<'_>) -> Option<(String, Option<HostName>)> {
    let mut text = String::new();
    let mut length = 1; // The empty part at the end.
    loop {
        let part = match reader.u8()? {
            0 => break,
            size @ 1..=63 => reader.take(size.into())?,
            _ => return None,
        };
        length += 1 + part.len();
        if length > NAME_MAX {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        part.iter().for_each(|byte| escape(*byte, &mut text));
    }
    let host = text.parse().ok(); // An escaped name has a backslash, which no host has.
    Some((shorten(text), host))
}

/// Source: RFC 1035, section 5.1.
fn escape(byte: u8, text: &mut String) {
    match byte {
        b'.' | b'\\' => text.extend(['\\', char::from(byte)]),
        0x21..=0x7e => text.push(char::from(byte.to_ascii_lowercase())),
        _ => text.push_str(&format!("\\{byte:03}")),
    }
}

fn shorten(mut text: String) -> String {
    if text.is_empty() {
        text.push('.');
    }
    if text.len() > TEXT_MAX {
        text.truncate(TEXT_MAX - CUT.len()); // It is ASCII.
        text.push_str(CUT);
    }
    text
}

/// What a client says about itself.
struct Edns {
    payload: u16,
    version: u8,
    flags: u16,
}

/// The one additional record that a question has; its options are not looked at.
fn read_edns(reader: &mut Reader<'_>) -> Option<Edns> {
    let (root, record, payload) = (reader.u8()?, reader.u16()?, reader.u16()?);
    let [_, version] = reader.array()?;
    let (flags, length) = (reader.u16()?, reader.u16()?);
    reader.take(length.into())?;
    (root == 0 && record == TYPE_OPT).then_some(Edns { payload, version, flags })
}

#[cfg(test)]
mod tests;
