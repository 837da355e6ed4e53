//! The file `values` of a ledger: what people may ask to erase, with the salts of their commitments.
//!
//! A value is durable before the entry that commits to it. Lines are only added, until one is erased: then the file
//! is replaced by one without it. Who adds or erases holds `values.lock` alone; who fills the catalog shares it, so
//! that the catalog never gets a value that is being erased. Other readers need no lock.
//! See `docs/formats/values.md`.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aseptic_model::{
    CanonicalError, Class, Committed, Diagnose, Diagnosis, Digest, PlaceError, Salt, from_canonical,
    to_canonical,
};
use rustix::fs::FlockOperation;

use crate::lock_file;

/// Longest line: a value fits into an entry, and each byte of it may take six in JSON.
const LINE_BYTES_MAX: usize = 512 << 10;
/// How much is read at once from the end of the file.
const CHUNK_BYTES: usize = 64 << 10;

/// Why erasable values could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ValuesError {
    /// The file system.
    #[error("could not {what} `{path}`")]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On what.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A line is none, or opens no commitment.
    #[error("the line that ends at byte {end} of `{path}` is damaged")]
    Damaged {
        /// The file.
        path: String,
        /// Offset of the end of the line.
        end: u64,
    },
    /// A value is not what may stand there.
    #[error("a value of entry {index} of the ledger does not fit")]
    Place {
        /// Zero-based index of the entry.
        index: u64,
        /// Why not.
        #[source]
        source: PlaceError,
    },
    /// A value has no canonical form, or the system gave no random bytes.
    #[error("could not commit to a value")]
    Commit(#[source] io::Error),
}

impl From<CanonicalError> for ValuesError {
    fn from(error: CanonicalError) -> Self {
        Self::Commit(io::Error::other(error))
    }
}

impl Diagnose for ValuesError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Io { .. } | Self::Commit(_) => Diagnosis::new(
                Class::Host,
                "ledger/storage",
                "check the disk and the permissions, then try again",
            ),
            Self::Damaged { .. } | Self::Place { .. } => Diagnosis::new(
                Class::Damaged,
                "ledger/values",
                "keep a copy as evidence and restore `values` of the ledger directory; without the line its value \
                 counts as missing, and the ledger still verifies",
            ),
        }
    }
}

/// A new salt.
pub(crate) fn salt() -> Result<Salt, ValuesError> {
    let mut bytes = [0; Salt::BYTES];
    getrandom::fill(&mut bytes).map_err(|error| ValuesError::Commit(io::Error::other(error)))?;
    Ok(Salt::from_bytes(bytes))
}

/// The lock of the values of one ledger, until it is dropped.
#[derive(Debug)]
pub(crate) struct Shared(#[expect(dead_code, reason = "closing it releases the lock")] File);

/// The lock of the values of one ledger, held alone, until it is dropped.
#[derive(Debug)]
pub(crate) struct Alone {
    path: PathBuf,
    _lock: File,
}

/// Waits until nobody adds or erases values of the ledger in `dir`.
pub(crate) fn share(dir: &Path) -> Result<Shared, ValuesError> {
    Ok(Shared(lock(dir, FlockOperation::LockShared)?))
}

/// Waits until nobody uses values of the ledger in `dir`.
pub(crate) fn alone(dir: &Path) -> Result<Alone, ValuesError> {
    Ok(Alone { _lock: lock(dir, FlockOperation::LockExclusive)?, path: dir.join("values") })
}

fn lock(dir: &Path, operation: FlockOperation) -> Result<File, ValuesError> {
    let path = dir.join("values.lock");
    lock_file::wait(&path, operation).map_err(|(step, error)| io(step, &path)(error))
}

impl Alone {
    /// Adds `values`. Durable when it returns; after an error none of them is there.
    pub(crate) fn add(&self, values: &[Committed]) -> Result<(), ValuesError> {
        let path = &self.path;
        let mut bytes = Vec::new();
        for value in values {
            bytes.extend(to_canonical(value)?);
            bytes.push(b'\n');
        }
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        let file =
            options.read(true).append(true).create(true).mode(0o600).open(path).map_err(io("open", path))?;
        let end = file.metadata().map_err(io("measure", path))?.len();
        // What a process that died left behind: its entry was never written.
        let whole = whole_lines(&file, end).map_err(io("read", path))?;
        let added = (|| {
            if whole < end {
                file.set_len(whole)?;
            }
            (&file).write_all(&bytes)?;
            file.sync_data()?;
            if is_new { sync_directory(path) } else { Ok(()) }
        })();
        added.map_err(|error| {
            let _ = file.set_len(whole); // What stays without its entry is removed by the next erasure.
            io("write", path)(error)
        })
    }

    /// Forgets every value that `keep` does not want. Returns how many those were; durable when it returns.
    pub(crate) fn keep(&self, keep: impl Fn(&Digest) -> bool) -> Result<usize, ValuesError> {
        let path = &self.path;
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            opened => opened.map_err(io("open", path))?,
        };
        let end = file.metadata().map_err(io("measure", path))?.len();
        let whole = whole_lines(&file, end).map_err(io("read", path))?;
        let temporary = path.with_extension("tmp");
        let mut options = OpenOptions::new();
        let new = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary);
        let mut new = BufWriter::new(new.map_err(io("create", &temporary))?);
        let mut lines = BufReader::new(file);
        let (mut at, mut line, mut gone) = (0, Vec::new(), 0);
        while at < whole {
            line.clear();
            let read = read_line(&mut lines, &mut line).map_err(io("read", path))?;
            at += read as u64;
            let text = line.strip_suffix(b"\n").ok_or_else(|| damaged(path, at))?;
            if keep(&parse(text).ok_or_else(|| damaged(path, at))?.commitment) {
                new.write_all(&line).map_err(io("write", &temporary))?;
            } else {
                gone += 1;
            }
        }
        if gone == 0 && whole == end {
            return fs::remove_file(&temporary).map(|()| 0).map_err(io("remove", &temporary));
        }
        let new = new.into_inner().map_err(|error| io("write", &temporary)(error.into_error()))?;
        new.sync_data().map_err(io("write", &temporary))?;
        fs::rename(&temporary, path).map_err(io("replace", path))?;
        sync_directory(path).map_err(io("replace", path))?;
        Ok(gone)
    }
}

/// The values of one ledger, read from the end of the file only as far as they are asked for: those that are
/// asked for are mostly the last ones.
#[derive(Debug)]
pub(crate) struct Values {
    path: PathBuf,
    file: Option<File>,
    /// What is before this offset was not read yet.
    unread: u64,
    /// The first bytes of what was read, which belong to a line that begins before.
    begun: Vec<u8>,
    known: HashMap<Digest, String>,
}

impl Values {
    /// Those that are there now in the ledger directory `dir`; none where it has no such file.
    pub(crate) fn open(dir: &Path) -> Result<Self, ValuesError> {
        let path = dir.join("values");
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened.map_err(io("open", &path))?),
        };
        let mut unread = 0;
        if let Some(file) = &file {
            let end = file.metadata().map_err(io("measure", &path))?.len();
            unread = whole_lines(file, end).map_err(io("read", &path))?;
        }
        Ok(Self { path, file, unread, begun: Vec::new(), known: HashMap::new() })
    }

    /// The value of `commitment`, unless it is not there.
    pub(crate) fn get(&mut self, commitment: &Digest) -> Result<Option<&str>, ValuesError> {
        while !self.known.contains_key(commitment) && self.unread > 0 {
            self.read_back()?;
        }
        Ok(self.known.get(commitment).map(String::as_str))
    }

    /// Reads one chunk more, towards the start of the file.
    fn read_back(&mut self) -> Result<(), ValuesError> {
        let Some(file) = &self.file else { return Ok(()) };
        let from = self.unread.saturating_sub(CHUNK_BYTES as u64);
        let mut chunk = vec![0; usize::try_from(self.unread - from).unwrap_or(CHUNK_BYTES)];
        file.read_exact_at(&mut chunk, from).map_err(io("read", &self.path))?;
        let chunk_end = self.unread + self.begun.len() as u64;
        chunk.append(&mut self.begun);
        self.unread = from;
        // The lines of the chunk, each with the newline before the next one as its end.
        let first = match from {
            0 => 0,
            _ => chunk.iter().position(|byte| *byte == b'\n').map_or(chunk.len(), |at| at + 1),
        };
        let mut end = from + first as u64;
        for line in chunk[first..].split_inclusive(|byte| *byte == b'\n') {
            end += line.len() as u64;
            let committed = line.strip_suffix(b"\n").and_then(parse);
            let committed = committed.ok_or_else(|| damaged(&self.path, end))?;
            self.known.insert(committed.commitment, committed.value);
        }
        chunk.truncate(first);
        self.begun = chunk;
        if self.begun.len() > LINE_BYTES_MAX { Err(damaged(&self.path, chunk_end)) } else { Ok(()) }
    }
}

/// What a line says, if it is one and the commitment is that of its value.
fn parse(line: &[u8]) -> Option<Committed> {
    from_canonical::<Committed>(line).ok().filter(Committed::is_true)
}

/// What opens those of `wanted` that are known, in the order of the file of the ledger in `dir`.
pub(crate) fn openings(
    dir: &Path,
    wanted: &std::collections::BTreeSet<Digest>,
) -> Result<Vec<Committed>, ValuesError> {
    let path = dir.join("values");
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.map_err(io("open", &path))?,
    };
    let (mut lines, mut line, mut end) = (BufReader::new(file), Vec::new(), 0);
    let mut found = Vec::new();
    loop {
        line.clear();
        end += read_line(&mut lines, &mut line).map_err(io("read", &path))? as u64;
        let Some(whole) = line.strip_suffix(b"\n") else { return Ok(found) };
        let committed = parse(whole).ok_or_else(|| damaged(&path, end))?;
        if wanted.contains(&committed.commitment) {
            found.push(committed);
        }
    }
}

/// Where the last whole line ends.
fn whole_lines(file: &File, end: u64) -> io::Result<u64> {
    let mut at = end;
    while at > 0 {
        let from = at.saturating_sub(CHUNK_BYTES as u64);
        let mut chunk = vec![0; usize::try_from(at - from).unwrap_or(CHUNK_BYTES)];
        file.read_exact_at(&mut chunk, from)?;
        if let Some(newline) = chunk.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + newline as u64 + 1);
        }
        at = from;
    }
    Ok(0)
}

fn read_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    io::Read::take(lines, LINE_BYTES_MAX as u64).read_until(b'\n', line)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn io(what: &'static str, path: &Path) -> impl Fn(io::Error) -> ValuesError {
    move |source| ValuesError::Io { what, path: path.display().to_string(), source }
}

fn damaged(path: &Path, end: u64) -> ValuesError {
    ValuesError::Damaged { path: path.display().to_string(), end }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(value: &str) -> Committed {
        Committed::new(value.to_owned(), salt().unwrap()).unwrap()
    }

    #[test]
    fn values_are_found_from_the_end_across_chunks() {
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<_> = (0..200).map(|n| committed(&format!("{n}").repeat(n * 10 + 1))).collect();
        for some in all.chunks(7) {
            alone(dir.path()).unwrap().add(some).unwrap();
        }
        let mut values = Values::open(dir.path()).unwrap();
        assert_eq!(values.get(&all[199].commitment).unwrap(), Some(all[199].value.as_str()));
        assert!(values.known.len() < 200, "not all of it was read");
        for one in &all {
            assert_eq!(values.get(&one.commitment).unwrap(), Some(one.value.as_str()));
        }
        assert_eq!(values.get(&Digest::of(b"")).unwrap(), None);
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&values.path).unwrap().permissions());
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn what_is_not_kept_is_gone_from_every_file() {
        let dir = tempfile::tempdir().unwrap();
        let [kept, erased] = [committed("stays"), committed("goes away")];
        let alone = alone(dir.path()).unwrap();
        assert_eq!(alone.keep(|_| false).unwrap(), 0, "there is no file yet");
        alone.add(&[kept.clone(), erased.clone()]).unwrap();
        assert_eq!(alone.keep(|commitment| *commitment == kept.commitment).unwrap(), 1);
        assert_eq!(alone.keep(|commitment| *commitment == kept.commitment).unwrap(), 0);
        for file in fs::read_dir(dir.path()).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            assert!(!text.contains("goes away"), "{text}");
        }
        let mut values = Values::open(dir.path()).unwrap();
        assert_eq!(values.get(&kept.commitment).unwrap(), Some("stays"));
        assert_eq!(values.get(&erased.commitment).unwrap(), None);
    }

    #[test]
    fn a_line_that_was_never_finished_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let [first, second] = [committed("first"), committed("second")];
        alone(dir.path()).unwrap().add(std::slice::from_ref(&first)).unwrap();
        let path = dir.path().join("values");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"commitment\":\"ab").unwrap();
        assert_eq!(Values::open(dir.path()).unwrap().get(&first.commitment).unwrap(), Some("first"));
        alone(dir.path()).unwrap().add(std::slice::from_ref(&second)).unwrap();
        let mut values = Values::open(dir.path()).unwrap();
        assert_eq!(values.get(&first.commitment).unwrap(), Some("first"));
        assert_eq!(values.get(&second.commitment).unwrap(), Some("second"));
    }

    #[test]
    fn a_changed_value_is_damage_and_no_other_value() {
        let dir = tempfile::tempdir().unwrap();
        let one = committed("as it was");
        alone(dir.path()).unwrap().add(std::slice::from_ref(&one)).unwrap();
        let path = dir.path().join("values");
        let text = fs::read_to_string(&path).unwrap();
        for bad in [text.replace("as it was", "as it is"), "{}\n".to_owned(), "x".repeat(600 << 10) + "\n"] {
            fs::write(&path, bad).unwrap();
            let found = Values::open(dir.path()).unwrap().get(&one.commitment).map(|value| value.is_some());
            assert!(matches!(found, Err(ValuesError::Damaged { .. })), "{found:?}");
            assert!(matches!(alone(dir.path()).unwrap().keep(|_| true), Err(ValuesError::Damaged { .. })));
        }
    }
}
