//! What happens during a use case, for whoever shows it to a person.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;

use aseptic_model::{Decision, Digest, Plan, RunId, Timestamp};
use aseptic_sandbox::TerminalSize;
use aseptic_store::Progress;

/// One event of a use case.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// An import has come this far.
    Import(Progress),
    /// Files are on their way to or from an archive.
    Transfer(Transfer),
    /// So many runs were looked at.
    Searched(u64),
    /// Something that the user should know and that changes nothing.
    Note(&'a str),
    /// An orphaned run was sealed as aborted.
    Recovered(&'a RunId),
    /// The plan stands.
    Planned {
        /// The run it is for.
        run: &'a RunId,
        /// The plan.
        plan: &'a Plan,
        /// Its digest.
        digest: &'a Digest,
    },
    /// There is no run: the result of this one, of an equal plan, is given instead.
    Reused {
        /// The run.
        run: &'a RunId,
        /// When it was planned.
        planned: Timestamp,
    },
    /// The plan was decided.
    Decided(&'a Decision),
    /// The job starts.
    Started,
    /// The job printed this.
    Output(Stream, &'a [u8]),
    /// The job is over; its outputs are being stored.
    Sealing,
    /// The next attempt of a drill.
    Drill {
        /// Its name.
        attempt: &'a str,
        /// How many are over.
        done: usize,
        /// How many there are.
        total: usize,
    },
}

/// How far files are on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Which way.
    pub step: TransferStep,
    /// Files that arrived.
    pub files: u64,
    /// Files that will; 0 while not known.
    pub files_total: u64,
    /// Bytes that arrived.
    pub bytes: u64,
    /// Bytes that will; 0 while not known.
    pub bytes_total: u64,
}

/// Which way files are going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferStep {
    /// To the archive.
    Send,
    /// Back, to be compared.
    Check,
    /// Back, to be kept.
    Receive,
}

/// A standard stream of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Standard input, of which only what was kept can be asked for.
    Stdin,
}

/// What came of stopping together with the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// This process stopped, too, and was continued.
    AndContinued,
    /// It did not stop, because nobody would continue it.
    Alone,
}

/// Takes events as they happen.
pub trait Observer {
    /// Called from the thread of the use case; what takes long here delays the job.
    fn event(&mut self, event: Event<'_>);

    /// Asked during long work that can go on another time: whether the user wants it to end.
    fn is_interrupted(&self) -> bool {
        false
    }

    /// Where the job's output goes, if a write there may have to wait for a reader. Output is handed over
    /// only when it takes some without waiting.
    fn sink(&self, _stream: Stream) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Shows what the job printed while it runs; returns how many bytes were taken, or nothing when nobody
    /// will ever take any more. Never blocks if [`Observer::sink`] says where it goes and that takes some.
    fn output(&mut self, stream: Stream, bytes: &[u8]) -> Option<usize> {
        self.event(Event::Output(stream, bytes));
        Some(bytes.len())
    }

    /// A descriptor that becomes readable when there is input for the job; none while the job may not
    /// have it.
    fn input(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Called each time before the supervisor waits, which is at least ten times a second: whether the job
    /// may have input can have changed.
    fn refresh(&mut self) {}

    /// Takes input for the job; 0 at its end. Never blocks.
    ///
    /// # Errors
    /// `WouldBlock` if there is none yet; any other is taken for the end.
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    /// Size of the terminal that stands for the job's.
    fn terminal_size(&self) -> Option<TerminalSize> {
        None
    }

    /// Whether [`Observer::stopped`] would stop this process now.
    fn can_stop(&self) -> bool {
        false
    }

    /// The job was stopped, as with Ctrl-Z: blocks until a shell continues this process, if one can.
    fn stopped(&mut self) -> Stopped {
        Stopped::Alone
    }

    /// This process was continued: its terminal may have other modes and another size than before.
    fn continued(&mut self) {}
}

impl<F: FnMut(Event<'_>)> Observer for F {
    fn event(&mut self, event: Event<'_>) {
        self(event);
    }
}

/// Signals that reached this process and are meant for the job.
pub trait Signals {
    /// A descriptor that becomes readable when there are any.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Their numbers, the oldest first. Never blocks.
    fn take(&mut self) -> Vec<i32>;
}

/// Shows how far an import is. Breaks it off when the user wants that.
pub(crate) fn import_progress(observer: &mut dyn Observer) -> impl FnMut(Progress) -> ControlFlow<()> + '_ {
    |progress| {
        observer.event(Event::Import(progress));
        if observer.is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
