//! Making an inventory beside a run: in a thread of its own from the start of the job, taken when the run is sealed.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use aseptic_model::{Digest, Inventory, to_canonical};
use aseptic_store::{Lease, Store};

use super::{Sources, fingerprint, hints, take};
use crate::home::HomeError;

/// An inventory in the making.
#[derive(Debug)]
pub(crate) struct Taking(JoinHandle<Taken>);

/// An inventory that the store has, or that was made.
#[derive(Debug)]
pub(crate) struct Taken {
    sources: Sources,
    hints: PathBuf,
    fingerprint: Digest,
    found: Result<Digest, Box<Inventory>>,
}

impl Taking {
    /// Starts. `hints` is the file that says which inventory an environment had the last time.
    pub(crate) fn start(sources: Sources, hints: PathBuf) -> std::io::Result<Self> {
        let thread = std::thread::Builder::new().name("inventory".to_owned());
        Ok(Self(thread.spawn(move || {
            let fingerprint = fingerprint::of(&sources);
            let known = hints::find(&hints, &fingerprint);
            let found = known.ok_or_else(|| Box::new(take(&sources)));
            Taken { sources, hints, fingerprint, found }
        })?))
    }

    /// Waits for its end: nothing when it broke off, which is a mistake of this program.
    pub(crate) fn finish(self) -> Option<Taken> {
        self.0.join().ok()
    }
}

impl Taken {
    /// Digest of the inventory, which is in the store after this. The file `draft` may be written for a moment.
    pub(crate) fn keep(self, store: &Store, lease: &Lease, draft: &Path) -> Result<Digest, HomeError> {
        let made = match self.found {
            Ok(digest) if store.reader(&digest).is_ok() => return Ok(digest),
            Ok(_) => Box::new(take(&self.sources)), // It is remembered, and was deleted.
            Err(made) => made,
        };
        let digest = store.put_bytes(lease, &to_canonical(&made)?)?;
        // Without the hint the next run makes it again.
        let _ = hints::remember(&self.hints, draft, &self.fingerprint, &digest);
        Ok(digest)
    }
}
