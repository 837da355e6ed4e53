//! Group commit: entries of threads that wait become one commit, and commits of threads and processes that
//! wait share one `fdatasync(2)`.
//!
//! Two locks order the processes. Under `lock` a frame is written; under `sync` the log is brought to the
//! disk. Whoever waits for `sync` may find that the one before brought its frame to the disk, too: the file
//! `durable` says so.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::durable::Durable;
use crate::error::{AppendError, StorageError};
use crate::frame::{APPEND_BYTES_MAX, APPEND_ENTRIES_MAX, encode, frame_length, push_entry};
use crate::head::Head;
use crate::log::{Ledger, State, Tail};
use crate::merkle::TreeHash;
use crate::note::Signer;

/// The appends of this process that wait to be written, the oldest first.
pub(crate) type Queue = VecDeque<Arc<Ticket>>;

/// One append.
pub(crate) struct Ticket {
    body: Vec<u8>,
    leaves: Vec<TreeHash>,
    outcome: Mutex<Option<Result<Written, AppendError>>>,
}

/// Where the entries of one append are.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    indexes: Range<u64>,
    /// The end of the commit that they are in.
    pub(crate) head: Arc<Head>,
    pub(crate) generation: u64,
}

impl Ticket {
    pub(crate) fn new(entries: &[&[u8]]) -> Result<Self, AppendError> {
        let mut body = Vec::new();
        let bytes: u64 = entries.iter().map(|entry| entry.len() as u64 + 2).sum();
        if entries.len() > APPEND_ENTRIES_MAX || frame_length(bytes) > APPEND_BYTES_MAX {
            return Err(AppendError::TooMuch { entries: entries.len(), bytes });
        }
        for entry in entries {
            if !push_entry(&mut body, entry) {
                return Err(AppendError::EntrySize { bytes: entry.len() });
            }
        }
        let leaves = entries.iter().map(|entry| TreeHash::leaf(entry)).collect();
        Ok(Self { body, leaves, outcome: Mutex::new(None) })
    }

    fn outcome(&self) -> MutexGuard<'_, Option<Result<Written, AppendError>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// Appends `entries` in this order and returns their zero-based indexes.
    ///
    /// Blocks until all of them are on disk. What threads and processes append at the same time shares one
    /// `fdatasync(2)`. Atomic: after a crash during the call all of them are in the log or none. What others
    /// appended since this handle last looked is read and checked first.
    ///
    /// The published checkpoint follows: a failure to write it is not an error of the append, since it is
    /// only a copy of what the log itself holds; the next append writes it again.
    ///
    /// # Errors
    /// - [`AppendError::EntrySize`], [`AppendError::TooMuch`]: nothing was written.
    /// - [`AppendError::Storage`]: none of the entries is in the log. Do not start what they record.
    /// - [`AppendError::Unconfirmed`]: they may or may not be in the log. This handle is closed, if it was
    ///   its own disk that failed.
    /// - [`AppendError::Closed`]: an earlier append through this handle was not confirmed; open it again.
    /// - [`AppendError::Key`], [`AppendError::Changed`], [`AppendError::Log`]: the ledger is damaged; nothing
    ///   was written.
    ///
    /// Source: `docs/formats/ledger.md`, appending.
    pub fn append(&self, entries: &[&[u8]]) -> Result<Range<u64>, AppendError> {
        if self.is_closed() {
            return Err(AppendError::Closed);
        }
        if entries.is_empty() {
            let size = self.size();
            return Ok(size..size);
        }
        let ticket = Arc::new(Ticket::new(entries)?);
        self.queue().push_back(Arc::clone(&ticket));
        let written = self.write_queued(&ticket)?;
        self.confirm(&written)?;
        Ok(written.indexes)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes everything that waits up to `ticket`, unless another thread already has.
    fn write_queued(&self, ticket: &Ticket) -> Result<Written, AppendError> {
        let mut state = self.state();
        loop {
            if let Some(outcome) = ticket.outcome().take() {
                return outcome;
            }
            let batch = self.batch();
            let first = state.head.tree.size();
            let result = self.write(&mut state, &batch);
            let mut next = result.as_ref().map_or(first, |written| written.indexes.start);
            for ticket in batch {
                let indexes = next..next + ticket.leaves.len() as u64;
                next = indexes.end;
                *ticket.outcome() = Some(match &result {
                    Ok(written) => Ok(Written { indexes, ..written.clone() }),
                    Err(error) => Err(error.clone()),
                });
            }
        }
    }

    /// The oldest appends that wait, as many as fit into one commit.
    fn batch(&self) -> Vec<Arc<Ticket>> {
        let mut queue = self.queue();
        let (mut bytes, mut entries, mut count) = (0, 0, 0);
        for ticket in queue.iter() {
            bytes += ticket.body.len() as u64;
            entries += ticket.leaves.len();
            if count > 0 && (entries > APPEND_ENTRIES_MAX || frame_length(bytes) > APPEND_BYTES_MAX) {
                break;
            }
            count += 1;
        }
        queue.drain(..count).collect()
    }

    /// Writes the commit of `batch`; it is not on disk then.
    fn write(&self, state: &mut State, batch: &[Arc<Ticket>]) -> Result<Written, AppendError> {
        if self.is_closed() {
            return Err(AppendError::Closed);
        }
        let lock = self.dir.join("lock");
        let _held = self.lock.exclusive().map_err(StorageError::at("lock", &lock))?;
        self.catch_up(state, Tail::Remove)?;
        let mut body = Vec::with_capacity(batch.iter().map(|ticket| ticket.body.len()).sum());
        let mut leaves = Vec::new();
        for ticket in batch {
            body.extend_from_slice(&ticket.body);
            leaves.extend_from_slice(&ticket.leaves);
        }
        self.write_commit(state, &body, &leaves, None)
    }

    /// Writes one commit behind the head, or nothing. The caller holds `lock` and caught up.
    pub(crate) fn write_commit(
        &self,
        state: &mut State,
        body: &[u8],
        leaves: &[TreeHash],
        next: Option<&Signer>,
    ) -> Result<Written, AppendError> {
        let mut head = state.head.clone();
        let first = head.tree.size();
        leaves.iter().for_each(|leaf| head.tree.push_hash(*leaf));
        let next = next.map(Signer::public);
        let signature = state.signer.sign(head.tree.size(), head.tree.root(), next);
        let key = next.map(|key| *key.as_bytes());
        let Some(frame) = encode(first, body, leaves, key.as_ref(), &signature) else {
            return Err(AppendError::TooMuch { entries: leaves.len(), bytes: body.len() as u64 });
        };
        head.offset += frame.len() as u64;
        head.last = first;
        head.signature = Some(signature);
        head.handed_over = next.is_some();
        if let Some(key) = next {
            head.keys.push(key.clone());
        }
        let path = self.dir.join("log");
        if let Err(error) = self.storage.write(&self.log, state.head.offset, &frame) {
            let source = StorageError::at("write to", &path)(error);
            if self.storage.cut(&self.log, state.head.offset).is_ok() {
                return Err(source.into());
            }
            self.close();
            return Err(AppendError::Unconfirmed { index: first, source });
        }
        state.head = head;
        let indexes = first..state.head.tree.size();
        Ok(Written { indexes, head: Arc::new(state.head.clone()), generation: state.generation })
    }

    /// Writes one append and does not wait for it.
    #[cfg(test)]
    pub(crate) fn write_alone(&self, ticket: &Arc<Ticket>) -> Result<Written, AppendError> {
        self.queue().push_back(Arc::clone(ticket));
        self.write_queued(ticket)
    }

    /// Blocks until `written` is on disk.
    pub(crate) fn confirm(&self, written: &Written) -> Result<(), AppendError> {
        let mut state = self.state();
        loop {
            if state.generation != written.generation || self.is_closed() {
                return Err(written.unconfirmed(taken_back()));
            }
            if state.confirmed.offset >= written.head.offset {
                return Ok(());
            }
            if !mem::replace(&mut state.turn, true) {
                break;
            }
            state = self.turn_ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let result = self.bring_to_disk(written);
        self.state().turn = false;
        self.turn_ended.notify_all();
        result
    }

    /// Brings everything that is written so far to the disk, unless another process did. The caller has the
    /// turn among the threads of this one.
    fn bring_to_disk(&self, written: &Written) -> Result<(), AppendError> {
        let failed = |step, name: &str| {
            let path = self.dir.join(name);
            move |error: io::Error| {
                self.close();
                written.unconfirmed(StorageError::at(step, &path)(error))
            }
        };
        let _sync = self.sync.exclusive().map_err(failed("lock", "sync"))?;
        let target = {
            let mut state = self.state();
            let _held = self.lock.exclusive().map_err(failed("lock", "lock"))?;
            let durable = self.catch_up(&mut state, Tail::Leave);
            let durable = durable.map_err(io::Error::other).map_err(failed("read", "log"))?;
            if durable.generation != written.generation {
                return Err(written.unconfirmed(taken_back()));
            }
            if durable.offset >= written.head.offset {
                if written.head.offset > state.confirmed.offset {
                    state.confirmed = Arc::clone(&written.head);
                }
                return Ok(());
            }
            Arc::new(state.head.clone())
        };
        let synced = self.storage.sync(&self.log);
        let mut state = self.state();
        let held = self.lock.exclusive();
        if let Err(error) = synced {
            self.take_back(&state);
            return Err(failed("sync", "log")(error));
        }
        // Without the lock it is on disk all the same; only nobody is told.
        if held.is_ok() {
            self.announce(&mut state, &target);
        }
        Ok(())
    }

    /// Removes what the disk did not confirm, and closes this handle. The caller holds `sync` and `lock`.
    ///
    /// After a failed sync Linux may count pages as clean that never reached the disk. Cutting drops them, so
    /// that nothing builds on them; the generation tells those who wait that theirs are gone.
    pub(crate) fn take_back(&self, state: &State) {
        self.close();
        let Ok(log) = self.log.metadata() else { return };
        let Ok(known) = Durable::read(&self.dir, &log) else { return };
        let offset = known.offset.max(state.confirmed.offset);
        let Ok(next) = (Durable { offset, ..known }).next_generation() else { return };
        // Without a boot to tell from others nobody believes `durable`, and so nobody may cut.
        let Some(note) = next.encode(&log) else { return };
        if self.storage.note(&self.dir.join("durable"), &note).is_ok() {
            let _ = self.storage.cut(&self.log, offset);
        }
    }
}

impl Written {
    pub(crate) fn unconfirmed(&self, source: StorageError) -> AppendError {
        AppendError::Unconfirmed { index: self.indexes.start, source }
    }
}

fn taken_back() -> StorageError {
    let source = io::Error::other("it was taken back, since the disk failed for somebody who wrote before");
    StorageError::at("sync", "log".as_ref())(source)
}
