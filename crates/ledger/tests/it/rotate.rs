//! Handing a ledger over to another key.

use std::fs;
use std::path::Path;

use aseptic_ledger::{
    AppendError, Checkpoint, Damage, Ledger, OpenError, ReadError, Reference, VerifyError, verify,
};
use aseptic_model::Diagnose as _;
use tempfile::TempDir;

use crate::support::{ORIGIN, copy, entries, forged_commit, frames, joined, ledger_of, log, signature_of};

/// Hands the ledger over, as its users do: the entry names the key.
pub(crate) fn rotate(ledger: &Ledger) -> u64 {
    loop {
        let next = ledger.next_key().unwrap();
        let entry = format!("{} after {}", next.verifier(), next.before());
        match ledger.hand_over(next, entry.as_bytes()) {
            // Another process did so meanwhile, and this one knows now.
            Err(AppendError::HandedOver) => {}
            result => return result.unwrap(),
        }
    }
}

#[test]
fn a_key_that_comes_after_another_one_is_refused() {
    let dir = ledger_of(&[b"a"]);
    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    let late = ledger.next_key().unwrap();
    rotate(&Ledger::open(dir.path(), ORIGIN).unwrap());
    assert!(matches!(ledger.hand_over(late, b"late"), Err(AppendError::HandedOver)));
    assert_eq!(rotate(&ledger), 2);
}

fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap()
}

#[test]
fn a_ledger_goes_on_with_the_next_key() {
    let dir = ledger_of(&[b"a", b"b"]);
    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    let other = Ledger::open(dir.path(), ORIGIN).unwrap();
    let (first, kept) = (ledger.verifier(), ledger.checkpoint());
    assert_eq!(rotate(&ledger), 2);
    let second = ledger.verifier();
    assert_ne!(first, second);
    assert_eq!(read(dir.path(), "verifier"), format!("{first}\n{second}\n"));
    assert!(read(dir.path(), "key").contains(&second.id()) && !dir.path().join("key.next").exists());

    // Its last statement by the key before names the one after.
    let handover = ledger.checkpoint();
    assert!(handover.is_signed_by(&first) && !handover.is_signed_by(&second));
    assert_eq!(handover.extensions(), [format!("aseptic-key {second}")]);
    assert_eq!(read(dir.path(), "checkpoint"), handover.to_string());
    assert_eq!(verify(dir.path(), Some(&kept)).unwrap().checkpoint, Some(handover.clone()));

    // A handle of before goes on by itself.
    assert_eq!(other.append(&[b"c"]).unwrap(), 3..4);
    assert_eq!(other.verifier(), second);
    assert!(other.checkpoint().is_signed_by(&second) && !other.checkpoint().is_signed_by(&first));
    assert_eq!(rotate(&other), 4);
    assert_eq!(rotate(&other), 5);
    assert_eq!(ledger.append(&[b"d"]).unwrap(), 6..7);

    let again = Ledger::open(dir.path(), ORIGIN).unwrap();
    assert_eq!((again.size(), again.checkpoint()), (7, ledger.checkpoint()));
    for kept in [&kept, &handover, &again.checkpoint()] {
        let verified = verify(dir.path(), Some(kept)).unwrap();
        assert_eq!((verified.entries, verified.keys.len()), (7, 4));
        assert_eq!((&verified.keys[0], &verified.verifier), (&first, &again.verifier()));
    }
    assert_eq!(entries(dir.path()).unwrap()[3], b"c");
}

#[test]
fn the_key_before_signs_nothing_that_comes_after() {
    let dir = ledger_of(&[b"a"]);
    // Whoever copied the key goes on with it.
    let thief = copy(dir.path());
    let stolen = Ledger::open(thief.path(), ORIGIN).unwrap();
    stolen.append(&[b"b", b"c"]).unwrap();

    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    rotate(&ledger);
    ledger.append(&[b"c"]).unwrap();
    let error = verify(dir.path(), Some(&stolen.checkpoint())).unwrap_err();
    assert!(matches!(error, VerifyError::Key { reference: Reference::Kept }), "{error}");

    // Its commits are not taken for the next ones.
    let whole = fs::read(log(&dir)).unwrap();
    let theirs = frames(&fs::read(log(&thief)).unwrap());
    let forged = forged_commit(2, &[b"c"], None, signature_of(&theirs[1]));
    fs::write(log(&dir), joined(&[frames(&whole)[0].clone(), frames(&whole)[1].clone(), forged])).unwrap();
    let error = verify(dir.path(), None).unwrap_err();
    let broken = ReadError::Broken { index: 2, damage: Damage::Signature };
    assert_eq!(error.to_string(), broken.to_string());
    Ledger::open(dir.path(), ORIGIN).unwrap_err();
}

#[test]
fn nobody_else_hands_over() {
    let dir = ledger_of(&[b"a", b"b"]);
    let whole = fs::read(log(&dir)).unwrap();
    let other = ledger_of(&[b"a", b"b"]);
    let theirs = Ledger::open(other.path(), ORIGIN).unwrap();
    rotate(&theirs);
    let handover = frames(&fs::read(log(&other)).unwrap())[2].clone();
    let mut bytes = whole.clone();
    bytes.extend(&handover);
    fs::write(log(&dir), &bytes).unwrap();
    let error = verify(dir.path(), None).unwrap_err();
    let named = matches!(error, VerifyError::Log(ReadError::Broken { index: 2, damage: Damage::Signature }));
    assert!(named, "{error}");
    Ledger::open(dir.path(), ORIGIN).unwrap_err();

    // The new key of a handover is covered by its signature, and must be a key.
    let key = Ledger::open(other.path(), ORIGIN).unwrap().verifier().to_string();
    assert!(key.starts_with(ORIGIN));
    let ours = ledger_of(&[b"a"]);
    rotate(&Ledger::open(ours.path(), ORIGIN).unwrap());
    let frames = frames(&fs::read(log(&ours)).unwrap());
    for (new_key, damage) in [([2; 32], Damage::Key), ([0xff; 32], Damage::Key), ([1; 32], Damage::Signature)]
    {
        let forged = forged_commit(1, &[b"entry"], Some(&new_key), signature_of(&frames[1]));
        fs::write(log(&ours), joined(&[frames[0].clone(), forged])).unwrap();
        fs::remove_file(ours.path().join("checkpoint")).ok();
        match verify(ours.path(), None).unwrap_err() {
            VerifyError::Log(ReadError::Broken { index: 1, damage: found }) => {
                assert!(found == damage || found == Damage::Signature, "{found}");
            }
            error => panic!("{error}"),
        }
    }
}

/// A ledger before it was handed over, the same after, and the checkpoint of before.
fn before_and_after() -> (TempDir, TempDir, Checkpoint) {
    let before = ledger_of(&[b"a"]);
    let kept = Ledger::open(before.path(), ORIGIN).unwrap().checkpoint();
    let after = copy(before.path());
    rotate(&Ledger::open(after.path(), ORIGIN).unwrap());
    (before, after, kept)
}

#[test]
fn a_handover_that_was_interrupted_is_finished_or_never_was() {
    let (before, after, kept) = before_and_after();
    let put = |from: &TempDir, file: &str, to: &TempDir, as_file: &str| {
        fs::copy(from.path().join(file), to.path().join(as_file)).unwrap();
    };
    // Only the next key was kept.
    let dir = copy(before.path());
    put(&after, "key", &dir, "key.next");
    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    assert!(read(dir.path(), "key") == read(before.path(), "key") && !dir.path().join("key.next").exists());
    assert_eq!(ledger.append(&[b"b"]).unwrap(), 1..2);
    verify(dir.path(), Some(&kept)).unwrap();

    // The commit was written; the files of the keys were not, or only one, or none of them by a handle that
    // was open.
    for files in [&[][..], &["key"], &["key", "verifier"], &["checkpoint"]] {
        let dir = copy(before.path());
        let handle = Ledger::open(dir.path(), ORIGIN).unwrap();
        let bytes = fs::read(log(&after)).unwrap();
        fs::write(log(&dir), bytes).unwrap();
        put(&after, "key", &dir, "key.next");
        for file in files {
            put(&after, file, &dir, file);
        }
        verify(dir.path(), Some(&kept)).unwrap();
        if files.is_empty() {
            assert_eq!(handle.append(&[b"c"]).unwrap(), 2..3);
        }
        let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
        for file in ["key", "verifier"] {
            assert_eq!(read(dir.path(), file), read(after.path(), file), "{files:?}");
        }
        assert!(!dir.path().join("key.next").exists());
        ledger.append(&[b"d"]).unwrap();
        assert_eq!(verify(dir.path(), Some(&kept)).unwrap().keys.len(), 2);
    }

    // The key that it was handed over to is nowhere.
    let dir = copy(after.path());
    put(&before, "key", &dir, "key");
    let error = Ledger::open(dir.path(), ORIGIN).unwrap_err();
    assert!(matches!(error, OpenError::Key(_)), "{error}");
    assert_eq!(error.diagnosis().code, "ledger/key");

    // A handover that was cut off again shows in `verifier`.
    let dir = copy(before.path());
    put(&after, "verifier", &dir, "verifier");
    assert!(matches!(verify(dir.path(), None), Err(VerifyError::Verifier(_))));
    assert!(matches!(Ledger::open(dir.path(), ORIGIN), Err(OpenError::Key(_))));
}

#[test]
fn new_ledgers_have_names_of_their_own() {
    let open = |dir: &TempDir| Ledger::open_below(dir.path(), "aseptic.local/ledger");
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (first, second) = (open(&one).unwrap().origin(), open(&two).unwrap().origin());
    assert_ne!(first, second);
    let name = first.strip_prefix("aseptic.local/ledger/").unwrap();
    let base32 = |c: char| c.is_ascii_lowercase() || ('2'..='7').contains(&c);
    assert!(name.len() == 12 && name.chars().all(base32), "{name}");
    assert_eq!(open(&one).unwrap().origin(), first);
    assert!(matches!(
        Ledger::open_below(one.path(), "aseptic.local/led"),
        Err(OpenError::OtherOrigin { .. })
    ));

    // One that is called like the family keeps its name.
    let old = TempDir::new().unwrap();
    Ledger::open(old.path(), "aseptic.local/ledger").unwrap();
    assert_eq!(open(&old).unwrap().origin(), "aseptic.local/ledger");
}
