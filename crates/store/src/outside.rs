//! Links of a snapshot that lead out of it.

use std::collections::HashMap;

use aseptic_model::{Digest, FilePath, escape_bytes};

use crate::error::StoreError;
use crate::import::ImportError;
use crate::object::Store;
use crate::scan::climbs_out;
use crate::tree::{EntryKind, Tree};

/// As many as the kernel follows.
const LINKS_MAX: u32 = 40;
/// Directories that are held to look up names in.
const HELD_MAX: usize = 64;

impl Store {
    /// The first link of the snapshot `digest` that an import would refuse: it is absolute, climbs out by its
    /// text, or leads out through other links. Always an [`ImportError::LinkOutside`].
    ///
    /// # Errors
    /// As [`Store::read_tree`].
    pub fn leads_outside(&self, digest: &Digest) -> Result<Option<ImportError>, StoreError> {
        let mut held = HashMap::new();
        for entry in self.walk(digest)? {
            let (path, kind) = entry?;
            let EntryKind::Symlink { target } = kind else { continue };
            let out = climbs_out(path.as_bytes(), &target)
                || (climbs_later(&target) && self.leads_out(digest, &path, &mut held)?);
            if out {
                let (path, target) = (escape_bytes(path.as_bytes()), escape_bytes(&target));
                return Ok(Some(ImportError::LinkOutside { path, target }));
            }
        }
        Ok(None)
    }

    /// Whether the kernel would leave the tree at `path`, as openat2(2) with `RESOLVE_BENEATH` sees it.
    fn leads_out(
        &self,
        root: &Digest,
        path: &FilePath,
        held: &mut HashMap<Digest, Tree>,
    ) -> Result<bool, StoreError> {
        // What is left to walk, the next component last.
        let split = |path: &[u8]| path.rsplit(|byte| *byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (mut left, mut at, mut links) = (split(path.as_bytes()), vec![*root], 0);
        while let Some(name) = left.pop() {
            let Some(here) = at.last().copied() else { return Ok(true) };
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    at.pop();
                    if at.is_empty() {
                        return Ok(true);
                    }
                    continue;
                }
                _ => {}
            }
            if !held.contains_key(&here) {
                if held.len() >= HELD_MAX {
                    held.clear();
                }
                held.insert(here, self.read_tree(&here)?);
            }
            match held.get(&here).and_then(|tree| tree.get(&name)).map(|entry| &entry.kind) {
                Some(EntryKind::Directory { digest, .. }) => at.push(*digest),
                Some(EntryKind::Symlink { target }) => {
                    links += 1;
                    if target.starts_with(b"/") {
                        return Ok(true);
                    }
                    if links > LINKS_MAX {
                        return Ok(false);
                    }
                    left.extend(split(target));
                }
                // It leads nowhere.
                Some(EntryKind::File { .. }) | None => return Ok(false),
            }
        }
        Ok(false)
    }
}

/// Whether a target climbs after it went into something. Any other leads to where its text says, or through a
/// link that is looked at for itself.
fn climbs_later(target: &[u8]) -> bool {
    let mut parts = target.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    parts.by_ref().any(|part| part != b"..") && parts.any(|part| part == b"..")
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::import::{ImportOptions, Links};

    #[test]
    fn it_is_what_an_import_refuses() {
        for (links, out) in [
            (&[("a", "x/y"), ("d/b", "../a")][..], None),
            (&[("a", "/etc/passwd")], Some("a")),
            (&[("d/b", "../../x")], Some("d/b")),
            // `s` is the root, so that its parent is outside.
            (&[("d/e/s", "../.."), ("x", "d/e/s/../y")], Some("x")),
            (&[("d/e/s", "../e"), ("x", "d/e/s/../y")], None),
            (&[("a", "b/../c"), ("b", "a")], None),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let source = dir.path().join("source");
            for (path, target) in links {
                let path = source.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::os::unix::fs::symlink(target, path).unwrap();
            }
            let store = Store::open(&dir.path().join("store")).unwrap();
            let import = |links| {
                let options = ImportOptions { links, ..ImportOptions::default() };
                store.import(&store.lease().unwrap(), &source, &options, &mut |_| ControlFlow::Continue(()))
            };
            let digest = import(Links::Keep).unwrap().snapshot.digest;
            let found = store.leads_outside(&digest).unwrap();
            let refused = import(Links::RefuseOutside).err();
            for error in [found, refused] {
                match (error, out) {
                    (None, None) => {}
                    (Some(ImportError::LinkOutside { path, .. }), Some(out)) if path == out => {}
                    (error, _) => panic!("{links:?}: {error:?}"),
                }
            }
        }
    }
}
