//! Leases: what keeps a collection of garbage away from what was written and is not recorded yet.

use std::fs::File;

use rustix::fs::{FlockOperation, flock};

use crate::error::StoreError;
use crate::object::Store;

/// The right to write to a store.
///
/// Whoever writes holds one until the snapshot is named where a collection looks for what must stay: in
/// the ledger. Any number of leases can be held at once; a collection waits for all of them, and a lease
/// for the end of a collection. It ends when it is dropped, or with its process.
#[derive(Debug)]
pub struct Lease {
    lock: File,
}

impl Lease {
    /// A lease by this lock. What was known of packs before may have been collected.
    pub(crate) fn of(store: &Store, lock: File) -> Self {
        store.segments.unload();
        Self { lock }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Not left to the close: a process that was forked meanwhile has the same open file.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

impl Store {
    /// Begins to write to this store; waits while a collection runs.
    ///
    /// # Errors
    /// [`StoreError::Io`]: the lock could not be taken.
    pub fn lease(&self) -> Result<Lease, StoreError> {
        let failed = |error| self.io("lock", "lock", error);
        let lock = File::open(self.dir.join("lock")).map_err(failed)?;
        loop {
            match flock(&lock, FlockOperation::LockShared) {
                Ok(()) => return Ok(Lease::of(self, lock)),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(failed(error.into())),
            }
        }
    }
}
