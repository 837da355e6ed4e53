//! Nobody alters a ledger unseen.

use std::fs;

use aseptic_ledger::{
    Checkpoint, Damage, Entry, Ledger, OpenError, Position, ReadError, Reference, VerifyError, read, verify,
};
use aseptic_model::Diagnose as _;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::rotate::rotate;
use crate::support::{
    MAGIC_BYTES, ORIGIN, copy, entries, entry_of, forged, frames, joined, ledger_of, log, signature_of,
};

const FOUR: [&[u8]; 4] = [b"zero", b"one", b"second entry", b"three"];

fn broken_at(dir: &TempDir) -> Option<(u64, Damage)> {
    match verify(dir.path(), None) {
        Err(VerifyError::Log(ReadError::Broken { index, damage })) => Some((index, damage)),
        _ => None,
    }
}

/// Ends of the frames of a log.
fn ends(log: &[u8]) -> Vec<usize> {
    let mut end = MAGIC_BYTES;
    frames(log)
        .iter()
        .map(|frame| {
            end += frame.len();
            end
        })
        .collect()
}

#[test]
fn every_flipped_bit_is_found_and_its_entry_named() {
    let dir = ledger_of(&FOUR[..3]);
    let whole = fs::read(log(&dir)).unwrap();
    let ends = ends(&whole);
    for offset in 0..whole.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[offset] ^= mask;
            fs::write(log(&dir), bytes).unwrap();
            if offset < MAGIC_BYTES {
                let error = verify(dir.path(), None).unwrap_err();
                assert!(matches!(error, VerifyError::Log(ReadError::Format)), "byte {offset}: {error}");
            } else {
                let index = ends.iter().position(|end| offset < *end).unwrap() as u64;
                let (found, _) = broken_at(&dir).unwrap_or_else(|| panic!("byte {offset} is not missed"));
                assert_eq!(found, index, "byte {offset} of {ends:?}");
                let error = entries(dir.path()).unwrap_err();
                assert!(matches!(error, ReadError::Broken { index: found, .. } if found == index), "{error}");
            }
            Ledger::open(dir.path(), ORIGIN).unwrap_err();
        }
    }
    fs::write(log(&dir), whole).unwrap();
    assert_eq!(verify(dir.path(), None).unwrap().entries, 3);
}

#[test]
fn every_flipped_bit_of_a_larger_commit_and_of_a_handover_is_found() {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    ledger.append(&FOUR[..3]).unwrap();
    rotate(&ledger);
    ledger.append(&FOUR[3..]).unwrap();
    let whole = fs::read(log(&dir)).unwrap();
    let ends = ends(&whole);
    for offset in MAGIC_BYTES..whole.len() {
        let mut bytes = whole.clone();
        bytes[offset] ^= 0x10;
        fs::write(log(&dir), bytes).unwrap();
        let first = [0, 3, 4][ends.iter().position(|end| offset < *end).unwrap()];
        let (found, damage) = broken_at(&dir).unwrap_or_else(|| panic!("byte {offset} is not missed"));
        assert_eq!(found, first, "byte {offset} of {ends:?}");
        if let Damage::Checksum { entries } = damage {
            assert_eq!(entries, if first == 0 { 3 } else { 1 });
        }
        Ledger::open(dir.path(), ORIGIN).unwrap_err();
    }
}

/// What someone does who knows the format: the checksums are right each time.
#[test]
fn rearranged_and_forged_frames_are_named() {
    type Tamper = fn(&mut Vec<Vec<u8>>);
    let cases: [(&str, Tamper, u64, Damage); 9] = [
        ("two swapped", |f| f.swap(1, 2), 1, Damage::Index { found: 2 }),
        ("first removed", |f| drop(f.remove(0)), 0, Damage::Index { found: 1 }),
        ("middle removed", |f| drop(f.remove(2)), 2, Damage::Index { found: 3 }),
        ("duplicated", |f| f.insert(2, f[1].clone()), 2, Damage::Index { found: 1 }),
        ("replaced", |f| f[1] = forged(1, b"ONE", signature_of(&f[1])), 1, Damage::Signature),
        ("last replaced", |f| f[3] = forged(3, b"THREE", signature_of(&f[3])), 3, Damage::Signature),
        ("signature moved", |f| f[3] = forged(3, entry_of(&f[3]), signature_of(&f[2])), 3, Damage::Signature),
        ("inserted", |f| f.insert(4, forged(4, b"four", &[0; 64])), 4, Damage::Signature),
        (
            "swapped and renumbered",
            |f| {
                let (one, two) = (f[1].clone(), f[2].clone());
                f[1] = forged(1, entry_of(&two), signature_of(&two));
                f[2] = forged(2, entry_of(&one), signature_of(&one));
            },
            1,
            Damage::Signature,
        ),
    ];
    let dir = ledger_of(&FOUR);
    let whole = fs::read(log(&dir)).unwrap();
    assert_eq!(joined(&frames(&whole)), whole);
    for (name, tamper, index, damage) in cases {
        let mut frames = frames(&whole);
        tamper(&mut frames);
        fs::write(log(&dir), joined(&frames)).unwrap();
        assert_eq!(broken_at(&dir), Some((index, damage)), "{name}");
        let error = Ledger::open(dir.path(), ORIGIN).unwrap_err();
        assert_eq!(error.diagnosis().code, "ledger/broken", "{name}: {error}");
    }
    // The last signature covers the entries whose own signature is not what it was.
    let mut frames = frames(&whole);
    frames[1] = forged(1, entry_of(&frames[1]), signature_of(&frames[2]));
    fs::write(log(&dir), joined(&frames)).unwrap();
    assert_eq!(verify(dir.path(), None).unwrap().entries, 4);
}

#[test]
fn a_cut_at_any_byte_is_damage_if_the_entries_were_acknowledged_and_a_torn_tail_otherwise() {
    let dir = ledger_of(&FOUR[..3]);
    let whole = fs::read(log(&dir)).unwrap();
    let ends = ends(&whole);
    let published = dir.path().join("checkpoint");
    let note = fs::read(&published).unwrap();
    for length in 0..whole.len() {
        fs::write(log(&dir), &whole[..length]).unwrap();
        fs::write(&published, &note).unwrap();
        let error = verify(dir.path(), None).unwrap_err();
        if length < MAGIC_BYTES {
            assert!(matches!(error, VerifyError::Log(ReadError::Format)), "{error}");
            continue;
        }
        let left = ends.iter().filter(|end| **end <= length).count();
        let at = ends[..left].last().copied().unwrap_or(MAGIC_BYTES);
        let left = left as u64;
        assert!(
            matches!(error, VerifyError::Truncated { reference: Reference::Published, acknowledged: 3, found }
                if found == left),
            "length {length}: {error}"
        );
        let error = Ledger::open(dir.path(), ORIGIN).unwrap_err();
        assert!(
            matches!(error, OpenError::Truncated { acknowledged: 3, found } if found == left),
            "length {length}: {error}"
        );
        assert_eq!(fs::read(log(&dir)).unwrap().len(), length, "opening changed the evidence");

        fs::remove_file(&published).unwrap();
        let verified = verify(dir.path(), None).unwrap();
        assert_eq!((verified.entries, verified.torn_tail), (left, (length - at) as u64), "length {length}");
        assert_eq!(verified.published, None);
        let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
        assert_eq!(ledger.append(&[b"next"]).unwrap(), left..left + 1);
        let verified = verify(dir.path(), None).unwrap();
        assert_eq!((verified.entries, verified.torn_tail), (left + 1, 0));
    }
}

/// A power failure can leave the size of the file without all of its bytes.
#[test]
fn a_tail_of_zeros_is_torn_and_zeros_in_the_middle_are_damage() {
    let dir = ledger_of(&FOUR[..3]);
    let whole = fs::read(log(&dir)).unwrap();
    let ends = ends(&whole);
    for written in ends[1]..ends[2] - 16 {
        let mut bytes = whole.clone();
        bytes[written..].fill(0);
        fs::write(log(&dir), &bytes).unwrap();
        let error = verify(dir.path(), None).unwrap_err();
        assert!(matches!(error, VerifyError::Truncated { acknowledged: 3, found: 2, .. }), "{error}");
        let copy = copy(dir.path());
        fs::remove_file(copy.path().join("checkpoint")).unwrap();
        let verified = verify(copy.path(), None).unwrap();
        assert_eq!((verified.entries, verified.torn_tail), (2, (ends[2] - ends[1]) as u64));
    }
    let mut bytes = whole.clone();
    bytes[ends[0]..ends[1]].fill(0);
    fs::write(log(&dir), bytes).unwrap();
    assert_eq!(broken_at(&dir), Some((1, Damage::Header)));
}

/// The tiles choose a name, and nothing else.
#[test]
fn an_entry_in_the_middle_of_a_commit_is_named_where_the_tiles_know_it() {
    let dir = ledger_of(&[b"first"]);
    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    ledger.append(&[b"zero", b"one", b"two", b"three"]).unwrap();
    aseptic_ledger::update_tiles(dir.path()).unwrap();
    let mut bytes = fs::read(log(&dir)).unwrap();
    let place = bytes.windows(3).position(|window| window == b"two").unwrap();
    bytes[place] ^= 1;
    fs::write(log(&dir), &bytes).unwrap();
    assert_eq!(broken_at(&dir), Some((3, Damage::Checksum { entries: 1 })));
    let tile = dir.path().join("tiles/tile/0/000.p/5");
    let mut hashes = fs::read(&tile).unwrap();
    hashes[2 * 32] ^= 1;
    fs::write(&tile, hashes).unwrap();
    assert_eq!(broken_at(&dir), Some((2, Damage::Checksum { entries: 1 })), "it is broken all the same");
    fs::remove_dir_all(dir.path().join("tiles")).unwrap();
    assert_eq!(broken_at(&dir), Some((1, Damage::Checksum { entries: 4 })));
}

/// A power failure can leave later blocks of what nobody confirmed, and not the ones before.
#[test]
fn a_block_that_never_reached_the_disk_is_a_torn_tail() {
    let entries: Vec<Vec<u8>> = (1..=20_u8).map(|number| vec![number; 1500]).collect();
    let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let dir = ledger_of(&entries);
    let whole = fs::read(log(&dir)).unwrap();
    let ends = ends(&whole);
    for block in (4096..whole.len()).step_by(4096) {
        let mut bytes = whole.clone();
        let end = bytes.len().min(block + 4096);
        bytes[block..end].fill(0);
        fs::write(log(&dir), &bytes).unwrap();
        let error = verify(dir.path(), None).unwrap_err();
        assert!(
            matches!(error, VerifyError::Truncated { acknowledged: 20, .. }),
            "what was published: {error}"
        );
        assert!(
            matches!(Ledger::open(dir.path(), ORIGIN), Err(OpenError::Truncated { .. })),
            "nor is it cut"
        );
        assert_eq!(fs::read(log(&dir)).unwrap(), bytes);
        let copy = copy(dir.path());
        fs::remove_file(copy.path().join("checkpoint")).unwrap();
        let left = ends.iter().filter(|end| **end <= block).count() as u64;
        let verified = verify(copy.path(), None).unwrap();
        assert_eq!(verified.entries, left, "the block at {block}");
        let ledger = Ledger::open(copy.path(), ORIGIN).unwrap();
        assert_eq!(ledger.append(&[b"next"]).unwrap(), left..left + 1);
    }
}

#[test]
fn a_kept_checkpoint_shows_what_the_directory_alone_cannot() {
    let dir = ledger_of(&FOUR[..2]);
    let early = copy(dir.path());
    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    ledger.append(&[b"two"]).unwrap();
    let kept: Checkpoint = ledger.checkpoint().to_string().parse().unwrap();
    ledger.append(&[b"three"]).unwrap();
    assert_eq!(verify(dir.path(), Some(&kept)).unwrap().entries, 4, "an older checkpoint still holds");

    // Everything is put back to an earlier moment.
    verify(early.path(), None).unwrap();
    let error = verify(early.path(), Some(&kept)).unwrap_err();
    assert!(
        matches!(error, VerifyError::Truncated { reference: Reference::Kept, acknowledged: 3, found: 2 }),
        "{error}"
    );
    // From there, whoever has the key writes another history.
    let fork = Ledger::open(early.path(), ORIGIN).unwrap();
    fork.append(&[b"TWO", b"three"]).unwrap();
    verify(early.path(), None).unwrap();
    let error = verify(early.path(), Some(&kept)).unwrap_err();
    assert!(matches!(error, VerifyError::RolledBack { reference: Reference::Kept, size: 3 }), "{error}");
    assert_eq!(error.diagnosis().code, "ledger/rolled-back");

    // The published checkpoint does the same against someone without the kept one.
    fs::copy(dir.path().join("checkpoint"), early.path().join("checkpoint")).unwrap();
    let error = verify(early.path(), None).unwrap_err();
    assert!(matches!(error, VerifyError::RolledBack { reference: Reference::Published, size: 4 }), "{error}");
    let error = Ledger::open(early.path(), ORIGIN).unwrap_err();
    assert!(matches!(error, OpenError::Checkpoint(_)), "{error}");
}

#[test]
fn another_key_is_found() {
    let dir = ledger_of(&FOUR);
    let kept = Ledger::open(dir.path(), ORIGIN).unwrap().checkpoint();
    let other = ledger_of(&FOUR);

    // All of the ledger signed again with a key of the same name: only the kept checkpoint knows.
    assert_eq!(verify(other.path(), None).unwrap().root, verify(dir.path(), None).unwrap().root);
    let error = verify(other.path(), Some(&kept)).unwrap_err();
    assert!(matches!(error, VerifyError::Key { reference: Reference::Kept }), "{error}");

    // One file alone gives it away.
    for (file, code) in [("log", "ledger/broken"), ("verifier", "ledger/key"), ("checkpoint", "ledger/key")] {
        let mixed = copy(dir.path());
        fs::copy(other.path().join(file), mixed.path().join(file)).unwrap();
        let error = verify(mixed.path(), None).unwrap_err();
        assert_eq!(error.diagnosis().code, code, "{file}: {error}");
        Ledger::open(mixed.path(), ORIGIN).unwrap_err();
    }
    let mixed = copy(dir.path());
    fs::copy(other.path().join("key"), mixed.path().join("key")).unwrap();
    assert!(matches!(Ledger::open(mixed.path(), ORIGIN), Err(OpenError::Key(_))));
    verify(mixed.path(), Some(&kept)).unwrap();
}

#[test]
fn a_log_that_vanished_is_not_begun_again() {
    let dir = ledger_of(&FOUR);
    fs::remove_file(log(&dir)).unwrap();
    let error = Ledger::open(dir.path(), ORIGIN).unwrap_err();
    assert!(matches!(error, OpenError::Truncated { acknowledged: 4, found: 0 }), "{error}");
    assert!(!log(&dir).exists());
}

#[test]
fn a_position_of_another_log_gives_an_error() {
    let dir = ledger_of(&FOUR);
    let end = read(dir.path(), Position::START).unwrap().last().unwrap().unwrap().next;
    assert_eq!(read(dir.path(), end).unwrap().count(), 0);
    let past = Position { offset: end.offset + 1, ..end };
    assert!(matches!(read(dir.path(), past), Err(ReadError::Truncated { index: 4 })));
    for wrong in [
        Position { index: 1, ..Position::START },
        Position { offset: 0, ..Position::START },
        Position { index: 1, offset: 20 },
        Position { index: u64::MAX, offset: MAGIC_BYTES as u64 },
    ] {
        let first = read(dir.path(), wrong).unwrap().next().unwrap();
        assert!(matches!(first, Err(ReadError::Broken { .. })), "{wrong:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_hostile_log_never_panics(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        forgeries in prop::collection::vec((0..3_u64, prop::collection::vec(any::<u8>(), 0..9)), 0..3),
        published in any::<bool>(),
    ) {
        let dir = ledger_of(&FOUR[..1]);
        let mut bytes = fs::read(log(&dir)).unwrap();
        for (index, entry) in &forgeries {
            bytes.extend(forged(*index, entry, &[1; 64]));
        }
        bytes.extend(&noise);
        fs::write(log(&dir), &bytes).unwrap();
        if !published {
            fs::remove_file(dir.path().join("checkpoint")).unwrap();
        }
        let read: Vec<_> = read(dir.path(), Position::START).unwrap().collect();
        prop_assert_eq!(&read[0].as_ref().unwrap().bytes, b"zero");
        prop_assert!(read.len() <= forgeries.len() + 2);
        match verify(dir.path(), None) {
            Ok(verified) => prop_assert_eq!(verified.entries, 1),
            Err(error) => {
                let named = matches!(error, VerifyError::Log(ReadError::Broken { index: 1.., .. }));
                prop_assert!(named, "{}", error);
                Ledger::open(dir.path(), ORIGIN).unwrap_err();
            }
        }
    }

    #[test]
    fn what_was_appended_is_read_from_every_position(
        batches in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..4), 1..5),
    ) {
        let dir = TempDir::new().unwrap();
        let mut appended: Vec<Vec<u8>> = Vec::new();
        for batch in &batches {
            let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
            let first = appended.len() as u64;
            let indexes = ledger.append(&batch.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(indexes, first..first + batch.len() as u64);
            appended.extend(batch.iter().cloned());
        }
        let all: Vec<Entry> = read(dir.path(), Position::START).unwrap().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(all.iter().map(|entry| entry.bytes.clone()).collect::<Vec<_>>(), appended);
        for (at, entry) in all.iter().enumerate() {
            let rest: Vec<Entry> = read(dir.path(), entry.next).unwrap().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(&rest, &all[at + 1..]);
        }
        prop_assert_eq!(verify(dir.path(), None).unwrap().entries, all.len() as u64);
    }
}
