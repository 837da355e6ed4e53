//! Collection of garbage: what must stay is marked, the rest is removed.
//!
//! Whoever collects holds the lock of the store alone, so nothing new comes and nothing is half written. It
//! says what must stay ([`Roots`]); [`Store::mark`] follows every tree below and finds what is dead;
//! [`Sweep::sweep`] removes that. The caller records in between what goes.
//!
//! **Invariant:** when a tree that must stay cannot be read, nothing is removed.
//! **Invariant:** new packs and their index are on disk before the old index is removed, and that before the
//! old packs are: killed anywhere, everything live is found, and the next collection goes on.
//! **Absent on purpose:** who needs what, and for how long: the caller knows.

mod bits;
mod fold;
mod mark;
mod repack;
mod sweep;
mod views;

use std::collections::BTreeSet;
use std::fs::File;

use aseptic_model::{Class, Diagnose, Diagnosis, Digest};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::StoreError;
use crate::lease::Lease;
use crate::object::Store;

pub use mark::Marked;
pub use sweep::Swept;

/// What must stay in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// Snapshots, with everything below them.
    pub snapshots: BTreeSet<Digest>,
    /// Single objects.
    pub objects: BTreeSet<Digest>,
    /// Snapshots whose layers ([`Store::view_layers`]) may be mounted now; they are among the snapshots, too.
    pub mounted: BTreeSet<Digest>,
}

/// The right to remove objects of a store: nobody else reads or writes it under a lease.
#[derive(Debug)]
pub struct Sweep<'s> {
    store: &'s Store,
    lease: Lease,
}

impl Store {
    /// Begins a collection; `None` while somebody holds a lease, or collects.
    ///
    /// # Errors
    /// [`StoreError::Io`]: the lock could not be taken.
    pub fn try_sweep(&self) -> Result<Option<Sweep<'_>>, StoreError> {
        let failed = |error| self.io("lock", "lock", error);
        let lock = File::open(self.dir.join("lock")).map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Sweep { store: self, lease: Lease::of(self, lock) })),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
            Err(error) => Err(failed(error.into())),
        }
    }
}

impl Sweep<'_> {
    /// The right to write, which whoever may remove has as well.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }
}

/// Why it could not be found out what is dead. Nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// What must stay cannot be read, so what it needs is not known.
    #[error("object {digest} cannot be read, so what it needs is not known")]
    Unreadable {
        /// The root that needs it.
        root: Digest,
        /// The tree, or the chunked object.
        digest: Digest,
        /// Why not.
        #[source]
        source: StoreError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Diagnose for GcError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Unreadable { .. } => Diagnosis::new(
                Class::Damaged,
                "store/needed",
                "import its source again, or give up what it belongs to",
            ),
            Self::Store(error) => error.diagnosis(),
        }
    }
}

#[cfg(test)]
mod tests;
