//! What the entries of the ledger add up to, in one pass with little memory, whatever their number.

use std::collections::{BTreeMap, VecDeque};

use aseptic_model::{Decision, Digest, Entry, Event, Outcome, ProjectName, Refusals, RunId, Timestamp};

use super::document::{DrillLine, Span};

/// Most different values of one kind that are told apart: of rules with their elements, of destinations, of people.
/// Those of a real project are far fewer; a job that makes up names for ever costs no more than this.
const VALUES_MAX: usize = 4_096;

/// Most decided runs that are looked into, the newest.
pub(super) const RUNS_MAX: usize = 2_000;

/// What was asked about a run.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) run: RunId,
    /// Digest of the question; nothing in entries of earlier versions.
    pub(super) requests: Option<Digest>,
    pub(super) outcome: Outcome,
    /// Entry of the decision.
    pub(super) entry: u64,
}

/// Values that are told apart, up to a bound.
#[derive(Debug)]
pub(super) struct Values<K, V> {
    pub(super) known: BTreeMap<K, V>,
    /// How often a value came that found no room.
    pub(super) more: u64,
}

impl<K, V> Default for Values<K, V> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), more: 0 }
    }
}

impl<K: Ord, V: Default> Values<K, V> {
    fn change(&mut self, key: K, change: impl FnOnce(&mut V)) {
        if self.known.len() >= VALUES_MAX && !self.known.contains_key(&key) {
            self.more += 1;
            return;
        }
        change(self.known.entry(key).or_default());
    }
}

/// What the entries say about one project.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Entries by type, since the wanted time.
    pub(super) kinds: BTreeMap<&'static str, Span>,
    pub(super) decisions: BTreeMap<&'static str, Span>,
    /// Decisions that name the policies.
    pub(super) with_policy: Span,
    /// Decisions that name everything that was asked.
    pub(super) with_requests: Span,
    /// By rule and element.
    pub(super) denied: Values<(String, String, Outcome), Span>,
    pub(super) attempts: Values<String, u64>,
    /// By act and person.
    pub(super) acts_denied: Values<(String, String), Span>,
    /// When counting began of the refusals that were counted last, by person.
    counted: Values<String, Option<Timestamp>>,
    /// Connections, and the entries that say so.
    pub(super) reached: Values<String, (u64, Span)>,
    /// Grants that were used and that no entry lists.
    pub(super) reached_unlisted: u64,
    pub(super) actors: Values<String, Span>,
    /// Runs that were sealed with signed statements.
    pub(super) attested: Span,
    /// Labels that were taken off something.
    pub(super) unlabelled: Span,
    /// The newest decided runs.
    pub(super) asked: VecDeque<Asked>,
    /// How many decided runs are not among them.
    pub(super) not_kept: u64,
    /// Since the beginning, as is everything below.
    pub(super) drills: Span,
    pub(super) last_drill: Option<DrillLine>,
    pub(super) applied: Span,
    /// Time of the last entry of any project.
    pub(super) last_entry: Option<Timestamp>,
    /// Whether any entry is of the project.
    pub(super) has_project: bool,
    /// Entries that this version does not understand.
    pub(super) not_understood: Span,
}

impl Tally {
    /// Counts entry `index`; nothing of it where this version does not understand it.
    pub(super) fn add(
        &mut self,
        index: u64,
        entry: Option<&Entry>,
        project: &ProjectName,
        since: Option<Timestamp>,
    ) {
        let Some(entry) = entry else { return self.not_understood.add(index) };
        self.last_entry = Some(entry.time);
        let is_of_all = matches!(
            entry.event,
            Event::LedgerKeyRotated { .. }
                | Event::LedgerClockWentBack { .. }
                | Event::WitnessPolicy { .. }
                | Event::AttestationKey { .. }
        );
        let is_of_project = entry.project == *project;
        if !is_of_project && !is_of_all {
            return;
        }
        self.has_project |= is_of_project;
        self.standing(index, entry);
        if since.is_none_or(|since| entry.time >= since) {
            self.event(index, entry);
        }
    }

    /// What counts from the beginning.
    fn standing(&mut self, index: u64, entry: &Entry) {
        match &entry.event {
            Event::DrillCompleted { held, breached, broken, report } => {
                self.drills.add(index);
                self.last_drill = Some(DrillLine {
                    time: entry.time,
                    held: *held,
                    breached: *breached,
                    broken: *broken,
                    report: *report,
                });
            }
            Event::PolicyApplied { .. } => self.applied.add(index),
            _ => {}
        }
    }

    fn event(&mut self, index: u64, entry: &Entry) {
        self.kinds.entry(entry.event.kind()).or_default().add(index);
        self.actors.change(entry.actor.clone(), |span| span.add(index));
        match &entry.event {
            Event::RunDecided { run, decision, policy, requests, .. } => {
                if policy.is_some() {
                    self.with_policy.add(index);
                }
                if requests.is_some() {
                    self.with_requests.add(index);
                }
                self.decided(index, decision);
                self.ask(Asked {
                    run: run.clone(),
                    requests: *requests,
                    outcome: decision.outcome,
                    entry: index,
                });
            }
            Event::RunDenied { attempts, .. } => {
                for (kind, count) in attempts {
                    self.attempts.change(kind.clone(), |sum| *sum = sum.saturating_add(*count));
                }
            }
            Event::ActDenied { act, .. } => {
                self.acts_denied.change((act.clone(), entry.actor.clone()), |span| span.add(index));
            }
            Event::ActDenials(refusals) => self.refused(index, refusals),
            Event::RunReached { grants, unlisted, .. } => {
                for (grant, connections) in grants {
                    self.reached.change(grant.to_string(), |(sum, span)| {
                        *sum = sum.saturating_add(*connections);
                        span.add(index);
                    });
                }
                self.reached_unlisted = self.reached_unlisted.saturating_add(*unlisted);
            }
            Event::RunSealed { attestation: Some(_), .. } => self.attested.add(index),
            Event::DatasetLabelled { removed, .. } | Event::RunLabelled { removed, .. }
                if !removed.is_empty() =>
            {
                self.unlabelled.add(index);
            }
            _ => {}
        }
    }

    /// Counts each of them once, also where their writer was killed before it knew that they are written.
    fn refused(&mut self, index: u64, refusals: &Refusals) {
        let mut is_said = false;
        self.counted.change(refusals.user.clone(), |since| {
            is_said = since.replace(refusals.since) == Some(refusals.since);
        });
        if is_said {
            return;
        }
        for (act, count) in &refusals.acts {
            let who = (act.clone(), refusals.user.clone());
            self.acts_denied.change(who, |span| span.add_many(index, *count));
        }
        self.acts_denied.more = self.acts_denied.more.saturating_add(refusals.others);
    }

    fn decided(&mut self, index: u64, decision: &Decision) {
        self.decisions.entry(decision.outcome.as_str()).or_default().add(index);
        let mut counted: Vec<(&str, &str)> = Vec::new();
        for reason in &decision.reasons {
            let key = (reason.rule.as_str(), reason.element.as_str());
            // A decision counts once, however many policies of one rule speak.
            if !counted.contains(&key) {
                counted.push(key);
                let key = (reason.rule.clone(), reason.element.clone(), reason.outcome);
                self.denied.change(key, |span| span.add(index));
            }
        }
    }

    fn ask(&mut self, asked: Asked) {
        if self.asked.len() == RUNS_MAX {
            self.asked.pop_front();
            self.not_kept += 1;
        }
        self.asked.push_back(asked);
    }

    /// The entries of one type.
    pub(super) fn kind(&self, kind: &str) -> Span {
        self.kinds.get(kind).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_that_are_said_twice_count_once() {
        let at = |ms: i64| Timestamp::from_unix_ms(1_800_000_000_000 + ms).unwrap();
        let project: ProjectName = "vision".parse().unwrap();
        let mut tally = Tally::default();
        for (index, (user, since)) in
            [("user:eve", 0), ("user:bob", 0), ("user:eve", 0), ("user:eve", 1)].into_iter().enumerate()
        {
            let acts = BTreeMap::from([("View".to_owned(), 5)]);
            let refusals =
                Refusals { user: user.to_owned(), since: at(since), until: at(9), acts, others: 2 };
            let entry =
                Entry::new(at(10), "user:ada".to_owned(), project.clone(), Event::ActDenials(refusals));
            tally.add(index as u64, Some(&entry), &project, None);
        }
        let count = |user: &str| tally.acts_denied.known[&("View".to_owned(), user.to_owned())].count;
        assert_eq!((count("user:eve"), count("user:bob"), tally.acts_denied.more), (10, 5, 6));
    }
}
