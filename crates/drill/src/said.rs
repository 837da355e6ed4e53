//! What an attempt says: one line on its standard output.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How it went, by its own account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// It got there, with this to show for it.
    Reached(String),
    /// It did not, for this reason.
    Refused(String),
    /// It did what it could; whether that had an effect is seen from outside only.
    Tried(String),
}

impl Said {
    pub(crate) fn reached(evidence: impl fmt::Display) -> io::Result<Self> {
        Ok(Self::Reached(evidence.to_string()))
    }

    pub(crate) fn refused(why: impl fmt::Display) -> io::Result<Self> {
        Ok(Self::Refused(why.to_string()))
    }

    pub(crate) fn tried(what: impl fmt::Display) -> io::Result<Self> {
        Ok(Self::Tried(what.to_string()))
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, text) = match self {
            Self::Reached(text) => ("reached", text),
            Self::Refused(text) => ("refused", text),
            Self::Tried(text) => ("tried", text),
        };
        // One line, and nothing that a terminal would obey: the text may come from the system attacked.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
        write!(f, "{word} {text}")
    }
}

impl FromStr for Said {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let (word, text) = line.split_once(' ').unwrap_or((line, ""));
        let text = text.to_owned();
        match word {
            "reached" => Ok(Self::Reached(text)),
            "refused" => Ok(Self::Refused(text)),
            "tried" => Ok(Self::Tried(text)),
            _ => Err(()),
        }
    }
}

/// The last verdict in `output`.
#[must_use]
pub fn last(output: &str) -> Option<Said> {
    output.lines().rev().find_map(|line| line.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back_and_stay_lines() {
        for said in [Said::Reached("a b".into()), Said::Refused(String::new()), Said::Tried("x".into())] {
            assert_eq!(said.to_string().parse(), Ok(said));
        }
        assert_eq!(Said::Reached("a\nrefused\u{1b}[2J".into()).to_string(), "reached a refused [2J");
        assert_eq!(last("reached 1\nnoise\nrefused 2\nmore"), Some(Said::Refused("2".into())));
        assert_eq!(last("nothing of the kind"), None);
    }
}
