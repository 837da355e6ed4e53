//! Names that people choose, and the identifiers that aseptic makes.

use std::fmt;
use std::str::FromStr;

/// The text is not a name of this kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: {rule}")]
pub struct NameError {
    text: String,
    kind: &'static str,
    rule: &'static str,
}

const NAME_CHARACTERS_MAX: usize = 64;
const NAME_RULE: &str = "1 to 64 letters, digits, `.`, `_` or `-`, the first a letter or digit";
const LABEL_RULE: &str = "1 to 64 letters, digits, `.`, `_`, `-`, `:` or `=`, the first a letter or digit";
const PACKAGE_RULE: &str =
    "1 to 200 lowercase letters, digits or single `-`, the first and last a letter or digit";
const RUN_RULE: &str = "twelve lowercase letters and digits, without `i`, `l`, `o` and `u`";

fn is_name(text: &str, also: &[u8]) -> bool {
    text.len() <= NAME_CHARACTERS_MAX
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
}

macro_rules! text_type {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $rule:ident, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The text form.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    let text = text.chars().take(80).flat_map(char::escape_debug).collect();
                    Err(NameError { text, kind: $kind, rule: $rule })
                }
            }
        }

        serde_as_text!($type);
    };
}

text_type!(
    /// Name of a project: datasets, artifacts and runs of two projects never meet.
    ProjectName, "project name", NAME_RULE, |text| is_name(text, b"._-")
);
text_type!(
    /// Name of an experiment: a named spec of a project.
    ExperimentName, "experiment name", NAME_RULE, |text| is_name(text, b"._-")
);
text_type!(
    /// Name of a dataset; its versions are numbered from 1.
    DatasetName, "dataset name", NAME_RULE, |text| is_name(text, b"._-")
);
text_type!(
    /// Name under which an input appears in the job: `/data/<name>`.
    InputName, "input name", NAME_RULE, |text| is_name(text, b"._-")
);
text_type!(
    /// A policy-relevant tag that flows from inputs to outputs, such as `pii` or `role=holdout`.
    Label, "label", LABEL_RULE, |text| is_name(text, b"._-:=")
);
text_type!(
    /// Name that a person gave to a run; several runs may have the same.
    RunName, "run name", NAME_RULE, |text| is_name(text, b"._-")
);
text_type!(
    /// A word that a person put on a run, to find it again. It means nothing to a rule.
    Tag, "tag", LABEL_RULE, |text| is_name(text, b"._-:=")
);
text_type!(
    /// Name of a machine, as its kernel says (`uname -n`).
    MachineName, "machine name", NAME_RULE, |text| is_name(text, b"._-")
);
text_type!(
    /// Name of a Python package, normalised as PEP 503 says: lowercase, `-` for each run of `-`, `_` and `.`.
    PackageName, "package name", PACKAGE_RULE, |text| {
        text.len() <= 200
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !text.starts_with('-') && !text.ends_with('-') && !text.is_empty() && !text.contains("--")
    }
);
text_type!(
    /// Identifier of one incident: as that of a run.
    IncidentId, "incident id", RUN_RULE, |text| text.parse::<RunId>().is_ok()
);
text_type!(
    /// Identifier of one run: sixty random bits as twelve characters of Crockford's base 32.
    RunId, "run id", RUN_RULE, |text| {
        text.len() == RunId::CHARACTERS && text.bytes().all(|byte| RUN_ALPHABET.contains(&byte))
    }
);

const RUN_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl PackageName {
    /// The normalised form of a name as a package gives it; nothing if it has none.
    ///
    /// Source: PEP 503, "Normalized Names".
    #[must_use]
    pub fn normalised(name: &str) -> Option<Self> {
        let mut text = String::with_capacity(name.len());
        for character in name.chars().take(201) {
            match character {
                '-' | '_' | '.' if text.ends_with('-') => {}
                '-' | '_' | '.' => text.push('-'),
                other => text.push(other.to_ascii_lowercase()),
            }
        }
        text.parse().ok()
    }
}

impl IncidentId {
    /// The identifier made of the low sixty bits of `random`.
    #[must_use]
    pub fn from_random(random: u64) -> Self {
        Self(RunId::from_random(random).0)
    }
}

impl RunId {
    /// Length of the text form.
    pub const CHARACTERS: usize = 12;

    /// The identifier made of the low sixty bits of `random`.
    #[must_use]
    pub fn from_random(random: u64) -> Self {
        let character = |position: usize| {
            let index = (random >> (5 * position)) & 31;
            char::from(RUN_ALPHABET[usize::try_from(index).unwrap_or(0)])
        };
        Self((0..Self::CHARACTERS).map(character).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["a", "digits-train", "v1.2_x", "A", "9lives"] {
            assert!(good.parse::<DatasetName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-a", "a/b", "a b", "ü", "a\n", &"a".repeat(65)] {
            assert!(bad.parse::<DatasetName>().is_err(), "{bad}");
        }
        assert!("role=holdout".parse::<Label>().is_ok());
        assert_eq!(
            "a b".parse::<ProjectName>().unwrap_err().to_string(),
            "`a b` is not a project name: 1 to 64 letters, digits, `.`, `_` or `-`, the first a letter or digit"
        );
    }

    #[test]
    fn run_ids_use_every_bit() {
        assert_eq!(RunId::from_random(0).as_str(), "000000000000");
        let all = RunId::from_random(u64::MAX);
        assert_eq!(all.as_str(), "zzzzzzzzzzzz");
        assert_eq!(all.as_str().parse(), Ok(all));
        assert!("zzzzzzzzzzzu".parse::<RunId>().is_err());
    }
}
