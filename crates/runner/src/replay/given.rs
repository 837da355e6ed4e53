//! What a replay is given on standard input: the bytes that were kept of it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

use aseptic_sandbox::TerminalSize;

use crate::observer::{Event, Observer, Stopped, Stream};

/// An observer whose input is a file.
pub(super) struct Given<'o> {
    pub(super) observer: &'o mut dyn Observer,
    pub(super) input: Option<File>,
}

impl Observer for Given<'_> {
    fn event(&mut self, event: Event<'_>) {
        self.observer.event(event);
    }

    fn is_interrupted(&self) -> bool {
        self.observer.is_interrupted()
    }

    fn sink(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        self.observer.sink(stream)
    }

    fn output(&mut self, stream: Stream, bytes: &[u8]) -> Option<usize> {
        self.observer.output(stream, bytes)
    }

    fn input(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().map(File::as_fd) // A file is always readable.
    }

    fn refresh(&mut self) {
        self.observer.refresh();
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.as_mut().map_or(Ok(0), |input| input.read(buffer))
    }

    fn terminal_size(&self) -> Option<TerminalSize> {
        self.observer.terminal_size()
    }

    fn can_stop(&self) -> bool {
        self.observer.can_stop()
    }

    fn stopped(&mut self) -> Stopped {
        self.observer.stopped()
    }

    fn continued(&mut self) {
        self.observer.continued();
    }
}
