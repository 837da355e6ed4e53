//! Signed statements about runs and datasets, in the formats that others read.
//!
//! What the ledger and the store know of a run or a dataset becomes a document of somebody else's: an in-toto
//! statement with SLSA provenance, a runtime trace, a signature of a model, a bill of materials, a crate for an
//! archive, events for a catalog. The caller brings the facts; see `docs/formats/attestation.md`.
//!
//! **Invariant:** no clock, no network, no state. The same facts give the same document; only signatures differ.
//! **Invariant:** a document says where it is not complete.
//! **Absent on purpose:** what of it is true: the runner gives what the ledger holds. And certificates and services
//! that sign: the key is recorded in the ledger, which is what says whose it is.
#![forbid(unsafe_code)]

mod croissant;
mod cyclonedx;
mod dsse;
mod error;
mod facts;
mod key;
mod layout;
mod names;
mod oms;
mod openlineage;
mod ro_crate;
mod slsa;
mod statement;
mod text;
mod trace;

pub use croissant::{Dataset, DatasetFile, croissant};
pub use cyclonedx::{MODEL_LABEL, cyclonedx};
pub use dsse::{BUNDLE_BYTES_MAX, ENVELOPE_BYTES_MAX, Envelope, IN_TOTO_PAYLOAD, parse_lines};
pub use error::AttestError;
pub use facts::{Facts, RunFacts};
pub use key::{PublicKey, SigningKey};
pub use layout::{Artifact, layout, link, link_name};
pub use oms::{
    LABELS_FILE, MODEL_SIGNATURE, ModelFile, is_ignored, model_signature, model_statement,
    parse_model_signature,
};
pub use openlineage::openlineage;
pub use ro_crate::{CRATE_FILE, ro_crate};
pub use slsa::{BUILD_TYPE, BUILDER, PROVENANCE, provenance};
pub use statement::{FILES_MAX, STATEMENT, Statement, Subject};
pub use text::{Hasher, Sha256, sha256};
pub use trace::{TRACE, trace};
