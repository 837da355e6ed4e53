//! Labels of bytes that leave: a file beside what was exported, which an import reads.
//!
//! `NAME.aseptic-labels.json` lies beside a single file `NAME`, and `.aseptic-labels.json` inside of a directory. It is
//! nobody's proof: whoever has the files may change it. So it only ever adds labels, and one that cannot be understood
//! stops the import instead of being passed over. See `docs/labels.md`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use aseptic_model::{Digest, FilePath, Label, ProjectName, RunId, Timestamp, escape_bytes};
use aseptic_store::{EntryKind, Store};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::results::ResultError;

/// What the name of every such file ends with; all of the name, inside of a directory.
pub(crate) const SUFFIX: &str = aseptic_attest::LABELS_FILE;

const FORMAT: &str = "aseptic.labels/1";

/// Largest file that is read.
pub(crate) const BYTES_MAX: usize = 1 << 20;

/// Most exports that one file lists. Labels of older ones stay.
const EXPORTS_MAX: usize = 500;

/// Most such files that one import reads.
const FILES_MAX: usize = 1_000;

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sidecar {
    format: String,
    /// Labels of everything that was ever exported to this place.
    pub(crate) labels: BTreeSet<Label>,
    /// What was exported, the last one last.
    pub(crate) exports: Vec<Export>,
}

/// One export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Export {
    /// The ledger that has the run, as its checkpoints name it.
    pub(crate) ledger: String,
    pub(crate) project: ProjectName,
    pub(crate) run: RunId,
    /// Which output; none for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<FilePath>,
    /// The tree that was exported.
    pub(crate) snapshot: Digest,
    /// Digest of the signed attestations of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attestation: Option<Digest>,
    pub(crate) labels: BTreeSet<Label>,
    pub(crate) time: Timestamp,
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// It could not be read or written.
    #[error("could not {what} `{path}`")]
    Io {
        /// The step.
        what: &'static str,
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is no list of labels.
    #[error("`{path}` is no list of labels: {why}")]
    Broken {
        /// The file.
        path: String,
        /// Why not.
        why: String,
    },
}

/// What lies beside something that is imported.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    pub(crate) labels: BTreeSet<Label>,
    pub(crate) exports: Vec<Export>,
    /// The files that were read.
    pub(crate) files: usize,
}

impl Carried {
    fn add(&mut self, sidecar: Sidecar) {
        self.labels.extend(sidecar.labels);
        self.labels.extend(sidecar.exports.iter().flat_map(|export| export.labels.iter().cloned()));
        self.exports.extend(sidecar.exports);
        self.files += 1;
    }

    /// What a person is told about it, after `snapshot` was imported.
    pub(crate) fn note(&self, snapshot: &Digest) -> Option<String> {
        if self.files == 0 {
            return None;
        }
        let labels: Vec<_> = self.labels.iter().map(Label::as_str).collect();
        let labels = if labels.is_empty() { "no labels".to_owned() } else { labels.join(" ") };
        Some(match self.exports.iter().rev().find(|export| export.snapshot == *snapshot) {
            Some(export) => format!("exported from run {}, with {labels}", export.run),
            None => {
                format!("{labels} came with it; the files are not what was exported, and keep the labels")
            }
        })
    }
}

/// What lies beside the file or directory `path`, or in the directory.
pub(crate) fn beside(path: &Path) -> Result<Carried, SidecarError> {
    let mut carried = Carried::default();
    // What cannot be resolved cannot be imported either, and the import says why.
    let Ok(real) = path.canonicalize() else { return Ok(carried) };
    let mut places = BTreeSet::new();
    if real.is_dir() {
        let listing = fs::read_dir(&real).map_err(|source| io_error("list", &real, source))?;
        for entry in listing {
            let name = entry.map_err(|source| io_error("list", &real, source))?.file_name();
            if name.as_bytes().ends_with(SUFFIX.as_bytes()) {
                places.insert(real.join(name));
            }
            if places.len() > FILES_MAX {
                let why = format!("it has more than {FILES_MAX} of them");
                return Err(SidecarError::Broken { path: real.display().to_string(), why });
            }
        }
    }
    // One output of a tree that was exported.
    places.extend(real.parent().map(|above| above.join(SUFFIX)));
    places.extend(sidecar_of(&real));
    for place in places {
        if let Some(sidecar) = read(&place)? {
            carried.add(sidecar);
        }
    }
    Ok(carried)
}

/// What is in a file of this name that was imported with the rest.
pub(crate) fn inside(bytes: &[u8], name: &str) -> Result<Carried, SidecarError> {
    let mut carried = Carried::default();
    carried.add(parse(bytes, name)?);
    Ok(carried)
}

/// Where the labels of an export are written. A job cannot leave such a file in the place of it.
pub(crate) fn place_of(
    store: &Store,
    tree: &Digest,
    path: Option<&FilePath>,
    to: &Path,
) -> Result<PathBuf, ResultError> {
    let entries = store.read_tree(tree)?;
    for entry in entries.entries() {
        if entry.name.ends_with(SUFFIX.as_bytes()) {
            return Err(ResultError::SidecarName { name: escape_bytes(&entry.name) });
        }
    }
    let single = match (path, entries.entries()) {
        (Some(path), [only])
            if only.name == path.file_name() && !matches!(only.kind, EntryKind::Directory { .. }) =>
        {
            Some(only.name.as_slice())
        }
        _ => None,
    };
    Ok(place(to, single))
}

/// Where the labels of what is exported to `to` are written: `single` is the name of a single file.
fn place(to: &Path, single: Option<&[u8]>) -> PathBuf {
    let mut name = single.unwrap_or_default().to_vec();
    name.extend_from_slice(SUFFIX.as_bytes());
    to.join(std::ffi::OsStr::from_bytes(&name))
}

/// Beside a file.
fn sidecar_of(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?;
    Some(place(file.parent()?, Some(name.as_bytes())))
}

/// Adds an export to the file at `place`, which appears at once or not at all. Nothing is written where there are no
/// labels and none were before.
pub(crate) fn write(place: &Path, export: Export) -> Result<bool, SidecarError> {
    let before = read(place)?;
    if before.is_none() && export.labels.is_empty() {
        return Ok(false);
    }
    let mut sidecar = before.unwrap_or_else(|| Sidecar {
        format: FORMAT.to_owned(),
        labels: BTreeSet::new(),
        exports: Vec::new(),
    });
    sidecar.labels.extend(export.labels.iter().cloned());
    let is_same = |other: &Export| {
        (&other.ledger, &other.run, &other.path) == (&export.ledger, &export.run, &export.path)
    };
    sidecar.exports.retain(|other| !is_same(other));
    sidecar.exports.push(export);
    let many = sidecar.exports.len().saturating_sub(EXPORTS_MAX);
    sidecar.exports.drain(..many);
    let mut text = serde_json::to_vec_pretty(&sidecar)
        .map_err(|error| io_error("write", place, io::Error::other(error)))?;
    text.push(b'\n');
    replace(place, &text).map_err(|source| io_error("write", place, source))?;
    Ok(true)
}

/// Puts `bytes` in the place of what is there, in one step.
fn replace(place: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let name = format!(".aseptic-export-{:016x}", u64::from_ne_bytes(random));
    let passing = place.with_file_name(name);
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&passing)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&passing, place)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&passing);
    })
}

/// Reads one, without following links; nothing where there is none.
pub(crate) fn read(place: &Path) -> Result<Option<Sidecar>, SidecarError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(place, flags, Mode::empty()) {
        Ok(file) => fs::File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::NAMETOOLONG) => {
            return Ok(None);
        }
        Err(rustix::io::Errno::LOOP) => return Err(broken(place, "it is a link")),
        Err(error) => return Err(io_error("open", place, error.into())),
    };
    let failed = |source| io_error("read", place, source);
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(broken(place, "it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    parse(&bytes, &place.display().to_string()).map(Some)
}

fn parse(bytes: &[u8], path: &str) -> Result<Sidecar, SidecarError> {
    let wrong = |why: String| SidecarError::Broken { path: path.to_owned(), why };
    if bytes.len() > BYTES_MAX {
        return Err(wrong(format!("it has more than {BYTES_MAX} bytes")));
    }
    let sidecar: Sidecar = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
    match sidecar.format == FORMAT {
        true => Ok(sidecar),
        false => Err(wrong(format!("its format is not {FORMAT}"))),
    }
}

fn broken(place: &Path, why: &str) -> SidecarError {
    SidecarError::Broken { path: place.display().to_string(), why: why.to_owned() }
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> SidecarError {
    SidecarError::Io { what, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(run: u64, labels: &[&str]) -> Export {
        Export {
            ledger: "example/1".to_owned(),
            project: "p".parse().unwrap(),
            run: RunId::from_random(run),
            path: None,
            snapshot: Digest::of(&run.to_be_bytes()),
            attestation: None,
            labels: labels.iter().map(|label| label.parse().unwrap()).collect(),
            time: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn labels_of_a_place_only_grow() {
        let dir = tempfile::tempdir().unwrap();
        let to = place(dir.path(), None);
        assert!(!write(&to, export(0, &[])).unwrap() && !to.exists(), "nothing to say");
        for run in 0..600 {
            write(&to, export(run, &[&format!("l{run}")])).unwrap();
        }
        let found = beside(dir.path()).unwrap();
        assert_eq!((found.labels.len(), found.exports.len(), found.files), (600, EXPORTS_MAX, 1));
        assert!(found.note(&Digest::of(&599_u64.to_be_bytes())).unwrap().starts_with("exported from run"));
        assert!(found.note(&Digest::of(b"other")).unwrap().contains("not what was exported"));
    }

    #[test]
    fn what_cannot_be_understood_stops_the_import() {
        let dir = tempfile::tempdir().unwrap();
        let to = place(dir.path(), Some(b"model"));
        fs::write(dir.path().join("model"), "x").unwrap();
        let valid = br#"{"format":"aseptic.labels/1","labels":["pii"],"exports":[]}"#;
        fs::write(&to, valid).unwrap();
        assert_eq!(beside(&dir.path().join("model")).unwrap().labels.len(), 1);
        assert_eq!(beside(dir.path()).unwrap().labels.len(), 1);
        for wrong in [
            &b"{}"[..],
            b"",
            br#"{"format":"aseptic.labels/2","labels":[],"exports":[]}"#,
            br#"{"format":"aseptic.labels/1","labels":["not a label"],"exports":[]}"#,
            br#"{"format":"aseptic.labels/1","labels":[],"exports":[],"more":1}"#,
            &vec![b' '; 1 << 21],
            &vec![b'['; 1 << 19],
        ] {
            fs::write(&to, wrong).unwrap();
            assert!(matches!(beside(dir.path()), Err(SidecarError::Broken { .. })));
        }
        fs::remove_file(&to).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &to).unwrap();
        assert!(matches!(beside(dir.path()), Err(SidecarError::Broken { .. })));
        fs::remove_file(&to).unwrap();
        fs::create_dir(&to).unwrap();
        assert!(matches!(beside(dir.path()), Err(SidecarError::Broken { .. })));
    }
}
