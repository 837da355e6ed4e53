//! Adding a version from a stream: an archive, or one file.

use std::io::Read;

use aseptic_model::{DatasetName, FilePath, ProjectName};
use aseptic_policy::Act;
use aseptic_store::{EntryKind, Snapshot, Store, TarOptions};

use super::DatasetError;
use super::add::{Added, Said, adopt};
use crate::home::Home;
use crate::labels::sidecar::{self, Carried};
use crate::observer::{Observer, import_progress};

/// How much of a stream is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpack {
    /// Most bytes, decompressed; without, the disk is the limit.
    pub max_bytes: Option<u64>,
}

/// Imports what is in a tar archive as the next version of the dataset `name`, as [`super::add()`] does with the
/// directory that it was made from.
///
/// # Errors
/// [`DatasetError`].
pub fn add_tar(
    home: &mut Home,
    project: &ProjectName,
    archive: impl Read + Send,
    unpack: Unpack,
    name: &DatasetName,
    said: &Said,
    observer: &mut dyn Observer,
) -> Result<Added, DatasetError> {
    home.allowed(project, Act::AddDataset, None)?;
    let store = home.store(project)?;
    let options = TarOptions { max_bytes: unpack.max_bytes, ..TarOptions::default() };
    // Until the ledger names it.
    let lease = store.lease()?;
    let imported = store.import_tar(&lease, archive, &options, &mut import_progress(observer))?;
    let carried = carried(&store, &imported.snapshot)?;
    let said = said.with(&carried, &imported.snapshot, observer);
    adopt(home, project, name, &imported.snapshot, &said, None)
}

/// Imports what `content` holds as one file called `file`, which is the next version of the dataset `name`.
///
/// # Errors
/// [`DatasetError`].
pub fn add_file(
    home: &mut Home,
    project: &ProjectName,
    (file, content): (&[u8], impl Read + Send),
    unpack: Unpack,
    name: &DatasetName,
    said: &Said,
    observer: &mut dyn Observer,
) -> Result<Added, DatasetError> {
    home.allowed(project, Act::AddDataset, None)?;
    let store = home.store(project)?;
    let lease = store.lease()?;
    let max = unpack.max_bytes;
    let imported = store.import_reader(&lease, file, content, max, &mut import_progress(observer))?;
    adopt(home, project, name, &imported.snapshot, said, None)
}

/// What an archive says about the labels of what is in it; the list stays a file of the version.
fn carried(store: &Store, snapshot: &Snapshot) -> Result<Carried, DatasetError> {
    let Ok(path) = sidecar::SUFFIX.parse::<FilePath>() else { return Ok(Carried::default()) };
    match store.lookup(&snapshot.digest, &path)?.map(|entry| entry.kind) {
        Some(EntryKind::File { digest, .. }) => {
            let bytes = store.get_bytes(&digest, sidecar::BYTES_MAX)?;
            Ok(sidecar::inside(&bytes, sidecar::SUFFIX)?)
        }
        _ => Ok(Carried::default()),
    }
}
