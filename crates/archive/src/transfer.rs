//! Files on their way to a place and back.

use std::fs::File;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::Path as LocalPath;

use aseptic_model::Digest;
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::error::ArchiveError;
use crate::manifest::{FileSum, INCOMING, MANIFEST, is_archive_path};
use crate::place::Place;

/// Hears of bytes that were moved, and says whether to go on. Called ten times a second at least.
pub type Tick<'t> = &'t mut dyn FnMut(u64) -> ControlFlow<()>;

/// What one request carries. Bounds memory, and what is sent again after an error.
const PIECE_BYTES: u64 = 16 << 20;
/// Most pieces of one file: clouds take ten thousand.
const PIECES_MAX: u64 = 9_000;
/// A WebDAV server takes a file in one request only, from memory.
const WEB_BYTES_MAX: u64 = 1 << 30;
/// Most names at a place that are looked at.
const NAMES_MAX: usize = 2_000_000;

impl Place {
    /// Puts a file of this machine there; replaces one of the same name. Returns what was put.
    ///
    /// # Errors
    /// [`ArchiveError`]; the place may have the file or not, and never a part of it.
    pub fn put_file(&self, name: &str, from: &LocalPath, tick: Tick<'_>) -> Result<FileSum, ArchiveError> {
        let local = |source| ArchiveError::Local { what: "read", path: from.display().to_string(), source };
        let mut file = File::open(from).map_err(local)?;
        let size = file.metadata().map_err(local)?.len();
        let piece = if self.url.is_web() { size } else { PIECE_BYTES.max(size.div_ceil(PIECES_MAX)) };
        if self.url.is_web() && size > WEB_BYTES_MAX {
            return Err(ArchiveError::Url {
                url: self.url.of_file(name),
                what: "files of more than 1 GiB are not put to a WebDAV server",
            });
        }
        let mut hasher = blake3::Hasher::new();
        let mut next = || {
            let mut bytes = Vec::new();
            (&mut file).take(piece).read_to_end(&mut bytes).map_err(local)?;
            hasher.update(&bytes);
            Ok::<_, ArchiveError>(bytes)
        };
        let failed = |error| self.failed("put a file", name, &error);
        let path = self.path(name);
        let first = next()?;
        let mut bytes = first.len() as u64;
        if size <= piece {
            self.wait(self.store.put(&path, PutPayload::from(first)), tick)?.map_err(failed)?;
            moved(tick, bytes)?;
        } else {
            let mut upload = self.wait(self.store.put_multipart(&path), tick)?.map_err(failed)?;
            let mut part = first;
            let put = loop {
                if part.is_empty() {
                    break Ok(());
                }
                let count = part.len() as u64;
                let sent = match self.wait(upload.put_part(PutPayload::from(part)), tick) {
                    Ok(sent) => sent.map_err(failed),
                    Err(stopped) => Err(stopped),
                };
                match sent.and_then(|()| moved(tick, count)).and_then(|()| next()) {
                    Ok(more) => part = more,
                    Err(error) => break Err(error),
                }
                bytes += part.len() as u64;
            };
            if let Err(error) = put {
                // Clouds keep parts of what was never completed, and charge for them.
                let _ = self.wait(upload.abort(), &mut |_| ControlFlow::Continue(()));
                return Err(error);
            }
            self.wait(upload.complete(), tick)?.map_err(failed)?;
        }
        if bytes != size {
            let source = std::io::Error::other("it changed while it was read");
            return Err(local(source));
        }
        Ok(FileSum { bytes, blake3: Digest::from_bytes(*hasher.finalize().as_bytes()) })
    }

    /// Puts a small file of ours there. Where the place can tell, it is not put over another.
    ///
    /// # Errors
    /// [`ArchiveError::Occupied`] when there is one of this name, and as [`Place::put_file`].
    pub fn put_new(&self, name: &str, bytes: &[u8], tick: Tick<'_>) -> Result<(), ArchiveError> {
        self.prepare()?;
        let mode = if self.url.is_web() { PutMode::Overwrite } else { PutMode::Create };
        let (path, payload) = (self.path(name), PutPayload::from(bytes.to_vec()));
        let put = self.store.put_opts(&path, payload, PutOptions::from(mode));
        match self.wait(put, tick)? {
            Ok(_) => moved(tick, bytes.len() as u64),
            Err(Error::AlreadyExists { .. }) => Err(ArchiveError::Occupied {
                url: self.url.to_string(),
                what: "another archive that was written meanwhile".to_owned(),
            }),
            Err(error) => Err(self.failed("put a file", name, &error)),
        }
    }

    /// Puts a small file of ours in the place of one of the same name.
    ///
    /// # Errors
    /// As [`Place::put_file`].
    pub fn put_again(&self, name: &str, bytes: &[u8], tick: Tick<'_>) -> Result<(), ArchiveError> {
        let (path, payload) = (self.path(name), PutPayload::from(bytes.to_vec()));
        let put = self.wait(self.store.put(&path, payload), tick)?;
        put.map_err(|error| self.failed("put a file", name, &error))?;
        moved(tick, bytes.len() as u64)
    }

    /// A small file of ours, of at most `max` bytes; `None` if there is none.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn get_small(&self, name: &str, max: usize, tick: Tick<'_>) -> Result<Option<Vec<u8>>, ArchiveError> {
        let Some(size) = self.size(name, tick)? else { return Ok(None) };
        if size > max as u64 {
            let what = format!("it has {size} bytes, and at most {max} are read");
            return Err(ArchiveError::Damaged { url: self.url.of_file(name), what });
        }
        let mut bytes = Vec::new();
        self.pieces(name, size, tick, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Some(bytes))
    }

    /// Gets a file into `to`, which must not exist, and compares it with `sum`. Removes it again if it is
    /// another.
    ///
    /// # Errors
    /// [`ArchiveError::Missing`], [`ArchiveError::Damaged`]: names the file.
    pub fn get_file(
        &self,
        name: &str,
        sum: &FileSum,
        to: &LocalPath,
        tick: Tick<'_>,
    ) -> Result<(), ArchiveError> {
        let local = |source| ArchiveError::Local { what: "write", path: to.display().to_string(), source };
        let mut file = File::create_new(to).map_err(local)?;
        self.read(name, sum, tick, |piece| file.write_all(piece).map_err(local)).inspect_err(|_| {
            let _ = std::fs::remove_file(to); // It is in a directory that is removed in any case.
        })
    }

    /// Reads a file there and compares it with `sum`.
    ///
    /// # Errors
    /// [`ArchiveError::Missing`], [`ArchiveError::Damaged`]: names the file.
    pub fn check_file(&self, name: &str, sum: &FileSum, tick: Tick<'_>) -> Result<(), ArchiveError> {
        self.read(name, sum, tick, |_| Ok(()))
    }

    /// Names of all files at the place, relative to it.
    ///
    /// # Errors
    /// [`ArchiveError`]; also when there are so many that it cannot be an archive.
    pub fn names(&self, tick: Tick<'_>) -> Result<Vec<String>, ArchiveError> {
        let mut directories = vec![self.prefix.clone()];
        let mut names = Vec::new();
        if self.url.directory().is_some_and(|directory| !directory.exists()) {
            return Ok(names);
        }
        while let Some(directory) = directories.pop() {
            let listed = match self.wait(self.store.list_with_delimiter(Some(&directory)), tick)? {
                Ok(listed) => listed,
                Err(Error::NotFound { .. }) => continue,
                Err(error) => return Err(self.failed("list the files", "", &error)),
            };
            for path in listed.objects.iter().map(|object| &object.location) {
                let parts = path
                    .prefix_match(&self.prefix)
                    .map(|parts| parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"));
                names.extend(parts.filter(|name| !name.is_empty()));
            }
            directories.extend(listed.common_prefixes.into_iter().filter(|path| *path != directory));
            if names.len() + directories.len() > NAMES_MAX {
                let what = format!("more than {NAMES_MAX} files");
                return Err(ArchiveError::Occupied { url: self.url.to_string(), what });
            }
        }
        Ok(names)
    }

    /// Removes a file of an archive there; one that is gone is fine. Never anything else than what an archive
    /// has.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn remove(&self, name: &str, tick: Tick<'_>) -> Result<(), ArchiveError> {
        if name == MANIFEST || (name != INCOMING && !is_archive_path(name)) {
            return Ok(());
        }
        match self.wait(self.store.delete(&self.path(name)), tick)? {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove a file", name, &error)),
        }
    }

    /// How long a file is, if it is there.
    fn size(&self, name: &str, tick: Tick<'_>) -> Result<Option<u64>, ArchiveError> {
        self.check_kind(name)?;
        match self.wait(self.store.head(&self.path(name)), tick)? {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look at a file", name, &error)),
        }
    }

    /// Refuses what is no regular file where the place is a directory: opening a pipe would wait for ever.
    fn check_kind(&self, name: &str) -> Result<(), ArchiveError> {
        let Some(directory) = self.url.directory() else { return Ok(()) };
        match std::fs::symlink_metadata(directory.join(name)) {
            Ok(metadata) if !metadata.is_file() => {
                let what = "it is no regular file".to_owned();
                Err(ArchiveError::Damaged { url: self.url.of_file(name), what })
            }
            _ => Ok(()), // What cannot be looked at is told when it is opened.
        }
    }

    fn read(
        &self,
        name: &str,
        sum: &FileSum,
        tick: Tick<'_>,
        mut take: impl FnMut(&[u8]) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let damaged = |what: String| ArchiveError::Damaged { url: self.url.of_file(name), what };
        let missing = || ArchiveError::Missing { what: "such file", url: self.url.of_file(name) };
        let size = self.size(name, tick)?.ok_or_else(missing)?;
        if size != sum.bytes {
            return Err(damaged(format!("it has {size} bytes instead of {}", sum.bytes)));
        }
        let mut hasher = blake3::Hasher::new();
        self.pieces(name, size, tick, |piece| {
            hasher.update(piece);
            take(piece)
        })?;
        let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
        if digest == sum.blake3 {
            Ok(())
        } else {
            Err(damaged(format!("its BLAKE3 is {} instead of {}", digest.short(), sum.blake3.short())))
        }
    }

    /// Shows the bytes of a file to `take`, a piece at a time.
    fn pieces(
        &self,
        name: &str,
        size: u64,
        tick: Tick<'_>,
        mut take: impl FnMut(&[u8]) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let path = self.path(name);
        let mut at = 0;
        while at < size {
            let end = size.min(at + PIECE_BYTES);
            let piece = self.wait(self.store.get_range(&path, at..end), tick)?;
            let piece = piece.map_err(|error| self.failed("get a file", name, &error))?;
            if piece.len() as u64 != end - at {
                let what = format!("it ended after {} bytes", at + piece.len() as u64);
                return Err(ArchiveError::Damaged { url: self.url.of_file(name), what });
            }
            take(&piece)?;
            moved(tick, end - at)?;
            at = end;
        }
        Ok(())
    }
}

fn moved(tick: Tick<'_>, bytes: u64) -> Result<(), ArchiveError> {
    match tick(bytes) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(ArchiveError::Interrupted),
    }
}
