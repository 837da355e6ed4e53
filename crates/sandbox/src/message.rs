//! What the supervisor and the jail's first process say to each other, one packet each.

use std::os::fd::BorrowedFd;

use rustix::io::{Errno, Result};
use rustix::net::{RecvFlags, SendFlags};

/// From the jail's first process to the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// A step of the set-up failed; the jail ends.
    Failed { step: u32, error: i32 },
    /// Every wall stands.
    Ready,
    /// No candidate for the program could be executed; the jail ends.
    NotExecuted { error: i32 },
    /// The program ended with this status, as wait(2) gives it; the jail ends.
    Ended { status: i32 },
}

const REPORT_BYTES: usize = 12;

impl Report {
    fn to_bytes(self) -> [u8; REPORT_BYTES] {
        let (tag, first, second) = match self {
            Self::Failed { step, error } => (1_u32, error, step),
            Self::Ready => (2, 0, 0),
            Self::NotExecuted { error } => (3, error, 0),
            Self::Ended { status } => (4, status, 0),
        };
        let mut bytes = [0; REPORT_BYTES];
        bytes[..4].copy_from_slice(&tag.to_ne_bytes());
        bytes[4..8].copy_from_slice(&first.to_ne_bytes());
        bytes[8..].copy_from_slice(&second.to_ne_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(i32::from_ne_bytes);
        match (word(0)?, word(4)?, word(8)?) {
            (1, error, step) => Some(Self::Failed { step: step.cast_unsigned(), error }),
            (2, 0, 0) => Some(Self::Ready),
            (3, error, 0) => Some(Self::NotExecuted { error }),
            (4, status, 0) => Some(Self::Ended { status }),
            _ => None,
        }
    }
}

/// Sends a report. A lost supervisor is noticed elsewhere, so the result is of no use.
pub(crate) fn report(control: BorrowedFd<'_>, report: Report) {
    let _ = rustix::net::send(control, &report.to_bytes(), SendFlags::NOSIGNAL);
}

/// Waits for a report; nothing when the jail is gone without one.
pub(crate) fn receive(control: BorrowedFd<'_>, waiting: RecvFlags) -> Result<Option<Report>> {
    let mut bytes = [0; REPORT_BYTES];
    loop {
        match rustix::net::recv(control, &mut bytes, waiting) {
            Ok((length, _)) => return Ok(Report::from_bytes(&bytes[..length.min(REPORT_BYTES)])),
            // A reset, said once, means that the jail ended before it had read every order. What it
            // said itself comes after that.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            Err(error) => return Err(error),
        }
    }
}

/// From the supervisor: start the program. Any other byte is the number of a signal to pass on.
pub(crate) const START: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_read_back_and_nothing_else_does() {
        let all = [
            Report::Failed { step: 7, error: 13 },
            Report::Ready,
            Report::NotExecuted { error: 2 },
            Report::Ended { status: 0x0900 },
        ];
        for report in all {
            assert_eq!(Report::from_bytes(&report.to_bytes()), Some(report));
        }
        assert_eq!(Report::from_bytes(&[]), None);
        assert_eq!(Report::from_bytes(&[9; 12]), None);
    }
}
