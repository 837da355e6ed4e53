//! Append-only truth of aseptic: what was decided and what ran, in an order that cannot be rewritten.
//!
//! A ledger is a directory. Its truth is one file of frames, each an entry with a signature over the
//! Merkle tree that ends with it, so that anyone with the verifier key can prove every prefix of the log.
//! [`Ledger::append`] writes, [`read()`] reads, [`verify()`] proves.
//!
//! An entry is durable before it is visible: an append holds the lock until the disk has confirmed, and a
//! reader asks under the same lock how far the log goes. A crash leaves a tail that was never
//! acknowledged; it is reported as such and the next append removes it. Everything else that is not as it
//! was written is damage, and is named by the index of its entry.
//!
//! **Invariant:** no clock, no network, no async, and no threads but the ones that [`verify()`] joins. What a
//! file claims never decides how much is allocated beyond a fixed bound.
//! **Absent on purpose:** deleting, rewriting, compacting, and any meaning of the entries: they are bytes.
//! See `docs/formats/ledger.md`.

mod error;
mod frame;
mod log;
mod merkle;
mod note;
mod open;
mod read;
mod storage;
mod verify;

#[cfg(test)]
mod faults;

pub use error::{AppendError, OpenError, ReadError, Reference, StorageError, VerifyError};
pub use frame::{APPEND_BYTES_MAX, Damage, ENTRY_BYTES_MAX, Position};
pub use log::Ledger;
pub use merkle::{TreeHash, TreeHashTextError};
pub use note::{Checkpoint, NOTE_BYTES_MAX, NoteError, ORIGIN_BYTES_MAX, VerifierKey};
pub use read::{Entries, Entry, read};
pub use verify::{Verified, verify};
