//! What a job attempted, collected while it runs.
//!
//! A thread of its own answers: the job waits for each answer, and a file system that does not answer
//! must not keep the supervisor from ending the job. Nothing is looked up on the host meanwhile; how long
//! that takes would tell the job what is there. See `explain.rs`.
//!
//! **Invariant:** bounded, whatever the job does. What does not fit is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;

use aseptic_sandbox::{Action, Attempt, AttemptListener, Target, Verdict};

/// Different targets that are remembered. Most jobs miss some dozens, nearly all of them on no machine.
const TARGETS_MAX: usize = 8_192;

/// Bytes of their names.
const NAME_BYTES_MAX: usize = 4 << 20;

/// Programs that were found, by name: a shell tries several directories for each.
const PROGRAMS_MAX: usize = 1_024;

/// The thread that answers.
#[derive(Debug)]
pub(crate) struct Listening(JoinHandle<Attempted>);

/// What was attempted and might not have been allowed.
#[derive(Debug, Default)]
pub(crate) struct Attempted {
    /// How many attempts there were, allowed or not.
    pub(crate) total: u64,
    /// How many did not fit.
    pub(crate) unlisted: u64,
    /// What was not allowed, and how often.
    pub(crate) refused: BTreeMap<(Action, Object, Verdict), u64>,
    /// Names of programs that could be executed.
    pub(crate) executed: BTreeSet<Vec<u8>>,
    name_bytes: usize,
}

/// A [`Target`] that is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Object {
    Path(Vec<u8>),
    Address(SocketAddr),
}

impl Listening {
    pub(crate) fn start(mut listener: AttemptListener) -> io::Result<Self> {
        let watch = move || {
            let mut attempted = Attempted::default();
            // An error ends the listener, and with it the waiting; what was seen until then is reported.
            let _ = listener.watch(|attempt| attempted.add(&attempt));
            attempted
        };
        std::thread::Builder::new().name("attempts".to_owned()).spawn(watch).map(Self)
    }

    /// What there was. Waits for the end of the jail, which must be certain.
    pub(crate) fn finish(self) -> Attempted {
        self.0.join().unwrap_or_default()
    }
}

impl Attempted {
    pub(crate) fn add(&mut self, attempt: &Attempt<'_>) {
        self.total += 1;
        if attempt.verdict == Verdict::Allowed {
            if let (Action::Execute, Target::Path(path)) = (attempt.action, attempt.target)
                && self.executed.len() < PROGRAMS_MAX
            {
                self.executed.insert(name_of(path).to_vec());
            }
            return;
        }
        let object = match attempt.target {
            Target::Path(path) => Object::Path(path.to_vec()),
            Target::Address(address) => Object::Address(address),
        };
        self.refuse(attempt.action, object, attempt.verdict);
    }

    pub(crate) fn refuse(&mut self, action: Action, object: Object, verdict: Verdict) {
        let bytes = match &object {
            Object::Path(path) => path.len(),
            Object::Address(_) => size_of::<SocketAddr>(),
        };
        let key = (action, object, verdict);
        if let Some(count) = self.refused.get_mut(&key) {
            *count += 1;
        } else if self.refused.len() < TARGETS_MAX && self.name_bytes + bytes <= NAME_BYTES_MAX {
            self.name_bytes += bytes;
            self.refused.insert(key, 1);
        } else {
            self.unlisted += 1;
        }
    }
}

pub(crate) fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(path: &[u8]) -> Attempt<'_> {
        Attempt { action: Action::Open, target: Target::Path(path), verdict: Verdict::Missing }
    }

    #[test]
    fn a_flood_of_names_is_bounded_and_counted() {
        let mut attempted = Attempted::default();
        for number in 0..20_000 {
            attempted.add(&missing(format!("/absent/{number}").as_bytes()));
        }
        assert_eq!((attempted.refused.len(), attempted.unlisted), (TARGETS_MAX, 20_000 - 8_192));
        attempted.add(&missing(b"/absent/1"));
        assert_eq!((attempted.total, attempted.unlisted), (20_001, 20_000 - 8_192));

        let mut attempted = Attempted::default();
        for number in 0..4_096 {
            attempted.add(&missing(format!("/{number:04000}").as_bytes()));
        }
        assert!(attempted.name_bytes <= NAME_BYTES_MAX && attempted.unlisted > 3_000);
    }
}
