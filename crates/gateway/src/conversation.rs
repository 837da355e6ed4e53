//! The supervisor's side of a running gateway. Never waits: the supervisor polls the descriptor.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::SendFlags;

use crate::frame::{Frames, ProtocolError, to_frame};
use crate::{Order, Report};

/// Most bytes that one [`Conversation::read`] takes, so that a gateway that was taken over cannot keep its
/// supervisor busy.
const READ_BYTES_MAX: usize = 1 << 20;

const PIECE_BYTES: usize = 64 << 10;

/// Reports of a gateway, and orders to it. Readable when there is something to [`read`](Self::read).
#[derive(Debug)]
pub struct Conversation {
    stream: UnixStream,
    frames: Frames,
}

impl Conversation {
    /// Goes on with a stream on which [`hand_over`](crate::hand_over) was done.
    ///
    /// # Errors
    /// The stream cannot be made non-blocking.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, frames: Frames::default() })
    }

    /// What was reported since, which may be nothing.
    ///
    /// # Errors
    /// [`ProtocolError::Ended`] when the gateway is gone and all that it said was read; every other error
    /// means that what it says cannot be trusted any more.
    pub fn read(&mut self) -> Result<Vec<Report>, ProtocolError> {
        let mut reports = Vec::new();
        let mut piece = [0; PIECE_BYTES];
        let mut read = 0;
        while read < READ_BYTES_MAX {
            let length = match self.stream.read(&mut piece) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // It ended before it had read every order.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                Err(error) => return Err(ProtocolError::Io { step: "read reports", source: error }),
            };
            if length == 0 && reports.is_empty() {
                return Err(ProtocolError::Ended);
            }
            if length == 0 {
                break;
            }
            read += length;
            self.frames.push(&piece[..length]);
            while let Some(report) = self.frames.next()? {
                reports.push(report);
            }
        }
        Ok(reports)
    }

    /// Gives an order.
    ///
    /// # Errors
    /// The gateway is gone, or has not read a hundred orders before this one.
    pub fn send(&mut self, order: &Order) -> Result<(), ProtocolError> {
        let frame = to_frame(order)?;
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(&self.stream, &frame, flags));
        let sent = sent.map_err(io::Error::from).map_err(ProtocolError::io("give an order"))?;
        // An order is far shorter than the socket's buffer, which takes it whole or not at all.
        if sent == frame.len() { Ok(()) } else { Err(ProtocolError::Ended) }
    }
}

impl AsFd for Conversation {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn reports_are_read_as_they_come_and_the_end_comes_last() {
        let (mut gateway, supervisor) = UnixStream::pair().unwrap();
        let mut conversation = Conversation::new(supervisor).unwrap();
        assert_eq!(conversation.read().unwrap(), []);
        let frame = to_frame(&Report::Ready).unwrap();
        gateway.write_all(&frame[..3]).unwrap();
        assert_eq!(conversation.read().unwrap(), []);
        gateway.write_all(&frame[3..]).unwrap();
        gateway.write_all(&to_frame(&Report::Finished).unwrap()).unwrap();
        drop(gateway);
        assert_eq!(conversation.read().unwrap(), [Report::Ready, Report::Finished]);
        assert!(matches!(conversation.read(), Err(ProtocolError::Ended)));
    }

    #[test]
    fn a_gateway_that_reads_no_orders_does_not_block_its_supervisor() {
        let (gateway, supervisor) = UnixStream::pair().unwrap();
        let mut conversation = Conversation::new(supervisor).unwrap();
        while conversation.send(&Order::Finish).is_ok() {}
        drop(gateway);
        assert!(conversation.send(&Order::Finish).is_err());
    }

    #[test]
    fn what_is_no_report_is_an_error() {
        let (mut gateway, supervisor) = UnixStream::pair().unwrap();
        let mut conversation = Conversation::new(supervisor).unwrap();
        gateway.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
        assert!(conversation.read().is_err());
    }
}
