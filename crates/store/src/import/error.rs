//! Why an import did not happen.

use std::io;

use aseptic_model::{Class, Diagnose, Diagnosis};

use crate::error::StoreError;
use crate::files::text_below;
use crate::forest::ForestError;
use crate::tree::TreeError;

/// Why an import did not happen. Paths are in their text form.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file was written, replaced or removed while it was read.
    #[error("`{path}` changed while it was read")]
    Changed {
        /// The file.
        path: String,
    },
    /// A file or directory could not be read.
    #[error("could not read `{path}`")]
    Unreadable {
        /// The file or directory.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It was stopped. What was complete until then is kept for the next time.
    #[error("the import was stopped before its end")]
    Interrupted,
    /// A FIFO, socket or device, and the options refuse them.
    #[error("`{path}` is not a regular file, a directory or a link")]
    SpecialFile {
        /// The entry.
        path: String,
    },
    /// A link points out of the tree, and the options refuse that.
    #[error("the link `{path}` points to `{target}`, outside of what is imported")]
    LinkOutside {
        /// The link.
        path: String,
        /// Its target.
        target: String,
    },
    /// A line of an ignore file is no rule.
    #[error("line {line} of `{path}` is not a rule for leaving out files")]
    Rule {
        /// The ignore file.
        path: String,
        /// Number of the line, from 1.
        line: usize,
    },
    /// A snapshot cannot hold this path or directory.
    #[error("`{path}` does not fit in a snapshot")]
    Shape {
        /// The entry.
        path: String,
        /// Which rule of the format it breaks.
        #[source]
        source: TreeError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ForestError> for ImportError {
    fn from(error: ForestError) -> Self {
        match error {
            ForestError::Shape(path, source) => Self::Shape { path: text_below(&path), source },
            ForestError::Store(error) => error.into(),
        }
    }
}

impl Diagnose for ImportError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Changed { .. } => Diagnosis::new(
                Class::User,
                "store/changed",
                "wait until nothing writes there, or import a copy",
            ),
            Self::Unreadable { .. } => Diagnosis::new(
                Class::User,
                "store/unreadable",
                "check that it exists and that you may read it",
            ),
            Self::Interrupted => Diagnosis::new(
                Class::Interrupted,
                "store/interrupted",
                "run the same command again: it goes on where it was",
            ),
            Self::SpecialFile { .. } => {
                Diagnosis::new(Class::User, "store/special-file", "remove it, or import a copy without it")
            }
            Self::LinkOutside { .. } => Diagnosis::new(
                Class::User,
                "store/link-outside",
                "replace the link with what it points to, or remove it",
            ),
            Self::Rule { .. } => {
                Diagnosis::new(Class::User, "store/ignore-rule", "correct the line or remove it")
            }
            Self::Shape { .. } => Diagnosis::new(
                Class::User,
                "store/shape",
                "shorten the path, or spread the files over more directories",
            ),
            Self::Store(error) => error.diagnosis(),
        }
    }
}
