//! Adding a version from a stream: an archive, or one file.

use std::io::Read;

use aseptic_model::{DatasetName, ProjectName};
use aseptic_store::TarOptions;

use super::DatasetError;
use super::add::{Added, Said, adopt};
use crate::home::Home;
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
    let store = home.store(project)?;
    let options = TarOptions { max_bytes: unpack.max_bytes, ..TarOptions::default() };
    // Until the ledger names it.
    let lease = store.lease()?;
    let imported = store.import_tar(&lease, archive, &options, &mut import_progress(observer))?;
    adopt(home, project, name, &imported.snapshot, said, None)
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
    let store = home.store(project)?;
    let lease = store.lease()?;
    let max = unpack.max_bytes;
    let imported = store.import_reader(&lease, file, content, max, &mut import_progress(observer))?;
    adopt(home, project, name, &imported.snapshot, said, None)
}
