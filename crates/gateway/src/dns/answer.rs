//! What is answered.

use std::net::IpAddr;

use super::{CLASS_IN, Code, Header, PAYLOAD_MAX, Question, Record};
use super::{TYPE_A, TYPE_AAAA, TYPE_OPT, TYPE_SOA};

/// Seconds for which a client may keep an answer. A name keeps its address for as long as a run lasts; what
/// is not there is asked for again, and counted again, every few seconds only.
const TTL_SECONDS: u32 = 300;
const TTL_NOTHING_SECONDS: u32 = 10;

/// The name that was asked for: a pointer to behind the header.
const ASKED_NAME: u16 = 0xc00c;

/// The empty name.
const ROOT: u8 = 0;

/// What there is to say about a [`Question`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// The name has these addresses; those of the other family than the question's are left out.
    Addresses(&'a [IpAddr]),
    /// The name is there, and has nothing of this type.
    Empty,
    /// There is no such name.
    NoSuchName,
    /// The server does not want to say.
    Refused,
    /// The server cannot say.
    ServerFailure,
}

impl Question {
    /// The bytes of the answer: at most `limit`, which over UDP is [`Question::limit`]. Where that is too
    /// little, the answer has no addresses and is marked as cut, and the client asks again over TCP.
    ///
    /// Answers that there is nothing bring a record that lets clients keep them for a while.
    pub(crate) fn answer(&self, answer: Answer<'_>, limit: u16) -> Vec<u8> {
        let addresses = match answer {
            Answer::Addresses(addresses) => self.records(addresses),
            _ => Vec::new(),
        };
        let (code, is_nothing) = match answer {
            Answer::Addresses(_) | Answer::Empty => (Code::NoError, addresses.is_empty()),
            Answer::NoSuchName => (Code::NoSuchName, true),
            Answer::Refused => (Code::Refused, false),
            Answer::ServerFailure => (Code::ServerFailure, false),
        };
        let authority = if is_nothing { vec![start_of_authority()] } else { Vec::new() };
        let whole = self.message(code, 0, &addresses, &authority);
        if whole.len() <= limit.into() { whole } else { self.message(code, Header::TRUNCATED, &[], &[]) }
    }

    /// One record for each address of the family that was asked for.
    fn records(&self, addresses: &[IpAddr]) -> Vec<Vec<u8>> {
        let record = |address: &IpAddr| match (self.record, address) {
            (Record::A, IpAddr::V4(address)) => Some(record(TYPE_A, &address.octets())),
            (Record::Aaaa, IpAddr::V6(address)) => Some(record(TYPE_AAAA, &address.octets())),
            _ => None,
        };
        addresses.iter().filter_map(record).collect()
    }

    fn message(&self, code: Code, flags: u16, answers: &[Vec<u8>], authorities: &[Vec<u8>]) -> Vec<u8> {
        let count = |records: &[Vec<u8>]| u16::try_from(records.len()).unwrap_or(u16::MAX);
        let additional = u16::from(self.edns.is_some());
        let mut message =
            header(self.header, code, flags, [1, count(answers), count(authorities), additional]);
        message.extend_from_slice(&self.asked);
        message.extend(answers.iter().chain(authorities).flatten());
        if let Some(flags) = self.edns {
            message.extend(options(code, flags));
        }
        message
    }
}

/// The answer to a message that could not be read as a question.
pub(super) fn failure(asked: Header, code: Code) -> Vec<u8> {
    let says_more = code as u16 > 15;
    let mut message = header(asked, code, 0, [0, 0, 0, says_more.into()]);
    if says_more {
        message.extend(options(code, 0));
    }
    message
}

/// A header with the numbers of questions, answers, authorities and additional records.
fn header(asked: Header, code: Code, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let kept = Header::OPCODE | Header::RECURSION_DESIRED | Header::CHECKING_DISABLED;
    let flags = asked.flags & kept | flags | Header::ANSWER | Header::RECURSION_AVAILABLE | code as u16 & 15;
    [asked.id, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes).collect()
}

/// One address of the name.
fn record(kind: u16, address: &[u8]) -> Vec<u8> {
    let mut record = ASKED_NAME.to_be_bytes().to_vec();
    push_body(&mut record, kind, CLASS_IN, TTL_SECONDS, address);
    record
}

/// Says for how long nothing is there. It is that of the root, above each name.
fn start_of_authority() -> Vec<u8> {
    let numbers = [1, TTL_SECONDS, TTL_SECONDS, TTL_SECONDS, TTL_NOTHING_SECONDS];
    let names = [ROOT, ROOT]; // The server and the mailbox of its owner.
    let data: Vec<u8> = names.into_iter().chain(numbers.into_iter().flat_map(u32::to_be_bytes)).collect();
    let mut record = vec![ROOT];
    push_body(&mut record, TYPE_SOA, CLASS_IN, TTL_NOTHING_SECONDS, &data);
    record
}

/// The record that speaks EDNS, to a client that does. Of its flags only "signatures are welcome" is known,
/// and said back (RFC 3225, section 3).
fn options(code: Code, flags: u16) -> Vec<u8> {
    let mut record = vec![ROOT];
    let code_and_flags = (u32::from(code as u16 >> 4) << 24) | u32::from(flags & 1 << 15);
    push_body(&mut record, TYPE_OPT, PAYLOAD_MAX, code_and_flags, &[]);
    record
}

/// All of a record but its name; `data` is a few bytes.
fn push_body(record: &mut Vec<u8>, kind: u16, class: u16, ttl: u32, data: &[u8]) {
    record.extend([kind, class].into_iter().flat_map(u16::to_be_bytes));
    record.extend(ttl.to_be_bytes());
    record.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    record.extend_from_slice(data);
}

#[cfg(test)]
mod tests;
