//! Attestations: what a sealed run is proven by to others.
//!
//! At seal, two statements are signed and stored, and the ledger names them. Here they are shown, verified, and made
//! into the documents of others.

mod destination;
mod documents;
mod export;
mod outputs;
mod signer;
mod verify;

use std::fmt::Write as _;

use aseptic_attest::{
    AttestError, Envelope, Facts, PROVENANCE, RunFacts, Statement, TRACE, parse_lines, provenance, trace,
};
use aseptic_catalog::RunSummary;
use aseptic_model::{Class, Diagnose, Diagnosis, Digest, Plan, ProjectName, RunId, RunRecord, RunRef};

use crate::home::{Home, HomeError, RECORD_BYTES_MAX};
use crate::results::{ResultError, seen};

pub use export::{AttestExportError, Destination, Document, attest_export};
pub use outputs::{Compared, OutputsToCheck};
pub(crate) use signer::Signer;
pub use signer::{KeyError, attestation_key, rotate_attestation_key};
pub use verify::{Checked, attest_verify, attest_verify_file};

/// Version that stands in what is signed.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why an attestation cannot be shown, or is not to be believed.
#[derive(Debug, thiserror::Error)]
pub enum AttestationError {
    /// No run is meant, or it is not sealed.
    #[error(transparent)]
    Result(#[from] ResultError),
    /// The run was sealed by a version that signed nothing.
    #[error("run `{0}` was sealed without attestations")]
    None(RunId),
    /// The ledger does not say what it would have to say.
    #[error("{what}")]
    Unanchored {
        /// What is not so.
        what: String,
    },
    /// Files are not those of the statement.
    #[error("{what}")]
    Differs {
        /// Which.
        what: String,
    },
    /// A file could not be read.
    #[error("could not read `{path}`")]
    Read {
        /// Which.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The statement lists no files.
    #[error("the statement lists no files, so that none can be compared")]
    Unlisted,
    /// It is damaged, or not signed by that key.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for AttestationError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Result(error) => error.diagnosis(),
            Self::None(_) => Diagnosis::new(
                Class::User,
                "attest/none",
                "the ledger and the record prove what is known of it: `aseptic show RUN`, `aseptic ledger verify`",
            ),
            Self::Unanchored { .. } => Diagnosis::new(
                Class::Damaged,
                "attest/unanchored",
                "do not trust it: ask where it came from for the ledger that names it, or for the key",
            ),
            Self::Differs { .. } => Diagnosis::new(
                Class::Damaged,
                "attest/differs",
                "do not use these files; `aseptic export RUN --to DIR` writes those of the run",
            ),
            Self::Read { .. } => Diagnosis::new(
                Class::User,
                "attest/read",
                "name a run, or a file with a signed statement, and a directory that can be read",
            ),
            Self::Unlisted => Diagnosis::new(
                Class::User,
                "attest/unlisted",
                "it stands for a tree of more files than a statement lists; `aseptic export` compares every file",
            ),
            Self::Attest(error) => error.diagnosis(),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

/// The attestations of a run.
#[derive(Debug)]
pub struct Attested {
    /// The run.
    pub run: RunId,
    /// Digest of them together, which the ledger names.
    pub digest: Digest,
    /// The envelopes, as they are stored; none of their signatures is verified by this.
    pub envelopes: Vec<Envelope>,
    /// The statement in each.
    pub statements: Vec<Statement>,
}

/// Signs what is known of a run that is being sealed: an envelope in each line.
pub(crate) fn attest(
    home: &Home,
    signer: &Signer,
    plan: &Plan,
    record: &RunRecord,
) -> Result<Vec<u8>, KeyError> {
    let ledger = home.origin();
    let facts = Facts::new(RunFacts { plan, record, ledger: &ledger, version: VERSION })
        .map_err(AttestError::from)?;
    let mut lines = String::new();
    for statement in [provenance(&facts)?, trace(&facts)] {
        let _ = writeln!(lines, "{}", statement.sign(signer.key())?.to_line());
    }
    Ok(lines.into_bytes())
}

/// The attestations of a sealed run. That the store has the bytes that the ledger names is checked, no signature.
///
/// # Errors
/// [`AttestationError`].
pub fn attest_show(home: &Home, project: &ProjectName, run: &RunRef) -> Result<Attested, AttestationError> {
    let summary = seen(home, project, run)?;
    of_summary(home, project, &summary)
}

fn of_summary(home: &Home, project: &ProjectName, run: &RunSummary) -> Result<Attested, AttestationError> {
    if run.record.is_none() {
        return Err(crate::results::not_sealed(run, "attestation").into());
    }
    let digest = run.attestation.ok_or_else(|| AttestationError::None(run.run.clone()))?;
    let store = home.store(project)?;
    let bytes = store.get_bytes(&digest, RECORD_BYTES_MAX).map_err(HomeError::from)?;
    let envelopes = parse_lines(&bytes)?;
    let statements = envelopes.iter().map(Statement::of).collect::<Result<Vec<_>, _>>()?;
    Ok(Attested { run: run.run.clone(), digest, envelopes, statements })
}

impl Attested {
    /// The envelope whose statement has this type of predicate.
    fn with(&self, predicate_type: &str) -> Option<&Envelope> {
        let mut pairs = self.envelopes.iter().zip(&self.statements);
        pairs.find(|(_, statement)| statement.predicate_type == predicate_type).map(|(envelope, _)| envelope)
    }

    /// The envelope of the provenance.
    #[must_use]
    pub fn provenance(&self) -> Option<&Envelope> {
        self.with(PROVENANCE)
    }

    /// The envelope of the runtime trace.
    #[must_use]
    pub fn trace(&self) -> Option<&Envelope> {
        self.with(TRACE)
    }
}
