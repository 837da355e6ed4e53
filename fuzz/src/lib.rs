//! What the targets share: keys, and what they signed.

use std::fs;
use std::path::PathBuf;

/// The key of a log.
pub const LOG: &str =
    "aseptic.local/ledger/abcdefghijkl+b258db8d+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";
/// The key of a witness.
pub const WITNESS: &str = "witness.example/w1+24b5d9fe+BP0XJDhaoMdbZPt4zWAvodmR/ev3axPFjtcC6sg16fYY";
/// The one checkpoint that the log signed.
pub const NOTE: &str = "aseptic.local/ledger/abcdefghijkl\n\
     5\n\
     S0ajWTT1mMYDOGrLI1KZo3HwRvHpQC4zhJgx5oxmQeg=\n\
     \n\
     \u{2014} aseptic.local/ledger/abcdefghijkl sljbjU1a4tmHHYWxElgNb8bkpTkxSio9lBdzzor07ouULruPOcfgaN3elSvrhG5uw2t6PiT/a8kc0jGUHhKQGY5GvQM=\n\
     ";
/// When the witness cosigned it.
pub const TIME: u64 = 1790000000;
/// A policy that wants both.
pub const POLICY: &str = "log aseptic.local/ledger/abcdefghijkl+b258db8d+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs\n\
     witness w1 witness.example/w1+24b5d9fe+BP0XJDhaoMdbZPt4zWAvodmR/ev3axPFjtcC6sg16fYY\n\
     quorum w1\n\
     ";

/// A directory that this process has for `purpose`: in memory where that is, since a ledger waits for the disk.
pub fn directory(purpose: &str) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let dir = place.join(format!("aseptic-fuzz-{purpose}-{}", std::process::id()));
    assert!(fs::create_dir_all(&dir).is_ok(), "{}", dir.display());
    dir
}

/// Compares both parts of `bytes`, of which the first says how long the first is, as files of this name. A file is
/// equal to itself, whatever is in it.
pub fn compare(name: &str, bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first() else { return };
    let (before, after) = rest.split_at(usize::from(*length).saturating_mul(8).min(rest.len()));
    let content = |bytes: &[u8]| aseptic_compare::Content::bytes(bytes.to_vec());
    let compare = |before: &[u8], after: &[u8]| {
        aseptic_compare::compare(
            name.as_bytes(),
            &content(before),
            &content(after),
            aseptic_model::Tolerance::default(),
        )
    };
    let found = compare(before, after);
    assert!(found.first.len() <= 10 && found.within <= found.values);
    // Of text whose lines are all equal the ends of lines are said to differ: its bytes must.
    let same = compare(before, before);
    assert!(same.differing == 0 || same.format == aseptic_model::FileFormat::Text);
}
