//! Archiving: a copy at another place.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aseptic_archive::{
    ArchiveError as PlaceError, ArchiveUrl, INCOMING, Incoming, MANIFEST, MANIFEST_BYTES_MAX, Manifest,
    Place, is_archive_path,
};
use aseptic_model::{Digest, Event as Entry, InputRef, ProjectName, from_canonical, to_canonical};
use aseptic_policy::Act;
use aseptic_store::Store;

use super::content::content_of;
use super::scratch::Scratch;
use super::{ArchiveError, Moving, check_apart};
use crate::home::{Home, HomeError, RECORD_BYTES_MAX, io_error};
use crate::observer::{Event, Observer, TransferStep};

/// Something after [`archive`].
#[derive(Debug)]
pub struct Archived {
    /// What is at the place.
    pub manifest: Manifest,
    /// BLAKE3 of the list of it.
    pub digest: Digest,
    /// Where.
    pub url: ArchiveUrl,
    /// Whether something was put there; an archive that was there already was read again.
    pub new: bool,
}

/// Copies a version of a dataset, or a run, to a place of its own, reads it back from there, and records that.
///
/// `variables` are those of the environment: the credentials for the place are among them. Doing it again
/// reads again what is there, and brings labels and statements up to date; a place that holds anything else is
/// not touched. One that was stopped or killed begins anew.
///
/// # Errors
/// [`ArchiveError`]. There is no complete archive at the place unless there was one.
pub fn archive(
    home: &mut Home,
    project: &ProjectName,
    reference: &InputRef,
    url: &ArchiveUrl,
    variables: Vec<(String, String)>,
    observer: &mut dyn Observer,
) -> Result<Archived, ArchiveError> {
    home.allowed(project, Act::Archive, None)?;
    check_apart(home, url)?;
    let store = home.store(project)?;
    // What is copied may be due meanwhile.
    let _lease = store.lease()?;
    home.catch_up()?;
    let (mut manifest, archived) = content_of(home, project, reference)?;
    home.allowed(project, Act::Archive, Some(&manifest.object.object().to_string()))?;
    let place = Place::open(url, variables)?;
    let mut quiet = Moving::new(observer, TransferStep::Check, 0, 0);
    let there = place.get_small(MANIFEST, MANIFEST_BYTES_MAX, &mut |bytes| quiet.tick(bytes))?;
    let new = if let Some(bytes) = there {
        manifest.contents = same_content(url, &manifest, &bytes)?;
        check(&place, &manifest, observer)?;
        let encoded = manifest.encode()?;
        if encoded != bytes {
            replace(&place, &encoded, observer)?;
        } else if archived.as_deref() == Some(url.to_string().as_str()) {
            return Ok(Archived { digest: Digest::of(&encoded), manifest, url: url.clone(), new: false });
        }
        false
    } else {
        put_all(home, &store, &place, &mut manifest, observer)?;
        true
    };
    let digest = Digest::of(&manifest.encode()?);
    let entry = Entry::ArchiveWritten {
        object: manifest.object.clone(),
        url: url.to_string(),
        manifest: digest,
        bytes: manifest.stored(),
    };
    home.record(project, vec![entry])?;
    home.catch_up()?;
    Ok(Archived { manifest, digest, url: url.clone(), new })
}

/// The files of an archive that is there already, if it is one of the same.
fn same_content(
    url: &ArchiveUrl,
    wanted: &Manifest,
    bytes: &[u8],
) -> Result<BTreeMap<String, aseptic_archive::FileSum>, ArchiveError> {
    let occupied = |what: String| PlaceError::Occupied { url: url.to_string(), what };
    let there = Manifest::decode(bytes).map_err(|_| occupied(format!("a `{MANIFEST}` of something else")))?;
    let is_same = (&there.object, &there.project, &there.snapshots, &there.objects)
        == (&wanted.object, &wanted.project, &wanted.snapshots, &wanted.objects);
    if is_same {
        Ok(there.contents)
    } else {
        let Manifest { object, project, .. } = there;
        Err(occupied(format!("an archive of `{object}` of project `{project}`")).into())
    }
}

/// Puts everything there, the manifest last and when all else was read back.
fn put_all(
    home: &Home,
    store: &Store,
    place: &Place,
    manifest: &mut Manifest,
    observer: &mut dyn Observer,
) -> Result<(), ArchiveError> {
    let left = begin(place, manifest, observer)?;
    let scratch = Scratch::new(home)?;
    pack(store, &scratch, manifest, observer)?;
    let files = files_of(&scratch.store())?;
    let total = files.values().sum();
    let mut moving = Moving::new(observer, TransferStep::Send, files.len(), total);
    for name in files.keys() {
        let sum = place.put_file(name, &scratch.store().join(name), &mut |bytes| moving.tick(bytes))?;
        manifest.contents.insert(name.clone(), sum);
        moving.file_done();
    }
    for name in left.iter().filter(|name| !files.contains_key(*name)) {
        place.remove(name, &mut |bytes| moving.tick(bytes))?;
    }
    check(place, manifest, observer)?;
    let encoded = manifest.encode()?;
    let mut moving = Moving::new(observer, TransferStep::Send, 0, 0);
    let tick = &mut |bytes| moving.tick(bytes);
    place.put_new(MANIFEST, &encoded, tick)?;
    if place.get_small(MANIFEST, MANIFEST_BYTES_MAX, tick)?.as_ref() != Some(&encoded) {
        return Err(not_kept(place, MANIFEST));
    }
    Ok(place.remove(INCOMING, tick)?)
}

/// Takes the place: what is there of an earlier try is told, and anything else is left alone.
fn begin(
    place: &Place,
    manifest: &Manifest,
    observer: &mut dyn Observer,
) -> Result<Vec<String>, ArchiveError> {
    let mut moving = Moving::new(observer, TransferStep::Check, 0, 0);
    let tick = &mut |bytes| moving.tick(bytes);
    let occupied = |what: String| PlaceError::Occupied { url: place.url().to_string(), what };
    let incoming = Incoming::of(manifest);
    let mut names = place.names(tick)?;
    if names.is_empty() {
        place.put_new(INCOMING, &to_canonical(&incoming)?, tick)?;
        return Ok(names);
    }
    let known = |name: &String| name == INCOMING || is_archive_path(name);
    let mark = place.get_small(INCOMING, MANIFEST_BYTES_MAX, tick)?;
    match mark.map(|bytes| from_canonical::<Incoming>(&bytes)) {
        Some(Ok(there)) if there == incoming && names.iter().all(known) => {
            names.retain(|name| is_archive_path(name));
            Ok(names)
        }
        Some(Ok(Incoming { object, project, .. })) => {
            Err(occupied(format!("an unfinished archive of `{object}` of project `{project}`")).into())
        }
        Some(Err(_)) | None => Err(occupied("files that are no archive".to_owned()).into()),
    }
}

/// Makes a store of nothing but what belongs into the archive.
fn pack(
    store: &Store,
    scratch: &Scratch,
    manifest: &Manifest,
    observer: &mut dyn Observer,
) -> Result<(), ArchiveError> {
    let small = Store::open(&scratch.store())?;
    let lease = small.lease()?;
    for snapshot in &manifest.snapshots {
        small.copy_from(&lease, store, snapshot, &mut |progress| observer.event(Event::Import(progress)))?;
        if observer.is_interrupted() {
            return Err(PlaceError::Interrupted.into());
        }
    }
    for object in &manifest.objects {
        small.put_bytes(&lease, &store.get_bytes(object, RECORD_BYTES_MAX)?)?;
    }
    Ok(())
}

/// Every file of a store that an archive has, with its size.
fn files_of(store: &Path) -> Result<BTreeMap<String, u64>, HomeError> {
    let mut files = BTreeMap::new();
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        let at = store.join(&directory);
        for entry in fs::read_dir(&at).map_err(|source| io_error("list", &at, source))? {
            let entry = entry.map_err(|source| io_error("list", &at, source))?;
            let metadata = entry.metadata().map_err(|source| io_error("look at", &at, source))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let name = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            if metadata.is_dir() {
                directories.push(name);
            } else if is_archive_path(&name) {
                files.insert(name, metadata.len());
            }
        }
    }
    Ok(files)
}

/// Reads everything back.
fn check(place: &Place, manifest: &Manifest, observer: &mut dyn Observer) -> Result<(), ArchiveError> {
    let (files, bytes) = (manifest.contents.len(), manifest.stored());
    let mut moving = Moving::new(observer, TransferStep::Check, files, bytes);
    for (name, sum) in &manifest.contents {
        place.check_file(name, sum, &mut |bytes| moving.tick(bytes))?;
        moving.file_done();
    }
    Ok(())
}

/// Puts a manifest with other labels or statements in the place of the one that is there.
fn replace(place: &Place, encoded: &[u8], observer: &mut dyn Observer) -> Result<(), ArchiveError> {
    let mut moving = Moving::new(observer, TransferStep::Send, 0, 0);
    let tick = &mut |bytes| moving.tick(bytes);
    place.put_again(MANIFEST, encoded, tick)?;
    if place.get_small(MANIFEST, MANIFEST_BYTES_MAX, tick)?.as_deref() != Some(encoded) {
        return Err(not_kept(place, MANIFEST));
    }
    Ok(())
}

fn not_kept(place: &Place, name: &str) -> ArchiveError {
    let url = format!("{}/{name}", place.url());
    PlaceError::Damaged { url, what: "the place gives back other bytes than it got".to_owned() }.into()
}
