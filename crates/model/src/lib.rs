//! The words of aseptic: identifiers, digests, spec, plan, decision, record and ledger events.
//!
//! Every type here has exactly one text form, and what goes to disk is a versioned type that refuses
//! unknown fields.
//!
//! **Invariant:** pure. No I/O, no clock, no randomness, no async.
//! **Absent on purpose:** anything that decides, stores or runs; see the leaves above this crate.

mod canonical;
mod diagnosis;
mod digest;
mod path;

pub use canonical::{CanonicalError, canonical_digest, from_canonical, to_canonical};
pub use diagnosis::{Class, Diagnose, Diagnosis};
pub use digest::{Digest, DigestTextError};
pub use path::{FilePath, FilePathError, escape_bytes};
