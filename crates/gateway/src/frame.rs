//! Frames of the conversation between a gateway and its supervisor: four bytes of length (little endian),
//! then that many bytes of JSON.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest frame: a thousand hosts fit, and a gateway that was taken over cannot fill its supervisor.
pub(crate) const FRAME_BYTES_MAX: usize = 1 << 20;

/// Bytes of the length before each frame.
pub(crate) const HEADER_BYTES: usize = 4;

/// Why a conversation cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A system call failed.
    #[error("could not {step}")]
    Io {
        /// What was done.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A frame is longer than any may be.
    #[error("a frame of {0} bytes is too long")]
    TooLong(usize),
    /// A frame is not what belongs there.
    #[error("a frame cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// The settings came with other descriptors than they name.
    #[error("the descriptors are not those that were named")]
    Descriptors,
    /// The other side is gone.
    #[error("the other side ended the conversation")]
    Ended,
}

impl ProtocolError {
    pub(crate) fn io(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { step, source }
    }
}

/// The bytes of one frame.
pub(crate) fn to_frame(message: &impl Serialize) -> Result<Vec<u8>, ProtocolError> {
    let mut frame = vec![0; HEADER_BYTES];
    serde_json::to_writer(&mut frame, message).map_err(ProtocolError::Malformed)?;
    let length = frame.len() - HEADER_BYTES;
    let header = u32::try_from(length).ok().filter(|_| length <= FRAME_BYTES_MAX);
    let header = header.ok_or(ProtocolError::TooLong(length))?;
    frame[..HEADER_BYTES].copy_from_slice(&header.to_le_bytes());
    Ok(frame)
}

/// The length that a header says.
pub(crate) fn body_length(header: [u8; HEADER_BYTES]) -> Result<usize, ProtocolError> {
    let length = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX { Err(ProtocolError::TooLong(length)) } else { Ok(length) }
}

/// Takes a stream of bytes apart, in whatever pieces they come. Holds at most one frame and one piece.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    /// How many of them were taken.
    taken: usize,
}

impl Frames {
    /// Takes in a piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(piece);
    }

    /// The next whole message, if there is one.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ProtocolError> {
        let rest = &self.bytes[self.taken..];
        let Some((header, rest)) = rest.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let length = body_length(*header)?;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(body).map_err(ProtocolError::Malformed)?;
        self.taken += HEADER_BYTES + length;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Order;

    #[test]
    fn frames_come_apart_wherever_they_are_cut() {
        let orders =
            [Order::Finish, Order::Revoke { grant: "example.org:443".parse().unwrap() }, Order::Finish];
        let bytes: Vec<u8> = orders.iter().flat_map(|order| to_frame(order).unwrap()).collect();
        for size in 1..bytes.len() {
            let mut frames = Frames::default();
            let mut read = Vec::new();
            for piece in bytes.chunks(size) {
                frames.push(piece);
                while let Some(order) = frames.next::<Order>().unwrap() {
                    read.push(order);
                }
            }
            assert_eq!(read, orders, "pieces of {size} bytes");
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_before_it_is_there() {
        let mut frames = Frames::default();
        frames.push(&u32::MAX.to_le_bytes());
        assert!(matches!(frames.next::<Order>(), Err(ProtocolError::TooLong(_))));
    }

    #[test]
    fn unknown_fields_are_refused() {
        let mut frames = Frames::default();
        frames.push(&to_frame(&serde_json::json!({"order": "revoke", "grant": "h:1", "more": 1})).unwrap());
        assert!(matches!(frames.next::<Order>(), Err(ProtocolError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(pieces in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
            let mut frames = Frames::default();
            for piece in pieces {
                frames.push(&piece);
                while let Ok(Some(_)) = frames.next::<crate::Report>() {}
            }
        }
    }
}
