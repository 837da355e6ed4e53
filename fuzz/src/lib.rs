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
