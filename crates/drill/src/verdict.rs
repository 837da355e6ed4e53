//! The verdict: what an attempt did in a sealed run beside what its twin did without walls.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Attempt, Evidence, Said};

/// How an attempt is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The twin succeeded and the attempt did not.
    Held,
    /// The attempt succeeded.
    Breached,
    /// Nothing is proved: the twin did not succeed, or the attempt did not come to its end.
    Broken,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "held",
            Self::Breached => "breached",
            Self::Broken => "broken",
        })
    }
}

/// What is known of one go of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// What it said last.
    pub said: Option<Said>,
    /// What a look from outside found to be changed, or another trace of success.
    pub changed: Option<String>,
    /// Why it said nothing.
    pub silence: Option<String>,
    /// The canaries that it was after.
    pub canaries: Vec<String>,
}

/// Of a canary that is read bit by bit, this much is enough: one in 2^32 guesses.
const CANARY_MIN: usize = 8;

enum Went {
    /// It succeeded, as this shows.
    Through(String),
    /// It was refused.
    Stopped(String),
    /// It cannot be told.
    Unclear(String),
}

/// Compares the two goes of `attempt`; the text says what happened, for a person.
#[must_use]
pub fn judge(attempt: &Attempt, twin: &Observed, jailed: &Observed) -> (Outcome, String) {
    let jailed = went(attempt, jailed, attempt.may_be_killed);
    let twin = went(attempt, twin, false);
    match (jailed, twin) {
        (Went::Through(how), _) => (Outcome::Breached, how),
        (Went::Unclear(why), _) => (Outcome::Broken, format!("the attempt: {why}")),
        (Went::Stopped(_), Went::Stopped(why) | Went::Unclear(why)) => {
            (Outcome::Broken, format!("without the wall it fails, too: {why}"))
        }
        (Went::Stopped(why), Went::Through(_)) => (Outcome::Held, why),
    }
}

fn went(attempt: &Attempt, observed: &Observed, may_be_killed: bool) -> Went {
    match (by_its_word(attempt, observed, may_be_killed), &observed.changed) {
        (Went::Through(how), _) => Went::Through(how),
        (_, Some(changed)) => Went::Through(changed.clone()),
        (went, None) => went,
    }
}

fn by_its_word(attempt: &Attempt, observed: &Observed, may_be_killed: bool) -> Went {
    match (&observed.said, attempt.evidence) {
        (None, _) => {
            let why = observed.silence.clone().unwrap_or_else(|| "it said nothing".to_owned());
            if may_be_killed { Went::Stopped(why) } else { Went::Unclear(why) }
        }
        (Some(Said::Refused(why)), _) => Went::Stopped(why.clone()),
        (Some(Said::Tried(what)), Evidence::Outside) => Went::Stopped(format!("{what}: no effect outside")),
        (Some(Said::Tried(what)), _) => Went::Unclear(format!("it shows nothing: {what}")),
        (Some(Said::Reached(_)), Evidence::Outside) => Went::Unclear("only an effect would count".to_owned()),
        (Some(Said::Reached(what)), Evidence::Word) => Went::Through(what.clone()),
        (Some(Said::Reached(what)), Evidence::Canary) => {
            // Behind it may stand how it was read.
            let read = what.split(' ').next().unwrap_or("");
            let known = |canary: &String| read.len() >= CANARY_MIN && canary.starts_with(read);
            if observed.canaries.iter().any(known) {
                Went::Through(format!("it read {what}"))
            } else {
                Went::Unclear(format!("it claims to have read `{what}`, which no victim holds"))
            }
        }
        (Some(Said::Reached(what)), Evidence::Fact(fact)) => match fact() {
            Ok(fact) if fact == *what => Went::Through(format!("it knows {what}")),
            // What a run shows instead of the host's own is not the host's.
            Ok(_) => Went::Stopped("it sees something else than the host has".to_owned()),
            Err(error) => Went::Unclear(format!("the host does not know it: {error}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word() -> Attempt {
        Attempt::new("test", "wall", "what", |_| Said::tried(""))
    }

    fn said(said: Said) -> Observed {
        Observed { said: Some(said), canaries: vec!["0123456789abcdef".to_owned()], ..Observed::default() }
    }

    fn reached(what: &str) -> Observed {
        said(Said::Reached(what.to_owned()))
    }

    fn refused() -> Observed {
        said(Said::Refused("no".to_owned()))
    }

    #[test]
    fn a_wall_holds_only_if_the_twin_got_through() {
        let judged = |twin, jailed| judge(&word(), &twin, &jailed).0;
        assert_eq!(judged(reached("x"), refused()), Outcome::Held);
        assert_eq!(judged(reached("x"), reached("x")), Outcome::Breached);
        assert_eq!(judged(refused(), refused()), Outcome::Broken);
        assert_eq!(judged(refused(), reached("x")), Outcome::Breached, "a breach needs no twin");
        assert_eq!(judged(Observed::default(), refused()), Outcome::Broken);
        assert_eq!(judged(reached("x"), Observed::default()), Outcome::Broken);
    }

    #[test]
    fn a_claim_without_the_canary_proves_nothing() {
        let judged = |jailed| judge(&word().canary(), &reached("0123456789abcdef"), &jailed).0;
        assert_eq!(judged(reached("0123456789abcdef")), Outcome::Breached);
        assert_eq!(judged(reached("01234567")), Outcome::Breached);
        assert_eq!(judged(reached("0123456")), Outcome::Broken);
        assert_eq!(judged(reached("")), Outcome::Broken);
        assert_eq!(judged(reached("ffffffffffffffff")), Outcome::Broken);
    }

    #[test]
    fn an_effect_outside_counts_whatever_is_said() {
        let changed = Observed { changed: Some("a file".to_owned()), ..refused() };
        assert_eq!(judge(&word(), &reached("x"), &changed).0, Outcome::Breached);
        let tried = || said(Said::Tried("all".to_owned()));
        let effect = || Observed { changed: Some("a file".to_owned()), ..tried() };
        assert_eq!(judge(&word().outside(), &effect(), &tried()).0, Outcome::Held);
        assert_eq!(judge(&word().outside(), &tried(), &tried()).0, Outcome::Broken);
        assert_eq!(judge(&word().outside(), &reached("x"), &tried()).0, Outcome::Broken);
    }

    #[test]
    fn only_a_limit_may_answer_by_killing() {
        let killed = Observed { silence: Some("killed".to_owned()), ..Observed::default() };
        assert_eq!(judge(&word(), &reached("x"), &killed).0, Outcome::Broken);
        assert_eq!(judge(&word().may_be_killed(), &reached("x"), &killed).0, Outcome::Held);
        assert_eq!(judge(&word().may_be_killed(), &killed, &killed).0, Outcome::Broken);
    }

    #[test]
    fn a_fact_is_the_hosts_or_it_is_none() {
        let fact = word().fact(|| Ok("host".to_owned()));
        assert_eq!(judge(&fact, &reached("host"), &reached("host")).0, Outcome::Breached);
        assert_eq!(judge(&fact, &reached("host"), &reached("jail")).0, Outcome::Held);
        assert_eq!(judge(&fact, &reached("jail"), &reached("jail")).0, Outcome::Broken);
    }
}
