//! The checkpoints of a ledger for which cosignatures were asked, in the directory `witnessed` beside its log:
//! a file for each, named by its number of entries.

use std::fs;
use std::io;
use std::path::Path;

use aseptic_model::{Class, Diagnose, Diagnosis};

use crate::checkpoint::SignatureLine;
use crate::cosign::WitnessKey;
use crate::error::StorageError;
use crate::note::{Checkpoint, NOTE_BYTES_MAX, NoteError};
use crate::policy::Policy;
use crate::proof::decimal;
use crate::storage::{Disk, Lock, Storage, create_dir, read_text};

const DIR: &str = "witnessed";

/// How many of the newest are kept: those that a witness may still answer by hand. The newest that has its
/// quorum is kept besides.
const KEPT: usize = 16;

/// Longest answer of a witness in bytes: some signature lines.
const ANSWER_BYTES_MAX: usize = NOTE_BYTES_MAX;

/// Why a cosignature was not taken.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The file system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The answer has no valid cosignature by this witness.
    #[error("the answer is no cosignature of this checkpoint by `{witness}`")]
    NotBy {
        /// Name of its key.
        witness: String,
    },
    /// The note would become too long.
    #[error("the cosignature cannot be added to the checkpoint")]
    Note(#[source] NoteError),
}

impl Diagnose for CollectError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Storage(error) => error.diagnosis(),
            Self::NotBy { .. } => Diagnosis::new(
                Class::Damaged,
                "ledger/cosignature",
                "compare the key of the witness with `aseptic ledger witness list`, and ask it again",
            ),
            Self::Note(_) => Diagnosis::new(
                Class::User,
                "ledger/cosignature",
                "remove witnesses that are no longer asked: a checkpoint has at most 8192 bytes",
            ),
        }
    }
}

/// `checkpoint` with the cosignature that `answer`, signature lines of a witness, has by `key`. Lines by others
/// are ignored.
///
/// # Errors
/// [`CollectError::NotBy`]: there is none that is valid. [`CollectError::Note`].
pub fn with_cosignature(
    checkpoint: &Checkpoint,
    answer: &str,
    key: &WitnessKey,
) -> Result<Checkpoint, CollectError> {
    let not_by = || CollectError::NotBy { witness: key.name().to_owned() };
    if answer.len() > ANSWER_BYTES_MAX {
        return Err(not_by());
    }
    let lines = answer.lines().filter_map(SignatureLine::parse);
    let of_key: Vec<_> = lines.filter(|line| line.names(key)).collect();
    let alone = checkpoint.with_signatures(&of_key).map_err(|_| not_by())?;
    if !matches!(key.cosigned(&alone), Ok(Some(_))) {
        return Err(not_by());
    }
    let mut signatures = checkpoint.signatures().to_vec();
    signatures.retain(|line| !line.names(key));
    signatures.extend(of_key);
    checkpoint.with_signatures(&signatures).map_err(CollectError::Note)
}

/// Keeps `checkpoint`, which the caller has checked, with its cosignatures, durably, together with those that
/// were kept for it before.
///
/// Of older ones, some of the newest stay, and the newest that `policy` accepts.
///
/// # Errors
/// [`CollectError`]: it was not kept.
pub fn keep(dir: &Path, checkpoint: &Checkpoint, policy: &Policy) -> Result<(), CollectError> {
    let place = dir.join(DIR);
    create_dir(&place).map_err(StorageError::at("create", &place))?;
    let path = place.join("lock");
    let lock = Lock::create(&path).map_err(StorageError::at("open", &path))?;
    let _held = lock.exclusive().map_err(StorageError::at("lock", &path))?;

    let mut signatures = checkpoint.signatures().to_vec();
    for line in cosigned_of(dir, checkpoint).iter().flat_map(Checkpoint::signatures) {
        if !signatures.iter().any(|new| (&new.name, new.id) == (&line.name, line.id)) {
            signatures.push(line.clone());
        }
    }
    let merged = checkpoint.with_signatures(&signatures).map_err(CollectError::Note)?;
    let path = place.join(checkpoint.size().to_string());
    Disk.create(&path, merged.to_string().as_bytes()).map_err(StorageError::at("write", &path))?;

    let all = collected(dir)?;
    let accepted = |checkpoint: &&Checkpoint| policy.judge(checkpoint).is_ok_and(|judged| judged.quorum);
    let best = all.iter().rev().find(accepted).map(Checkpoint::size);
    for old in all.iter().rev().skip(KEPT).filter(|old| Some(old.size()) != best) {
        // One that stays is removed the next time.
        let _ = fs::remove_file(place.join(old.size().to_string()));
    }
    Ok(())
}

/// The checkpoints that were kept, the smallest first, with the cosignatures that they have. Nothing about them
/// was checked since; files that are no checkpoint are passed over.
///
/// # Errors
/// [`StorageError`].
pub fn collected(dir: &Path) -> Result<Vec<Checkpoint>, StorageError> {
    let place = dir.join(DIR);
    let entries = match fs::read_dir(&place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(StorageError::at("list", &place))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(StorageError::at("list", &place))?.file_name();
        let Some(size) = name.to_str().and_then(decimal) else { continue };
        let path = place.join(&name);
        let text = read_text(&path, NOTE_BYTES_MAX).map_err(StorageError::at("read", &path))?;
        let checkpoint = text.and_then(|text| text.parse::<Checkpoint>().ok());
        found.extend(checkpoint.filter(|checkpoint| checkpoint.size() == size));
    }
    found.sort_by_key(Checkpoint::size);
    Ok(found)
}

/// The kept checkpoint with the text of this one.
pub(crate) fn cosigned_of(dir: &Path, checkpoint: &Checkpoint) -> Option<Checkpoint> {
    let path = dir.join(DIR).join(checkpoint.size().to_string());
    let kept: Checkpoint = read_text(&path, NOTE_BYTES_MAX).ok()??.parse().ok()?;
    (kept.text() == checkpoint.text()).then_some(kept)
}
