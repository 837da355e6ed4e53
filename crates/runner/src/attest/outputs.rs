//! Files of a directory against a statement about them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use aseptic_attest::{MODEL_SIGNATURE, Statement, is_ignored};
use aseptic_model::{FilePath, escape_bytes};
use rustix::fs::OFlags;

use super::AttestationError;
use crate::labels::sidecar;

/// How many names an error lists.
const NAMED_MAX: usize = 5;

/// A copy of outputs.
#[derive(Clone, Debug)]
pub struct OutputsToCheck {
    /// The directory.
    pub dir: PathBuf,
    /// Which part of the outputs was copied there; all without.
    pub part: Option<FilePath>,
}

/// What the comparison found: every file as the statement says, and none beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Number of files.
    pub files: u64,
    /// Their total size.
    pub bytes: u64,
}

/// The files that a statement is about, with their SHA-256.
fn listed(statement: &Statement) -> BTreeMap<String, String> {
    let digest = |value: &serde_json::Value| {
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        Some((text("name")?, text("digest")?))
    };
    match statement.predicate.get("resources").and_then(|resources| resources.as_array()) {
        Some(resources) => resources.iter().filter_map(digest).collect(),
        None => statement
            .subject
            .iter()
            .filter_map(|subject| Some((subject.name.clone(), subject.digest.get("sha256")?.clone())))
            .collect(),
    }
}

/// Compares every file of a directory with the statement, both ways.
pub(super) fn compare(statement: &Statement, outputs: &OutputsToCheck) -> Result<Compared, AttestationError> {
    let mut wanted = listed(statement);
    if wanted.is_empty() && !statement.subject.iter().all(is_empty_tree) {
        return Err(AttestationError::Unlisted);
    }
    if let Some(part) = &outputs.part {
        let (part, below) = (part.to_string(), format!("{part}/"));
        wanted = wanted
            .into_iter()
            .filter_map(|(name, digest)| match name.strip_prefix(&below) {
                Some(rest) => Some((rest.to_owned(), digest)),
                // A file alone is copied under its own name.
                None => (name == part).then(|| (name.rsplit('/').next().unwrap_or(&name).to_owned(), digest)),
            })
            .collect();
        if wanted.is_empty() {
            return Err(AttestationError::Unlisted);
        }
    }
    let mut found = Vec::new();
    walk(&outputs.dir, &mut Vec::new(), &mut found)?;
    if statement.predicate_type == MODEL_SIGNATURE {
        found.retain(|(name, _)| !is_ignored(name));
    }
    // The list of labels that an export writes beside the files; a run has none of that name at the top.
    found.retain(|(name, _)| {
        name.contains('/') || !name.ends_with(sidecar::SUFFIX) || wanted.contains_key(name)
    });
    let unknown: Vec<_> =
        found.iter().map(|(name, _)| name.clone()).filter(|name| !wanted.contains_key(name)).collect();
    refuse("is not in the statement", "are not in the statement", &unknown)?;
    let missing: Vec<_> = wanted
        .keys()
        .filter(|name| found.binary_search_by(|(other, _)| other.cmp(name)).is_err())
        .cloned()
        .collect();
    refuse("is missing", "are missing", &missing)?;
    let hashed = hash_all(&found)?;
    let altered: Vec<_> = hashed
        .iter()
        .filter(|(name, digest, _)| wanted.get(name) != Some(digest))
        .map(|(name, ..)| name.clone())
        .collect();
    refuse("has other bytes than the statement says", "have other bytes than the statement says", &altered)?;
    let bytes = hashed.iter().map(|(.., size)| size).sum();
    Ok(Compared { files: hashed.len() as u64, bytes })
}

/// The tree of a run that left nothing.
fn is_empty_tree(subject: &aseptic_attest::Subject) -> bool {
    let said = subject.annotations.as_ref();
    said.and_then(|said| said.get("files")).and_then(serde_json::Value::as_u64) == Some(0)
}

fn refuse(one: &str, many: &str, names: &[String]) -> Result<(), AttestationError> {
    let [first, rest @ ..] = names else { return Ok(()) };
    if rest.is_empty() {
        return Err(AttestationError::Differs { what: format!("`{first}` {one}") });
    }
    let shown: Vec<_> = names.iter().take(NAMED_MAX).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Err(AttestationError::Differs { what: format!("{}{more} {many}", shown.join(", ")) })
}

/// Every regular file below `dir`, by its name in the text form of paths, sorted. No link is followed; a link or a
/// special file is none of the statement, and is passed over as the export of a run has links too.
fn walk(dir: &Path, above: &mut Vec<u8>, found: &mut Vec<(String, PathBuf)>) -> Result<(), AttestationError> {
    let failed = |source| AttestationError::Read { path: dir.display().to_string(), source };
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let length = above.len();
        if length > 0 {
            above.push(b'/');
        }
        above.extend_from_slice(entry.file_name().as_bytes());
        if kind.is_dir() {
            walk(&entry.path(), above, found)?;
        } else if kind.is_file() {
            found.push((escape_bytes(above), entry.path()));
        }
        above.truncate(length);
    }
    if above.is_empty() {
        found.sort();
    }
    Ok(())
}

/// Name, SHA-256 and size of each file, by as many threads as there are processors.
fn hash_all(files: &[(String, PathBuf)]) -> Result<Vec<(String, String, u64)>, AttestationError> {
    each(files, |(name, path)| {
        let failed = |source| AttestationError::Read { path: path.display().to_string(), source };
        let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut file: File =
            fs::OpenOptions::new().read(true).custom_flags(no_follow).open(path).map_err(failed)?;
        let (digest, size) = sha256_of(&mut file).map_err(failed)?;
        Ok((name.clone(), digest, size))
    })
}

/// Carries out `work` for each of `items`, by several threads; the results have no order.
pub(super) fn each<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done = Mutex::new(Ok(Vec::with_capacity(items.len())));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len()).max(1);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let result = work(item);
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    match (&mut *done, result) {
                        (Ok(all), Ok(one)) => all.push(one),
                        (Ok(_), Err(error)) => *done = Err(error),
                        (Err(_), _) => return,
                    }
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// SHA-256 in hexadecimal digits of everything that `from` gives, and how much that is.
pub(super) fn sha256_of(from: &mut dyn Read) -> io::Result<(String, u64)> {
    let mut hasher = aseptic_attest::Hasher::default();
    let mut buffer = vec![0; 1 << 17];
    let mut size = 0;
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finish(), size)),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(buffer.get(..length).unwrap_or_default());
        size += length as u64;
    }
}
