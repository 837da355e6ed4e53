//! What of the machine a run may use or see, beyond its programs.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// GPUs of the host. Text form: `all`, or numbers such as `0` or `0,2`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Gpus {
    /// Every one.
    All,
    /// Those of these numbers: as in `/dev/nvidia0`.
    Cards(BTreeSet<u32>),
}

/// The text names no GPUs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no GPUs: write `all`, or numbers such as `0` or `0,1`")]
pub struct GpusError(String);

impl FromStr for Gpus {
    type Err = GpusError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self::All);
        }
        let number = |word: &str| {
            let plain = word.len() <= 4 && word.bytes().all(|byte| byte.is_ascii_digit());
            if plain { word.parse().ok() } else { None }
        };
        let cards: Option<_> = text.split(',').map(number).collect();
        cards.map(Self::Cards).ok_or_else(|| GpusError(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Gpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Cards(cards) => {
                let cards: Vec<_> = cards.iter().map(ToString::to_string).collect();
                f.write_str(&cards.join(","))
            }
        }
    }
}

/// The clocks that count from the start of the machine; the time of day is always the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Those of the host: its uptime can be read.
    #[default]
    Host,
    /// They begin with the run.
    Own,
}

impl Clock {
    /// Whether this is the default, which older plans do not name.
    #[must_use]
    pub fn is_host(&self) -> bool {
        *self == Self::Host
    }
}

impl FromStr for Clock {
    type Err = ClockError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "host" => Ok(Self::Host),
            "own" => Ok(Self::Own),
            _ => Err(ClockError(text.chars().take(80).collect())),
        }
    }
}

/// The text names no clocks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not `host` or `own`")]
pub struct ClockError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_have_one_text_form() {
        for text in ["all", "0", "0,2"] {
            assert_eq!(text.parse::<Gpus>().map(|gpus| gpus.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "gpu0", "-1", "0,,1", "99999", "+1", "0 "] {
            assert!(text.parse::<Gpus>().is_err(), "{text}");
        }
    }
}
