//! Opening and creating a ledger: its key, its log, and the state of its tree without reading all of it.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use crate::error::{OpenError, ReadError, StorageError};
use crate::frame::{MAGIC, Position, SIGNATURE_FROM_END};
use crate::log::{Head, Ledger};
use crate::merkle::Tree;
use crate::note::{Checkpoint, NoteError, SIGNATURE_BYTES, Signer, VerifierKey, is_origin};
use crate::read::{check_magic, read_checkpoint};
use crate::storage::{Disk, Lock, Storage, create_dir, read_bounded, read_text};

/// Longest key file: two names and two base64 fields fit several times.
const KEY_BYTES_MAX: usize = 1024;
/// Longest `head` file: 64 hashes in base64 and two numbers fit.
const HEAD_BYTES_MAX: usize = 4096;
/// First line of the file `head`.
const HEAD_MAGIC: &str = "aseptic-ledger-head 1";

impl Ledger {
    /// Opens the ledger of `origin` in the directory `dir`, and creates what is missing of a new one.
    ///
    /// Blocks while another process appends. Creation is durable and can be interrupted at any point. Does
    /// not read the whole log: a cached state of the tree is used if the signature in the log covers
    /// it, so the result is what reading everything would give.
    ///
    /// # Errors
    /// - [`OpenError::Storage`]: the file system refused.
    /// - [`OpenError::Origin`], [`OpenError::OtherOrigin`]: `origin` is no name, or not that of the ledger.
    /// - [`OpenError::KeyExposed`], [`OpenError::Key`]: the private key is readable by others, missing,
    ///   or not that of the verifier key. A new key is made only for a new ledger.
    /// - [`OpenError::Truncated`], [`OpenError::Checkpoint`], [`OpenError::Log`]: the ledger is damaged.
    ///
    /// Source: `docs/formats/ledger.md`.
    pub fn open(dir: &Path, origin: &str) -> Result<Self, OpenError> {
        Self::open_on(dir, origin, Box::new(Disk))
    }

    pub(crate) fn open_on(
        dir: &Path,
        origin: &str,
        mut storage: Box<dyn Storage>,
    ) -> Result<Self, OpenError> {
        if !is_origin(origin) {
            return Err(OpenError::Origin { origin: origin.to_owned() });
        }
        create_dir(dir).map_err(StorageError::at("create", dir))?;
        let path = dir.join("lock");
        let lock = Arc::new(Lock::create(&path).map_err(StorageError::at("open", &path))?);
        let guard = Arc::clone(&lock);
        let _held = guard.exclusive().map_err(StorageError::at("lock", &path))?;

        let signer = open_key(dir, origin, &mut *storage)?;
        let published = open_checkpoint(dir, signer.verifier())?;
        let log = open_log(dir, published.as_ref(), &mut *storage)?;
        let (head, kept) = find_head(dir, &log, &signer)?;
        let mut ledger = Self { dir: dir.to_owned(), lock, log, signer, head, kept, storage, closed: false };
        ledger.compare(published.as_ref())?;
        ledger.keep_head();
        Ok(ledger)
    }

    /// Compares the log with the published checkpoint, and brings an older one up to date.
    fn compare(&mut self, published: Option<&Checkpoint>) -> Result<(), OpenError> {
        let found = self.size();
        match published {
            Some(checkpoint) if checkpoint.size() > found => {
                Err(OpenError::Truncated { acknowledged: checkpoint.size(), found })
            }
            Some(checkpoint) if checkpoint.size() == found => {
                let other = NoteError("the checkpoint has another root than the log");
                if checkpoint.root() == self.root() { Ok(()) } else { Err(OpenError::Checkpoint(other)) }
            }
            _ => {
                // Frames beyond the checkpoint were left by a process that died before it could sync them.
                let path = self.dir.join("log");
                self.storage.sync(&self.log).map_err(StorageError::at("sync", &path))?;
                self.publish();
                Ok(())
            }
        }
    }
}

/// The key of the ledger; made now if there is no ledger yet.
fn open_key(dir: &Path, origin: &str, storage: &mut dyn Storage) -> Result<Signer, OpenError> {
    let path = dir.join("key");
    let public_path = dir.join("verifier");
    let public = read_text(&public_path, KEY_BYTES_MAX).map_err(StorageError::at("read", &public_path))?;
    let signer = match File::open(&path) {
        Ok(file) => read_key(&file, &path)?,
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StorageError::at("open", &path)(error).into());
        }
        Err(_) if public.is_some() || dir.join("log").exists() => {
            return Err(OpenError::Key(NoteError("there is a ledger but no file `key`")));
        }
        Err(_) => {
            let signer = Signer::generate(origin).map_err(StorageError::at("make", &path))?;
            let text = signer.to_text() + "\n";
            storage.create(&path, text.as_bytes()).map_err(StorageError::at("create", &path))?;
            signer
        }
    };
    let found = signer.verifier();
    if found.name() != origin {
        return Err(OpenError::OtherOrigin { found: found.name().to_owned(), wanted: origin.to_owned() });
    }
    match public {
        Some(text) if text == format!("{found}\n") => {}
        Some(_) => return Err(OpenError::Key(NoteError("the files `key` and `verifier` do not match"))),
        None => {
            let text = format!("{found}\n");
            let created = storage.create(&public_path, text.as_bytes());
            created.map_err(StorageError::at("create", &public_path))?;
        }
    }
    Ok(signer)
}

fn read_key(file: &File, path: &Path) -> Result<Signer, OpenError> {
    let metadata = file.metadata().map_err(StorageError::at("measure", path))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(OpenError::KeyExposed { mode });
    }
    let text = read_bounded(file, KEY_BYTES_MAX).map_err(StorageError::at("read", path))?;
    let text = text.strip_suffix('\n').ok_or(OpenError::Key(NoteError("the file `key` is not one line")))?;
    Signer::from_text(text).map_err(OpenError::Key)
}

/// The published checkpoint; nothing where it is missing or cannot be read as one.
fn open_checkpoint(dir: &Path, key: &VerifierKey) -> Result<Option<Checkpoint>, OpenError> {
    let Some(text) = read_checkpoint(dir)? else { return Ok(None) };
    // A power failure may leave an odd mixture, and whoever could write one could also remove the file.
    let Ok(checkpoint) = text.parse::<Checkpoint>() else { return Ok(None) };
    if !checkpoint.is_signed_by(key) {
        return Err(OpenError::Checkpoint(NoteError(
            "the checkpoint was not signed by the key of the ledger",
        )));
    }
    Ok(Some(checkpoint))
}

/// The log, open for reading and writing; created empty unless entries were acknowledged.
fn open_log(
    dir: &Path,
    published: Option<&Checkpoint>,
    storage: &mut dyn Storage,
) -> Result<File, OpenError> {
    let path = dir.join("log");
    let open = || OpenOptions::new().read(true).write(true).open(&path);
    let log = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(checkpoint) = published {
                return Err(OpenError::Truncated { acknowledged: checkpoint.size(), found: 0 });
            }
            storage.create(&path, MAGIC).map_err(StorageError::at("create", &path))?;
            open()
        }
        opened => opened,
    };
    let log = log.map_err(StorageError::at("open", &path))?;
    check_magic(&log, &path)?;
    Ok(log)
}

/// The head of the log, and the offset of the cached one that it was found from.
fn find_head(dir: &Path, log: &File, signer: &Signer) -> Result<(Head, u64), ReadError> {
    let path = dir.join("log");
    let end = log.metadata().map_err(StorageError::at("measure", &path))?.len();
    if let Some(mut head) = read_head(dir, log, signer.verifier()) {
        let kept = head.offset;
        if head.advance(log, end, signer.verifier()).is_ok() {
            return Ok((head, kept));
        }
        // Whatever is wrong there is found again, and named, by reading everything.
    }
    let mut head = Head::empty(signer);
    head.advance(log, end, signer.verifier()).map_err(|error| error.at(&path))?;
    Ok((head, Position::START.offset))
}

/// Keeps the state of the tree, so that the next opening reads only what follows.
pub(crate) fn write_head(storage: &mut dyn Storage, dir: &Path, head: &Head) -> io::Result<()> {
    let mut text = format!("{HEAD_MAGIC}\n{} {}\n", head.tree.size(), head.offset);
    for hash in head.tree.subtrees() {
        let _ = writeln!(text, "{hash}");
    }
    storage.replace(&dir.join("head"), text.as_bytes())
}

/// The kept state of the tree, if there is one and the signature at its place in the log covers it.
fn read_head(dir: &Path, log: &File, key: &VerifierKey) -> Option<Head> {
    let text = read_text(&dir.join("head"), HEAD_BYTES_MAX).ok()??;
    let mut lines = text.lines();
    if lines.next()? != HEAD_MAGIC {
        return None;
    }
    let (size, offset) = lines.next()?.split_once(' ')?;
    let offset: u64 = offset.parse().ok()?;
    let subtrees = lines.map(|line| line.parse().ok()).collect::<Option<_>>()?;
    let tree = Tree::from_parts(size.parse().ok()?, subtrees)?;
    let mut signature = [0; SIGNATURE_BYTES];
    log.read_exact_at(&mut signature, offset.checked_sub(SIGNATURE_FROM_END)?).ok()?;
    key.accepts(tree.size(), tree.root(), &signature).then_some(Head { tree, offset, signature })
}
