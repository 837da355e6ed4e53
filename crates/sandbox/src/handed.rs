//! Descriptors that are made inside of a jail and handed to its supervisor when the jail is ready.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Result;

use crate::jail::{Attempts, Jail};
use crate::message::report_ready;

/// What is handed out, each if the jail asks for it.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// The supervisor's side of the jail's terminal, which does not block.
    pub(crate) terminal: Option<OwnedFd>,
    /// The listener of what the program attempts, and the root directory in which it does.
    pub(crate) attempts: Option<[OwnedFd; 2]>,
}

impl Handed {
    /// In the jail's first process: says that the jail is ready, hands everything out, and keeps nothing.
    pub(crate) fn report(self, control: BorrowedFd<'_>) -> Result<()> {
        let (terminal, attempts) = (self.terminal.as_ref(), self.attempts.as_ref());
        match (terminal.map(AsFd::as_fd), attempts.map(|handed| handed.each_ref().map(AsFd::as_fd))) {
            (None, None) => report_ready(control, &[]),
            (Some(terminal), None) => report_ready(control, &[terminal]),
            (None, Some(attempts)) => report_ready(control, &attempts),
            (Some(terminal), Some([listener, root])) => report_ready(control, &[terminal, listener, root]),
        }
    }

    /// In the supervisor: what came, if it is what `jail` asks for.
    pub(crate) fn received(jail: &Jail, descriptors: Vec<OwnedFd>) -> Option<Self> {
        let mut descriptors = descriptors.into_iter();
        let terminal = match jail.terminal {
            Some(_) => Some(descriptors.next()?),
            None => None,
        };
        let attempts = match jail.attempts {
            Attempts::Seen => Some([descriptors.next()?, descriptors.next()?]),
            Attempts::Unseen => None,
        };
        descriptors.next().is_none().then_some(Self { terminal, attempts })
    }
}
