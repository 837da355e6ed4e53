//! Delta views: a view of a snapshot as a few changes over the view of a similar one.
//!
//! **Invariant:** no opaque directory is ever needed. A directory that is in both snapshots is merged, with
//! a whiteout for each name that is gone; a directory over a file, and a file over a directory, hide what
//! is below them by the rules of overlayfs.

use std::fs;
use std::path::PathBuf;

use aseptic_model::Digest;

use crate::diff::{Difference, Enter};
use crate::error::StoreError;
use crate::hint;
use crate::object::Store;
use crate::portion::{Shown, What, shown};
use crate::tree::EntryKind;
use crate::view::{Surface, ViewError};

/// A delta of more entries than this costs as much as a full view.
const ENTRIES_MAX: usize = 1000;
/// A delta of more than one in this many files is not worth a second layer.
const FILES_SHARE: u64 = 4;

impl Store {
    /// Overlay lower directories that together show the snapshot `digest`, topmost first.
    ///
    /// Either its view alone, or a small directory of changes over the view of the snapshot that was
    /// last built in full for the same `key` (any text, such as `code`): after an edit of a few files
    /// this costs time in proportion to the edit. Files and directories have the usual permissions: mount
    /// them as lower layers of a copy-on-write overlay, with `userxattr`, and nowhere else.
    ///
    /// # Errors
    /// As [`Store::view`].
    pub fn view_layers(&self, digest: &Digest, key: &str) -> Result<Vec<PathBuf>, ViewError> {
        let base = self.base(key);
        let whole = work_name(digest);
        if let Some(view) = self.find_view(&whole) {
            return Ok(vec![view]);
        }
        if let Some(base) = base
            && let Some(lower) = self.find_view(&work_name(&base))
        {
            let name = format!("{whole}-{base}");
            if let Some(upper) = self.find_view(&name) {
                return Ok(vec![upper, lower]);
            }
            if let Some(changes) = self.changes(&base, digest)? {
                match self.build_view(*digest, &name, Surface::Work, changes.into_iter().map(Ok)) {
                    Ok(upper) => return Ok(vec![upper, lower]),
                    // Most likely no whiteout is possible here; a full view needs none.
                    Err(ViewError::Store(StoreError::Io { .. })) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let view = self.full_view(digest, &whole, Surface::Work)?;
        if base != Some(*digest) {
            // Only a hint: without it the next view is built in full.
            let _ = hint::replace(self, &self.base_path(key), digest.to_string().as_bytes());
        }
        Ok(vec![view])
    }

    fn base_path(&self, key: &str) -> PathBuf {
        self.dir.join("index").join(format!("base-{}", Digest::of(key.as_bytes())))
    }

    fn base(&self, key: &str) -> Option<Digest> {
        fs::read_to_string(self.base_path(key)).ok()?.parse().ok()
    }

    /// What a layer over `base` must show so that both show `target`, directories before their content.
    /// `None` when that is too much. Takes time in proportion to the difference.
    fn changes(&self, base: &Digest, target: &Digest) -> Result<Option<Vec<Shown>>, StoreError> {
        let files_max = self.snapshot(target)?.files / FILES_SHARE;
        let mut changes = Vec::new();
        let mut files = 0;
        for difference in self.diff(base, target, Enter::New)? {
            let Difference { path, after, .. } = difference?;
            files += u64::from(!matches!(after, Some(EntryKind::Directory { .. })));
            if changes.len() == ENTRIES_MAX || files > files_max {
                return Ok(None);
            }
            changes.push(match after {
                None => Shown { path, what: What::Whiteout },
                Some(kind) => shown((path, kind)),
            });
        }
        Ok(Some(changes))
    }
}

/// Name of the view of `digest` that is worked on.
fn work_name(digest: &Digest) -> String {
    format!("{digest}-work")
}
