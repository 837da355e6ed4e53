//! Every form that an object can be stored in, written and read.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::object::Content;
use crate::object::object_name;
use crate::reader::Found;
use crate::segment::Entry;
use crate::tree::{EntryKind, Tree, TreeEntry};

/// Bytes without any pattern, the same each time for the same number.
pub(crate) fn random(number: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn open(dir: &Path) -> (Store, Lease) {
    let store = Store::open(&dir.join("store")).unwrap();
    let lease = store.lease().unwrap();
    (store, lease)
}

/// Adds so many objects that they go to a pack.
fn add_many(store: &Store, lease: &Lease, first: u64) -> Vec<Digest> {
    let writer = Writer::new(store, lease);
    let digests = (first..first + 40).map(|number| writer.add_bytes(&random(number, 700)).unwrap()).collect();
    writer.publish().unwrap();
    digests
}

fn form(store: &Store, digest: &Digest) -> Option<Form> {
    match store.find(digest).unwrap() {
        Found::Loose(..) => None,
        Found::Packed(_, Entry { form, .. }) => Some(form),
    }
}

fn packs(store: &Store) -> Vec<PathBuf> {
    fs::read_dir(store.dir.join("packs")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A snapshot with an object of every form: loose, plain, compressed, chunked.
fn every_form(store: &Store, lease: &Lease) -> (Digest, Vec<(Digest, Vec<u8>)>) {
    let loose = random(1000, 3000);
    store.put_bytes(lease, &loose).unwrap();
    let writer = Writer::new(store, lease);
    let parts = [random(1001, 5000), vec![9; 4000], loose.clone(), random(1001, 5000)];
    let chunks: Vec<_> = parts
        .iter()
        .map(|part| (writer.add_chunk(part).unwrap(), u32::try_from(part.len()).unwrap()))
        .collect();
    let whole = parts.concat();
    writer.add_recipe(Digest::of(&whole), whole.len() as u64, &chunks).unwrap();
    let text = b"compressed, ".repeat(100);
    let plain = random(1002, 2000);
    writer.add_bytes(&text).unwrap();
    writer.add_bytes(&plain).unwrap();
    let contents = [loose, whole, text, plain, Vec::new()].map(|bytes| (Digest::of(&bytes), bytes)).to_vec();
    writer.add_bytes(b"").unwrap();
    let entries = contents.iter().enumerate().map(|(number, (digest, bytes))| TreeEntry {
        name: vec![b'a' + u8::try_from(number).unwrap()],
        kind: EntryKind::File { size: bytes.len() as u64, digest: *digest, executable: false },
    });
    let root = writer.add_bytes(&Tree::new(entries.collect()).unwrap().encode()).unwrap();
    writer.publish().unwrap();
    (root, contents)
}

#[test]
fn every_form_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lease) = open(dir.path());
    let (root, contents) = every_form(&store, &lease);
    let forms: Vec<_> = contents.iter().map(|(digest, _)| form(&store, digest)).collect();
    let plain = Some(Form::Plain);
    assert_eq!(forms, [None, Some(Form::Chunked), Some(Form::Zstd), plain, plain]);
    let again = Store::open(&store.dir).unwrap();
    for (digest, bytes) in &contents {
        assert_eq!(again.get_bytes(digest, bytes.len()).unwrap(), *bytes);
        let mut read = Vec::new();
        again.reader(digest).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, *bytes);
        let mut pieces = Vec::new();
        let content = Content { size: bytes.len() as u64, digest: *digest };
        let take = |piece: &[u8]| {
            pieces.extend_from_slice(piece);
            Ok::<_, StoreError>(())
        };
        again.read_object(content, &mut [0; 100], take).unwrap();
        assert_eq!(pieces, *bytes);
        let wrong = Content { size: content.size + 1, ..content };
        assert!(again.read_object(wrong, &mut [0; 100], |_| Ok::<_, StoreError>(())).is_err());
    }
    again.verify(&root, &mut |_| ()).unwrap();
    let view = again.view(&root).unwrap();
    assert_eq!(fs::read(view.join("b")).unwrap(), contents[1].1);
}

#[test]
fn a_second_reader_checks_every_digest() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lease) = open(dir.path());
    let (root, contents) = every_form(&store, &lease);
    let read = || {
        let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_reader.py");
        Command::new("python3").arg(reader).arg(&store.dir).arg(root.to_string()).output().unwrap()
    };
    let output = read();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout.split(|byte| *byte == 0).count(), contents.len() + 1);
    // The twin: one bit of any file makes it fail.
    let loose = store.dir.join("objects").join(object_name(&contents[0].0));
    for file in [loose, packs(&store).remove(0)] {
        flip(&file, fs::metadata(&file).unwrap().len() - 100);
        assert!(!read().status.success(), "{}", file.display());
        flip(&file, fs::metadata(&file).unwrap().len() - 100);
    }
    assert!(read().status.success());
}

/// Flips a bit of the byte at this place.
pub(crate) fn flip(path: &Path, at: u64) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn few_objects_are_files_and_many_are_packed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lease) = open(dir.path());
    let writer = Writer::new(&store, &lease);
    let few: Vec<_> = (0..32).map(|number| writer.add_bytes(&random(number, 700)).unwrap()).collect();
    writer.publish().unwrap();
    assert!(few.iter().all(|digest| form(&store, digest).is_none()));
    assert!(packs(&store).is_empty());
    // What the store has is not written again, however it has it.
    let many = add_many(&store, &lease, 20);
    assert_eq!(many.iter().filter(|digest| form(&store, digest).is_some()).count(), 0);
    let many = add_many(&store, &lease, 100);
    assert!(many.iter().all(|digest| form(&store, digest) == Some(Form::Plain)));
    add_many(&store, &lease, 100);
    assert_eq!(packs(&store).len(), 1);
    let writer = Writer::new(&store, &lease);
    let large = writer.add_bytes(&random(1, LOOSE_BYTES_MIN)).unwrap();
    writer.publish().unwrap();
    assert_eq!(form(&store, &large), None);
}

#[test]
fn segments_are_merged_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lease) = open(dir.path());
    // It has read the list once, and finds what has moved since.
    let early = Store::open(&store.dir).unwrap();
    assert!(!early.has(&Digest::of(b"")));
    let mut all = Vec::new();
    for first in 0..30 {
        all.extend(add_many(&store, &lease, 1000 + first * 40));
        let segments = fs::read_dir(store.dir.join("segments")).unwrap().count();
        assert!(segments <= segments::SEGMENTS_MAX + 1, "{segments}");
        assert!(early.find(all.last().unwrap()).is_ok());
    }
    let fresh = Store::open(&store.dir).unwrap();
    for digest in &all {
        for store in [&early, &store, &fresh] {
            assert!(store.has(digest));
            assert_eq!(store.get_bytes(digest, 700).unwrap().len(), 700);
        }
    }
    for number in 0..1000_u64 {
        assert!(!fresh.has(&Digest::of(&number.to_le_bytes())));
    }
}

#[test]
fn a_checkpoint_is_there_for_who_does_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lease) = open(dir.path());
    let writer = Writer::new(&store, &lease);
    let add = |from: u64| -> Vec<_> {
        (from..from + 50).map(|number| writer.add_bytes(&random(number, 700)).unwrap()).collect()
    };
    let first = add(0);
    writer.checkpoint().unwrap();
    let second = add(100);
    drop(writer); // As if it was killed.
    let again = Store::open(&store.dir).unwrap();
    assert!(first.iter().all(|digest| again.get_bytes(digest, 700).is_ok()));
    assert!(second.iter().all(|digest| !again.has(digest)));
    assert_eq!(fs::read_dir(store.dir.join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_recipe_that_lies_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lease) = open(dir.path());
    let writer = Writer::new(&store, &lease);
    let chunk = random(1, 2000);
    let part = (writer.add_chunk(&chunk).unwrap(), 2000);
    let gone = (Digest::of(b"gone"), 4);
    let nested = Digest::of(b"nested");
    writer.add_recipe(nested, 2000, &[part]).unwrap();
    /// Content, the size that is said, and the chunks that are said.
    type Lie<'l> = (&'l [u8], u64, &'l [(Digest, u32)]);
    let lies: [Lie<'_>; 7] = [
        (b"other bytes", 2000, &[part]),
        (b"too few", 4001, &[part, part]),
        (b"too many", 3999, &[part, part]),
        (b"nothing", 1, &[]),
        (b"shorter than it is", 1999, &[(part.0, 1999)]),
        (b"not there", 2004, &[part, gone]),
        (b"chunks of chunks", 2000, &[(nested, 2000)]),
    ];
    for (name, size, chunks) in lies {
        writer.add_recipe(Digest::of(name), size, chunks).unwrap();
    }
    writer.publish().unwrap();
    for (name, size, _) in lies {
        let digest = Digest::of(name);
        let error = store.get_bytes(&digest, 1 << 20).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. } | StoreError::Missing { .. }), "{error}");
        let content = Content { size, digest };
        let read = store.read_object(content, &mut [0; 512], |_| Ok::<_, StoreError>(()));
        assert!(matches!(read, Err(StoreError::Corrupt { .. } | StoreError::Missing { .. })), "{read:?}");
        assert!(store.reader(&digest).unwrap().read_to_end(&mut Vec::new()).is_err());
    }
}
