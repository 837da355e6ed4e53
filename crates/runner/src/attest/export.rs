//! Documents for others, from what is known of a run or a dataset.
//!
//! **Invariant:** the ledger says that a document was given away before any byte of it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aseptic_attest::AttestError;
use aseptic_http::{Client, ClientError, ClientLimits};
use aseptic_model::{Class, Diagnose, Diagnosis, Event as Entry, InputRef, ProjectName, Retained};
use aseptic_policy::Act;
use aseptic_store::Existing;

use super::destination::{Claimed, send, shown_url};
use super::documents::{of_dataset, of_run};
use super::{AttestationError, KeyError};
use crate::SiteProxy;
use crate::dataset::DatasetError;
use crate::home::{Home, HomeError};
use crate::results::{ResultError, summary};

/// A document in a format of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// The provenance that was signed at seal.
    Slsa,
    /// The runtime trace that was signed at seal.
    RuntimeTrace,
    /// An in-toto layout with its link.
    InToto,
    /// The OpenSSF signature of a model.
    Oms,
    /// A CycloneDX bill of materials.
    CycloneDx,
    /// A Process Run Crate with the outputs.
    RoCrate,
    /// A Croissant description of a dataset.
    Croissant,
    /// OpenLineage events.
    OpenLineage,
}

impl Document {
    /// Every format.
    pub const ALL: [Self; 8] = [
        Self::Slsa,
        Self::RuntimeTrace,
        Self::InToto,
        Self::Oms,
        Self::CycloneDx,
        Self::RoCrate,
        Self::Croissant,
        Self::OpenLineage,
    ];

    /// The word on the command line and in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slsa => "slsa",
            Self::RuntimeTrace => "runtime-trace",
            Self::InToto => "in-toto",
            Self::Oms => "oms",
            Self::CycloneDx => "cyclonedx",
            Self::RoCrate => "ro-crate",
            Self::Croissant => "croissant",
            Self::OpenLineage => "openlineage",
        }
    }

    /// Whether it is a directory of files.
    #[must_use]
    pub fn is_directory(self) -> bool {
        matches!(self, Self::InToto | Self::RoCrate)
    }
}

/// Where a document goes.
#[derive(Clone, Copy)]
pub enum Destination<'a> {
    /// A file, or a directory for a document of several files; neither may be there, but for an empty directory.
    Path(&'a Path),
    /// A service that takes events by HTTP POST.
    Url {
        /// Its address, without credentials.
        url: &'a str,
        /// What it wants in `Authorization: Bearer`, which is written nowhere.
        token: Option<&'a str>,
        /// The proxy of the site.
        proxy: &'a SiteProxy,
    },
}

/// Why a document could not be made or given away.
#[derive(Debug, thiserror::Error)]
pub enum AttestExportError {
    /// There is none.
    #[error(transparent)]
    Attestation(#[from] AttestationError),
    /// The dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// It cannot be signed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The format is for something else.
    #[error("`{format}` {why}")]
    NotFor {
        /// The format.
        format: &'static str,
        /// Why not.
        why: String,
    },
    /// Something has that name.
    #[error("`{0}` is already there")]
    Exists(PathBuf),
    /// No such address.
    #[error("the address cannot be used: {0}")]
    Url(&'static str),
    /// The service could not be asked.
    #[error("could not send the events")]
    Send(#[source] ClientError),
    /// The service did not take them.
    #[error("the service answered with status {0}")]
    Refused(u16),
}

impl Diagnose for AttestExportError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Attestation(error) => error.diagnosis(),
            Self::Dataset(error) => error.diagnosis(),
            Self::Key(error) => error.diagnosis(),
            Self::NotFor { .. } => Diagnosis::new(
                Class::User,
                "attest/not-for",
                "`aseptic attest export --help` says which format is for what",
            ),
            Self::Exists(_) => Diagnosis::new(
                Class::User,
                "attest/exists",
                "name another one with `--out`, or remove it first",
            ),
            Self::Url(_) => {
                Diagnosis::new(Class::User, "attest/url", "name one such as https://HOST/api/v1/lineage")
            }
            Self::Send(_) | Self::Refused(_) => Diagnosis::new(
                Class::Host,
                "attest/send",
                "see what the service says; the ledger counts the events as sent, since they may have arrived",
            ),
        }
    }
}

impl From<AttestError> for AttestExportError {
    fn from(error: AttestError) -> Self {
        Self::Attestation(error.into())
    }
}

impl From<ResultError> for AttestExportError {
    fn from(error: ResultError) -> Self {
        Self::Attestation(error.into())
    }
}

impl From<HomeError> for AttestExportError {
    fn from(error: HomeError) -> Self {
        Self::Attestation(error.into())
    }
}

impl From<crate::retention::Gone> for AttestExportError {
    fn from(gone: crate::retention::Gone) -> Self {
        ResultError::from(gone).into()
    }
}

impl From<aseptic_store::StoreError> for AttestExportError {
    fn from(error: aseptic_store::StoreError) -> Self {
        HomeError::from(error).into()
    }
}

/// Makes a document about `reference`, says so in the ledger, and writes or sends it.
///
/// # Errors
/// [`AttestExportError`]; nothing is left at the destination.
pub fn attest_export(
    home: &mut Home,
    project: &ProjectName,
    reference: &InputRef,
    document: Document,
    to: Destination<'_>,
) -> Result<Retained, AttestExportError> {
    home.allowed(project, Act::Attest, None)?;
    if let (Destination::Url { .. }, true) = (&to, document != Document::OpenLineage) {
        return Err(not_for(document, "is written to a file or directory: use `--out`"));
    }
    let store = home.store(project)?;
    let lease = store.lease()?; // What is read is not deleted meanwhile.
    home.catch_up()?;
    let (object, files) = match reference {
        InputRef::Dataset { .. } if document == Document::Croissant => {
            of_dataset(home, project, &store, reference)?
        }
        InputRef::Artifact { run, path } if document != Document::Croissant => {
            of_run(home, project, &store, run, path.as_ref(), document)?
        }
        InputRef::Dataset { .. } => return Err(not_for(document, "is about a run, and that is a dataset")),
        InputRef::Artifact { .. } => return Err(not_for(document, "is about a dataset, and that is a run")),
    };
    let entry = |to| Entry::AttestationExported {
        object: object.clone(),
        formats: BTreeSet::from([document.as_str().to_owned()]),
        to,
    };
    match to {
        Destination::Url { url, token, proxy } => {
            let shown = shown_url(url)?;
            let proxy = (!proxy.url.is_empty())
                .then_some(aseptic_http::SiteProxy { url: &proxy.url, except: &proxy.except });
            let client = Client::new(ClientLimits::default(), proxy).map_err(AttestExportError::Send)?;
            home.record(project, vec![entry(Some(shown))])?;
            send(&client, url, token, &files)?;
        }
        Destination::Path(path) => {
            let claimed = Claimed::new(path, document)?;
            home.record(project, vec![entry(None)])?;
            claimed.write(&files)?;
            if document == Document::RoCrate
                && let InputRef::Artifact { run, .. } = reference
                && let Some(outputs) = summary(home, project, run)?.outputs
            {
                let copied = store.export(&lease, &outputs, None, path, Existing::Refuse);
                copied.map_err(ResultError::from)?;
            }
            claimed.keep();
        }
    }
    Ok(object)
}

pub(super) fn not_for(document: Document, why: &str) -> AttestExportError {
    AttestExportError::NotFor { format: document.as_str(), why: why.to_owned() }
}
