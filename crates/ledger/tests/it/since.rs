//! Verifying what came after a kept checkpoint.

use std::fs;

use aseptic_ledger::{
    Checkpoint, Damage, Ledger, ReadError, Reference, VerifyError, update_tiles, verify, verify_since,
};
use tempfile::TempDir;

use crate::rotate::rotate;
use crate::support::{ORIGIN, copy, frames, joined, log};

/// A ledger with tiles, of `before` entries when the checkpoint was kept and `after` more.
fn ledger(before: u32, after: u32) -> (TempDir, Checkpoint) {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    let append = |number: u32| {
        let batch: Vec<_> = (0..number).map(|number| number.to_le_bytes()).collect();
        for batch in batch.chunks(3) {
            ledger.append(&batch.iter().map(<[u8; 4]>::as_slice).collect::<Vec<_>>()).unwrap();
        }
    };
    append(before);
    let kept = ledger.checkpoint();
    append(after);
    (dir, kept)
}

/// Puts other bytes into the frame `number` of the log.
fn damage(dir: &TempDir, number: usize) {
    let mut frames = frames(&fs::read(log(dir)).unwrap());
    frames[number][26] ^= 1;
    fs::write(log(dir), joined(&frames)).unwrap();
}

#[test]
fn what_follows_a_checkpoint_is_proven_and_what_it_covers_is_not_read() {
    for (before, after) in [(600, 30), (512, 1), (513, 0), (3, 600), (255, 2), (700, 700)] {
        let (dir, kept) = ledger(before, after);
        let full = verify(dir.path(), Some(&kept)).unwrap();
        assert_eq!(verify_since(dir.path(), &kept).unwrap(), full, "without tiles");
        update_tiles(dir.path()).unwrap();
        assert_eq!(verify_since(dir.path(), &kept).unwrap(), full, "{before} and {after}");

        // Whoever reads everything finds what is before.
        damage(&dir, 1);
        verify(dir.path(), Some(&kept)).unwrap_err();
        assert_eq!(verify_since(dir.path(), &kept).is_ok(), before > 256, "{before} and {after}");
    }
}

#[test]
fn nothing_that_follows_is_hidden() {
    let (dir, kept) = ledger(600, 30);
    update_tiles(dir.path()).unwrap();
    let broken = copy_with_tiles(&dir);
    damage(&broken, 205);
    let error = verify_since(broken.path(), &kept).unwrap_err();
    assert!(
        matches!(
            error,
            VerifyError::Log(ReadError::Broken { index: 615, damage: Damage::Checksum { entries: 1 } })
        ),
        "{error}"
    );

    // Cut back to before it, and another history from there on.
    let shorter = copy_with_tiles(&dir);
    let whole = frames(&fs::read(log(&dir)).unwrap());
    fs::write(log(&shorter), joined(&whole[..190])).unwrap();
    fs::remove_file(shorter.path().join("checkpoint")).unwrap();
    let error = verify_since(shorter.path(), &kept).unwrap_err();
    let cut =
        matches!(error, VerifyError::Truncated { reference: Reference::Kept, acknowledged: 600, found: 570 });
    assert!(cut, "{error}");
    fs::remove_file(shorter.path().join("head")).ok();
    let fork = Ledger::open(shorter.path(), ORIGIN).unwrap();
    for _ in 0..50 {
        fork.append(&[b"other"]).unwrap();
    }
    let error = verify_since(shorter.path(), &kept).unwrap_err();
    assert!(matches!(error, VerifyError::RolledBack { reference: Reference::Kept, size: 600 }), "{error}");

    // Tiles that are wrong cost time and prove nothing.
    let tiles = copy_with_tiles(&dir);
    let tile = tiles.path().join("tiles/tile/0/001");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[0] ^= 1;
    fs::write(&tile, bytes).unwrap();
    assert_eq!(verify_since(tiles.path(), &kept).unwrap().entries, 630);

    // A checkpoint by somebody else.
    let (_, foreign) = ledger(600, 0);
    let error = verify_since(dir.path(), &foreign).unwrap_err();
    assert!(matches!(error, VerifyError::Key { reference: Reference::Kept }), "{error}");
}

#[test]
fn keys_are_followed_from_the_checkpoint_on() {
    let (dir, early) = ledger(300, 1);
    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    rotate(&ledger);
    let handover = ledger.checkpoint();
    ledger.append(&[b"by the second"]).unwrap();
    let late = ledger.checkpoint();
    rotate(&ledger);
    ledger.append(&[b"by the third"]).unwrap();
    update_tiles(dir.path()).unwrap();
    let full = verify(dir.path(), None).unwrap();
    assert_eq!(full.keys.len(), 3);
    damage(&dir, 1);
    for kept in [&early, &handover, &late, &ledger.checkpoint()] {
        assert_eq!(verify_since(dir.path(), kept).unwrap(), full, "since {}", kept.size());
    }
}

fn copy_with_tiles(dir: &TempDir) -> TempDir {
    let to = TempDir::new().unwrap();
    let from = format!("{}/.", dir.path().display());
    let status = std::process::Command::new("cp").args(["-r", &from]).arg(to.path()).status().unwrap();
    assert!(status.success());
    to
}

#[test]
fn a_copy_without_tiles_is_read_whole() {
    let (dir, kept) = ledger(300, 3);
    assert_eq!(verify_since(copy(dir.path()).path(), &kept).unwrap().entries, 303);
}
