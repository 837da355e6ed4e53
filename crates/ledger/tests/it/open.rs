//! Opening, creating and sharing a ledger.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use aseptic_ledger::{
    APPEND_BYTES_MAX, AppendError, ENTRY_BYTES_MAX, Ledger, OpenError, Position, VerifyError, read, verify,
};
use aseptic_model::Diagnose as _;
use tempfile::TempDir;

use crate::support::{ORIGIN, copy, entries, ledger_of, log};

#[test]
fn what_was_appended_is_there_after_reopening() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path().join("new/ledger");
    let ledger = Ledger::open(&dir, ORIGIN).unwrap();
    assert_eq!((ledger.size(), ledger.origin().as_str()), (0, ORIGIN));
    assert_eq!(verify(&dir, None).unwrap().checkpoint.unwrap().to_string(), ledger.checkpoint().to_string());
    assert_eq!(ledger.append(&[b"a", b"b"]).unwrap(), 0..2);
    assert_eq!(ledger.append(&[]).unwrap(), 2..2);
    assert_eq!(ledger.append(&[b"c"]).unwrap(), 2..3);

    let again = Ledger::open(&dir, ORIGIN).unwrap();
    assert_eq!((again.size(), again.root(), again.position()), (3, ledger.root(), ledger.position()));
    assert_eq!(again.checkpoint(), ledger.checkpoint());
    assert_eq!(entries(&dir).unwrap(), [b"a", b"b", b"c"]);
    let third = again.entries(Position::START).unwrap().nth(1).unwrap().unwrap().next;
    assert_eq!(again.entries(third).unwrap().next().unwrap().unwrap().bytes, b"c");

    let verified = verify(&dir, Some(&ledger.checkpoint())).unwrap();
    assert_eq!((verified.entries, verified.root, verified.torn_tail), (3, ledger.root(), 0));
    assert_eq!((verified.checkpoint, verified.published), (Some(ledger.checkpoint()), Some(3)));
}

#[test]
fn entries_and_appends_have_bounds() {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    let longest = vec![7; ENTRY_BYTES_MAX];
    for bad in [&[][..], &[&longest[..], &[7]].concat()] {
        let error = ledger.append(&[b"fine", bad]).unwrap_err();
        assert!(matches!(error, AppendError::EntrySize { bytes } if bytes == bad.len()), "{error}");
    }
    let many = vec![longest.as_slice(); usize::try_from(APPEND_BYTES_MAX).unwrap() / ENTRY_BYTES_MAX + 1];
    let error = ledger.append(&many).unwrap_err();
    assert!(matches!(error, AppendError::TooMuch { .. }), "{error}");
    assert_eq!(ledger.append(&[&longest]).unwrap(), 0..1, "nothing was written before");
    assert_eq!(entries(dir.path()).unwrap(), [longest]);
}

#[test]
fn the_key_is_private_and_stays_with_its_ledger() {
    let dir = ledger_of(&[b"a"]);
    let key = dir.path().join("key");
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o7777, 0o600);
    for exposed in [0o640, 0o604, 0o666] {
        mode(exposed);
        let error = Ledger::open(dir.path(), ORIGIN).unwrap_err();
        assert!(matches!(error, OpenError::KeyExposed { mode } if mode == exposed), "{error}");
        assert!(error.diagnosis().help.contains("chmod 600"));
    }
    mode(0o400);
    Ledger::open(dir.path(), ORIGIN).unwrap();

    fs::remove_file(&key).unwrap();
    let error = Ledger::open(dir.path(), ORIGIN).unwrap_err();
    assert!(matches!(error, OpenError::Key(_)), "{error}");
    assert!(!key.exists(), "a new key would hide that the old one is gone");
}

#[test]
fn an_origin_is_one_word_and_does_not_change() {
    let dir = ledger_of(&[b"a"]);
    for bad in ["", "a b", "a+b", "a\nb", "a\u{a0}b", &"a".repeat(256)] {
        let error = Ledger::open(dir.path(), bad).unwrap_err();
        assert!(matches!(error, OpenError::Origin { .. }), "{bad}: {error}");
    }
    let error = Ledger::open(dir.path(), "other").unwrap_err();
    assert!(matches!(error, OpenError::OtherOrigin { .. }), "{error}");
}

#[test]
fn handles_and_threads_share_a_ledger_without_gaps() {
    let dir = TempDir::new().unwrap();
    let (handles, appends) = (4, 25);
    let indexes: Vec<u64> = thread::scope(|scope| {
        let append = |handle: u64| {
            let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
            let append = move |round: u64| ledger.append(&[format!("{handle} {round}").as_bytes()]).unwrap();
            (0..appends).flat_map(append).collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..handles).map(|handle| scope.spawn(move || append(handle))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(indexes.iter().copied().collect::<BTreeSet<_>>(), (0..handles * appends).collect());
    assert_eq!(verify(dir.path(), None).unwrap().entries, handles * appends);
    let entries = entries(dir.path()).unwrap();
    for (at, index) in indexes.iter().enumerate() {
        let (handle, round) = (at as u64 / appends, at as u64 % appends);
        assert_eq!(entries[usize::try_from(*index).unwrap()], format!("{handle} {round}").as_bytes());
    }
}

#[test]
fn a_log_replaced_under_an_open_handle_is_not_appended_to() {
    let dir = ledger_of(&[b"a", b"b"]);
    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    let bytes = fs::read(log(&dir)).unwrap();
    fs::write(dir.path().join("backup"), &bytes).unwrap();
    fs::rename(dir.path().join("backup"), log(&dir)).unwrap();
    assert!(matches!(ledger.append(&[b"c"]), Err(AppendError::Changed { size: 2 })));

    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    fs::write(log(&dir), &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(ledger.append(&[b"c"]), Err(AppendError::Changed { size: 2 })));
    assert_eq!(fs::read(log(&dir)).unwrap().len(), bytes.len() - 1);
}

#[test]
fn the_kept_head_saves_reading_and_is_never_believed_blindly() {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    let entry = [7; 50_000];
    for _ in 0..7 {
        ledger.append(&[&entry]).unwrap();
    }
    let head = dir.path().join("head");
    let text = fs::read_to_string(&head).unwrap();
    let other = ledger_of(&[b"a"]);
    let moved = text.replacen("\n6 ", "\n5 ", 1);
    let hashes_swapped = {
        let mut lines: Vec<_> = text.lines().collect();
        lines.swap(2, 3);
        lines.join("\n")
    };
    for bad in [text.replace(" 300653", " 300654"), moved, hashes_swapped, String::new(), "x".repeat(9999)] {
        assert_ne!(bad, text);
        fs::write(&head, bad).unwrap();
        let again = Ledger::open(dir.path(), ORIGIN).unwrap();
        assert_eq!((again.root(), again.position()), (ledger.root(), ledger.position()));
        assert_eq!(fs::read_to_string(&head).unwrap().lines().count(), 6, "it was kept anew");
    }
    // With the head, opening does not look at what the head covers; verifying does.
    fs::write(&head, &text).unwrap();
    let mut bytes = fs::read(log(&dir)).unwrap();
    bytes[100] ^= 1;
    fs::write(log(&dir), bytes).unwrap();
    Ledger::open(dir.path(), ORIGIN).unwrap();
    verify(dir.path(), None).unwrap_err();
    fs::copy(&head, other.path().join("head")).unwrap();
    assert_eq!(Ledger::open(other.path(), ORIGIN).unwrap().size(), 1);
}

#[test]
fn an_unreadable_checkpoint_is_reported_and_published_anew() {
    let dir = ledger_of(&[b"a", b"b"]);
    let path = dir.path().join("checkpoint");
    let note = fs::read(&path).unwrap();
    for bad in [&note[..note.len() - 1], &[note.as_slice(), b"\0"].concat(), &[0xff; 10_000]] {
        fs::write(&path, bad).unwrap();
        let error = verify(dir.path(), None).unwrap_err();
        assert!(matches!(error, VerifyError::Checkpoint(_)), "{error}");
        Ledger::open(dir.path(), ORIGIN).unwrap();
        assert_eq!(fs::read(&path).unwrap(), note);
    }
    fs::write(&path, b"").unwrap();
    assert_eq!(verify(dir.path(), None).unwrap().published, None, "emptied by a power failure");
}

#[test]
fn verifying_needs_three_files_and_writes_nothing() {
    let dir = ledger_of(&[b"a", b"b"]);
    let copy = copy(dir.path());
    for file in ["key", "lock", "sync", "durable", "checkpoint.tmp"] {
        fs::remove_file(copy.path().join(file)).unwrap();
    }
    for file in fs::read_dir(copy.path()).unwrap() {
        fs::set_permissions(file.unwrap().path(), fs::Permissions::from_mode(0o400)).unwrap();
    }
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let kept = Ledger::open(dir.path(), ORIGIN).unwrap().checkpoint();
    assert_eq!(verify(copy.path(), Some(&kept)).unwrap().entries, 2);
    assert_eq!(read(copy.path(), Position::START).unwrap().count(), 2);
    let files: BTreeSet<_> =
        fs::read_dir(copy.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["checkpoint", "log", "verifier"].map(Into::into).into());
}
