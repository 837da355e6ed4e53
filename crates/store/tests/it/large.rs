//! Large files: stored in chunks, so that a new version costs what changed in it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::{Env, path};

/// Large enough to be stored in chunks.
const SIZE: usize = (64 << 20) + 12_345;

fn content() -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// What a store takes on disk.
fn taken(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata().unwrap() {
            metadata if metadata.is_dir() => taken(&entry.path()),
            metadata => metadata.blocks() * 512,
        })
        .sum()
}

#[test]
fn a_new_version_costs_its_edits_and_both_are_whole() {
    let env = Env::new();
    let before = content();
    env.write("source/large", &before);
    let first = env.import("source").snapshot;
    let first_bytes = taken(&env.path("store"));
    assert!((SIZE as u64..SIZE as u64 + (2 << 20)).contains(&first_bytes), "{first_bytes}");

    let mut after = before.clone();
    after.splice(5_000_000..5_000_000, *b"inserted");
    after.drain(30_000_000..30_000_777);
    after[60_000_000] ^= 1;
    env.write("source/large", &after);
    let second = env.import("source").snapshot;
    let growth = taken(&env.path("store")) - first_bytes;
    assert!(growth < 4 << 20, "three edits cost {growth} bytes");

    for (snapshot, content) in [(first, before), (second, after)] {
        env.store.verify(&snapshot.digest, &mut |_| ()).unwrap();
        let view = env.store.view(&snapshot.digest).unwrap();
        assert!(fs::read(view.join("large")).unwrap() == content, "the view shows other bytes");
        let entry = env.store.lookup(&snapshot.digest, &path("large")).unwrap().unwrap();
        let digest = aseptic_model::Digest::of(&content);
        let kind = aseptic_store::EntryKind::File { size: content.len() as u64, digest, executable: false };
        assert_eq!(entry.kind, kind, "a snapshot does not say how it is stored");
    }
}

#[test]
fn a_hole_costs_nothing() {
    let env = Env::new();
    env.write("source/sparse", "");
    fs::File::options().write(true).open(env.path("source/sparse")).unwrap().set_len(96 << 20).unwrap();
    let snapshot = env.import("source").snapshot;
    assert_eq!(snapshot.bytes, 96 << 20);
    assert!(taken(&env.path("store")) < 4 << 20);
    env.store.verify(&snapshot.digest, &mut |_| ()).unwrap();
}

#[test]
fn one_flipped_bit_is_found_and_repaired() {
    let env = Env::new();
    let content = content();
    env.write("source/large", &content);
    let snapshot = env.import("source").snapshot;
    let part = &content[40_000_000..40_000_032];
    crate::repair::flip(&env, |_, bytes| bytes.windows(part.len()).position(|window| window == part));
    env.store.verify(&snapshot.digest, &mut |_| ()).unwrap_err();
    assert_eq!(crate::repair::paranoid(&env), snapshot);
    env.store.verify(&snapshot.digest, &mut |_| ()).unwrap();
}
