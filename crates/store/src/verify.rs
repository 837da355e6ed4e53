//! Verification: the bytes of a snapshot against their digests.
//!
//! The directories of the snapshot are always read, all of them; how many of its files are is up to the caller.

use std::sync::Mutex;
use std::time::SystemTime;

use aseptic_model::{Class, Diagnose, Diagnosis, Digest};

use crate::check::{Check, Checked, Side};
use crate::error::{CORRUPT_HELP, Damage, Damages, StoreError, summary};
use crate::files::open_directory;
use crate::import::{Progress, Step};
use crate::object::Store;
use crate::parallel;
use crate::portion::{Portions, Shown, What, shown};
use crate::sample::Sample;
use crate::verified::States;

/// Which files a verification reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// All.
    #[default]
    Whole,
    /// Some, chosen at random: so many, or all if there are fewer. The same seed chooses the same files.
    Sample {
        /// How many.
        files: u64,
        /// Any number.
        seed: u64,
    },
    /// Those that were written since they were last read by this or [`Extent::Whole`], as far as the file
    /// system tells: packs and files whose size, inode or times of change are others. Bits that change on
    /// the medium change none of these.
    Changed,
}

/// What was read and found to be intact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Number of regular files.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
}

impl Store {
    /// Reads the whole snapshot `digest` and checks it; its view too, if there is one.
    ///
    /// # Errors
    /// - [`VerifyError::Damaged`]: names every file that is not what was stored.
    /// - [`VerifyError::Store`]: the root of the snapshot is missing or damaged, or the disk failed.
    pub fn verify(
        &self,
        digest: &Digest,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Verified, VerifyError> {
        self.verify_part(digest, Extent::Whole, progress)
    }

    /// As [`Store::verify`], for the files that `extent` names. Entries of the view that are no files are
    /// always looked at.
    ///
    /// # Errors
    /// As [`Store::verify`], as far as it was read.
    pub fn verify_part(
        &self,
        digest: &Digest,
        extent: Extent,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Verified, VerifyError> {
        let snapshot = self.snapshot(digest)?;
        let mut walk = self.walk(digest)?;
        let view = self.find_view(&digest.to_string());
        let view = view.map(|view| open_directory(&view)).transpose();
        let check = Check {
            store: self,
            extent,
            states: States::load(self, digest, SystemTime::now()),
            view: view.map_err(|error| self.io("open a view", "views", error))?,
            side: Mutex::default(),
        };
        let mut sample = match extent {
            Extent::Sample { files, seed } => Some(Sample::new(files, snapshot.files, seed)),
            Extent::Whole | Extent::Changed => None,
        };
        let (files_total, bytes_total) = match extent {
            Extent::Sample { files, .. } => (files.min(snapshot.files), 0),
            Extent::Whole | Extent::Changed => (snapshot.files, snapshot.bytes),
        };
        let mut done = Progress { step: Step::Read, files: 0, bytes: 0, files_total, bytes_total };
        let (mut damages, mut verified) = (Damages::default(), Verified::default());
        let entries = std::iter::from_fn(move || Some(walk.step()?.map(shown)));
        let entries = entries.filter(|entry| match entry {
            Ok(Shown { what: What::File { .. }, .. }) => sample.as_mut().is_none_or(Sample::next),
            _ => true,
        });
        parallel::run(
            Portions::new(self, entries, |shown, blocks| check.begin(shown, blocks)),
            |buffer, portion| check.portion(buffer, portion),
            |checked: Option<Checked>| {
                let Checked { damages: found, read, seen } = checked.unwrap_or_default();
                found.into_iter().for_each(|damage| damages.push(damage));
                verified.add(read);
                done.files += seen.files;
                done.bytes += seen.bytes;
                progress(done);
                Ok::<_, StoreError>(())
            },
        )?;
        check.names(*digest, &mut damages);
        let Side { keys, damages: found } = std::mem::take(&mut *check.side());
        found.into_iter().for_each(|damage| damages.push(damage));
        if damages.count > 0 {
            // Where it cannot be removed nothing else can be written either: what matters is the damage.
            let _ = check.states.forget();
            let Damages { list, count } = damages;
            return Err(VerifyError::Damaged { digest: *digest, list, count });
        }
        if !matches!(extent, Extent::Sample { .. }) {
            check.states.save(self, &keys);
        }
        Ok(verified)
    }
}

impl Verified {
    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
    }
}

/// Why a snapshot did not verify.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Some entries are not what was stored.
    #[error("the snapshot {digest} is damaged: {}", summary(list, count))]
    Damaged {
        /// The snapshot.
        digest: Digest,
        /// The first [`Damage::LIST_MAX`] of them.
        list: Vec<Damage>,
        /// How many there are.
        count: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Diagnose for VerifyError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Damaged { .. } => Diagnosis::new(Class::Damaged, "store/corrupt", CORRUPT_HELP),
            Self::Store(error) => error.diagnosis(),
        }
    }
}
