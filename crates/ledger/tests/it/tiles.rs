//! Tiles beside processes that die, beside handovers, and before witnesses.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aseptic_ledger::{
    AddCheckpoint, Checkpoint, Ledger, Policy, PolicyLog, PolicyWitness, Refused, Required, Witness,
    WitnessError, collected, create_witness_key, keep, ledger_keys, prove, prove_consistency,
    published_checkpoint, update_tiles, with_cosignature,
};
use tempfile::TempDir;

use crate::crash::{DIR, child, kill_after, number, say};
use crate::rotate::rotate;
use crate::support::{ORIGIN, entries, ledger_of};

/// Every tile with its bytes.
fn tiles(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.join("tiles/tile")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => open.push(path),
                path => {
                    drop(found.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap()))
                }
            }
        }
    }
    found
}

/// The body of a child process; does nothing in a run of all tests.
#[test]
fn child_writes_tiles_until_it_is_killed() {
    let Ok(dir) = env::var(DIR) else { return };
    let dir = Path::new(&dir);
    let ledger = Ledger::open(dir, ORIGIN).unwrap();
    for round in 0_usize.. {
        let entries = vec![format!("{round} of {}", std::process::id()).into_bytes(); 1 + round * 37 % 150];
        ledger.append(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        update_tiles(dir).unwrap();
        say(&format!("acknowledged {round} 0"));
        if round % 7 == 3 {
            rotate(&ledger);
        }
    }
}

#[test]
fn tiles_are_whole_after_a_kill() {
    let dir = TempDir::new().unwrap();
    for kill in 0..number("ASEPTIC_TEST_KILLS", 20) {
        let mut writer = child(dir.path(), "tiles::child_writes_tiles_until_it_is_killed");
        kill_after(&mut writer, 2, Duration::from_micros(kill * 997 % 20_000));
        drop(Ledger::open(dir.path(), ORIGIN).unwrap());
        let checkpoint = published_checkpoint(dir.path()).unwrap().unwrap();
        // Whatever the tiles hold, what is proven from them holds.
        prove(dir.path(), checkpoint.size() - 1, &checkpoint).unwrap();
        assert_eq!(update_tiles(dir.path()).unwrap(), Some(checkpoint.size()));
    }
    let mended = tiles(dir.path());
    fs::remove_dir_all(dir.path().join("tiles")).unwrap();
    update_tiles(dir.path()).unwrap();
    let anew = tiles(dir.path());
    assert!(mended.keys().eq(anew.keys()), "{:?} {:?}", mended.keys(), anew.keys());
    assert!(mended == anew, "as if there had been no kill");
    let checkpoint = published_checkpoint(dir.path()).unwrap().unwrap();
    for (index, entry) in (0_u64..).zip(entries(dir.path()).unwrap()).step_by(97) {
        prove(dir.path(), index, &checkpoint).unwrap().verify(&entry).unwrap();
    }
}

#[test]
fn two_processes_write_tiles_at_once() {
    let dir = ledger_of(&[]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
                for _ in 0..40 {
                    ledger.append(&[b"entry".as_slice(); 9]).unwrap();
                    update_tiles(dir.path()).unwrap();
                }
            });
        }
    });
    let found = tiles(dir.path());
    let checkpoint = published_checkpoint(dir.path()).unwrap().unwrap();
    assert_eq!(checkpoint.size(), 4 * 40 * 9);
    let note = fs::read_to_string(dir.path().join("tiles/checkpoint")).unwrap();
    assert_eq!(note.parse::<Checkpoint>().unwrap().size(), checkpoint.size());
    fs::remove_dir_all(dir.path().join("tiles")).unwrap();
    update_tiles(dir.path()).unwrap();
    assert!(tiles(dir.path()) == found);
}

#[test]
fn witnesses_follow_a_handover_when_they_are_told_the_key() {
    let dir = ledger_of(&[b"a", b"b"]);
    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    let place = TempDir::new().unwrap();
    let key = create_witness_key(place.path(), "witness").unwrap();
    let witness = || Witness::open(place.path(), ledger_keys(dir.path()).unwrap()).unwrap();
    let request = |old: u64| {
        let checkpoint = published_checkpoint(dir.path()).unwrap().unwrap();
        let (proof, _) = prove_consistency(dir.path(), old, &checkpoint).unwrap();
        AddCheckpoint { old, proof, checkpoint }
    };
    let before = witness();
    before.add_checkpoint(request(0).to_string().as_bytes(), 1).unwrap();
    rotate(&ledger);
    // The handover itself is signed by the key before; its note has a line for the key after.
    let handover = request(2);
    assert_eq!(handover.checkpoint.extensions().len(), 1);
    let line = before.add_checkpoint(handover.to_string().as_bytes(), 2).unwrap();
    let cosigned = with_cosignature(&handover.checkpoint, &line, &key).unwrap();
    assert_eq!(key.cosigned(&cosigned), Ok(Some(2)));
    ledger.append(&[b"c"]).unwrap();
    let refused = before.add_checkpoint(request(3).to_string().as_bytes(), 3);
    assert!(matches!(refused, Err(WitnessError::Refused(Refused::NotSigned))), "{refused:?}");
    let line = witness().add_checkpoint(request(3).to_string().as_bytes(), 3).unwrap();

    update_tiles(dir.path()).unwrap();
    let logs = ledger_keys(dir.path()).unwrap().into_iter().map(|key| PolicyLog { key, url: None }).collect();
    let witnesses = vec![PolicyWitness { name: "w".to_owned(), key: key.clone(), url: None }];
    let policy = Policy::of(logs, witnesses, Required::All).unwrap();
    let last = with_cosignature(&request(3).checkpoint, &line, &key).unwrap();
    for checkpoint in [&cosigned, &last] {
        assert!(policy.judge(checkpoint).unwrap().quorum);
        keep(dir.path(), checkpoint, &policy).unwrap();
        assert_eq!(prove(dir.path(), 1, checkpoint).unwrap().verify(b"b"), Ok(()));
    }
    assert_eq!(collected(dir.path()).unwrap(), [cosigned, last]);
}
