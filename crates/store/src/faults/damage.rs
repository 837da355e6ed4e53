//! Damage of every file that holds objects: which files verification names, and what still reads.

use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use aseptic_model::Digest;

use super::{chunked, import, noise, source};
use crate::object::{Store, object_name};
use crate::tree::EntryKind;
use crate::verify::VerifyError;

/// Places that are damaged in all files of one kind.
const FLIPS: u64 = 150;

/// A store with small, compressed, large and chunked files, in two snapshots.
fn world() -> (tempfile::TempDir, [Digest; 2]) {
    let dir = super::directory();
    let store = Store::open(&dir.path().join("store")).unwrap();
    source(dir.path(), 50, 1000);
    for number in 0..6 {
        fs::write(dir.path().join(format!("source/text{number}")), format!("{number} ").repeat(2000))
            .unwrap();
        let large = noise(100 + number, 600_000);
        fs::write(dir.path().join(format!("source/large{number}")), large).unwrap();
    }
    let many = import(&store, dir.path()).unwrap();
    let chunked = chunked(&store, 1).unwrap();
    (dir, [many, chunked])
}

/// What is in a snapshot, as it was before anything was damaged.
fn entries(store: &Store, root: &Digest) -> Vec<(String, EntryKind)> {
    let entry =
        |entry: Result<(aseptic_model::FilePath, _), _>| entry.map(|(path, kind)| (path.to_string(), kind));
    store.walk(root).unwrap().map(|one| entry(one).unwrap()).collect()
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Verification names what cannot be read, and nothing else; nothing is read wrongly; there is no view.
/// Returns how much is damaged.
fn check(dir: &Path, root: &Digest, known: &[(String, EntryKind)], what: &str) -> u64 {
    let store = Store::open(&dir.join("store")).unwrap();
    let reads = |digest: &Digest| store.get_bytes(digest, 1 << 22).is_ok();
    let result = store.verify(root, &mut |_| ());
    let (named, count): (HashSet<String>, _) = match &result {
        Ok(_) => (HashSet::new(), 0),
        Err(VerifyError::Damaged { list, count, .. }) => {
            (list.iter().map(|damage| damage.path.to_string()).collect(), *count)
        }
        Err(VerifyError::Store(error)) => {
            assert!(!reads(root), "{what}: {error:?}");
            assert!(store.view(root).is_err(), "{what}");
            return 1;
        }
    };
    assert!(reads(root), "{what}");
    for (path, kind) in known {
        let digest = match kind {
            EntryKind::File { digest, .. } | EntryKind::Directory { digest, .. } => digest,
            EntryKind::Symlink { .. } => continue,
        };
        // What is in a directory that cannot be listed is not looked at.
        let hidden = named.iter().any(|name| path.starts_with(&format!("{name}/")));
        assert!(hidden || named.contains(path) != reads(digest), "{what}: {path} {named:?}");
    }
    assert_eq!(count, named.len() as u64, "{what}");
    assert_eq!(store.view(root).is_ok(), result.is_ok(), "{what}");
    count
}

/// Damages the file by `change` and looks at both snapshots; then it is as it was.
fn damaged(
    dir: &Path,
    known: &[(Digest, Vec<(String, EntryKind)>)],
    path: &Path,
    what: &str,
    change: impl FnOnce(&Path),
) -> u64 {
    let bytes = fs::read(path).unwrap();
    change(path);
    let look = || known.iter().map(|(root, entries)| check(dir, root, entries, what)).sum();
    let count = catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(|_| panic!("{what}"));
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
    for view in files_below_views(dir) {
        crate::remove::remove_tree(&view).unwrap();
    }
    count
}

fn files_below_views(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir.join("store").join("views")).unwrap().map(|view| view.unwrap().path()).collect()
}

fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn known(dir: &Path, roots: [Digest; 2]) -> Vec<(Digest, Vec<(String, EntryKind)>)> {
    let store = Store::open(&dir.join("store")).unwrap();
    roots.map(|root| (root, entries(&store, &root))).into()
}

#[test]
fn a_bit_that_flips_anywhere_is_found() {
    let (dir, roots) = world();
    let known = known(dir.path(), roots);
    for place in ["objects", "packs", "segments"] {
        let files = files_below(&dir.path().join("store").join(place));
        let mut found = 0;
        for flip in 0..FLIPS {
            let random = noise(u32::try_from(flip).unwrap(), 24);
            let number = |at: usize| u64::from_le_bytes(*random[at..].first_chunk().unwrap());
            let path = &files[usize::try_from(number(0) % files.len() as u64).unwrap()];
            let mut bytes = fs::read(path).unwrap();
            let at = usize::try_from(number(8) % bytes.len() as u64).unwrap();
            bytes[at] ^= 1 << (number(16) % 8);
            let what = format!("byte {at} of {}", path.display());
            let count = damaged(dir.path(), &known, path, &what, |path| replace(path, &bytes));
            // Every byte of an object of its own counts, and of a pack all but the headers.
            assert!(count == 1 || place != "objects", "{what}: {count}");
            found += u64::from(count > 0);
        }
        assert!(found > FLIPS / 2, "{place}: {found}");
    }
}

#[test]
fn numbers_that_lie_ask_for_no_memory() {
    let (dir, roots) = world();
    let known = known(dir.path(), roots);
    for path in files_below(&dir.path().join("store").join("segments")) {
        let intact = fs::read(&path).unwrap();
        // Number of packs, number of objects; then of each entry the offset, the lengths, the pack and the form.
        let packs = u32::from_le_bytes(*intact[40..].first_chunk().unwrap()) as usize;
        let mut places = vec![(40, 4), (44, 8)];
        for entry in (52 + packs * 16..intact.len()).step_by(64).step_by(5) {
            places.extend([
                (entry + 32, 8),
                (entry + 40, 8),
                (entry + 48, 8),
                (entry + 56, 4),
                (entry + 60, 1),
            ]);
        }
        for (at, length) in places {
            for value in [0, 0x7f, 0xff] {
                let mut bytes = intact.clone();
                bytes[at..at + length].fill(value);
                let what = format!("{length} bytes {value} at {at} of {}", path.display());
                damaged(dir.path(), &known, &path, &what, |path| replace(path, &bytes));
            }
        }
    }
}

#[test]
fn a_file_that_is_cut_or_gone_is_found() {
    let (dir, roots) = world();
    let known = known(dir.path(), roots);
    for place in ["objects", "packs", "segments"] {
        for path in files_below(&dir.path().join("store").join(place)) {
            let bytes = fs::read(&path).unwrap();
            for length in [0, 1, 7, 60, bytes.len() / 2, bytes.len() - 1] {
                let what = format!("{} cut to {length}", path.display());
                let count = damaged(dir.path(), &known, &path, &what, |path| replace(path, &bytes[..length]));
                assert!(count > 0, "{what}");
            }
            let what = format!("{} gone", path.display());
            let count = damaged(dir.path(), &known, &path, &what, |path| fs::remove_file(path).unwrap());
            assert!(count > 0, "{what}");
        }
    }
}

#[test]
fn what_a_damaged_index_hides_or_misplaces_comes_back() {
    let (dir, roots) = world();
    let segments = files_below(&dir.path().join("store").join("segments"));
    let (segment, intact) = segments
        .iter()
        .map(|path| (path, fs::read(path).unwrap()))
        .max_by_key(|(_, bytes)| bytes.len())
        .unwrap();
    // The magic, the checksum, the list of packs, and all offsets; each time with an object of its own.
    let offsets = (52 + 16..intact.len()).step_by(64).map(|entry| entry + 32);
    for places in [vec![0], vec![8], vec![52], vec![52 + 16 + 40], offsets.collect()] {
        let mut bytes = intact.clone();
        places.iter().for_each(|at| bytes[*at] ^= 4);
        let before = files_below(&dir.path().join("store").join("segments"));
        replace(segment, &bytes);
        let large = object_name(&Digest::of(&noise(100, 600_000)));
        replace(&dir.path().join("store").join("objects").join(large), b"other bytes");
        let store = Store::open(&dir.path().join("store")).unwrap();
        store.verify(&roots[0], &mut |_| ()).unwrap_err();
        let again = super::import_with(&store, dir.path(), true, std::time::Duration::MAX).unwrap();
        assert_eq!(again, roots[0]);
        let store = Store::open(&dir.path().join("store")).unwrap();
        super::verify(&store, &roots[0], &format!("{places:?}"));
        for new in files_below(&dir.path().join("store").join("segments")) {
            if !before.contains(&new) {
                fs::remove_file(new).unwrap();
            }
        }
        let _ = fs::remove_file(segment);
        fs::write(segment, &intact).unwrap();
    }
}
