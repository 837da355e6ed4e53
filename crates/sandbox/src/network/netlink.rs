//! Messages of netlink(7) as bytes, and the kernel's answer to them.

use std::os::fd::BorrowedFd;

use rustix::io::{Errno, Result};
use rustix::net::{RecvFlags, SendFlags};

// Flags of a message, `NLM_F_*`.
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;

/// `NLA_F_NESTED`.
const NESTED: u16 = 1 << 15;

/// Bytes of `struct nlmsghdr`, and where its flags stand.
const HEADER: usize = 16;
const FLAGS_AT: usize = 6;

/// `NLMSG_ERROR`: an error, or none.
const ANSWER: u16 = 2;

/// Messages that are sent to the kernel together.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    bytes: Vec<u8>,
    /// Number of the last message, and where it begins.
    last: (u32, usize),
    /// Number of the message whose answer comes last.
    awaited: u32,
}

impl Messages {
    /// Adds a message with this header of its kind, in front of its attributes.
    pub(crate) fn add(&mut self, kind: u16, flags: u16, header: &[u8], attributes: &Attributes) {
        let start = self.bytes.len();
        let number = self.last.0 + 1;
        let length = HEADER + header.len() + attributes.0.len();
        self.bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((REQUEST | flags).to_ne_bytes());
        self.bytes.extend(number.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(header);
        self.bytes.extend(&attributes.0);
        self.last = (number, start);
    }

    /// Has the kernel answer to the last message even if it succeeds. Failures are answered always.
    pub(crate) fn await_last(mut self) -> Self {
        let (number, start) = self.last;
        if let Some(flags) = self.bytes.get_mut(start + FLAGS_AT) {
            *flags |= ACKNOWLEDGE.to_ne_bytes()[0];
        }
        self.awaited = number;
        self
    }

    /// Sends them and gives the first error of the kernel, if there is one. Async-signal-safe.
    pub(crate) fn carry_out(&self, socket: BorrowedFd<'_>) -> Result<()> {
        if rustix::net::send(socket, &self.bytes, SendFlags::empty())? != self.bytes.len() {
            return Err(Errno::IO);
        }
        let mut outcome = Ok(());
        let mut bytes = [0; 256];
        loop {
            // Every answer is there before the call above returns, so there is nothing to wait for. A batch that
            // the kernel does not begin has one answer, to its beginning.
            let (_, length) =
                match rustix::net::recv(socket, &mut bytes, RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                    Err(Errno::AGAIN) => return outcome.and(Err(Errno::IO)),
                    received => received?,
                };
            let (number, answer) = read_answer(&bytes[..length.min(bytes.len())]).ok_or(Errno::IO)?;
            outcome = outcome.and(answer);
            if number == self.awaited {
                return outcome;
            }
        }
    }
}

/// The number of a message and the kernel's answer to it.
fn read_answer(bytes: &[u8]) -> Option<(u32, Result<()>)> {
    let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok();
    if bytes.get(4..6)? != ANSWER.to_ne_bytes() {
        return None;
    }
    let answer = match i32::from_ne_bytes(word(HEADER)?) {
        0 => Ok(()),
        error => Err(Errno::from_raw_os_error(error.saturating_neg())),
    };
    Some((u32::from_ne_bytes(word(8)?), answer))
}

/// Attributes of a message, or of another attribute.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds one with these bytes.
    pub(crate) fn put(mut self, kind: u16, bytes: &[u8]) -> Self {
        let length = 4 + bytes.len();
        self.0.extend(u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Adds one with a number in the order of the network.
    pub(crate) fn number(self, kind: u16, number: u32) -> Self {
        self.put(kind, &number.to_be_bytes())
    }

    /// Adds one with a text that ends in NUL.
    pub(crate) fn text(self, kind: u16, text: &str) -> Self {
        self.put(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// Adds one that consists of attributes.
    pub(crate) fn nest(self, kind: u16, inner: &Self) -> Self {
        self.put(kind | NESTED, &inner.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_the_kernel_reads_it() {
        let mut messages = Messages::default();
        messages.add(0x0102, CREATE, &[7, 8, 9, 10], &Attributes::new().text(3, "lo"));
        let messages = messages.await_last();
        let (length, kind, flags) = (28_u32.to_ne_bytes(), 0x0102_u16.to_ne_bytes(), 0x405_u16.to_ne_bytes());
        let attribute = [7_u16.to_ne_bytes(), 3_u16.to_ne_bytes()].concat();
        let number = 1_u32.to_ne_bytes();
        let parts: [&[u8]; 9] =
            [&length, &kind, &flags, &number, &[0; 4], &[7, 8, 9, 10], &attribute, b"lo\0", &[0]];
        assert_eq!(messages.bytes, parts.concat());
    }

    #[test]
    fn only_an_answer_is_read_as_one() {
        let answer = |kind: u16, error: i32| {
            let parts: [&[u8]; 6] = [
                &36_u32.to_ne_bytes(),
                &kind.to_ne_bytes(),
                &[0; 2],
                &5_u32.to_ne_bytes(),
                &[0; 4],
                &error.to_ne_bytes(),
            ];
            parts.concat()
        };
        assert_eq!(read_answer(&answer(2, 0)), Some((5, Ok(()))));
        assert_eq!(read_answer(&answer(2, -2)), Some((5, Err(Errno::NOENT))));
        assert_eq!(read_answer(&answer(3, 0)), None);
        assert_eq!(read_answer(&answer(2, 0)[..18]), None);
        assert_eq!(read_answer(&[]), None);
    }
}
