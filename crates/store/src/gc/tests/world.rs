//! A store and a model of what it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use aseptic_model::Digest;

use crate::gc::{GcError, Roots};
use crate::import::ImportOptions;
use crate::object::Store;
use crate::pack::{MAGIC, RECORD_HEADER_BYTES};
use crate::tree::EntryKind;

pub(super) struct World {
    pub(super) dir: Place,
    pub(super) store: Store,
    /// What each snapshot and object needs; those that must stay are in `roots`.
    pub(super) needs: BTreeMap<Digest, BTreeSet<Digest>>,
    pub(super) roots: Roots,
}

impl World {
    pub(super) fn new() -> Self {
        let dir = place();
        let store = Store::open(&dir.path().join("store")).unwrap();
        Self { dir, store, needs: BTreeMap::new(), roots: Roots::default() }
    }

    /// The same again, in another place.
    pub(super) fn copy(&self) -> Self {
        let dir = place();
        let copied = Command::new("cp").arg("-a").arg(self.dir.path().join("store")).arg(dir.path()).status();
        assert!(copied.unwrap().success());
        let store = Store::open(&dir.path().join("store")).unwrap();
        Self { dir, store, needs: self.needs.clone(), roots: self.roots.clone() }
    }

    pub(super) fn reopen(&mut self) {
        self.store = Store::open(&self.dir.path().join("store")).unwrap();
    }

    /// Imports these files; the snapshot must stay.
    pub(super) fn import(&mut self, files: &[(String, Vec<u8>)]) -> Digest {
        let source = place();
        for (path, content) in files {
            let path = source.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let lease = self.store.lease().unwrap();
        let imported = self
            .store
            .import(&lease, source.path(), &ImportOptions::default(), &mut |_| ControlFlow::Continue(()));
        let digest = imported.unwrap().snapshot.digest;
        let mut needs = BTreeSet::from([digest]);
        for entry in self.store.walk(&digest).unwrap() {
            match entry.unwrap().1 {
                EntryKind::File { digest, .. } | EntryKind::Directory { digest, .. } => needs.insert(digest),
                EntryKind::Symlink { .. } => false,
            };
        }
        self.needs.insert(digest, needs);
        self.roots.snapshots.insert(digest);
        digest
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Digest {
        let lease = self.store.lease().unwrap();
        let digest = self.store.put_bytes(&lease, bytes).unwrap();
        self.needs.entry(digest).or_default().insert(digest);
        self.roots.objects.insert(digest);
        digest
    }

    pub(super) fn needed(&self) -> BTreeSet<Digest> {
        let roots = self.roots.snapshots.iter().chain(&self.roots.objects);
        roots.flat_map(|root| self.needs[root].iter().copied()).collect()
    }

    /// A collection as the runner does it.
    pub(super) fn collect(&self) -> Result<BTreeSet<Digest>, GcError> {
        let sweep = self.store.try_sweep()?.expect("nobody else is there");
        let mut roots = self.roots.clone();
        let marked = self.store.mark(sweep.lease(), &roots)?;
        let mut dead = BTreeSet::new();
        let each = |digest: &Digest, _, _| {
            assert!(dead.insert(*digest), "named twice");
            Ok(())
        };
        marked.each_dead(each).unwrap();
        assert_eq!(dead.len() as u64, marked.objects());
        sweep.clear(&marked)?;
        let list = sweep.put_list(&marked)?;
        roots.objects.insert(list);
        let lines = self.store.get_bytes(&list, 1 << 20)?;
        let lines = String::from_utf8(lines).unwrap();
        let listed: Vec<Digest> = lines.lines().map(|line| line.parse().unwrap()).collect();
        assert!(listed.iter().copied().eq(dead.iter().copied()), "the list is in order and complete");
        let swept = sweep.sweep(marked)?;
        assert_eq!(swept.damaged, 0);
        Ok(dead)
    }

    /// Everything that must stay is there and intact.
    pub(super) fn assert_live(&self) {
        let store = Store::open(&self.dir.path().join("store")).unwrap();
        for snapshot in &self.roots.snapshots {
            store.verify(snapshot, &mut |_| ()).unwrap();
        }
        for object in &self.roots.objects {
            store.get_bytes(object, 1 << 30).unwrap();
        }
    }

    /// Nothing else is there, in whatever way one looks; but for lists of what was deleted.
    pub(super) fn assert_only_live(&self) {
        let needed = self.needed();
        let is_list = |digest: &Digest| {
            let bytes = self.store.get_bytes(digest, 1 << 20).unwrap();
            bytes.is_empty() || (bytes.len().is_multiple_of(65) && bytes.ends_with(b"\n"))
        };
        let dir = self.dir.path().join("store");
        for digest in objects(&dir) {
            assert!(needed.contains(&digest) || is_list(&digest), "{digest} is still there");
        }
        for view in fs::read_dir(dir.join("views")).unwrap() {
            let name = view.unwrap().file_name().into_string().unwrap();
            let snapshot: Digest = name[..64].parse().unwrap();
            assert!(needed.contains(&snapshot), "the view {name} is still there");
        }
        assert_eq!(fs::read_dir(dir.join("tmp")).unwrap().count(), 0);
    }
}

/// A directory in memory where there is one: nothing here cuts the power, and waiting for a disk takes long.
/// Views in it are read-only, so it takes more than their owner to remove it.
#[derive(Debug)]
pub(super) struct Place(std::path::PathBuf);

impl Place {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        crate::remove::remove_tree(&self.0).unwrap();
    }
}

fn place() -> Place {
    Place(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap().keep())
}

/// Every object, by looking at files of their own and at the records of packs.
pub(super) fn objects(store: &Path) -> BTreeSet<Digest> {
    let mut found = BTreeSet::new();
    for prefix in fs::read_dir(store.join("objects")).unwrap() {
        for object in fs::read_dir(prefix.unwrap().path()).unwrap() {
            found.insert(object.unwrap().file_name().to_str().unwrap().parse().unwrap());
        }
    }
    for pack in fs::read_dir(store.join("packs")).unwrap() {
        let bytes = fs::read(pack.unwrap().path()).unwrap();
        let mut rest = bytes.strip_prefix(&MAGIC).unwrap();
        while !rest.is_empty() {
            found.insert(Digest::from_bytes(*rest[1..].first_chunk().unwrap()));
            let stored = u64::from_le_bytes(*rest[41..].first_chunk().unwrap());
            rest = &rest[RECORD_HEADER_BYTES + usize::try_from(stored).unwrap()..];
        }
    }
    found
}
