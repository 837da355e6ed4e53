//! Why an archive could not be written or read.

use std::error::Error;
use std::fmt;
use std::io;

use aseptic_model::{Class, Diagnose, Diagnosis};

/// Why an archive could not be written or read. URLs have no secrets in them.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The text is no place for an archive.
    #[error("`{url}` is no place for an archive: {what}")]
    Url {
        /// The text, without what may be a secret.
        url: String,
        /// Why not.
        what: &'static str,
    },
    /// The place did not answer, or not as it should.
    #[error("could not {what} at {url}")]
    Place {
        /// What was tried, as a verb phrase.
        what: &'static str,
        /// The place or file.
        url: String,
        /// What the library said.
        #[source]
        source: Cause,
    },
    /// The place wants other credentials.
    #[error("{url} does not let this user in")]
    Denied {
        /// The place or file.
        url: String,
        /// What the library said.
        #[source]
        source: Cause,
    },
    /// There is no archive, or a file of one is gone.
    #[error("there is no {what} at {url}")]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// The place or file.
        url: String,
    },
    /// A file of an archive is not what its list says.
    #[error("{url} is damaged: {what}")]
    Damaged {
        /// The file.
        url: String,
        /// In which way.
        what: String,
    },
    /// Something else is there.
    #[error("{url} is taken by {what}")]
    Occupied {
        /// The place.
        url: String,
        /// What is there.
        what: String,
    },
    /// A file of this machine, on the way to or from the place.
    #[error("could not {what} `{path}`")]
    Local {
        /// What was tried, as a verb.
        what: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It was stopped.
    #[error("the transfer was stopped before its end")]
    Interrupted,
}

impl Diagnose for ArchiveError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Url { .. } => Diagnosis::new(
                Class::User,
                "archive/url",
                "name a directory, or a URL such as s3://BUCKET/PATH, gs://BUCKET/PATH, az://CONTAINER/PATH or \
                 https://HOST/PATH; credentials come from the environment",
            ),
            Self::Place { .. } => Diagnosis::new(
                Class::Host,
                "archive/place",
                "check the network, the URL and the settings of the environment, then run the command again",
            ),
            Self::Denied { .. } => Diagnosis::new(
                Class::Host,
                "archive/denied",
                "set the credentials for this place in the environment; docs/archive.md names the variables",
            ),
            Self::Missing { .. } => Diagnosis::new(
                Class::User,
                "archive/missing",
                "check the URL; an archive that was not written to its end has no `manifest.json`",
            ),
            Self::Damaged { .. } => Diagnosis::new(
                Class::Damaged,
                "archive/damaged",
                "keep it as evidence, and use another copy or place; nothing was changed",
            ),
            Self::Occupied { .. } => Diagnosis::new(
                Class::User,
                "archive/occupied",
                "name a place of its own for each archive; if another process just wrote the same one, run the \
                 command again",
            ),
            Self::Local { .. } => Diagnosis::new(
                Class::Host,
                "archive/local",
                "check the disk, its free space and the permissions, then run the command again",
            ),
            Self::Interrupted => Diagnosis::new(
                Class::Interrupted,
                "archive/interrupted",
                "run the same command again; nothing half-done counts",
            ),
        }
    }
}

/// What the library said, without secrets.
#[derive(Debug)]
pub struct Cause(String);

impl Cause {
    /// The words of `error` and of what led to it. What follows a `?` in a URL may be a signature, and
    /// `secrets` are what the environment said.
    pub(crate) fn of(error: &dyn Error, secrets: &[String]) -> Self {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let next = cause.to_string();
            // The library repeats its causes in its messages.
            if !words.contains(&next) {
                words = format!("{words}: {next}");
            }
            source = cause.source();
        }
        for secret in secrets {
            words = words.replace(secret.as_str(), "…");
        }
        Self(words.split_inclusive(char::is_whitespace).map(without_query).collect())
    }
}

/// One word; what follows the `?` of a URL is left out.
fn without_query(word: &str) -> String {
    match (word.contains("://"), word.split_once('?')) {
        (true, Some((before, after))) => {
            let end = after.find(|last: char| last.is_whitespace() || last == ')').unwrap_or(after.len());
            format!("{before}?…{}", &after[end..])
        }
        _ => word.to_owned(),
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Cause {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_told() {
        let error = io::Error::other("PUT (https://a.example/x?sig=abc) by key-1234567 failed");
        let cause = Cause::of(&error, &["key-1234567".to_owned()]);
        assert_eq!(cause.to_string(), "PUT (https://a.example/x?…) by … failed");
    }
}
