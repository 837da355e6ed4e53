//! What the job prints: shown as it comes, and kept up to a bound.

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::home::{HomeError, io_error};
use crate::observer::{Event, Observer, Stream};

/// Bytes of each stream that are kept; what comes after is shown and counted. Enough for a week of
/// progress bars, and a job that prints without end does not fill the disk.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Bytes taken at once: what a pipe that is ready takes without waiting (`PIPE_BUF`).
const CHUNK_BYTES: usize = 4_096;

/// Whether a write of [`CHUNK_BYTES`] to the sink does not wait. No sink takes everything.
pub(crate) fn is_writable(sink: Option<std::os::fd::BorrowedFd<'_>>) -> bool {
    sink.is_none_or(|sink| {
        let mut polled = [PollFd::from_borrowed_fd(sink, PollFlags::OUT)];
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        // A sink that cannot be asked gets what it gets.
        rustix::event::poll(&mut polled, Some(&none)).is_err() || !polled[0].revents().is_empty()
    })
}

/// A stream of the job: shown, and kept up to a bound.
pub(crate) struct Tee {
    pub(crate) stream: Stream,
    pub(crate) pipe: PipeReader,
    pub(crate) open: bool,
    /// Until whoever reads our output takes more. Nothing is read from the job meanwhile, so that it
    /// waits too, and not the supervisor.
    pub(crate) waiting: bool,
    file: File,
    path: String,
    kept: u64,
    pub(crate) dropped: u64,
    buffer: Vec<u8>,
}

impl Tee {
    pub(crate) fn new(stream: Stream, pipe: PipeReader, path: &Path) -> Result<Self, HomeError> {
        let file = File::create_new(path).map_err(|source| io_error("make", path, source))?;
        let path = path.display().to_string();
        Ok(Self {
            stream,
            pipe,
            open: true,
            file,
            path,
            kept: 0,
            dropped: 0,
            waiting: false,
            buffer: vec![0; CHUNK_BYTES],
        })
    }

    /// Shows what one read gives. It is kept first: what was seen is in the log.
    pub(crate) fn pump(&mut self, observer: &mut dyn Observer) -> Result<(), HomeError> {
        let stream = self.stream;
        observer.event(Event::Output(stream, self.take()?));
        Ok(())
    }

    /// Keeps what one read gives. A full disk loses the rest of the log, counted, and not the run.
    pub(crate) fn take(&mut self) -> Result<&[u8], HomeError> {
        let length = match self.pipe.read(&mut self.buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(&[]),
            // The job itself took what was there.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(&[]),
            Err(error) => return Err(io_error("read the output for", Path::new(&self.path), error)),
        };
        let bytes = self.buffer.get(..length).unwrap_or(&[]);
        self.open = !bytes.is_empty();
        let room = usize::try_from(LOG_BYTES_MAX - self.kept).unwrap_or(usize::MAX).min(length);
        let (keep, drop) = bytes.split_at(room);
        if self.dropped == 0 && self.file.write_all(keep).is_ok() {
            self.kept += keep.len() as u64;
            self.dropped += drop.len() as u64;
        } else {
            self.dropped += length as u64;
        }
        Ok(bytes)
    }
}
