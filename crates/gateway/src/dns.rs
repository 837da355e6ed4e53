//! One message of the domain name system, from a client that may be hostile, and the answer to it.
//!
//! What is asked becomes a [`Question`], and [`Question::answer`] the bytes of its answer. A message that is
//! itself an answer is never answered, so two of these can never answer each other.
//!
//! **Invariant:** pure, and bounded by the length of the message: no name is followed to another place.
//! **Absent on purpose:** passing a question on. What a client puts into names reaches nobody.
//!
//! Source: RFC 1035 (messages), RFC 6891 (EDNS), RFC 2308 (answers that there is nothing).

mod answer;
mod query;

pub(crate) use answer::Answer;
pub(crate) use query::{Query, Question, Record, parse};

/// Class of everything: the internet.
const CLASS_IN: u16 = 1;

const TYPE_A: u16 = 1;
const TYPE_SOA: u16 = 6;
const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;

/// Most bytes of a UDP answer to a client that says nothing about it.
const PAYLOAD_MIN: u16 = 512;
/// Most bytes of any UDP answer.
const PAYLOAD_MAX: u16 = 4096;

/// First half of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    id: u16,
    flags: u16,
}

impl Header {
    /// It is an answer.
    const ANSWER: u16 = 1 << 15;
    /// What is wanted; zero is an ordinary question.
    const OPCODE: u16 = 0xf << 11;
    /// The answer was cut.
    const TRUNCATED: u16 = 1 << 9;
    /// The client wants that others are asked, too.
    const RECURSION_DESIRED: u16 = 1 << 8;
    /// The server would do that.
    const RECURSION_AVAILABLE: u16 = 1 << 7;
    /// The client checks signatures itself.
    const CHECKING_DISABLED: u16 = 1 << 4;
}

/// How an answer ends; the number of RFC 1035 and RFC 6891.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NoSuchName = 3,
    NotImplemented = 4,
    Refused = 5,
    BadVersion = 16,
}
