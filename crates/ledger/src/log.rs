//! The ledger as its appenders hold it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::durable::Durable;
use crate::error::{AppendError, OpenError, ReadError, StorageError};
use crate::frame::{Position, Version};
use crate::group::Queue;
use crate::head::Head;
use crate::merkle::TreeHash;
use crate::note::{Checkpoint, NoteError, Signer, VerifierKey};
use crate::open::key_of;
use crate::read::Entries;
use crate::storage::{Lock, Storage};

/// After how many bytes of frames the state of the tree is kept again, so that opening stays cheap.
const HEAD_EVERY_BYTES: u64 = 256 << 10;

/// A ledger that is open for appending.
///
/// Any number of threads, processes and handles may append to one ledger; the file system orders them, and
/// those that wait at the same time share one `fdatasync(2)`. Created and opened by [`Ledger::open`].
pub struct Ledger {
    pub(crate) dir: PathBuf,
    pub(crate) lock: Lock,
    pub(crate) sync: Lock,
    pub(crate) log: File,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) state: Mutex<State>,
    /// Told when the turn of a thread that brought the log to the disk ends.
    pub(crate) turn_ended: Condvar,
    /// Whether an append had no known outcome.
    pub(crate) closed: AtomicBool,
}

/// What the threads of this process share.
pub(crate) struct State {
    /// The end of what is written.
    pub(crate) head: Head,
    /// The end of what is known to be on disk.
    pub(crate) confirmed: Arc<Head>,
    /// As in the file `durable` when `head` was found.
    pub(crate) generation: u64,
    pub(crate) signer: Signer,
    /// Offset up to which the file `head` holds the state of the tree.
    pub(crate) kept: u64,
    /// Whether a thread has the turn to bring the log to the disk.
    pub(crate) turn: bool,
}

/// Whether catching up removes the tail that a crash left.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    Leave,
    Remove,
}

impl Ledger {
    /// Name of the ledger.
    #[must_use]
    pub fn origin(&self) -> String {
        self.verifier().name().to_owned()
    }

    /// The key that signs the next entry. What proves the ledger to others is the first one; see
    /// [`Verified::keys`](crate::Verified::keys).
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        self.state().signer.public().clone()
    }

    /// Number of entries on disk that this handle knows of: all that were there when it was opened or last
    /// appended.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.confirmed().tree.size()
    }

    /// Root of the tree of these entries.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        self.confirmed().tree.root()
    }

    /// Where the next entry begins, as far as this handle knows.
    #[must_use]
    pub fn position(&self) -> Position {
        self.confirmed().position()
    }

    /// The signed statement of what the ledger holds, to be kept elsewhere.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let state = self.state();
        state.checkpoint_of(&state.confirmed)
    }

    /// The entries from `from` on that this handle knows of; see [`read`](crate::read()).
    ///
    /// # Errors
    /// As for [`read`](crate::read()).
    pub fn entries(&self, from: Position) -> Result<Entries, ReadError> {
        let path = self.dir.join("log");
        let log = File::open(&path).map_err(StorageError::at("open", &path))?;
        Entries::new(log, Version::Two, path, from, self.confirmed().offset)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn confirmed(&self) -> Arc<Head> {
        Arc::clone(&self.state().confirmed)
    }

    /// Takes in what others appended, and what is known to be on disk. The caller holds `lock`.
    pub(crate) fn catch_up(&self, state: &mut State, tail: Tail) -> Result<Durable, AppendError> {
        let path = self.dir.join("log");
        let known = self.log.metadata().map_err(StorageError::at("measure", &path))?;
        let same = match fs::metadata(&path) {
            Ok(found) => (found.dev(), found.ino()) == (known.dev(), known.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(StorageError::at("measure", &path)(error).into()),
        };
        let durable = Durable::read(&self.dir, &known);
        let durable = durable.map_err(StorageError::at("read", &self.dir.join("durable")))?;
        if durable.generation != state.generation {
            // What was not on disk was taken back.
            state.generation = durable.generation;
            state.head = Head::clone(&state.confirmed);
        }
        if !same || known.len() < state.head.offset {
            return Err(AppendError::Changed { size: state.head.tree.size() });
        }
        if known.len() > state.head.offset {
            let advanced = state.head.advance(&self.log, Version::Two, known.len());
            advanced.map_err(|error| error.at(&path))?;
        }
        if tail == Tail::Remove && known.len() > state.head.offset {
            let cut = self.storage.shorten(&self.log, state.head.offset);
            cut.map_err(StorageError::at("repair", &path))?;
        }
        if state.signer.public() != state.head.keys.current() {
            state.signer = match key_of(&self.dir, state.head.keys.current(), &*self.storage) {
                Ok(signer) => signer,
                Err(OpenError::Storage(error)) => return Err(error.into()),
                Err(OpenError::Key(error)) => return Err(AppendError::Key(error)),
                Err(_) => return Err(AppendError::Key(NoteError("others can read it"))),
            };
        }
        Ok(durable)
    }

    /// Tells others that the log is on disk up to `head`, and publishes its checkpoint. The caller holds
    /// `sync` and `lock`.
    ///
    /// All of it repeats the log: a failure makes it older, not wrong.
    pub(crate) fn announce(&self, state: &mut State, head: &Arc<Head>) {
        if head.offset > state.confirmed.offset {
            state.confirmed = Arc::clone(head);
        }
        let durable = Durable { generation: state.generation, offset: head.offset };
        let note = self.log.metadata().ok().and_then(|log| durable.encode(&log));
        let _ = note.map(|note| self.storage.note(&self.dir.join("durable"), &note));
        let note = state.checkpoint_of(head).to_string();
        let _ = self.storage.replace(&self.dir.join("checkpoint"), note.as_bytes());
        self.keep(state, head);
    }

    /// Keeps the state of the tree when the kept one is far behind. A failure makes the next opening slower.
    pub(crate) fn keep(&self, state: &mut State, head: &Head) {
        if head.offset.saturating_sub(state.kept) >= HEAD_EVERY_BYTES
            && !head.handed_over
            && head.write(&*self.storage, &self.dir).is_ok()
        {
            state.kept = head.offset;
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

impl State {
    pub(crate) fn checkpoint_of(&self, head: &Head) -> Checkpoint {
        head.checkpoint().unwrap_or_else(|| {
            let (key, root) = (self.signer.public(), head.tree.root());
            Checkpoint::new(key, 0, root, None, &self.signer.sign(0, root, None))
        })
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.confirmed();
        f.debug_struct("Ledger").field("dir", &self.dir).field("head", &head).finish_non_exhaustive()
    }
}
