//! What an entry of the ledger has no room for, in words of who wanted it.

use aseptic_ledger::ENTRY_BYTES_MAX;
use aseptic_model::{ByteSize, Class, Diagnose, Diagnosis, Entry, Event};
use serde_json::Value;

/// An entry would be larger than the ledger takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the record of `{kind}` would have {}, and there is room for {}{}",
    ByteSize(*bytes as u64), ByteSize(ENTRY_BYTES_MAX as u64), largest(.most)
)]
pub struct TooLarge {
    /// What was to be recorded.
    kind: &'static str,
    /// How large it would be.
    bytes: usize,
    /// The field with the most bytes, and how many values that has.
    most: Option<(String, usize)>,
    /// What to do.
    help: &'static str,
}

impl TooLarge {
    /// Whether an entry of so many bytes fits.
    pub(super) fn check(entry: &Entry, bytes: usize) -> Result<(), Self> {
        if bytes <= ENTRY_BYTES_MAX {
            return Ok(());
        }
        let event = serde_json::to_value(&entry.event).unwrap_or_default();
        let fields = event.get("body").and_then(Value::as_object).into_iter().flatten();
        let most = fields.max_by_key(|(_, value)| value.to_string().len());
        let most = most.map(|(name, value)| (name.clone(), values(value)));
        Err(Self { kind: entry.event.kind(), bytes, most, help: help(&entry.event) })
    }
}

impl Diagnose for TooLarge {
    fn diagnosis(&self) -> Diagnosis {
        Diagnosis::new(Class::User, "home/too-large", self.help)
    }
}

fn values(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.len(),
        Value::Object(values) => values.len(),
        _ => 1,
    }
}

fn largest(most: &Option<(String, usize)>) -> String {
    match most {
        None => String::new(),
        Some((name, 1)) => format!(": most of it is `{name}`"),
        Some((name, values)) => format!(": most of it is `{name}` with {values} values"),
    }
}

fn help(event: &Event) -> &'static str {
    match event {
        Event::DatasetLabelled { .. } | Event::RunLabelled { .. } => {
            "give or take fewer labels at a time; an entry holds about 1,000 of 60 letters"
        }
        Event::RunPlanned { .. } => {
            "put inputs together in one dataset, or give them shorter names; an entry holds about 500 inputs with names of \
             60 letters"
        }
        Event::RunDecided { .. } => "name fewer elements in the plan, or with shorter names",
        Event::DatasetAdded { .. } => "say less of it at once: labels and statements can be added afterwards",
        _ => "say less at a time, or with shorter names",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_what_is_large_and_what_to_do() {
        let added = (0..4_000).map(|number| format!("a-label-of-some-length-{number}").parse().unwrap());
        let event = Event::DatasetLabelled {
            name: "scans".parse().unwrap(),
            version: 1,
            added: added.collect(),
            removed: [].into(),
            reason: None,
        };
        let entry = Entry::new(crate::home::now(), "user:test".to_owned(), "default".parse().unwrap(), event);
        assert_eq!(TooLarge::check(&entry, ENTRY_BYTES_MAX), Ok(()));
        let error = TooLarge::check(&entry, ENTRY_BYTES_MAX + 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the record of `dataset.labelled` would have 64.0 KiB, and there is room for 63.9 KiB: most of it is `added` \
             with 4000 values"
        );
        assert!(error.diagnosis().help.contains("fewer labels at a time"));
    }
}
