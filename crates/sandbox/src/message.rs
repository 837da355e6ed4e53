//! What the supervisor and the jail's first process say to each other, one packet each.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{Errno, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// From the jail's first process to the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// A step of the set-up failed; the jail ends.
    Failed { step: u32, error: i32 },
    /// Every wall stands.
    Ready,
    /// No candidate for the program could be executed; the jail ends.
    NotExecuted { error: i32 },
    /// This signal stopped the program.
    Stopped { signal: i32 },
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
            Self::Stopped { signal } => (5, signal, 0),
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
            (5, signal, 0) => Some(Self::Stopped { signal }),
            _ => None,
        }
    }
}

/// Sends a report. A lost supervisor is noticed elsewhere, so the result is of no use.
pub(crate) fn report(control: BorrowedFd<'_>, report: Report) {
    let _ = rustix::net::send(control, &report.to_bytes(), SendFlags::NOSIGNAL);
}

/// Says that the program was stopped, unless the supervisor has not read hundreds of such reports: it may
/// be stopped itself, and the jail must not wait for it.
pub(crate) fn report_stop(control: BorrowedFd<'_>, signal: i32) {
    let bytes = Report::Stopped { signal }.to_bytes();
    let _ = rustix::net::send(control, &bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
}

/// Most descriptors that are handed out of a jail.
pub(crate) const HANDED_MAX: usize = 8;

/// Says that the jail is ready and hands descriptors made inside of it to the supervisor. Unlike the
/// other reports this one must arrive, or what stands behind the descriptors would be missing.
pub(crate) fn report_ready(control: BorrowedFd<'_>, handed: &[BorrowedFd<'_>]) -> Result<()> {
    let bytes = Report::Ready.to_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDED_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !handed.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(handed)) {
        return Err(Errno::TOOBIG);
    }
    let said = rustix::net::sendmsg(control, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL);
    said.map(drop)
}

/// Waits for the first report, with the descriptors that come with it, in the order they were handed in.
pub(crate) fn receive_first(control: BorrowedFd<'_>) -> Result<(Option<Report>, Vec<OwnedFd>)> {
    let mut bytes = [0; REPORT_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDED_MAX))];
    loop {
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        match rustix::net::recvmsg(control, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags) {
            Ok(message) => {
                let handed = ancillary
                    .drain()
                    .filter_map(|message| match message {
                        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                        _ => None,
                    })
                    .flatten()
                    .collect();
                return Ok((Report::from_bytes(&bytes[..message.bytes.min(REPORT_BYTES)]), handed));
            }
            Err(Errno::INTR | Errno::CONNRESET) => {}
            Err(error) => return Err(error),
        }
    }
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

/// From the supervisor: stop every process of the jail; no signal has this number.
pub(crate) const FREEZE: u8 = 254;

/// From the supervisor: continue every process of the jail.
pub(crate) const THAW: u8 = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_come_with_the_first_report() {
        use std::io::{Read, Write};
        use std::os::fd::AsFd;

        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        report_ready(theirs.as_fd(), &[writer.as_fd()]).unwrap();
        drop(writer);
        let (report, mut handed) = receive_first(ours.as_fd()).unwrap();
        assert_eq!((report, handed.len()), (Some(Report::Ready), 1));
        std::fs::File::from(handed.remove(0)).write_all(b"through").unwrap();
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "through");
        drop(theirs);
        assert_eq!(receive_first(ours.as_fd()).unwrap().0, None);
    }

    #[test]
    fn reports_read_back_and_nothing_else_does() {
        let all = [
            Report::Failed { step: 7, error: 13 },
            Report::Ready,
            Report::NotExecuted { error: 2 },
            Report::Ended { status: 0x0900 },
            Report::Stopped { signal: 20 },
        ];
        for report in all {
            assert_eq!(Report::from_bytes(&report.to_bytes()), Some(report));
        }
        assert_eq!(Report::from_bytes(&[]), None);
        assert_eq!(Report::from_bytes(&[9; 12]), None);
    }
}
