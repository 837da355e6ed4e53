//! Witnesses: others who remember how far a ledger went, and sign that it only grew.
//!
//! [`Witness`] is the other side, with its key and its memory. [`AddCheckpoint`] is what a ledger sends it, and
//! [`keep`] stores beside the ledger what came back.
//!
//! Source: C2SP tlog-witness. `sign-subtree`, which is optional there, is absent.

mod collected;
mod request;
mod state;

pub(crate) use collected::cosigned_of;
pub use collected::{CollectError, collected, keep, with_cosignature};
pub use request::{ADD_CHECKPOINT_BYTES_MAX, AddCheckpoint, RequestError};
pub use state::{Refused, Witness, WitnessError, create_witness_key, origin_hash, witness_key};

#[cfg(test)]
mod tests;
