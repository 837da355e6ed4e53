//! Labels that the shipped rules know, and which destinations each allows.
//!
//! A label means a word when it is the word, or when one of its parts between `:` and `=` is, in whatever case: `PII`,
//! `pii:email` and `role=holdout` mean `pii` and `holdout`. Who writes one differently must not lose the rule.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::spec::is_slip;
use aseptic_model::{Destination, Grant, Label, Plan, TlsNames};

use crate::Settings;
use crate::text::listed;

/// Words for data that never meets a network.
const SENSITIVE: [&str; 4] = ["pii", "phi", "secret", "restricted"];

/// Words for data that must not be in anything that is released.
const RESTRICTING: [&str; 3] = ["non-commercial", "no-derivatives", "research-only"];

/// The other words that rules know.
const OTHERS: [&str; 2] = ["holdout", "release"];

/// Most names that a sentence lists, so that it can be read.
pub(crate) const NAMES_MAX: usize = 3;

/// The word that a label means nearly and does not mean: another spelling of it, or a slip. No rule reads such a label.
#[must_use]
pub fn nearly_known(label: &Label) -> Option<&'static str> {
    let known = || SENSITIVE.into_iter().chain(RESTRICTING).chain(OTHERS);
    if known().any(|word| means(label, word)) {
        return None;
    }
    let plain = |word: &str| word.to_ascii_lowercase().replace(['-', '_', '.'], "");
    let is_near = |part: &str, word: &str| match word.len() {
        // So short that one other letter makes another word.
        0..=3 => part.bytes().collect::<BTreeSet<_>>() == word.bytes().collect(),
        _ => is_slip(part, word),
    };
    parts(label).find_map(|part| known().find(|word| is_near(&plain(part), &plain(word))))
}

/// Whether one of `labels` means data that only evaluations may see.
#[must_use]
pub fn is_held_out(labels: &BTreeSet<Label>) -> bool {
    labels.iter().any(|label| means(label, "holdout"))
}

/// Whether one of `labels` means something that is to be given to others.
pub(crate) fn is_release(labels: &BTreeSet<Label>) -> bool {
    labels.iter().any(is_release_label)
}

/// Whether this label says so.
pub(crate) fn is_release_label(label: &Label) -> bool {
    means(label, "release")
}

/// Whether data of this label must not meet a network.
pub(crate) fn is_sensitive(label: &Label, settings: &Settings) -> bool {
    parts(label).chain([label.as_str()]).any(|part| is_sensitive_word(part, settings))
}

/// Whether data of this label must not be in anything that is released.
pub(crate) fn is_restricting(label: &Label) -> bool {
    RESTRICTING.iter().any(|word| means(label, word))
}

/// Whether the settings let data of this sensitive label meet this destination: those of the label, or without any those
/// of each of its sensitive parts.
fn may_meet(label: &Label, grant: &Grant, settings: &Settings) -> bool {
    let allows = |word: &str| {
        let mut hosts = hosts(word, settings).peekable();
        hosts.peek().is_some() && hosts.all(|hosts| hosts.iter().any(|host| covers(host, grant)))
    };
    if hosts(label.as_str(), settings).next().is_some() {
        return allows(label.as_str());
    }
    parts(label).filter(|part| is_sensitive_word(part, settings)).all(allows)
}

/// Those of `labels` that must not meet this destination.
pub(crate) fn kept_away<'l>(
    labels: impl IntoIterator<Item = &'l Label>,
    grant: &Grant,
    settings: &Settings,
) -> Vec<&'l Label> {
    let is_kept_away = |label: &&Label| is_sensitive(label, settings) && !may_meet(label, grant, settings);
    labels.into_iter().filter(is_kept_away).collect()
}

fn means(label: &Label, word: &str) -> bool {
    parts(label).any(|part| part.eq_ignore_ascii_case(word))
}

fn parts(label: &Label) -> impl Iterator<Item = &str> {
    label.as_str().split([':', '='])
}

fn is_sensitive_word(word: &str, settings: &Settings) -> bool {
    SENSITIVE.iter().any(|one| one.eq_ignore_ascii_case(word)) || hosts(word, settings).next().is_some()
}

/// What the settings say of a label: one entry, or several that differ in case.
fn hosts<'s>(label: &str, settings: &'s Settings) -> impl Iterator<Item = &'s BTreeSet<Grant>> {
    let label = label.to_owned();
    let same = move |(key, _): &(&Label, _)| key.as_str().eq_ignore_ascii_case(&label);
    settings.labels.iter().filter(same).map(|(_, hosts)| hosts)
}

/// Whether all that `wanted` reaches is something that `allowed` reaches.
fn covers(allowed: &Grant, wanted: &Grant) -> bool {
    let host = match (&allowed.host, &wanted.host) {
        (Destination::Below(parent), Destination::Below(name)) => name == parent || name.is_below(parent),
        (_, Destination::Name(name)) => allowed.covers(name),
        (allowed, wanted) => allowed == wanted,
    };
    let names = wanted.tls == TlsNames::Granted || allowed.tls == TlsNames::Any;
    host && names && allowed.port == wanted.port
}

/// Where a plan has each label from.
pub(crate) struct Origins<'p>(BTreeMap<&'p Label, Vec<String>>);

impl<'p> Origins<'p> {
    pub(crate) fn of(plan: &'p Plan) -> Self {
        let mut origins: BTreeMap<&Label, Vec<String>> = BTreeMap::new();
        for (name, input) in &plan.inputs {
            for label in &input.labels {
                origins.entry(label).or_default().push(format!("`data.{name}`"));
            }
        }
        for label in plan.code.iter().flat_map(|code| &code.labels) {
            origins.entry(label).or_default().push("`code`".to_owned());
        }
        for label in &plan.labels {
            origins.entry(label).or_default().push("its own".to_owned());
        }
        Self(origins)
    }

    /// Each of `labels` with its origins: `` `pii` (`data.train`), `phi` (its own) ``.
    pub(crate) fn describe(&self, labels: &[&Label]) -> String {
        let described = |label: &&Label| {
            let origins = self.0.get(label).map(Vec::as_slice).unwrap_or_default();
            format!("`{label}` ({})", listed(origins, NAMES_MAX, Clone::clone))
        };
        listed(labels, NAMES_MAX, described)
    }
}

/// The line of the settings that lets data with a label meet the destination `name`.
pub(crate) fn setting(name: &str) -> impl Fn(&&Label) -> String {
    move |label| format!("`[labels.\"{label}\"] hosts = [\"{name}\"]`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_of_known_words_are_near_them() {
        let near = |label: &str| nearly_known(&label.parse().unwrap());
        for (label, word) in [
            ("hold-out", "holdout"),
            ("role=Hold_Out", "holdout"),
            ("holdot", "holdout"),
            ("secrets", "secret"),
            ("restircted", "restricted"),
            ("noncommercial", "non-commercial"),
            ("ppi", "pii"),
            ("hpi:scan", "phi"),
        ] {
            assert_eq!(near(label), Some(word), "{label}");
        }
        for label in [
            "PII",
            "pii:email",
            "role=holdout",
            "release",
            "phd",
            "pin",
            "rollout",
            "public",
            "region=eu",
            "v1",
        ] {
            assert_eq!(near(label), None, "{label}");
        }
    }
}
