//! Restoring: what an archive holds is in the store again, or in that of another ledger.

use std::fs;

use aseptic_archive::{
    ArchiveError as PlaceError, ArchiveUrl, MANIFEST, MANIFEST_BYTES_MAX, Manifest, Place,
};
use aseptic_catalog::DatasetVersion;
use aseptic_ledger::Position;
use aseptic_model::{DatasetName, Digest, Event as Entry, InputRef, Origin, ProjectName, Retained};
use aseptic_policy::Act;
use aseptic_store::{Snapshot, Store, StoreError, VerifyError};

use super::scratch::Scratch;
use super::{ArchiveError, Moving, check_apart};
use crate::dataset::{Added, DatasetError, Said, adopt, find};
use crate::home::{Home, HomeError, RECORD_BYTES_MAX, io_error};
use crate::observer::{Event, Observer, TransferStep};

/// What to restore.
#[derive(Clone, Debug)]
pub struct Restore {
    /// From where.
    pub url: ArchiveUrl,
    /// Name of the dataset that it becomes; without, it is what it was.
    pub name: Option<DatasetName>,
    /// BLAKE3 of the list that must be there, if somebody said which.
    pub manifest: Option<Digest>,
}

/// Something after [`restore`].
#[derive(Debug)]
pub struct Restored {
    /// What is at the place.
    pub manifest: Manifest,
    /// BLAKE3 of the list of it.
    pub digest: Digest,
    /// What it is here.
    pub object: Retained,
    /// What was recorded: nothing when it was all here.
    pub recorded: bool,
    /// The version that it became, where it is a dataset of another ledger or another name.
    pub added: Option<Added>,
}

/// What it is in this ledger.
enum Here {
    /// What it was; whether its bytes were given up.
    Same { expired: bool },
    /// Something new, of this name.
    New(DatasetName),
}

/// Gets an archive, compares all of it with its list, and puts it into the store of `project`.
///
/// A version or run of this ledger is restored as what it was. A dataset of another ledger becomes the next
/// version of its name here, with its labels and what is said about it. What was stopped or killed leaves
/// nothing; done again it changes nothing.
///
/// # Errors
/// [`ArchiveError`]; names the file that is missing or damaged.
pub fn restore(
    home: &mut Home,
    project: &ProjectName,
    wanted: &Restore,
    variables: Vec<(String, String)>,
    observer: &mut dyn Observer,
) -> Result<Restored, ArchiveError> {
    home.allowed(project, Act::Restore, None)?;
    check_apart(home, &wanted.url)?;
    let url = wanted.url.to_string();
    let place = Place::open(&wanted.url, variables)?;
    let mut quiet = Moving::new(observer, TransferStep::Receive, 0, 0);
    let bytes = place.get_small(MANIFEST, MANIFEST_BYTES_MAX, &mut |bytes| quiet.tick(bytes))?;
    let missing = || PlaceError::Missing { what: "complete archive", url: url.clone() };
    let bytes = bytes.ok_or_else(missing)?;
    let digest = Digest::of(&bytes);
    // Whatever the list says of itself, and whatever it is to become here.
    let (expected, by) = match wanted.manifest {
        Some(asked) => (Some(asked), "was asked for"),
        None => (written(home, project, &url)?, "the ledger names"),
    };
    if expected.is_some_and(|expected| expected != digest) {
        return Err(ArchiveError::Other { url, expected: by });
    }
    let manifest =
        Manifest::decode(&bytes).map_err(|what| ArchiveError::Manifest { url: url.clone(), what })?;
    let store = home.store(project)?;
    // Until the ledger names it.
    let lease = store.lease()?;
    home.catch_up()?;
    let here = here(home, project, wanted, &manifest)?;
    let scratch = Scratch::new(home)?;
    let small = receive(&place, &manifest, &scratch, observer)?;
    let mine = Mine { url: &url, manifest: &manifest };
    if let Here::New(_) = here {
        for snapshot in &manifest.snapshots {
            if let Some(link) = small.leads_outside(snapshot).map_err(|error| mine.damage(error))? {
                return Err(DatasetError::from(link).into());
            }
        }
    }
    let mut content = Vec::with_capacity(manifest.snapshots.len());
    for snapshot in &manifest.snapshots {
        let copied = store
            .restore_from(&lease, &small, snapshot, &mut |progress| observer.event(Event::Import(progress)));
        content.push(copied.map_err(|error| mine.copy_damage(error))?.snapshot);
    }
    for object in &manifest.objects {
        let bytes = small.get_bytes(object, RECORD_BYTES_MAX).map_err(|error| mine.damage(error))?;
        store.put_bytes(&lease, &bytes)?;
    }
    let (files, bytes) = content.iter().fold((0_u64, 0_u64), |(files, bytes), snapshot: &Snapshot| {
        (files.saturating_add(snapshot.files), bytes.saturating_add(snapshot.bytes))
    });
    if (files, bytes) != (manifest.files, manifest.bytes) {
        let what = "it has other totals than its content".to_owned();
        return Err(ArchiveError::Manifest { url, what });
    }
    match here {
        Here::Same { expired } => {
            let object = manifest.object.clone();
            if expired {
                let entry = Entry::ArchiveRestored { object: object.clone(), url, manifest: digest };
                home.record(project, vec![entry])?;
                home.catch_up()?;
            }
            Ok(Restored { manifest, digest, object, recorded: expired, added: None })
        }
        Here::New(name) => {
            let [snapshot] = content.as_slice() else {
                return Err(ArchiveError::Manifest { url, what: "a dataset is one tree".to_owned() });
            };
            let said = Said {
                labels: manifest.labels.clone(),
                metadata: manifest.metadata.clone(),
                ..Said::default()
            };
            let origin = Origin::Archive { url, manifest: digest };
            let added = adopt(home, project, &name, snapshot, &said, Some(origin))?;
            let object = crate::dataset::object_of(&added.version);
            let recorded = added.new || !added.recorded.is_empty();
            Ok(Restored { manifest, digest, object, recorded, added: Some(added) })
        }
    }
}

/// Tells what is wrong with the archive from what is wrong with this machine.
struct Mine<'a> {
    url: &'a str,
    manifest: &'a Manifest,
}

impl Mine<'_> {
    /// What an error of the store that was got means: its files are what the list says, so the list leads to
    /// what is no whole store.
    fn damage(&self, error: StoreError) -> ArchiveError {
        let is_ours = match &error {
            StoreError::Full { .. } => true,
            // What the system did not say is about the bytes, such as those that do not decompress.
            StoreError::Io { source, .. } => source.raw_os_error().is_some(),
            StoreError::Index { name } => !self.manifest.contents.contains_key(&format!("segments/{name}")),
            _ => false,
        };
        if is_ours { error.into() } else { self.damaged(&error) }
    }

    /// The same for a copy, which writes to the store of this machine, and reads there only what it replaces.
    fn copy_damage(&self, error: VerifyError) -> ArchiveError {
        match error {
            VerifyError::Damaged { .. } => self.damaged(&error),
            VerifyError::Store(error) => self.damage(error),
        }
    }

    fn damaged(&self, error: &dyn std::error::Error) -> ArchiveError {
        PlaceError::Damaged { url: self.url.to_owned(), what: error.to_string() }.into()
    }
}

/// What the archive is in this ledger.
fn here(
    home: &Home,
    project: &ProjectName,
    wanted: &Restore,
    manifest: &Manifest,
) -> Result<Here, ArchiveError> {
    match &manifest.object {
        Retained::Dataset { name, version } => {
            if let Some(name) = &wanted.name {
                return Ok(Here::New(name.clone()));
            }
            let reference = InputRef::Dataset { name: name.clone(), version: Some(*version) };
            match find(home, project, &reference) {
                // It came from an archive itself: what is said there counts here, too, if it is new.
                Ok(DatasetVersion { expired: None, origin: Some(Origin::Archive { .. }), .. }) => {
                    Ok(Here::New(name.clone()))
                }
                Ok(version) if manifest.snapshots.iter().eq([&version.snapshot]) => {
                    Ok(Here::Same { expired: version.expired.is_some() })
                }
                Ok(_) | Err(DatasetError::Missing { .. }) => Ok(Here::New(name.clone())),
                Err(error) => Err(error.into()),
            }
        }
        Retained::Run(run) => {
            let summary = home.catalog.run(project, run).map_err(HomeError::from)?;
            let same = summary.filter(|summary| {
                let parts = [Some(summary.plan), summary.record].into_iter().flatten();
                wanted.name.is_none() && parts.into_iter().all(|part| manifest.objects.contains(&part))
            });
            match same {
                Some(summary) => Ok(Here::Same { expired: summary.expired.is_some() }),
                None => Err(ArchiveError::ForeignRun { project: project.clone(), run: run.clone() }),
            }
        }
    }
}

/// The list of what `project` archived at `url` last.
fn written(home: &Home, project: &ProjectName, url: &str) -> Result<Option<Digest>, HomeError> {
    let mut found = None;
    for recorded in crate::record::entries(&home.ledger_dir(), Position::START)? {
        let Some(entry) = recorded?.entry.filter(|entry| entry.project == *project) else { continue };
        if let Entry::ArchiveWritten { url: at, manifest, .. } = entry.event
            && at == url
        {
            found = Some(manifest);
        }
    }
    Ok(found)
}

/// Gets every file of the archive; what comes is a store.
fn receive(
    place: &Place,
    manifest: &Manifest,
    scratch: &Scratch,
    observer: &mut dyn Observer,
) -> Result<Store, ArchiveError> {
    const FORMAT: &str = "format";
    let dir = scratch.store();
    drop(Store::open(&dir)?); // Makes the directories.
    let own = dir.join(FORMAT);
    let own = Digest::of(&fs::read(&own).map_err(|source| io_error("read", &own, source))?);
    if manifest.contents.get(FORMAT).is_none_or(|sum| sum.blake3 != own) {
        let what = "its files are not those of a store of this version".to_owned();
        return Err(ArchiveError::Manifest { url: place.url().to_string(), what });
    }
    let (files, bytes) = (manifest.contents.len(), manifest.stored());
    let mut moving = Moving::new(observer, TransferStep::Receive, files, bytes);
    for (name, sum) in &manifest.contents {
        if name == FORMAT {
            place.check_file(name, sum, &mut |bytes| moving.tick(bytes))?;
        } else {
            place.get_file(name, sum, &dir.join(name), &mut |bytes| moving.tick(bytes))?;
        }
        moving.file_done();
    }
    Ok(Store::open(&dir)?)
}
