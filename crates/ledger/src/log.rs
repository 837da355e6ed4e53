//! The ledger as its appenders hold it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::num::NonZeroU16;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{AppendError, ReadError, StorageError};
use crate::frame::{
    APPEND_BYTES_MAX, Damage, FrameError, Frames, Position, encode, entry_length, frame_length,
};
use crate::merkle::{Tree, TreeHash};
use crate::note::{Checkpoint, SIGNATURE_BYTES, Signer, VerifierKey};
use crate::open::write_head;
use crate::read::Entries;
use crate::storage::{Lock, Storage};

/// After how many bytes of frames the state of the tree is kept again, so that opening stays cheap.
const HEAD_EVERY_BYTES: u64 = 256 << 10;

/// A ledger that is open for appending.
///
/// Any number of processes and handles may append to one ledger; the file system orders them.
/// Created and opened by [`Ledger::open`].
pub struct Ledger {
    pub(crate) dir: PathBuf,
    pub(crate) lock: Arc<Lock>,
    pub(crate) log: File,
    pub(crate) signer: Signer,
    pub(crate) head: Head,
    /// Offset up to which the file `head` holds the state of the tree.
    pub(crate) kept: u64,
    pub(crate) storage: Box<dyn Storage>,
    pub(crate) closed: bool,
}

/// The end of the log: the tree of all entries, and the place and signature of the last one.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) tree: Tree,
    pub(crate) offset: u64,
    pub(crate) signature: [u8; SIGNATURE_BYTES],
}

impl Head {
    /// The head of the empty log.
    pub(crate) fn empty(signer: &Signer) -> Self {
        let tree = Tree::default();
        let signature = signer.sign(0, tree.root());
        Self { tree, offset: Position::START.offset, signature }
    }

    pub(crate) fn position(&self) -> Position {
        Position { index: self.tree.size(), offset: self.offset }
    }

    /// Goes on to the last whole frame before `end`.
    ///
    /// The last signature covers everything before it, so it is the only one that needs checking.
    pub(crate) fn advance(&mut self, log: &File, end: u64, key: &VerifierKey) -> Result<(), FrameError> {
        let mut frames = Frames::new(log, self.position(), end).map_err(FrameError::Io)?;
        let mut next = self.clone();
        while let Some(frame) = frames.advance()? {
            next.tree.push(&frame.entry);
            next.signature = frame.signature;
        }
        next.offset = frames.position().offset;
        let grown = next.offset > self.offset;
        if grown && !key.accepts(next.tree.size(), next.tree.root(), &next.signature) {
            return Err(FrameError::Broken { index: next.tree.size() - 1, damage: Damage::Signature });
        }
        *self = next;
        Ok(())
    }
}

impl Ledger {
    /// Appends `entries` in this order and returns their zero-based indexes.
    ///
    /// Blocks until all of them are on disk, with one `fdatasync(2)`, and until no other process is
    /// appending. After a crash during the call a first part of them may be in the log. What other
    /// processes appended since this handle last looked is read and checked first.
    ///
    /// The published checkpoint follows: a failure to write it is not an error of the append, since it is
    /// only a copy of what the log itself holds; the next append writes it again.
    ///
    /// # Errors
    /// - [`AppendError::EntrySize`], [`AppendError::TooMuch`]: nothing was written.
    /// - [`AppendError::Storage`]: none of the entries is in the log. Do not start what they record.
    /// - [`AppendError::Unconfirmed`]: they may or may not be in the log. This handle is closed.
    /// - [`AppendError::Closed`]: an earlier append through this handle was not confirmed; open it again.
    /// - [`AppendError::Changed`], [`AppendError::Log`]: the log is damaged; nothing was written.
    ///
    /// Source: `docs/formats/ledger.md`, appending.
    pub fn append(&mut self, entries: &[&[u8]]) -> Result<Range<u64>, AppendError> {
        if self.closed {
            return Err(AppendError::Closed);
        }
        let entries = measure(entries)?;
        let lock = Arc::clone(&self.lock);
        let _held = lock.exclusive().map_err(StorageError::at("lock", &self.dir.join("lock")))?;
        self.catch_up()?;

        let first = self.head.tree.size();
        let (frames, head) = self.encode(&entries);
        self.store(&frames)?;
        self.head = head;
        self.publish();
        self.keep_head();
        Ok(first..self.head.tree.size())
    }

    /// Name of the ledger.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.verifier().name()
    }

    /// The key that proves this ledger to others.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    /// Number of entries that this handle knows of: all that were there when it was opened or last appended.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.head.tree.size()
    }

    /// Root of the tree of these entries.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        self.head.tree.root()
    }

    /// Where the next entry begins, as far as this handle knows.
    #[must_use]
    pub fn position(&self) -> Position {
        self.head.position()
    }

    /// The signed statement of what the ledger holds, to be kept elsewhere.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(self.verifier(), self.size(), self.root(), &self.head.signature)
    }

    /// The entries from `from` on that this handle knows of; see [`read`](crate::read()).
    ///
    /// # Errors
    /// As for [`read`](crate::read()).
    pub fn entries(&self, from: Position) -> Result<Entries, ReadError> {
        let path = self.dir.join("log");
        let log = File::open(&path).map_err(StorageError::at("open", &path))?;
        Entries::new(log, path, from, self.head.offset)
    }

    /// Takes in what others appended, and removes the tail that a crash left.
    fn catch_up(&mut self) -> Result<(), AppendError> {
        let path = self.dir.join("log");
        let known = self.log.metadata().map_err(StorageError::at("measure", &path))?;
        let same = match fs::metadata(&path) {
            Ok(found) => (found.dev(), found.ino()) == (known.dev(), known.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(StorageError::at("measure", &path)(error).into()),
        };
        if !same || known.len() < self.head.offset {
            return Err(AppendError::Changed { size: self.head.tree.size() });
        }
        if known.len() > self.head.offset {
            let key = self.signer.verifier();
            self.head.advance(&self.log, known.len(), key).map_err(|error| error.at(&path))?;
        }
        if known.len() > self.head.offset {
            let cut = self.storage.cut(&self.log, self.head.offset);
            cut.map_err(StorageError::at("repair", &path))?;
        }
        Ok(())
    }

    /// The frames of `entries` behind the present head, and the head behind them.
    fn encode(&self, entries: &[(NonZeroU16, &[u8])]) -> (Vec<u8>, Head) {
        let mut frames = Vec::new();
        let mut head = self.head.clone();
        for &(length, entry) in entries {
            let index = head.tree.size();
            head.tree.push(entry);
            head.signature = self.signer.sign(head.tree.size(), head.tree.root());
            encode(&mut frames, index, length, entry, &head.signature);
        }
        head.offset += frames.len() as u64;
        (frames, head)
    }

    /// Makes `frames` durable behind the present head, or not visible.
    fn store(&mut self, frames: &[u8]) -> Result<(), AppendError> {
        let path = self.dir.join("log");
        let index = self.head.tree.size();
        if let Err(error) = self.storage.write(&self.log, self.head.offset, frames) {
            let source = StorageError::at("write to", &path)(error);
            return Err(match self.storage.cut(&self.log, self.head.offset) {
                Ok(()) => source.into(),
                Err(_) => self.unconfirmed(index, source),
            });
        }
        if let Err(error) = self.storage.sync(&self.log) {
            // After a failed sync Linux may count pages as clean that never reached the disk. Cutting
            // drops them, so that no later append builds on them.
            let _ = self.storage.cut(&self.log, self.head.offset);
            return Err(self.unconfirmed(index, StorageError::at("sync", &path)(error)));
        }
        Ok(())
    }

    fn unconfirmed(&mut self, index: u64, source: StorageError) -> AppendError {
        self.closed = true;
        AppendError::Unconfirmed { index, source }
    }

    /// Refreshes the published checkpoint. It only repeats the log: a failure makes it older, not wrong.
    pub(crate) fn publish(&mut self) {
        let note = self.checkpoint().to_string();
        let _ = self.storage.replace(&self.dir.join("checkpoint"), note.as_bytes());
    }

    /// Keeps the state of the tree when the kept one is far behind. A failure makes the next opening slower.
    pub(crate) fn keep_head(&mut self) {
        if self.head.offset - self.kept >= HEAD_EVERY_BYTES
            && write_head(&mut *self.storage, &self.dir, &self.head).is_ok()
        {
            self.kept = self.head.offset;
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("dir", &self.dir).field("head", &self.head).finish_non_exhaustive()
    }
}

/// Each entry with its length, if all of them can be appended at once.
fn measure<'a>(entries: &[&'a [u8]]) -> Result<Vec<(NonZeroU16, &'a [u8])>, AppendError> {
    let mut measured = Vec::with_capacity(entries.len());
    let mut bytes = 0;
    for entry in entries {
        let length = entry_length(entry).ok_or(AppendError::EntrySize { bytes: entry.len() })?;
        bytes += frame_length(length);
        measured.push((length, *entry));
    }
    if bytes > APPEND_BYTES_MAX { Err(AppendError::TooMuch { bytes }) } else { Ok(measured) }
}
