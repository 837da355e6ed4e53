//! What happens during a use case, for whoever shows it to a person.

use aseptic_model::{Decision, Digest, Plan, RunId};
use aseptic_store::Progress;

/// One event of a use case.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// An import has come this far.
    Import(Progress),
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
    /// The plan was decided.
    Decided(&'a Decision),
    /// The job starts.
    Started,
    /// The job printed this.
    Output(Stream, &'a [u8]),
    /// The job is over; its outputs are being stored.
    Sealing,
}

/// A standard stream of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes events as they happen.
pub trait Observer {
    /// Called from the thread of the use case; what takes long here delays the job.
    fn event(&mut self, event: Event<'_>);

    /// Where the job's output goes, if a write there may have to wait for a reader. Output is handed over
    /// only when it takes some without waiting.
    fn sink(&self, _stream: Stream) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

impl<F: FnMut(Event<'_>)> Observer for F {
    fn event(&mut self, event: Event<'_>) {
        self(event);
    }
}

/// Signals that reached this process and are meant for the job.
pub trait Signals {
    /// A descriptor that becomes readable when there are any.
    fn descriptor(&self) -> std::os::fd::BorrowedFd<'_>;

    /// Their numbers, the oldest first. Never blocks.
    fn take(&mut self) -> Vec<i32>;
}
