//! Follows the requests of one connection.

use super::HEAD_BYTES_MAX;
use super::head::{After, Expected, judge, judge_trailers};
use crate::Why;

/// Most digits of the length of a chunk.
const CHUNK_DIGITS_MAX: usize = 15;

/// Reads all bytes of a client, and lets no byte of a head pass before the whole of it was judged.
#[derive(Debug)]
pub(crate) struct Inspector {
    expected: Expected,
    place: Place,
}

/// What comes next in a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Head,
    /// So many bytes of a body, and then a head.
    Body(u64),
    ChunkLength,
    /// So many bytes of a chunk, and then the end of its line.
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// A frame of a WebSocket, or a head.
    WebSocket,
    /// Anything.
    Open,
}

/// What becomes of the bytes of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// So many of them pass. The others, which may be all, are shown again with more behind them.
    Pass(usize),
    /// These and all that follow pass.
    Open,
    /// Nothing may follow what passed before.
    Refuse(Why),
}

impl Inspector {
    /// For a connection from its first byte on.
    pub(crate) fn new(expected: Expected) -> Self {
        Self { expected, place: Place::Head }
    }

    /// Looks at the bytes behind those that passed. Where a client ends before all have passed, the rest is no
    /// whole request, and need not be sent.
    pub(crate) fn look(&mut self, bytes: &[u8]) -> Verdict {
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            match self.step(rest) {
                Ok(_) if self.place == Place::Open && passed == 0 => return Verdict::Open,
                Ok(_) if self.place == Place::Open => break,
                Ok(0) => break,
                Ok(length) => passed += length,
                Err(why) => return Verdict::Refuse(why),
            }
        }
        Verdict::Pass(passed)
    }

    /// How many of these bytes, which are at least one, pass. None do only where more are needed.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Why> {
        match self.place {
            Place::Head => self.head(bytes),
            Place::Body(left) => Ok(self.content(bytes, left, Place::Head, Place::Body)),
            Place::ChunkLength => self.chunk_length(bytes),
            Place::Chunk(left) => Ok(self.content(bytes, left, Place::ChunkEnd, Place::Chunk)),
            Place::ChunkEnd => match bytes {
                [b'\r', b'\n', ..] => Ok(self.go(Place::ChunkLength, 2)),
                [b'\r'] => Ok(0),
                _ => Err(Why::Malformed),
            },
            Place::Trailers => self.trailers(bytes),
            Place::WebSocket => self.web_socket(bytes),
            Place::Open => Ok(bytes.len()),
        }
    }

    fn go(&mut self, place: Place, passed: usize) -> usize {
        self.place = place;
        passed
    }

    /// Passes what is there of `left` bytes.
    fn content(&mut self, bytes: &[u8], left: u64, then: Place, more: fn(u64) -> Place) -> usize {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        match left.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX)) {
            0 => self.go(then, here),
            left => self.go(more(left), here),
        }
    }

    fn head(&mut self, bytes: &[u8]) -> Result<usize, Why> {
        match bytes {
            [b'\r', b'\n', ..] => return Ok(2), // Servers pass over empty lines before a request.
            [b'\r'] => return Ok(0),
            [0x80..=u8::MAX, ..] => return Err(Why::Malformed), // No method, so nothing to wait for.
            _ => {}
        }
        let Some(head) = Self::section(bytes)? else { return Ok(0) };
        let place = match judge(head, &self.expected)? {
            After::Request => Place::Head,
            After::Body(length) => Place::Body(length),
            After::Chunks => Place::ChunkLength,
            After::WebSocket => Place::WebSocket,
        };
        Ok(self.go(place, head.len()))
    }

    fn trailers(&mut self, bytes: &[u8]) -> Result<usize, Why> {
        match bytes {
            [b'\r', b'\n', ..] => return Ok(self.go(Place::Head, 2)),
            [b'\r'] => return Ok(0),
            _ => {}
        }
        let Some(section) = Self::section(bytes)? else { return Ok(0) };
        judge_trailers(section)?;
        Ok(self.go(Place::Head, section.len()))
    }

    /// Lines up to an empty one, if they are complete. Their ends are CR LF, and no other control byte but a tab
    /// is in them: servers do not agree on what those mean.
    ///
    /// Looks at every byte each time: those that were shown before may be other ones now, if the client sent them by
    /// reference (sendfile).
    fn section(bytes: &[u8]) -> Result<Option<&[u8]>, Why> {
        let bytes = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
        let mut seen = 0;
        while let Some(rest) = bytes.get(seen..) {
            let text = rest.iter().position(|byte| byte.is_ascii_control() && *byte != b'\t');
            let text = text.unwrap_or(rest.len());
            seen += text;
            match rest.get(text..) {
                Some([b'\r', b'\n', b'\r', b'\n', ..]) => return Ok(bytes.get(..seen + 4)),
                None | Some([] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r']) => break,
                Some([b'\r', b'\n', ..]) => seen += 2,
                Some(_) => return Err(Why::Malformed),
            }
        }
        if bytes.len() < HEAD_BYTES_MAX { Ok(None) } else { Err(Why::Malformed) }
    }

    /// A line with the length of a chunk and nothing else: what else may stand there is read in many ways.
    fn chunk_length(&mut self, bytes: &[u8]) -> Result<usize, Why> {
        let length = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (digits, rest) = bytes.split_at(length);
        match rest {
            _ if length > CHUNK_DIGITS_MAX => Err(Why::Malformed),
            [] => Ok(0),
            [b'\r'] if length > 0 => Ok(0),
            [b'\r', b'\n', ..] => {
                let digits = str::from_utf8(digits).map_err(|_| Why::Malformed)?;
                let place = match u64::from_str_radix(digits, 16).map_err(|_| Why::Malformed)? {
                    0 => Place::Trailers,
                    size => Place::Chunk(size),
                };
                Ok(self.go(place, length + 2))
            }
            _ => Err(Why::Malformed),
        }
    }

    /// The first frame of a client has a known type, and is masked, which is the high bit of the second byte.
    ///
    /// Source: RFC 6455, section 5.2.
    fn web_socket(&mut self, bytes: &[u8]) -> Result<usize, Why> {
        match bytes {
            [_] => Ok(0),
            [first, 0x80..=u8::MAX, ..]
                if matches!((first & 15, first & 0x8f), (1 | 2, _) | (_, 0x88..=0x8a)) =>
            {
                Ok(self.go(Place::Open, bytes.len()))
            }
            _ => {
                self.go(Place::Head, 0);
                self.head(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests;
