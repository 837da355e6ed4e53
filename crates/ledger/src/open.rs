//! Opening and creating a ledger: its key, its log, and the state of its tree without reading all of it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex};

use data_encoding::BASE32_NOPAD;

use crate::durable::Durable;
use crate::error::{OpenError, StorageError};
use crate::frame::{MAGIC, Version};
use crate::head::Head;
use crate::keys::Keys;
use crate::log::{Ledger, State};
use crate::note::{Checkpoint, NoteError, Signer, VerifierKey, is_origin};
use crate::read::{read_checkpoint, version_of};
use crate::storage::{Disk, Lock, Private, Storage, create_dir, read_private};
use crate::upgrade::upgrade;

/// Longest key file: two names and two base64 fields fit several times.
const KEY_BYTES_MAX: usize = 1024;
/// Random bytes in the name of a new ledger: enough that no two in the world share one by accident.
const NAME_BYTES: usize = 8;
/// Characters of base 32 that these give.
const NAME_CHARS: usize = 12;

/// How a ledger is to be called.
#[derive(Clone, Copy)]
pub(crate) enum Name<'a> {
    Exactly(&'a str),
    /// A name of its own below this one, or this one for a ledger that has it.
    Below(&'a str),
}

impl Name<'_> {
    fn fits(self, origin: &str) -> bool {
        match self {
            Self::Exactly(name) => origin == name,
            Self::Below(name) => {
                origin.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    fn new_origin(self) -> io::Result<String> {
        match self {
            Self::Exactly(name) => Ok(name.to_owned()),
            Self::Below(name) => {
                let mut bytes = [0; NAME_BYTES];
                getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
                let text = BASE32_NOPAD.encode(&bytes).to_lowercase();
                Ok(format!("{name}/{}", text.get(..NAME_CHARS).unwrap_or(&text)))
            }
        }
    }
}

impl Ledger {
    /// Opens the ledger of `origin` in the directory `dir`, and creates what is missing of a new one.
    ///
    /// Blocks while another process appends. Creation is durable and can be interrupted at any point. Does
    /// not read the whole log: a cached state of the tree is used if the signature in the log covers
    /// it, so the result is what reading everything would give. A log of version 1 becomes one of version
    /// 2, and a handover to another key that a crash interrupted is finished.
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
        Self::open_on(dir, Name::Exactly(origin), Arc::new(Disk))
    }

    /// As [`Ledger::open`], with a name for a new ledger that no other one has: `family`, a slash and 12
    /// random characters. One that is there may be called `family` itself, too.
    ///
    /// # Errors
    /// As for [`Ledger::open`].
    pub fn open_below(dir: &Path, family: &str) -> Result<Self, OpenError> {
        Self::open_on(dir, Name::Below(family), Arc::new(Disk))
    }

    pub(crate) fn open_on(dir: &Path, name: Name<'_>, storage: Arc<dyn Storage>) -> Result<Self, OpenError> {
        let (Name::Exactly(wanted) | Name::Below(wanted)) = name;
        if !is_origin(wanted) {
            return Err(OpenError::Origin { origin: wanted.to_owned() });
        }
        create_dir(dir).map_err(StorageError::at("create", dir))?;
        let lock_at = |name: &str| {
            let path = dir.join(name);
            Lock::create(&path).map_err(StorageError::at("open", &path))
        };
        let (lock, sync) = (lock_at("lock")?, lock_at("sync")?);
        let sync_held = sync.exclusive().map_err(StorageError::at("lock", &dir.join("sync")))?;
        let lock_held = lock.exclusive().map_err(StorageError::at("lock", &dir.join("lock")))?;

        let listed = Keys::read(dir)?.transpose().map_err(OpenError::Key)?;
        let signer = open_key(dir, name, listed.as_ref(), &*storage)?;
        let first = listed.as_ref().map_or(signer.public(), Keys::first).clone();
        let published = open_checkpoint(dir)?;
        let (mut log, version) = open_log(dir, published.as_ref(), &*storage)?;
        let (mut head, mut kept) = Head::find(dir, &log, version, &first)?;
        let signer = current_key(dir, signer, listed.as_ref(), &head, &*storage)?;
        compare(published.as_ref(), &head)?;
        if version == Version::One {
            upgrade(dir, &log, head.offset, &*storage)?;
            (log, _) = open_log(dir, published.as_ref(), &*storage)?;
            (head, kept) = Head::find(dir, &log, Version::Two, &first)?;
        }
        let head = Arc::new(head);
        drop((sync_held, lock_held));
        let state = State {
            head: Head::clone(&head),
            confirmed: Arc::new(Head::empty(first)),
            generation: 0,
            signer,
            kept,
            turn: false,
        };
        let ledger = Self {
            dir: dir.to_owned(),
            lock,
            sync,
            log,
            storage,
            queue: Mutex::default(),
            state: Mutex::new(state),
            turn_ended: Condvar::new(),
            closed: AtomicBool::new(false),
        };
        ledger.settle(published.as_ref())?;
        Ok(ledger)
    }

    /// Makes sure that what was found is on disk, and that the checkpoint says so.
    fn settle(&self, published: Option<&Checkpoint>) -> Result<(), OpenError> {
        let at = |name| self.dir.join(name);
        let _sync = self.sync.exclusive().map_err(StorageError::at("lock", &at("sync")))?;
        let mut state = self.state();
        let _held = self.lock.exclusive().map_err(StorageError::at("lock", &at("lock")))?;
        let log = self.log.metadata().map_err(StorageError::at("measure", &at("log")))?;
        let durable = Durable::read(&self.dir, &log).map_err(StorageError::at("read", &at("durable")))?;
        state.generation = durable.generation;
        if log.len() < state.head.offset {
            // Taken back by another process a moment ago; what is left is found anew by the next append.
            return Err(StorageError::at("open", &at("log"))(io::ErrorKind::ResourceBusy.into()).into());
        }
        let head = Arc::new(state.head.clone());
        // Frames beyond may have been left by a process that died before it could sync them.
        if durable.offset < head.offset {
            self.storage.sync(&self.log).map_err(StorageError::at("sync", &at("log")))?;
        }
        state.confirmed = Arc::clone(&head);
        if durable.offset < head.offset || published.is_none_or(|note| note.size() < head.tree.size()) {
            self.announce(&mut state, &head);
        } else {
            self.keep(&mut state, &head);
        }
        Ok(())
    }
}

/// Compares the log with the published checkpoint.
fn compare(published: Option<&Checkpoint>, head: &Head) -> Result<(), OpenError> {
    let (Some(checkpoint), found) = (published, head.tree.size()) else { return Ok(()) };
    if !head.keys.iter().any(|key| checkpoint.is_signed_by(key)) {
        let other = NoteError("the checkpoint was not signed by a key of the ledger");
        return Err(OpenError::Checkpoint(other));
    }
    if checkpoint.size() > found {
        return Err(OpenError::Truncated { acknowledged: checkpoint.size(), found });
    }
    if checkpoint.size() == found && checkpoint.root() != head.tree.root() {
        return Err(OpenError::Checkpoint(NoteError("the checkpoint has another root than the log")));
    }
    Ok(())
}

/// The key of the ledger; made now if there is no ledger yet.
fn open_key(
    dir: &Path,
    name: Name<'_>,
    listed: Option<&Keys>,
    storage: &dyn Storage,
) -> Result<Signer, OpenError> {
    let path = dir.join("key");
    let signer = match read_key(&path)? {
        Some(signer) => signer,
        None if listed.is_some() || dir.join("log").exists() => {
            return Err(OpenError::Key(NoteError("there is a ledger but no file `key`")));
        }
        None => {
            let signer = name.new_origin().and_then(|origin| Signer::generate(&origin));
            let signer = signer.map_err(StorageError::at("make", &path))?;
            let text = signer.to_text() + "\n";
            storage.create(&path, text.as_bytes()).map_err(StorageError::at("create", &path))?;
            signer
        }
    };
    let found = signer.public().name();
    if !name.fits(found) {
        let (Name::Exactly(wanted) | Name::Below(wanted)) = name;
        return Err(OpenError::OtherOrigin { found: found.to_owned(), wanted: wanted.to_owned() });
    }
    if listed.is_none() && !dir.join("log").exists() {
        let path = dir.join("verifier");
        let text = format!("{}\n", signer.public());
        storage.create(&path, text.as_bytes()).map_err(StorageError::at("create", &path))?;
    }
    Ok(signer)
}

/// The key in force at the end of the log, which is `signer` unless a handover was interrupted; finishes
/// that. Removes the key of one that did not take place, and lists the keys of the log in `verifier`.
fn current_key(
    dir: &Path,
    signer: Signer,
    listed: Option<&Keys>,
    head: &Head,
    storage: &dyn Storage,
) -> Result<Signer, OpenError> {
    if listed.is_some_and(|listed| !listed.begin(&head.keys)) {
        return Err(OpenError::Key(NoteError("the file `verifier` lists keys that the log does not know")));
    }
    let current = head.keys.current();
    let signer = if signer.public() == current { signer } else { key_of(dir, current, storage)? };
    let left = dir.join("key.next");
    match fs::remove_file(&left) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StorageError::at("remove", &left)(error).into());
        }
        _ => {}
    }
    if listed != Some(&head.keys) {
        let path = dir.join("verifier");
        let created = storage.create(&path, head.keys.to_string().as_bytes());
        created.map_err(StorageError::at("create", &path))?;
    }
    Ok(signer)
}

/// The private key of `wanted`, from `key`, or from `key.next`, which then becomes `key`.
pub(crate) fn key_of(dir: &Path, wanted: &VerifierKey, storage: &dyn Storage) -> Result<Signer, OpenError> {
    let (path, next) = (dir.join("key"), dir.join("key.next"));
    if let Some(signer) = read_key(&path)?.filter(|signer| signer.public() == wanted) {
        return Ok(signer);
    }
    match read_key(&next)? {
        Some(signer) if signer.public() == wanted => {
            storage.install(&next, &path).map_err(StorageError::at("install", &path))?;
            Ok(signer)
        }
        _ => Err(OpenError::Key(NoteError("the file `key` is not the key that the log ends with"))),
    }
}

/// The key in the file `path`, if there is one.
fn read_key(path: &Path) -> Result<Option<Signer>, OpenError> {
    let text = match read_private(path, KEY_BYTES_MAX)? {
        Private::Missing => return Ok(None),
        Private::Exposed { mode } => return Err(OpenError::KeyExposed { mode }),
        Private::Text(text) => text,
    };
    let text = text.strip_suffix('\n').ok_or(OpenError::Key(NoteError("the file `key` is not one line")))?;
    Signer::from_text(text).map(Some).map_err(OpenError::Key)
}

/// The published checkpoint; nothing where it is missing or cannot be read as one.
fn open_checkpoint(dir: &Path) -> Result<Option<Checkpoint>, OpenError> {
    // A power failure may leave an odd mixture, and whoever could write one could also remove the file.
    Ok(read_checkpoint(dir)?.and_then(|text| text.parse().ok()))
}

/// The log, open for reading and writing; created empty unless entries were acknowledged.
fn open_log(
    dir: &Path,
    published: Option<&Checkpoint>,
    storage: &dyn Storage,
) -> Result<(File, Version), OpenError> {
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
    let version = version_of(&log, &path)?;
    Ok((log, version))
}
