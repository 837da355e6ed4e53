use std::cell::Cell;
use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;
use crate::log::Ledger;
use crate::proof::{verify_consistency, verify_inclusion};

/// Appends entries `from..to`, in commits of this many; returns the signed state after them.
fn append(dir: &Path, from: u64, to: u64, commit: usize) -> Checkpoint {
    #[allow(unused_mut, reason = "appending needs no exclusive handle everywhere")]
    let mut ledger = Ledger::open(dir, "log").unwrap();
    let entries: Vec<Vec<u8>> = (from..to).map(|number| format!("entry {number}").into_bytes()).collect();
    for entries in entries.chunks(commit) {
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        ledger.append(&entries).unwrap();
    }
    ledger.checkpoint()
}

/// Every published file with its bytes, without the checkpoint, which another key signed.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.join(DIR).join("tile")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(dir.join(DIR)).unwrap().to_owned();
                found.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

/// What the specification says that there is for the entries `0..size`.
fn expected(size: u64) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries: Vec<Vec<u8>> = (0..size).map(|number| format!("entry {number}").into_bytes()).collect();
    let mut found = BTreeMap::new();
    for (number, bundle) in (0..).zip(entries.chunks(256)) {
        let bytes = bundle.iter().flat_map(|entry| {
            [&u16::try_from(entry.len()).unwrap().to_be_bytes(), entry.as_slice()].concat()
        });
        found.insert(tile_path(Path::new(""), None, number, bundle.len() as u64), bytes.collect());
    }
    let mut hashes: Vec<TreeHash> = entries.iter().map(|entry| TreeHash::leaf(entry)).collect();
    let mut level = 0;
    while !hashes.is_empty() {
        for (number, tile) in (0..).zip(hashes.chunks(256)) {
            found.insert(tile_path(Path::new(""), Some(level), number, tile.len() as u64), bytes_of(tile));
        }
        hashes = hashes.chunks_exact(256).map(full_hash).collect();
        level += 1;
    }
    found
}

#[test]
fn tiles_are_those_of_the_specification_at_every_size() {
    let dir = TempDir::new().unwrap();
    let mut size = 0;
    for (step, commit) in
        [(1, 1), (0, 1), (254, 100), (1, 1), (1, 1), (255, 255), (300, 7), (700, 700), (3, 3)]
    {
        append(dir.path(), size, size + step, commit);
        size += step;
        assert_eq!(update(dir.path()).unwrap(), Some(size));
        assert_eq!(files(dir.path()), expected(size), "{size}");
        let note = fs::read(dir.path().join("checkpoint")).unwrap();
        assert_eq!(fs::read(dir.path().join("tiles/checkpoint")).unwrap(), note);
    }
}

#[test]
fn a_third_level_and_offsets_that_help() {
    let dir = TempDir::new().unwrap();
    let checkpoint = append(dir.path(), 0, 66_000, 4000);
    update(dir.path()).unwrap();
    assert_eq!(files(dir.path()), expected(66_000));
    let start = position_before(dir.path(), 65_999);
    assert!(start.index > 60_000, "{start:?}");
    let checkpoint_2 = append(dir.path(), 66_000, 66_600, 50);
    update(dir.path()).unwrap();
    assert_eq!(files(dir.path()), expected(66_600));
    for index in [0, 255, 256, 65_535, 65_536, 65_999] {
        assert_eq!(
            prove(dir.path(), index, &checkpoint).unwrap().verify(format!("entry {index}").as_bytes()),
            Ok(())
        );
    }
    prove_consistency(dir.path(), 66_000, &checkpoint_2).unwrap();
}

#[test]
fn a_kill_at_any_file_is_mended() {
    for (before, after) in [(0, 3), (3, 300), (200, 256), (256, 257), (511, 700), (300, 1100)] {
        for point in 0_usize.. {
            let dir = TempDir::new().unwrap();
            if before > 0 {
                append(dir.path(), 0, before, 50);
                update(dir.path()).unwrap();
            }
            append(dir.path(), before, after, 50);
            let seen = Cell::new(0);
            let killed = update_with(dir.path(), &mut |_| {
                seen.set(seen.get() + 1);
                if seen.get() > point { Err(io::Error::other("killed")) } else { Ok(()) }
            });
            if killed.is_ok() {
                assert!(point > 2, "there is something to break");
                break;
            }
            // Whatever the tiles hold now, a proof is right.
            let size = after - 1;
            assert_eq!(prove(dir.path(), size, &append(dir.path(), 0, 0, 1)).unwrap().index, size);
            assert_eq!(update(dir.path()).unwrap(), Some(after), "{before} {after} {point}");
            assert_eq!(files(dir.path()), expected(after), "{before} {after} {point}");
        }
    }
}

#[test]
fn whatever_is_damaged_is_made_anew() {
    let whole = expected(700);
    for path in whole.keys() {
        for damage in [None, Some(Vec::new()), Some(vec![7; 32])] {
            let dir = TempDir::new().unwrap();
            append(dir.path(), 0, 600, 50);
            update(dir.path()).unwrap();
            let path = dir.path().join(DIR).join(path);
            if !path.exists() {
                continue;
            }
            match damage {
                None => fs::remove_file(&path).unwrap(),
                Some(bytes) => fs::write(&path, bytes).unwrap(),
            }
            let checkpoint = append(dir.path(), 600, 700, 50);
            for index in [0, 255, 511, 512, 699] {
                prove(dir.path(), index, &checkpoint).unwrap();
            }
        }
    }
    let dir = TempDir::new().unwrap();
    append(dir.path(), 0, 600, 50);
    update(dir.path()).unwrap();
    for file in ["offsets", "checkpoint"] {
        fs::write(dir.path().join(DIR).join(file), [0x5a; 100]).unwrap();
        let checkpoint = append(dir.path(), 0, 0, 1);
        prove(dir.path(), 599, &checkpoint).unwrap();
        update(dir.path()).unwrap();
        assert_eq!(files(dir.path()), expected(600), "{file}");
    }
    fs::remove_dir_all(dir.path().join(DIR)).unwrap();
    update(dir.path()).unwrap();
    assert_eq!(files(dir.path()), expected(600));
}

#[test]
fn proofs_from_tiles_are_those_of_the_log() {
    let dir = TempDir::new().unwrap();
    let first = append(dir.path(), 0, 300, 9);
    update(dir.path()).unwrap();
    let second = append(dir.path(), 300, 530, 9);
    for checkpoint in [&first, &second] {
        for index in (0..checkpoint.size()).step_by(13) {
            let proof = prove(dir.path(), index, checkpoint).unwrap();
            let entry = format!("entry {index}").into_bytes();
            assert_eq!(proof.verify(&entry), Ok(()));
            assert_eq!(proof.extra, Some(entry.clone()));
            let leaf = TreeHash::leaf(&entry);
            verify_inclusion(leaf, index, checkpoint.size(), checkpoint.root(), &proof.path).unwrap();
        }
        for old in (0..=checkpoint.size()).step_by(7) {
            let (path, root) = prove_consistency(dir.path(), old, checkpoint).unwrap();
            assert_eq!(root_at(dir.path(), old).unwrap(), root);
            verify_consistency(old, root, checkpoint.size(), checkpoint.root(), &path).unwrap();
        }
    }
    assert!(matches!(prove(dir.path(), 300, &first), Err(TilesError::NotIn { index: 300, size: 300 })));
    assert!(matches!(prove_consistency(dir.path(), 301, &first), Err(TilesError::NotIn { .. })));
}

#[test]
fn another_history_never_replaces_published_tiles() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    append(dir.path(), 0, 10, 1);
    fs::copy(dir.path().join("key"), other.path().join("key")).unwrap();
    let checkpoint = append(other.path(), 5, 25, 1);
    update(dir.path()).unwrap();
    let before = files(dir.path());
    // The same key signs another log, which takes the place of the first.
    for file in ["log", "checkpoint", "head", "durable"] {
        let _ = fs::remove_file(dir.path().join(file));
        let _ = fs::copy(other.path().join(file), dir.path().join(file));
    }
    assert!(matches!(update(dir.path()), Err(TilesError::Changed { size: 10 })));
    assert_eq!(files(dir.path()), before);
    prove(dir.path(), 12, &checkpoint).unwrap();
    // And one that is shorter than what was published.
    let short = TempDir::new().unwrap();
    fs::copy(dir.path().join("key"), short.path().join("key")).unwrap();
    append(short.path(), 0, 4, 1);
    for file in ["log", "checkpoint", "head", "durable"] {
        let _ = fs::remove_file(dir.path().join(file));
        let _ = fs::copy(short.path().join(file), dir.path().join(file));
    }
    assert!(matches!(update(dir.path()), Err(TilesError::Changed { size: 10 })));
}
