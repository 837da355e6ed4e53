//! Objects of git: whatever the files of a repository hold, an object is what its name says, or there is none.
#![no_main]

use std::cell::OnceCell;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::Digest as _;
use tempfile::TempDir;

// The files themselves: their crate is all of aseptic, which takes long to instrument.
#[allow(dead_code)]
#[path = "../../crates/runner/src/code/git.rs"]
mod git;
#[allow(dead_code)]
#[path = "../../crates/runner/src/code/object.rs"]
mod object;

use object::{Id, Objects};

/// Length of a name in bytes.
const NAME_BYTES: usize = 20;

thread_local! {
    static DIRECTORY: OnceCell<TempDir> = const { OnceCell::new() };
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at(length.min(bytes.len()));
    *bytes = rest;
    taken
}

/// An object of the pack that is made of the input.
struct Packed {
    at: u64,
    name: [u8; NAME_BYTES],
    /// Its bytes, where it is whole and its name is right.
    tree: Option<Vec<u8>>,
}

/// A pack whose objects are compressed as they should be; everything else about them is chosen by the input.
fn pack(mut bytes: &[u8]) -> (Vec<u8>, Vec<Packed>) {
    let (mut pack, mut all) = (b"PACK\0\0\0\x02\0\0\0\0".to_vec(), Vec::<Packed>::new());
    while let [kind, other, low, high, ..] = *bytes {
        bytes = &bytes[4..];
        let content = take(&mut bytes, usize::from(u16::from_le_bytes([low, high])));
        let at = pack.len() as u64;
        let kind = kind & 7;
        pack.push(kind << 4 | 0x80 | (content.len() & 15) as u8);
        pack.push((content.len() >> 4 & 0x7f) as u8 | if content.len() >> 11 > 0 { 0x80 } else { 0 });
        if content.len() >> 11 > 0 {
            pack.push((content.len() >> 11) as u8);
        }
        let base = all.get(usize::from(other) % all.len().max(1));
        match kind {
            6 => match base.map(|base| at - base.at).filter(|distance| *distance < 0x80) {
                Some(distance) => pack.push(distance as u8),
                None => pack.extend([0x80, other & 0x7f]),
            },
            7 => pack.extend(base.map_or([other; NAME_BYTES], |base| base.name)),
            _ => {}
        }
        let tree = (kind == 2).then(|| content.to_vec());
        let mut name = [other; NAME_BYTES];
        if tree.is_some() {
            let header = format!("tree {}\0", content.len());
            name.copy_from_slice(&sha1::Sha1::new().chain_update(header).chain_update(content).finalize());
        }
        pack.extend(compressed(content));
        all.push(Packed { at, name, tree });
    }
    (pack, all)
}

fn index(all: &[Packed]) -> Vec<u8> {
    let mut sorted: Vec<&Packed> = all.iter().collect();
    sorted.sort_by_key(|one| one.name);
    let mut index = vec![0xff, 0x74, 0x4f, 0x63, 0, 0, 0, 2];
    for first in 0..=u8::MAX {
        let until = sorted.iter().filter(|one| one.name[0] <= first).count() as u32;
        index.extend(until.to_be_bytes());
    }
    sorted.iter().for_each(|one| index.extend(one.name));
    sorted.iter().for_each(|_| index.extend([0; 4]));
    sorted.iter().for_each(|one| index.extend((one.at as u32).to_be_bytes()));
    index
}

fn read(common: &Path, name: &[u8; NAME_BYTES], tree: Option<&Vec<u8>>) {
    let objects = Objects::open(common);
    let id = Id::from_bytes(name);
    for kind in ["tree", "commit"] {
        let Some(bytes) = objects.get(kind, &id) else { continue };
        assert!(id.is_of(kind, bytes.len() as u64, &mut bytes.as_slice()).expect("memory"));
    }
    if let Some(tree) = tree {
        assert_eq!(objects.get("tree", &id).as_ref(), Some(tree));
    }
}

fn write(common: &Path, path: &str, bytes: &[u8]) {
    let path = common.join("objects").join(path);
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(path, bytes).expect("a file");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    DIRECTORY.with(|directory| {
        let common = directory.get_or_init(|| tempfile::tempdir().expect("a directory")).path();
        let _ = fs::remove_dir_all(common.join("objects"));
        match how % 4 {
            0 => {
                let (pack, all) = pack(bytes);
                write(common, "pack/a.idx", &index(&all));
                write(common, "pack/a.pack", &pack);
                // Of two objects with one name, any one may be found.
                all.iter().take(8).for_each(|one| read(common, &one.name, one.tree.as_ref()));
            }
            1 => {
                let (name, rest) = bytes.split_at(bytes.len().min(NAME_BYTES));
                let Ok(name) = <&[u8; NAME_BYTES]>::try_from(name) else { return };
                let half = rest.len() / 2;
                let header = [&[0xff, 0x74, 0x4f, 0x63, 0, 0, 0, 2], &rest[..half]].concat();
                write(common, "pack/a.idx", &header);
                write(common, "pack/a.pack", &rest[half..]);
                read(common, name, None);
            }
            2 => {
                let header = format!("tree {}\0", bytes.len());
                let mut name = [0; NAME_BYTES];
                name.copy_from_slice(&sha1::Sha1::new().chain_update(&header).chain_update(bytes).finalize());
                let digits = data_encoding::HEXLOWER.encode(&name);
                let path = format!("{}/{}", &digits[..2], &digits[2..]);
                write(common, &path, &compressed(&[header.as_bytes(), bytes].concat()));
                read(common, &name, Some(&bytes.to_vec()));
            }
            _ => {
                write(common, "00/00000000000000000000000000000000000000", &compressed(bytes));
                write(common, "info/alternates", bytes);
                read(common, &[0; NAME_BYTES], None);
            }
        }
    });
});
