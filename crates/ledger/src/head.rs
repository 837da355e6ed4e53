//! The end of a log: the tree of all entries, and who vouches for it.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{ReadError, StorageError};
use crate::frame::{Commit, Damage, FrameError, Frames, Position, SIGNATURE_FROM_END, Version};
use crate::keys::Keys;
use crate::merkle::Tree;
use crate::note::{Checkpoint, SIGNATURE_BYTES, VerifierKey};
use crate::storage::{Storage, read_text};

/// Longest `head` file: 64 hashes in base64, two numbers and many keys fit.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// First line of the file `head`.
const HEAD_MAGIC: &str = "aseptic-ledger-head 2";

/// The tree of a first part of the log, and the place and signature of the last commit in it.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) tree: Tree,
    /// Where the next frame begins.
    pub(crate) offset: u64,
    /// Index of the first entry of the last commit.
    pub(crate) last: u64,
    /// That of the last commit; none before the first.
    pub(crate) signature: Option<[u8; SIGNATURE_BYTES]>,
    /// The keys so far, with the one that the last commit may have handed over to.
    pub(crate) keys: Keys,
    /// Whether the last commit handed over to another key.
    pub(crate) handed_over: bool,
}

impl Head {
    /// The head of the empty log that `keys` will sign.
    pub(crate) fn empty(first: VerifierKey) -> Self {
        Self {
            tree: Tree::default(),
            offset: Position::START.offset,
            last: 0,
            signature: None,
            keys: Keys::new(first),
            handed_over: false,
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position { index: self.tree.size(), offset: self.offset }
    }

    /// The key that signed the last commit.
    pub(crate) fn signed_by(&self) -> &VerifierKey {
        if self.handed_over { self.keys.previous() } else { self.keys.current() }
    }

    /// The key that the last commit handed over to.
    pub(crate) fn next_key(&self) -> Option<&VerifierKey> {
        self.handed_over.then(|| self.keys.current())
    }

    /// The signed statement of what the log holds; none for the empty one.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        let signature = self.signature?;
        let root = self.tree.root();
        Some(Checkpoint::new(self.signed_by(), self.tree.size(), root, self.next_key(), &signature))
    }

    /// Takes in the next commit. Its signature is checked if it hands over to another key; otherwise a
    /// later one covers it, and [`Head::check`] checks the last.
    pub(crate) fn push(&mut self, commit: &Commit) -> Result<(), FrameError> {
        for leaf in &commit.leaves {
            self.tree.push_hash(*leaf);
        }
        self.last = commit.first;
        self.offset = commit.end;
        self.signature = Some(commit.signature);
        self.handed_over = commit.next_key.is_some();
        if let Some(bytes) = &commit.next_key {
            let key = self.keys.current().successor(bytes);
            self.keys.push(key.ok_or(FrameError::Broken { index: self.last, damage: Damage::Key })?);
            self.check()?;
        }
        Ok(())
    }

    /// Checks the signature of the last commit, which covers everything before it.
    pub(crate) fn check(&self) -> Result<(), FrameError> {
        let accepts = |signature| {
            self.signed_by().accepts(self.tree.size(), self.tree.root(), self.next_key(), signature)
        };
        if self.signature.as_ref().is_none_or(accepts) {
            return Ok(());
        }
        Err(FrameError::Broken { index: self.last, damage: Damage::Signature })
    }

    /// Goes on to the last whole frame before `end`; stays where it is on an error.
    pub(crate) fn advance(&mut self, log: &File, version: Version, end: u64) -> Result<(), FrameError> {
        let mut frames = Frames::new(log, version, self.position(), end).map_err(FrameError::Io)?;
        let mut next = self.clone();
        while let Some(commit) = frames.advance()? {
            next.push(&commit)?;
        }
        if next.offset > self.offset {
            next.check()?;
            *self = next;
        }
        Ok(())
    }

    /// The head of `log`, and the offset of the kept one that it was found from.
    pub(crate) fn find(
        dir: &Path,
        log: &File,
        version: Version,
        first: &VerifierKey,
    ) -> Result<(Self, u64), ReadError> {
        let path = dir.join("log");
        let end = log.metadata().map_err(StorageError::at("measure", &path))?.len();
        if version == Version::Two
            && let Some(mut head) = Self::read(dir, log, first)
        {
            let kept = head.offset;
            if head.advance(log, version, end).is_ok() {
                return Ok((head, kept));
            }
            // Whatever is wrong there is found again, and named, by reading everything.
        }
        let mut head = Self::empty(first.clone());
        head.advance(log, version, end).map_err(|error| error.at(&path))?;
        Ok((head, Position::START.offset))
    }

    /// Keeps this state of the tree, so that the next opening reads only what follows. One that ends with a
    /// handover is not kept.
    pub(crate) fn write(&self, storage: &dyn Storage, dir: &Path) -> io::Result<()> {
        let mut text = format!("{HEAD_MAGIC}\n{} {}\n", self.tree.size(), self.offset);
        for hash in self.tree.subtrees() {
            let _ = writeln!(text, "{hash}");
        }
        let _ = write!(text, "{}", self.keys);
        storage.replace(&dir.join("head"), text.as_bytes())
    }

    /// The kept state of the tree, if there is one and the signature at its place in the log covers it.
    fn read(dir: &Path, log: &File, first: &VerifierKey) -> Option<Self> {
        let text = read_text(&dir.join("head"), HEAD_BYTES_MAX).ok()??;
        let (magic, rest) = text.split_once('\n')?;
        let (numbers, mut rest) = rest.split_once('\n')?;
        let (size, offset) = numbers.split_once(' ').filter(|_| magic == HEAD_MAGIC)?;
        let (size, offset): (u64, u64) = (size.parse().ok()?, offset.parse().ok()?);
        let mut subtrees = Vec::new();
        for _ in 0..size.count_ones() {
            let (line, behind) = rest.split_once('\n')?;
            subtrees.push(line.parse().ok()?);
            rest = behind;
        }
        let tree = Tree::from_parts(size, subtrees)?;
        let keys: Keys = rest.parse().ok().filter(|keys: &Keys| keys.first() == first)?;
        let mut signature = [0; SIGNATURE_BYTES];
        log.read_exact_at(&mut signature, offset.checked_sub(SIGNATURE_FROM_END)?).ok()?;
        let last = size.checked_sub(1)?;
        let head = Self { tree, offset, last, signature: Some(signature), keys, handed_over: false };
        head.check().is_ok().then_some(head)
    }
}
