//! The import at work: directories are listed and files read by all threads at once.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aseptic_model::FilePath;

use super::read::Reader;
use super::{ImportError, Imported, Progress, Step};
use crate::files::open_directory_below;
use crate::forest::{Branch, Place, complete};
use crate::hint::key;
use crate::index::Unmet;
use crate::jobs::Jobs;
use crate::rules::Rules;
use crate::scan::{Listing, Pending, Scanner, failed};
use crate::tree::{EntryKind, Snapshot};
use crate::writer::Writer;

/// Files that are listed before any is read, so that it is known early how much there is to do. Bounds the
/// memory for them: some twenty megabytes.
const AHEAD_FILES_MAX: usize = 100_000;
/// Files of one directory that one thread reads in one go.
const BATCH_FILES: usize = 64;
/// Bytes of them.
const BATCH_BYTES: u64 = 1 << 20;
/// Files that were taken since the last checkpoint. Bounds the memory for what is not published.
const CHECKPOINT_FILES: u64 = 200_000;

/// What was left out.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    pub(super) list: Vec<FilePath>,
    pub(super) count: u64,
}

/// One import.
#[derive(Debug)]
pub(super) struct Work<'a> {
    scanner: Scanner<'a>,
    writer: &'a Writer<'a>,
    /// A single file: its name, and what the snapshot calls it.
    single: Option<(Vec<u8>, Vec<u8>)>,
    reader: Reader<'a>,
    jobs: Jobs<Job>,
    /// Directories that are not listed yet.
    unlisted: AtomicUsize,
    listed: AtomicU64,
    files: AtomicU64,
    files_total: AtomicU64,
    bytes_total: AtomicU64,
    skipped: Mutex<Skipped>,
    snapshot: Mutex<Option<Snapshot>>,
}

#[derive(Debug)]
enum Job {
    Root,
    List(Place, Option<Arc<Rules>>),
    Read(Arc<Branch>, Vec<Pending>),
}

impl<'a> Work<'a> {
    pub(super) fn new(
        scanner: Scanner<'a>,
        writer: &'a Writer<'a>,
        single: Option<(Vec<u8>, Vec<u8>)>,
    ) -> Self {
        Self {
            scanner,
            writer,
            single,
            reader: Reader::new(writer),
            jobs: Jobs::new(AHEAD_FILES_MAX),
            unlisted: AtomicUsize::new(1),
            listed: AtomicU64::new(0),
            files: AtomicU64::new(0),
            files_total: AtomicU64::new(0),
            bytes_total: AtomicU64::new(0),
            skipped: Mutex::default(),
            snapshot: Mutex::default(),
        }
    }

    /// Does everything, and publishes what it has now and then.
    pub(super) fn run(
        &self,
        checkpoint_every: Duration,
        tell: &mut dyn FnMut(Progress) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let (mut last, mut last_files) = (Instant::now(), 0);
        self.jobs.add([Job::Root], []);
        self.jobs.run(
            |buffer, job| self.job(buffer, job),
            || {
                tell(self.progress())?;
                let files = self.files.load(Ordering::Acquire);
                let due = last.elapsed() >= checkpoint_every && files > last_files;
                if due || files - last_files >= CHECKPOINT_FILES {
                    self.checkpoint()?;
                    (last, last_files) = (Instant::now(), files);
                }
                Ok(())
            },
        )
    }

    /// Publishes what was taken so far, so that the next import need not read it.
    fn checkpoint(&self) -> Result<(), ImportError> {
        // In this order: a file is in the index after its object was added.
        let added = self.scanner.index.added();
        self.writer.checkpoint()?;
        self.scanner.index.save(self.scanner.store, Unmet::Keep, added);
        Ok(())
    }

    /// The snapshot, after [`Work::run`].
    pub(super) fn snapshot(&self) -> Result<Snapshot, ImportError> {
        Ok(complete(*self.snapshot.lock().unwrap_or_else(PoisonError::into_inner))?)
    }

    /// How many files were read, and what was left out.
    pub(super) fn finish(self) -> (u64, Skipped) {
        (self.files.into_inner(), self.skipped.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn progress(&self) -> Progress {
        let unlisted = self.unlisted.load(Ordering::Acquire) > 0;
        let files = self.files.load(Ordering::Acquire);
        let bytes = self.reader.bytes();
        if unlisted && bytes == 0 {
            let files = self.listed.load(Ordering::Relaxed);
            return Progress { step: Step::Scan, files, bytes: 0, files_total: 0, bytes_total: 0 };
        }
        let total = |count: &AtomicU64| if unlisted { 0 } else { count.load(Ordering::Relaxed) };
        let (files_total, bytes_total) = (total(&self.files_total), total(&self.bytes_total));
        Progress { step: Step::Read, files, bytes, files_total, bytes_total }
    }

    fn job(&self, buffer: &mut [u8], job: Job) -> Result<(), ImportError> {
        match job {
            Job::Root => {
                let branch = Branch::root();
                let listing = match &self.single {
                    Some((name, shown)) => self.scanner.single(name, shown)?,
                    None => self.scanner.list(b"", None)?,
                };
                self.listed(&branch, listing)
            }
            Job::List(place, rules) => {
                let branch = place.open();
                let listing = self.scanner.list(branch.path(), rules.as_ref())?;
                self.listed(&branch, listing)
            }
            Job::Read(branch, files) => self.read(buffer, &branch, &files),
        }
    }

    fn listed(&self, branch: &Arc<Branch>, listing: Listing) -> Result<(), ImportError> {
        let Listing { entries, pending, directories, skipped, rules } = listing;
        self.listed.fetch_add((entries.len() + skipped.len()) as u64, Ordering::Relaxed);
        self.files_total.fetch_add(pending.len() as u64, Ordering::Relaxed);
        self.bytes_total.fetch_add(pending.iter().map(|file| file.size).sum(), Ordering::Relaxed);
        self.skip(skipped);
        let snapshot = branch.fill(entries, pending.len() + directories.len(), self.writer)?;
        self.rooted(snapshot);
        self.unlisted.fetch_add(directories.len(), Ordering::Relaxed);
        let below = directories
            .into_iter()
            .map(|slot| Job::List(Place { branch: Arc::clone(branch), slot }, rules.clone()));
        let batches =
            batches(&pending).map(|batch| (Job::Read(Arc::clone(branch), batch.to_vec()), batch.len()));
        self.jobs.add(below, batches);
        self.unlisted.fetch_sub(1, Ordering::Release);
        Ok(())
    }

    /// Reads some files of one directory.
    fn read(&self, buffer: &mut [u8], branch: &Arc<Branch>, files: &[Pending]) -> Result<(), ImportError> {
        let path = branch.path();
        let directory = open_directory_below(self.scanner.root, path).map_err(|error| failed(path, error))?;
        let mut known = Vec::with_capacity(files.len());
        let mut settled = Vec::with_capacity(files.len());
        for file in files {
            if self.jobs.is_stopped() {
                break;
            }
            let listed = branch.path_of(file.slot);
            let name = branch.name(file.slot);
            let (name, path) = match &self.single {
                Some((name, _)) => (name, name),
                None => (&name, &listed),
            };
            let stop = || self.jobs.is_stopped();
            let read = self.reader.read(&directory, name, path, buffer, &stop)?;
            if let (EntryKind::File { digest, .. }, true) =
                (&read.kind, self.scanner.index.is_settled(&read.stamp))
            {
                settled.push((key(path, &read.stamp), *digest));
            }
            known.push((file.slot, read.kind));
        }
        self.scanner.index.add(settled);
        // After that, so that a checkpoint has every file that was reported.
        self.files.fetch_add(known.len() as u64, Ordering::Release);
        let snapshot = branch.set(known, self.writer)?;
        self.rooted(snapshot);
        Ok(())
    }

    fn rooted(&self, snapshot: Option<Snapshot>) {
        if snapshot.is_some() {
            *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
        }
    }

    fn skip(&self, paths: Vec<Vec<u8>>) {
        if paths.is_empty() {
            return;
        }
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.count += paths.len() as u64;
        let room = Imported::SKIPPED_MAX - skipped.list.len();
        skipped.list.extend(paths.into_iter().take(room).filter_map(|path| FilePath::from_bytes(path).ok()));
    }
}

/// Files that are read in one go: few enough that all threads end at about the same time.
fn batches(mut files: &[Pending]) -> impl Iterator<Item = &[Pending]> {
    std::iter::from_fn(move || {
        let mut bytes = 0_u64;
        let fit = files.iter().take(BATCH_FILES).take_while(|file| {
            bytes = bytes.saturating_add(file.size);
            bytes <= BATCH_BYTES
        });
        let count = fit.count().max(1);
        let (batch, rest) = files.split_at_checked(count)?;
        files = rest;
        Some(batch)
    })
}
