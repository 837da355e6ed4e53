//! Values of an entry that a person may ask to erase: the entry holds a commitment, and the value and a salt are
//! kept elsewhere. Without its salt a commitment says nothing about the value, and the entry stays as it was signed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::{CanonicalError, Digest, Entry, Event, Metadata, to_canonical};

/// A random key of 32 bytes; its text form is 64 lowercase hexadecimal digits. Never shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; Self::BYTES]);

impl Salt {
    /// Length in bytes.
    pub const BYTES: usize = 32;

    /// The salt of these bytes, which must be random and used for one value only.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt")
    }
}

impl Serialize for Salt {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("a salt is 64 lowercase hexadecimal digits"))
    }
}

/// What opens one commitment. See `docs/formats/values.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Committed {
    /// The commitment, as in the entry.
    pub commitment: Digest,
    /// Its key.
    pub salt: Salt,
    /// The value.
    pub value: String,
}

impl Committed {
    /// Commits to `value`: BLAKE3 with the key `salt` over the canonical JSON of the value.
    ///
    /// # Errors
    /// [`CanonicalError`]: never for text.
    pub fn new(value: String, salt: Salt) -> Result<Self, CanonicalError> {
        let hash = blake3::keyed_hash(&salt.0, &to_canonical(&value)?);
        Ok(Self { commitment: Digest::from_bytes(*hash.as_bytes()), salt, value })
    }

    /// Whether the salt and the value are those that were committed to.
    #[must_use]
    pub fn is_true(&self) -> bool {
        Self::new(self.value.clone(), self.salt).is_ok_and(|made| made.commitment == self.commitment)
    }
}

/// A revealed value does not fit the place of its commitment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{place}` is no place for a committed value in {kind}")]
pub struct PlaceError {
    place: String,
    kind: &'static str,
}

impl Entry {
    /// Takes every value that people may ask to erase out of the event and leaves its commitment. Returns what
    /// opens them; `salt` is asked for a new one each time.
    ///
    /// # Errors
    /// The error of `salt`, or [`CanonicalError`]; the entry must not be used then.
    pub fn seal<E: From<CanonicalError>>(
        &mut self,
        mut salt: impl FnMut() -> Result<Salt, E>,
    ) -> Result<Vec<Committed>, E> {
        let mut kept = Vec::new();
        for (place, value) in self.event.take_values() {
            let committed = Committed::new(value, salt()?)?;
            self.committed.insert(place, committed.commitment);
            kept.push(committed);
        }
        Ok(kept)
    }

    /// Puts back every value that `open` knows. Returns the places of those that it does not know.
    ///
    /// # Errors
    /// [`PlaceError`]: the event has no such place, or the value may not stand there.
    pub fn reveal<'a>(
        &mut self,
        open: impl Fn(&Digest) -> Option<&'a str>,
    ) -> Result<BTreeSet<String>, PlaceError> {
        let mut hidden = BTreeSet::new();
        let kind = self.event.kind();
        for (place, commitment) in &self.committed {
            let wrong = || PlaceError { place: place.chars().take(80).collect(), kind };
            match open(commitment) {
                Some(value) => self.event.put_value(place, value).ok_or_else(wrong)?,
                None => drop(hidden.insert(place.clone())),
            }
        }
        Ok(hidden)
    }
}

impl Event {
    /// The values that people may ask to erase, by their places.
    #[must_use]
    pub fn erasable(&self) -> BTreeMap<String, String> {
        self.clone().take_values().into_iter().collect()
    }

    /// Why it was done, if somebody said so.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::DatasetLabelled { reason, .. }
            | Self::RunLabelled { reason, .. }
            | Self::RetentionSet { reason, .. }
            | Self::AttestationKey { reason, .. }
            | Self::LedgerKeyRotated { reason, .. }
            | Self::LedgerErased { reason, .. }
            | Self::RunStopped { reason, .. }
            | Self::QuarantineAdded { reason, .. }
            | Self::QuarantineLifted { reason, .. }
            | Self::PolicyApplied { reason, .. }
            | Self::IncidentOpened { reason, .. }
            | Self::IncidentClosed { reason, .. } => reason.as_deref(),
            _ => None,
        }
    }

    fn take_values(&mut self) -> Vec<(String, String)> {
        if let Some((field, text)) = self.text_mut() {
            return text.take().map(|text| (field.to_owned(), text)).into_iter().collect();
        }
        let Some((field, metadata)) = self.metadata_mut() else { return Vec::new() };
        let statements = std::mem::take(metadata).into_iter();
        statements.map(|(key, value)| (format!("{field}.{key}"), value.to_string())).collect()
    }

    fn put_value(&mut self, place: &str, value: &str) -> Option<()> {
        if let Some((field, text)) = self.text_mut() {
            let free = place == field && text.is_none();
            return free.then(|| *text = Some(value.to_owned()));
        }
        let (field, metadata) = self.metadata_mut()?;
        let key = place.strip_prefix(field)?.strip_prefix('.')?.parse().ok()?;
        metadata.insert(key, value.parse().ok()?).is_none().then_some(())
    }

    fn text_mut(&mut self) -> Option<(&'static str, &mut Option<String>)> {
        match self {
            Self::DatasetLabelled { reason, .. }
            | Self::RunLabelled { reason, .. }
            | Self::RetentionSet { reason, .. }
            | Self::AttestationKey { reason, .. }
            | Self::LedgerKeyRotated { reason, .. }
            | Self::LedgerErased { reason, .. }
            | Self::RunStopped { reason, .. }
            | Self::QuarantineAdded { reason, .. }
            | Self::QuarantineLifted { reason, .. }
            | Self::PolicyApplied { reason, .. }
            | Self::IncidentOpened { reason, .. }
            | Self::IncidentClosed { reason, .. } => Some(("reason", reason)),
            Self::RunDescribed { note, .. } => Some(("note", note)),
            _ => None,
        }
    }

    fn metadata_mut(&mut self) -> Option<(&'static str, &mut Metadata)> {
        match self {
            Self::DatasetAdded { metadata, .. } => Some(("metadata", metadata)),
            Self::DatasetDescribed { set, .. } => Some(("set", set)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Timestamp, from_canonical};

    fn entry(event: Event) -> Entry {
        Entry::new(Timestamp::UNIX_EPOCH, "user:a".to_owned(), "p".parse().unwrap(), event)
    }

    fn described() -> Event {
        let set = [("owner", "Ada"), ("x.y", "Ada")];
        let set = set.map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap()));
        Event::DatasetDescribed {
            name: "d".parse().unwrap(),
            version: 1,
            set: set.into(),
            unset: BTreeSet::new(),
        }
    }

    fn sealed(event: Event) -> (Entry, Vec<Committed>) {
        let mut entry = entry(event);
        let mut count = 0;
        let salt = || {
            count += 1;
            Ok::<_, CanonicalError>(Salt::from_bytes([count; 32]))
        };
        let kept = entry.seal(salt).unwrap();
        (entry, kept)
    }

    #[test]
    fn a_sealed_entry_holds_no_value_and_is_revealed_whole() {
        let (mut sealed, kept) = sealed(described());
        let text = String::from_utf8(to_canonical(&sealed).unwrap()).unwrap();
        assert!(!text.contains("Ada"), "{text}");
        assert_eq!(sealed.committed.keys().collect::<Vec<_>>(), ["set.owner", "set.x.y"]);
        assert_ne!(kept[0].commitment, kept[1].commitment, "equal values, other salts");
        assert!(kept.iter().all(Committed::is_true));
        let read: Entry = from_canonical(text.as_bytes()).unwrap();
        assert_eq!(read, sealed);
        let values: BTreeMap<_, _> = kept.iter().map(|one| (one.commitment, one.value.as_str())).collect();
        assert!(sealed.reveal(|commitment| values.get(commitment).copied()).unwrap().is_empty());
        assert_eq!(sealed.event, described());
    }

    #[test]
    fn an_unknown_value_stays_hidden() {
        let reason = Some("Ada asked".to_owned());
        let event = Event::LedgerErased { entry: 1, places: BTreeSet::new(), reason };
        let (mut sealed, _) = sealed(event.clone());
        assert_eq!(sealed.reveal(|_| None).unwrap(), BTreeSet::from(["reason".to_owned()]));
        assert_eq!(sealed.event.reason(), None);
        assert_eq!(event.erasable()["reason"], "Ada asked");
    }

    #[test]
    fn values_have_their_places() {
        for (event, place) in [
            (described(), "reason"),
            (described(), "metadata.new"),
            (described(), "set.owner"), // It is there in plain.
            (described(), "set.NO"),
            (
                Event::RunStarted {
                    run: "7jmg7qmxnc0m".parse().unwrap(),
                    mounted: BTreeMap::new(),
                    host: None,
                },
                "reason",
            ),
        ] {
            let mut entry = entry(event);
            entry.committed.insert(place.to_owned(), Digest::of(b""));
            assert!(entry.reveal(|_| Some("text")).is_err(), "{place}");
        }
    }

    #[test]
    fn another_value_or_salt_is_not_what_was_committed_to() {
        let made = Committed::new("a".to_owned(), Salt::from_bytes([1; 32])).unwrap();
        assert!(!Committed { value: "b".to_owned(), ..made.clone() }.is_true());
        assert!(!Committed { salt: Salt::from_bytes([2; 32]), ..made.clone() }.is_true());
        let text = String::from_utf8(to_canonical(&made).unwrap()).unwrap();
        assert_eq!(from_canonical::<Committed>(text.as_bytes()).unwrap(), made);
        assert!(!format!("{made:?}").contains("0101"), "a salt is not shown");
    }
}
