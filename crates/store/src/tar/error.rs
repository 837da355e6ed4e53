//! Why an archive was not imported.

use std::io;

use aseptic_model::{Class, Diagnose, Diagnosis};

use crate::error::StoreError;
use crate::import::ImportError;

/// Why an archive was not imported. Paths are in their text form.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// It is compressed in a form, or of a kind, that is not read here.
    #[error("this is not a tar archive but {what}")]
    Kind {
        /// What it looks like, with an article.
        what: &'static str,
    },
    /// It ends before its end.
    #[error("the archive is cut off after {offset} bytes")]
    Truncated {
        /// Bytes of the archive, decompressed, that were there.
        offset: u64,
    },
    /// It breaks a rule of the format.
    #[error("the archive is damaged after {offset} bytes: {what}")]
    Malformed {
        /// Bytes of the archive, decompressed, before the place.
        offset: u64,
        /// Which rule.
        what: &'static str,
    },
    /// The decompressor met something that it cannot read.
    #[error("the archive is damaged after {offset} bytes")]
    Compression {
        /// Bytes of the archive, decompressed, before the place.
        offset: u64,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// It could not be read.
    #[error("could not read the archive")]
    Unreadable(#[source] io::Error),
    /// One of its entries must not be imported.
    #[error("the archive holds `{path}`, {what}")]
    Entry {
        /// The entry.
        path: String,
        /// What is wrong with it, in words.
        what: &'static str,
    },
    /// It has more content than the caller accepts.
    #[error("the archive has more than {max} bytes of content")]
    TooLarge {
        /// The bound that the caller set.
        max: u64,
    },
    /// What an import of a directory can meet as well.
    #[error(transparent)]
    Import(#[from] ImportError),
}

impl From<StoreError> for TarError {
    fn from(error: StoreError) -> Self {
        Self::Import(error.into())
    }
}

impl Diagnose for TarError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Kind { .. } => Diagnosis::new(
                Class::User,
                "store/tar-kind",
                "name a tar archive, plain or compressed with gzip or zstd, or unpack it and import the directory",
            ),
            Self::Truncated { .. } => Diagnosis::new(
                Class::User,
                "store/tar-truncated",
                "get the whole archive again; one that was written by a program that failed has no end",
            ),
            Self::Malformed { .. } | Self::Compression { .. } => Diagnosis::new(
                Class::User,
                "store/tar-damaged",
                "get the archive again, or look at it with `tar --list`; nothing of it was imported",
            ),
            Self::Unreadable(_) => Diagnosis::new(
                Class::User,
                "store/unreadable",
                "check that it exists and that you may read it",
            ),
            Self::Entry { .. } => Diagnosis::new(
                Class::User,
                "store/tar-entry",
                "unpack the archive with `tar` where this does no harm, and import what you need of it",
            ),
            Self::TooLarge { .. } => Diagnosis::new(
                Class::User,
                "store/tar-too-large",
                "raise the bound if the archive may be so large; nothing of it was imported",
            ),
            Self::Import(error) => error.diagnosis(),
        }
    }
}
