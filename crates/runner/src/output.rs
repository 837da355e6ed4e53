//! What the job prints: shown as it comes, and kept up to a bound.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;

use aseptic_model::Keep;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::home::{HomeError, io_error};
use crate::observer::{Observer, Stream};

/// Bytes of each stream that are kept; what comes after is passed on and counted. Enough for a week of
/// progress bars, and a job that prints without end does not fill the disk.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Bytes of each stream that leave a run of which only metrics are kept, shown or kept: enough for the message of an
/// error. What an evaluation prints leaves it as its metrics do.
pub(crate) const LITTLE_BYTES_MAX: u64 = 8 << 10;

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

/// Whether there is something to read, or the end.
fn has_more(from: &File) -> bool {
    let mut polled = [PollFd::new(from, PollFlags::IN)];
    let none = Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        match rustix::event::poll(&mut polled, Some(&none)) {
            Err(Errno::INTR) => {}
            other => return other.is_ok_and(|ready| ready > 0),
        }
    }
}

/// Bytes of one stream in the directory of the run, up to a bound.
pub(crate) struct Log {
    file: File,
    path: String,
    most: u64,
    kept: u64,
    pub(crate) dropped: u64,
}

impl Log {
    pub(crate) fn new(path: &Path) -> Result<Self, HomeError> {
        let file = File::create_new(path).map_err(|source| io_error("make", path, source))?;
        Ok(Self { file, path: path.display().to_string(), most: LOG_BYTES_MAX, kept: 0, dropped: 0 })
    }

    /// A full disk loses the rest of the log, counted, and not the run.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        let length = bytes.len();
        let room = usize::try_from(self.most - self.kept).unwrap_or(usize::MAX).min(length);
        let (keep, drop) = bytes.split_at(room);
        if self.dropped == 0 && self.file.write_all(keep).is_ok() {
            self.kept += keep.len() as u64;
            self.dropped += drop.len() as u64;
        } else {
            self.dropped += length as u64;
        }
    }
}

/// A stream of the job: shown, and kept up to a bound.
pub(crate) struct Tee {
    pub(crate) stream: Stream,
    /// A pipe, or the terminal of the job, until one of its sides is closed.
    pub(crate) from: Option<File>,
    /// Until whoever reads our output takes more. Nothing is read from the job meanwhile, so that it
    /// waits too, and not the supervisor.
    pub(crate) waiting: bool,
    pub(crate) log: Log,
    /// How many bytes more are shown, where that is bounded.
    room: Option<u64>,
    buffer: Vec<u8>,
    /// What of the buffer was kept and not shown yet.
    unshown: Range<usize>,
}

impl Tee {
    pub(crate) fn new(stream: Stream, from: File, path: &Path, keep: Keep) -> Result<Self, HomeError> {
        let mut log = Log::new(path)?;
        let room = (keep == Keep::Metrics).then_some(LITTLE_BYTES_MAX);
        log.most = room.unwrap_or(LOG_BYTES_MAX);
        let buffer = vec![0; CHUNK_BYTES];
        Ok(Self { stream, from: Some(from), waiting: false, log, room, buffer, unshown: 0..0 })
    }

    /// Shows what one read gives, or what is left of the last. It is kept first: what was seen is in the log.
    pub(crate) fn pump(&mut self, observer: &mut dyn Observer) -> Result<(), HomeError> {
        if self.unshown.is_empty() {
            let length = self.take()?.len();
            self.unshown = 0..length;
        }
        let bytes = self.buffer.get(self.unshown.clone()).unwrap_or(&[]);
        match observer.output(self.stream, bytes) {
            Some(length) => self.unshown.start += length.min(bytes.len()),
            None => (self.from, self.unshown) = (None, 0..0), // The job finds its pipe broken, as we did.
        }
        self.waiting = !self.unshown.is_empty();
        Ok(())
    }

    /// Everything that was not shown. Nothing writes any more.
    ///
    /// That is when there is nothing more, not when every other side is closed: a job can leave one in a
    /// message to itself, which the kernel finds when it collects such sockets, and that may take hours.
    pub(crate) fn rest(&mut self) -> Result<Vec<Vec<u8>>, HomeError> {
        let left = self.buffer.get(self.unshown.clone()).unwrap_or(&[]).to_vec();
        let mut rest = vec![left];
        while let Some(from) = &self.from
            && has_more(from)
        {
            rest.push(self.take()?.to_vec());
        }
        self.from = None;
        Ok(rest)
    }

    /// Keeps what one read gives, and gives what of it may be shown.
    fn take(&mut self) -> Result<&[u8], HomeError> {
        let Some(from) = &mut self.from else { return Ok(&[]) };
        let length = match from.read(&mut self.buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(&[]),
            // The job itself took what was there.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(&[]),
            // So a terminal says that nobody has it open any more.
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => 0,
            Err(error) => return Err(io_error("read the output for", Path::new(&self.log.path), error)),
        };
        let bytes = self.buffer.get(..length).unwrap_or(&[]);
        if bytes.is_empty() {
            self.from = None;
        }
        self.log.keep(bytes);
        let Some(room) = &mut self.room else { return Ok(bytes) };
        let shown = usize::try_from(*room).unwrap_or(usize::MAX).min(bytes.len());
        *room -= shown as u64;
        Ok(bytes.get(..shown).unwrap_or(&[]))
    }
}
