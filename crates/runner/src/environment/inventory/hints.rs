//! Which inventory an environment had the last time: a file of a few lines, which may be lost.
//!
//! A line is the fingerprint of an environment and the digest of its inventory, the last used first.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aseptic_model::Digest;

use super::super::python::{Longer, read};

/// Environments that are remembered.
const LINES_MAX: usize = 64;
const BYTES_MAX: u64 = 64 << 10;

/// The inventory of the environment with this fingerprint, if it is remembered.
pub(super) fn find(file: &Path, fingerprint: &Digest) -> Option<Digest> {
    lines(file).into_iter().find(|(known, _)| known == fingerprint).map(|(_, inventory)| inventory)
}

/// Remembers an inventory. The file is replaced as a whole, by way of `draft`; of two writers at once the last one wins.
pub(super) fn remember(
    file: &Path,
    draft: &Path,
    fingerprint: &Digest,
    inventory: &Digest,
) -> io::Result<()> {
    let mut lines = lines(file);
    lines.retain(|(known, _)| known != fingerprint);
    lines.insert(0, (*fingerprint, *inventory));
    lines.truncate(LINES_MAX);
    let text: String = lines.iter().map(|(known, inventory)| format!("{known} {inventory}\n")).collect();
    let mut open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(draft)?;
    open.write_all(text.as_bytes()).and_then(|()| fs::rename(draft, file)).inspect_err(|_| {
        let _ = fs::remove_file(draft);
    })
}

/// What can be understood of the file.
fn lines(file: &Path) -> Vec<(Digest, Digest)> {
    let bytes = read(file, BYTES_MAX, Longer::Refuse).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let line = |line: &str| {
        let (known, inventory) = line.split_once(' ')?;
        Some((known.parse().ok()?, inventory.parse().ok()?))
    };
    text.lines().filter_map(line).take(LINES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_used_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let (file, draft) = (dir.path().join("inventories"), dir.path().join("draft"));
        let digest = |number: usize| Digest::of(&number.to_le_bytes());
        assert_eq!(find(&file, &digest(0)), None);
        for number in 0..LINES_MAX + 1 {
            remember(&file, &draft, &digest(number), &digest(number + 1000)).unwrap();
        }
        assert_eq!(find(&file, &digest(LINES_MAX)), Some(digest(LINES_MAX + 1000)));
        assert_eq!(find(&file, &digest(0)), None, "the oldest is forgotten");
        remember(&file, &draft, &digest(1), &digest(7)).unwrap();
        assert_eq!(find(&file, &digest(1)), Some(digest(7)));
        fs::write(&file, "nonsense\n\u{0}\n").unwrap();
        assert_eq!(find(&file, &digest(1)), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }
}
