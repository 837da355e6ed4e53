//! Append-only truth of aseptic: what was decided and what ran, in an order that cannot be rewritten.
//!
//! A ledger is a directory. Its truth is one file of frames, each a commit of entries with a signature over
//! the Merkle tree that ends with it, so that anyone with the first verifier key can prove the log.
//! [`Ledger::append`] writes, [`read()`] reads, [`verify()`] proves.
//!
//! An entry is durable before it is visible: an append waits until the disk has confirmed, and a reader that
//! comes earlier makes sure itself. A crash leaves a tail that was never acknowledged; it is reported as such
//! and the next append removes it. Everything else that is not as it was written is damage, and is named by
//! the index of its entry.
//!
//! **Invariant:** no clock, no network, no async, no thread of its own. What a file claims never decides how
//! much is allocated beyond a fixed bound.
//! **Absent on purpose:** deleting, rewriting, compacting, and any meaning of the entries: they are bytes.
//! See `docs/formats/ledger.md`.

mod base64;
mod checkpoint;
mod cosign;
mod durable;
mod error;
mod frame;
mod frame_v1;
mod group;
mod head;
mod hole;
mod keys;
mod log;
mod merkle;
mod note;
mod open;
mod policy;
mod proof;
mod read;
mod rotate;
mod signed;
mod since;
mod storage;
mod suspect;
mod tiles;
mod upgrade;
mod verify;
mod witness;

#[cfg(test)]
mod faults;

pub use cosign::WitnessKey;
pub use error::{AppendError, OpenError, ReadError, Reference, StorageError, VerifyError};
pub use frame::{APPEND_BYTES_MAX, APPEND_ENTRIES_MAX, Damage, ENTRY_BYTES_MAX, Position};
pub use log::Ledger;
pub use merkle::{TreeHash, TreeHashTextError};
pub use note::{Checkpoint, NOTE_BYTES_MAX, NoteError, NoteKey, ORIGIN_BYTES_MAX, VerifierKey};
pub use policy::{
    Judgement, POLICY_BYTES_MAX, Policy, PolicyError, PolicyFileError, PolicyLog, PolicyWitness, Required,
    store_policy, stored_policy,
};
pub use proof::{
    EXTRA_BYTES_MAX, LogProof, PROOF_BYTES_MAX, PROOF_HASHES_MAX, ProofError, verify_consistency,
    verify_inclusion,
};
pub use read::{Entries, Entry, read};
pub use rotate::NextKey;
pub use signed::{SignedNote, SigningKey, SigningKeyError};
pub use since::verify_since;
pub use tiles::{
    TilesError, ledger_keys, prove, prove_consistency, published_checkpoint, read_from, root_at,
    update as update_tiles,
};
pub use verify::{Verified, verify};
pub use witness::{
    ADD_CHECKPOINT_BYTES_MAX, AddCheckpoint, CollectError, Refused, RequestError, Witness, WitnessError,
    collected, create_witness_key, keep, origin_hash, with_cosignature, witness_key,
};
