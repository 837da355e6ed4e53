//! The key of attestations: made on first use, in the ledger before what it signs, and replaced on demand.
//!
//! The ledger says which key is in force, and the file has the key. Where the two differ, as after a crash between
//! them or with a ledger from a copy, whoever signs next records the key of the file.
//!
//! **Invariant:** whoever signs holds the lock shared until the ledger has what was signed, and whoever brings in
//! another key holds it alone: what a key signed stands in the ledger before the entry that replaces it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aseptic_attest::{AttestError, PublicKey, SigningKey};
use aseptic_model::{Class, Diagnose, Diagnosis, Event as Entry, ProjectName};
use aseptic_policy::Act;
use rustix::fs::FlockOperation;

use crate::home::{Home, HomeError, io_error};

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file of the key holds none.
    #[error("`{path}` is damaged")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: AttestError,
    },
    /// Signing failed.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for KeyError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::File { .. } => Diagnosis::new(
                Class::Damaged,
                "attest/key-file",
                "bring the file back from a copy, or make another key with `aseptic attest key --rotate --reason TEXT`",
            ),
            Self::Attest(error) => error.diagnosis(),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

/// The key, and the right to sign with it.
#[derive(Debug)]
pub(crate) struct Signer {
    key: SigningKey,
    /// Whether the ledger names another key, or none.
    unrecorded: bool,
    /// Held until what was signed is in the ledger.
    _lock: File,
}

/// Where the key lies.
struct Places {
    lock: PathBuf,
    key: PathBuf,
    draft: PathBuf,
}

impl Places {
    fn of(home: &Home) -> Self {
        let place = |name: &str| home.dir().join(name);
        Self {
            lock: place("attestation-key.lock"),
            key: place("attestation-key.pem"),
            draft: place("attestation-key.tmp"),
        }
    }

    fn lock(&self, operation: FlockOperation) -> Result<File, HomeError> {
        let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&self.lock);
        let file = file.map_err(|source| io_error("open", &self.lock, source))?;
        rustix::fs::flock(&file, operation).map_err(|error| io_error("lock", &self.lock, error.into()))?;
        Ok(file)
    }

    /// A new key in the place of the old one, durable. The caller holds the lock alone.
    fn make(&self) -> Result<SigningKey, KeyError> {
        let text = SigningKey::generate()?;
        let write = || -> io::Result<()> {
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&self.draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&self.draft, &self.key)?;
            File::open(self.key.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|source| io_error("write", &self.key, source))?;
        Ok(SigningKey::from_pem(&text)?)
    }
}

impl Signer {
    /// The key of this machine, made if there is none. The ledger may not have it yet: see [`Self::entry`].
    pub(crate) fn open(home: &mut Home) -> Result<Self, KeyError> {
        let places = Places::of(home);
        let lock = places.lock(FlockOperation::LockShared)?;
        let (key, lock) = if exists(&places.key)? {
            (read(&places.key)?, lock)
        } else {
            drop(lock);
            let lock = places.lock(FlockOperation::LockExclusive)?;
            // Another process may have made it while we waited. That we hold the lock alone does no harm.
            let key = if exists(&places.key)? { read(&places.key)? } else { places.make()? };
            (key, lock)
        };
        let mut signer = Self { key, unrecorded: false, _lock: lock };
        if !signer.is_in_force(home)? {
            home.catch_up()?; // Another process may have recorded it since.
            signer.unrecorded = !signer.is_in_force(home)?;
        }
        Ok(signer)
    }

    fn is_in_force(&self, home: &Home) -> Result<bool, HomeError> {
        Ok(home.catalog.attestation_key()?.as_deref() == Some(self.key.public().pem()))
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    /// What the ledger has to hold before anything that this key signed.
    pub(crate) fn entry(&self) -> Option<Entry> {
        let public_key = self.key.public().pem().to_owned();
        self.unrecorded.then_some(Entry::AttestationKey { public_key, reason: None })
    }
}

fn exists(path: &Path) -> Result<bool, HomeError> {
    path.try_exists().map_err(|source| io_error("look at", path, source))
}

fn read(path: &Path) -> Result<SigningKey, KeyError> {
    let text = fs::read(path).map_err(|source| io_error("read", path, source))?;
    let parsed = SigningKey::from_pem(&String::from_utf8_lossy(&text));
    parsed.map_err(|source| KeyError::File { path: path.display().to_string(), source })
}

/// The public key that signs attestations, made and recorded if there was none.
///
/// # Errors
/// [`KeyError`].
pub fn attestation_key(home: &mut Home, project: &ProjectName) -> Result<PublicKey, KeyError> {
    home.allowed(project, Act::View, None)?;
    let signer = Signer::open(home)?;
    home.record(project, signer.entry().into_iter().collect())?;
    Ok(signer.key.public().clone())
}

/// Makes another key and records it with the reason. What the old one signed stays valid.
///
/// # Errors
/// [`KeyError`].
pub fn rotate_attestation_key(
    home: &mut Home,
    project: &ProjectName,
    reason: String,
) -> Result<PublicKey, KeyError> {
    home.allowed(project, Act::ManageKeys, None)?;
    let places = Places::of(home);
    let _lock = places.lock(FlockOperation::LockExclusive)?;
    let key = places.make()?;
    let public_key = key.public().pem().to_owned();
    home.record(project, vec![Entry::AttestationKey { public_key, reason: Some(reason) }])?;
    Ok(key.public().clone())
}
