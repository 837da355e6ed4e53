//! What is stored in any form reads back, by this reader and by another.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use aseptic_model::Digest;

use super::*;
use crate::chunk::first_chunk;
use crate::object::object_name;
use crate::pack::RECORD_HEADER_BYTES;
use crate::tree::{Snapshot, Tree, TreeEntry};
use crate::writer::Writer;
use crate::{EntryKind, StoreError};

fn random(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn add_tree(writer: &Writer<'_>, files: &[(String, Digest, u64)]) -> Snapshot {
    let entry = |(name, digest, size): &(String, Digest, u64)| TreeEntry {
        name: name.clone().into_bytes(),
        kind: EntryKind::File { size: *size, digest: *digest, executable: false },
    };
    let tree = Tree::new(files.iter().map(entry).collect()).unwrap();
    let digest = writer.add_bytes(&tree.encode()).unwrap();
    Snapshot { digest, files: tree.files(), bytes: tree.bytes() }
}

/// A snapshot with files in every form, and one of each: loose, plain, zstd, chunked, and a chunk.
fn every_form(store: &Store) -> (Snapshot, [Digest; 5]) {
    let lease = store.lease().unwrap();
    let writer = Writer::new(store, &lease);
    let mut files = Vec::new();
    let mut add = |bytes: &[u8]| {
        let digest = writer.add_bytes(bytes).unwrap();
        files.push((format!("{:03}", files.len()), digest, bytes.len() as u64));
        digest
    };
    // Sizes around those of the blocks, chunks and subtrees of BLAKE3.
    for size in [0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 3072, 3073, 4097, 7168, 31_745] {
        add(&random(size, usize::try_from(size).unwrap()));
    }
    for number in 0..20 {
        add(format!("file {number}\n").repeat(100 + number).as_bytes());
    }
    let plain = add(&random(1, 4096));
    let zstd = add(b"a line of text\n".repeat(300).as_slice());
    let loose = add(&random(2, 530_000));

    let content = [random(3, 700_000), b"text\n".repeat(20_000), random(4, 50_000)].concat();
    let (mut rest, mut chunks) = (content.as_slice(), Vec::new());
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(first_chunk(rest));
        chunks.push((writer.add_chunk(chunk).unwrap(), u32::try_from(chunk.len()).unwrap()));
        rest = behind;
    }
    assert!(chunks.len() > 2);
    let (chunked, size) = (Digest::of(&content), content.len() as u64);
    writer.add_recipe(chunked, size, &chunks).unwrap();
    files.push(("chunked".into(), chunked, size));
    let snapshot = add_tree(&writer, &files);
    writer.publish().unwrap();
    for (digest, form) in [(plain, Form::Plain), (zstd, Form::Zstd), (chunked, Form::Chunked)] {
        assert_eq!(packed(store, &digest).1.form, form);
    }
    assert!(matches!(store.find(&loose).unwrap(), Found::Loose(..)));
    (snapshot, [loose, plain, zstd, chunked, chunks[1].0])
}

/// Where an object is in a pack.
fn packed(store: &Store, digest: &Digest) -> (String, Entry) {
    for segment in store.segments.get().unwrap().iter() {
        if let Some(entry) = segment.get(digest).unwrap() {
            return (format!("packs/{}", segment.packs[entry.pack as usize].file_name()), entry);
        }
    }
    panic!("{digest} is in no pack")
}

fn second_reader(store: &Store, snapshot: &Snapshot) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/second_reader.py");
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).arg(&store.dir).arg(snapshot.digest.to_string());
    command.output().unwrap()
}

fn flip(store: &Store, name: &str, at: u64) {
    let path = store.dir.join(name);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 0x10;
    fs::write(&path, bytes).unwrap();
}

#[test]
fn a_second_reader_agrees_on_every_form() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let (snapshot, _) = every_form(&store);
    store.verify(&snapshot.digest, &mut |_| ()).unwrap();
    let mut expected = Vec::new();
    for entry in store.walk(&snapshot.digest).unwrap() {
        let (path, kind) = entry.unwrap();
        let EntryKind::File { size, digest, .. } = kind else { continue };
        expected.extend_from_slice(format!("file {size} {digest} {path}\0").as_bytes());
    }
    let output = second_reader(&store, &snapshot);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&expected));
}

#[test]
fn a_flipped_bit_is_found_in_every_form_by_both_readers() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let (snapshot, [loose, plain, zstd, chunked, chunk]) = every_form(&store);
    let stored = |digest: &Digest, at: u64| {
        let (pack, entry) = packed(&store, digest);
        (pack, entry.offset + at, digest.to_string())
    };
    let object = format!("objects/{}", object_name(&loose));
    let cases = [
        (object, 529_999, loose.to_string()),
        stored(&plain, 0),
        stored(&plain, 4095),
        stored(&zstd, 10),
        stored(&chunk, 7),
        stored(&chunked, 3),
        stored(&chunked, 32),
        stored(&snapshot.digest, 30),
    ];
    for (name, at, digest) in cases {
        flip(&store, &name, at);
        // Files that are open see it as well.
        store.verify(&snapshot.digest, &mut |_| ()).unwrap_err();
        let output = second_reader(&store, &snapshot);
        assert_eq!(output.status.code(), Some(1), "{digest} in {name}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("Traceback") && !said.is_empty(), "{said}");
        flip(&store, &name, at);
    }
    // What only who makes the index again needs, and the index itself: looked at by the second reader.
    let (pack, entry) = packed(&store, &plain);
    let segment = format!("segments/{}", store.segments.get().unwrap()[0].name);
    let header = entry.offset - RECORD_HEADER_BYTES as u64;
    for (name, at) in
        [(&pack, 0), (&pack, header), (&pack, entry.offset - 1), (&segment, 60), (&segment, 300)]
    {
        flip(&store, name, at);
        assert_eq!(second_reader(&store, &snapshot).status.code(), Some(1), "byte {at} of {name}");
        flip(&store, name, at);
    }
    store.verify(&snapshot.digest, &mut |_| ()).unwrap();
}

#[test]
fn a_compressed_object_that_says_another_size_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let (_, [_, _, zstd, ..]) = every_form(&store);
    let (_, entry) = packed(&store, &zstd);
    let Found::Packed(pack, _) = store.find(&zstd).unwrap() else { panic!("not packed") };
    let read = |entry: Entry| {
        let found = Found::Packed(Arc::clone(&pack), entry);
        store.source(found, &zstd).map(|mut source| source.read_to_end(&mut Vec::new()).unwrap())
    };
    assert_eq!(read(entry).unwrap(), 4500);
    for size in [0, entry.stored, 4499, 4501, COMPRESSED_BYTES_MAX, COMPRESSED_BYTES_MAX + 1, u64::MAX] {
        let error = read(Entry { size, ..entry }).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { digest } if digest == zstd), "{size}: {error:?}");
    }
    for stored in [0, 1, entry.stored - 1, entry.stored + 1] {
        read(Entry { stored, ..entry }).unwrap_err();
    }
}
