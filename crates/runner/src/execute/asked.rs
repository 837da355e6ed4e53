//! What is asked of the supervisor while the job runs.

use aseptic_sandbox::Ended;

use super::{Cause, Supervisor};
use crate::desk::{Answer, Asked, Desk, Wish};
use crate::observer::{Event, Observer};

/// Most remarks that a record keeps, so that nobody makes it endless.
const TOLD_MAX: usize = 64;

/// Where things are asked for, and what was.
#[derive(Debug)]
pub(super) struct Requests {
    pub(super) desk: Desk,
    /// Whoever asked that the run stop waits until these are dropped.
    pub(super) stopping: Vec<Asked>,
    /// Who asked for it when the job was already over.
    late: Option<String>,
    pub(super) told: Vec<String>,
}

impl Requests {
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk, stopping: Vec::new(), late: None, told: Vec::new() }
    }
}

impl Supervisor {
    pub(super) fn attend(&mut self, is_over: bool, observer: &mut dyn Observer) {
        for mut asked in self.requests.desk.take() {
            match asked.wish.clone() {
                Wish::Revoke(grant) => match &mut self.network {
                    Some(network) => network.revoke(&grant, asked),
                    None => asked.answer(Answer::Unknown),
                },
                Wish::Stop(who) => {
                    asked.answer(Answer::Done(0));
                    self.requests.stopping.push(asked);
                    match is_over {
                        true => self.requests.late = Some(who),
                        false => self.clock.asked_to_stop(who, &self.running),
                    }
                }
                Wish::Tell(what) => {
                    observer.event(Event::Note(&what));
                    if self.requests.told.len() < TOLD_MAX {
                        self.requests.told.push(what);
                    }
                    asked.answer(Answer::Done(0));
                }
            }
        }
    }

    /// A job that was killed while this process could not listen ended because somebody asked for it.
    pub(super) fn stopped_from_outside(&mut self, ended: Ended) {
        if let Some(who) = self.requests.late.take()
            && ended == Ended::Killed
        {
            self.clock.cause.get_or_insert(Cause::Asked(who));
        }
    }
}
