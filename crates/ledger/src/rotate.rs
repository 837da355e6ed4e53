//! Handing the ledger over to another key.

use std::mem;
use std::sync::{Arc, PoisonError};

use crate::error::{AppendError, StorageError};
use crate::frame::push_entry;
use crate::group::Written;
use crate::log::{Ledger, State, Tail};
use crate::merkle::TreeHash;
use crate::note::{Signer, VerifierKey};

/// A key that a ledger can be handed over to; kept nowhere before it is.
pub struct NextKey {
    signer: Signer,
    before: VerifierKey,
}

impl NextKey {
    /// The key that it comes after.
    #[must_use]
    pub fn before(&self) -> &VerifierKey {
        &self.before
    }

    /// Its public half, to be named in the entry that records the handover.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        self.signer.public()
    }
}

impl std::fmt::Debug for NextKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NextKey").field(self.verifier()).finish()
    }
}

impl Ledger {
    /// A new key for this ledger, from the random numbers of the operating system.
    ///
    /// # Errors
    /// [`StorageError`]: there are none.
    pub fn next_key(&self) -> Result<NextKey, StorageError> {
        let before = self.verifier();
        let signer = Signer::generate(before.name());
        let signer = signer.map_err(StorageError::at("make", &self.dir.join("key.next")))?;
        Ok(NextKey { signer, before })
    }

    /// Hands the ledger over to the key `next` and appends `entry`, which should say so and is the last one
    /// that the key before signs. Returns its zero-based index.
    ///
    /// Atomic and durable: a crash at any point leaves the ledger with the one key or the other, and the next
    /// opening finishes what was begun. The key before is removed from the directory. Other processes go on
    /// with the new key by themselves.
    ///
    /// # Errors
    /// As for [`Ledger::append`], and [`AppendError::HandedOver`] if the ledger was handed over to another key since
    /// this one was made: after [`AppendError::Unconfirmed`] either key may be in force, otherwise
    /// the one before.
    ///
    /// Source: `docs/formats/ledger.md`, keys.
    pub fn hand_over(&self, next: NextKey, entry: &[u8]) -> Result<u64, AppendError> {
        let mut state = self.state();
        while mem::replace(&mut state.turn, true) {
            state = self.turn_ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let result = self.hand_over_now(next, entry);
        self.state().turn = false;
        self.turn_ended.notify_all();
        result
    }

    /// The caller has the turn.
    fn hand_over_now(&self, next: NextKey, entry: &[u8]) -> Result<u64, AppendError> {
        let mut body = Vec::new();
        if !push_entry(&mut body, entry) {
            return Err(AppendError::EntrySize { bytes: entry.len() });
        }
        let at = |name| self.dir.join(name);
        let _sync = self.sync.exclusive().map_err(StorageError::at("lock", &at("sync")))?;
        let mut state = self.state();
        let _held = self.lock.exclusive().map_err(StorageError::at("lock", &at("lock")))?;
        if self.is_closed() {
            return Err(AppendError::Closed);
        }
        self.catch_up(&mut state, Tail::Remove)?;
        let NextKey { signer: next, before } = next;
        if state.signer.public() != &before {
            return Err(AppendError::HandedOver);
        }
        let text = next.to_text() + "\n";
        let created = self.storage.create(&at("key.next"), text.as_bytes());
        created.map_err(StorageError::at("create", &at("key.next")))?;
        let written = self.write_commit(&mut state, &body, &[TreeHash::leaf(entry)], Some(&next))?;
        if let Err(error) = self.storage.sync(&self.log) {
            self.take_back(&state);
            return Err(written.unconfirmed(StorageError::at("sync", &at("log"))(error)));
        }
        self.take_over(&mut state, next, &written);
        Ok(written.head.last)
    }

    /// Everything behind this point repeats the log: what fails is done by the next opening.
    fn take_over(&self, state: &mut State, next: Signer, written: &Written) {
        let at = |name| self.dir.join(name);
        state.signer = next;
        let _ = self.storage.install(&at("key.next"), &at("key"));
        let _ = self.storage.create(&at("verifier"), state.head.keys.to_string().as_bytes());
        self.announce(state, &Arc::clone(&written.head));
    }
}
