//! What the library tells of its work, shown on the terminal.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use aseptic_runner::{Event, Observer, Stopped, Stream, TerminalSize};

use crate::command::label::warn_of_typos;
use crate::context::Context;
use crate::progress::Line;
use crate::signals::Interrupt;
use crate::terminal::Console;

/// What of a job's output is shown, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nothing; there is no job.
    Nothing,
    /// Each stream on the same stream of ours.
    Streams,
    /// Both on standard error: standard output is for the document.
    Stderr,
}

/// Draws progress and passes the job's output on.
#[derive(Debug)]
pub(crate) struct Shower<'c> {
    context: &'c Context,
    shown: Shown,
    line: Option<Line>,
    stdout: io::Stdout,
    stderr: io::Stderr,
    /// The end of what the job printed.
    tail: VecDeque<u8>,
    console: Console,
    interrupt: Option<Interrupt>,
    reused: bool,
}

/// How much of it is looked at for the reason of a failure: the last lines of a traceback.
const TAIL_BYTES: usize = 4 << 10;

impl Observer for Shower<'_> {
    fn event(&mut self, event: Event<'_>) {
        if !matches!(event, Event::Searched(_) | Event::Import(_) | Event::Transfer(_) | Event::Drill { .. })
        {
            self.line = None; // It is gone before anything else is printed.
        }
        match event {
            Event::Searched(runs) => {
                if let Some(line) = self.line() {
                    line.searched(runs);
                }
            }
            Event::Import(progress) => {
                if let Some(line) = self.line() {
                    line.files(&progress);
                }
            }
            Event::Transfer(transfer) => {
                if let Some(line) = self.line() {
                    line.transfer(&transfer);
                }
            }
            Event::Output(stream, bytes) => {
                self.print(stream, bytes);
            }
            Event::Note(note) => self.context.say(format_args!("note: {note}")),
            Event::Recovered(run) => self.context.say(format_args!(
                "note: sealed run {run} as aborted, since its supervisor had died; its outputs are kept"
            )),
            Event::Planned { run, plan, digest } => {
                let command = crate::table::command(&plan.command);
                self.context.say(format_args!("run {run}  plan {}  {command}", digest.short()));
                warn_of_typos(self.context, &plan.labels);
            }
            Event::Reused { run, planned } => {
                self.reused = true;
                self.context.say(format_args!(
                    "reused run {run} of {planned}: an equal plan, and its outputs are intact; nothing was started"
                ));
            }
            Event::Sealing => self.console.leave(),
            Event::Decided(_) | Event::Started => {}
            Event::Drill { attempt, done, total } => {
                if let Some(line) = self.line() {
                    line.attempt(attempt, done, total);
                }
            }
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.as_ref().is_some_and(Interrupt::is_seen)
    }

    fn sink(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        match (self.shown, stream) {
            (Shown::Nothing, _) | (_, Stream::Stdin) => None,
            (Shown::Streams, Stream::Stdout) => Some(self.stdout.as_fd()),
            (Shown::Streams, Stream::Stderr) | (Shown::Stderr, _) => Some(self.stderr.as_fd()),
        }
    }

    fn output(&mut self, stream: Stream, bytes: &[u8]) -> Option<usize> {
        let shown = self.console.show(stream, bytes);
        shown.or_else(|| self.print(stream, bytes).then_some(bytes.len()))
    }

    fn input(&self) -> Option<BorrowedFd<'_>> {
        self.console.input()
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.console.read(buffer)
    }

    fn terminal_size(&self) -> Option<TerminalSize> {
        self.console.size()
    }

    fn can_stop(&self) -> bool {
        self.console.can_stop()
    }

    fn stopped(&mut self) -> Stopped {
        self.console.stop()
    }

    fn continued(&mut self) {
        self.console.continued();
    }

    fn refresh(&mut self) {
        self.console.refresh();
    }
}

impl<'c> Shower<'c> {
    pub(crate) fn new(context: &'c Context, shown: Shown) -> Self {
        Self {
            context,
            shown,
            line: None,
            stdout: io::stdout(),
            stderr: io::stderr(),
            console: Console::nothing(),
            interrupt: None,
            reused: false,
            tail: VecDeque::new(),
        }
    }
}

impl Shower<'_> {
    /// The end of what the job printed, on both streams.
    pub(crate) fn into_tail(mut self) -> Vec<u8> {
        std::mem::take(&mut self.tail).into()
    }

    /// Whether the result of another run was given instead of a run.
    pub(crate) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Shows a job that has these streams.
    pub(crate) fn with(mut self, console: Console) -> Self {
        self.console = console;
        self
    }

    /// Shows work that the user may end.
    pub(crate) fn until(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = Some(interrupt);
        self
    }

    /// False when nobody reads there any more.
    fn print(&mut self, stream: Stream, bytes: &[u8]) -> bool {
        self.tail.extend(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
        self.console.shown(stream, bytes);
        // Other errors, such as of a full disk, lose only what is shown: the log keeps every byte.
        let written = match (self.shown, stream) {
            (Shown::Nothing, _) | (_, Stream::Stdin) => Ok(()),
            (Shown::Streams, Stream::Stdout) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
            (Shown::Streams, Stream::Stderr) | (Shown::Stderr, _) => io::stderr().lock().write_all(bytes),
        };
        !written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The line to draw on, if somebody looks.
    fn line(&mut self) -> Option<&mut Line> {
        let seen = !self.context.quiet() && io::stderr().is_terminal();
        seen.then(|| self.line.get_or_insert_with(Line::new))
    }
}

impl Drop for Shower<'_> {
    fn drop(&mut self) {
        self.line = None;
        self.console.finish(!self.context.quiet());
    }
}
