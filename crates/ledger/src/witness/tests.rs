use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::cosign::WitnessKey;
use crate::log::Ledger;
use crate::merkle::TreeHash;
use crate::note::{Checkpoint, VerifierKey};
use crate::policy::{Policy, PolicyLog, PolicyWitness, Required};
use crate::tiles::prove_consistency;

/// A ledger with a signed state for each number of entries from 0 to `size`.
struct Log {
    dir: TempDir,
    key: VerifierKey,
    checkpoints: Vec<Checkpoint>,
}

impl Log {
    fn new(entry: &str, size: usize) -> Self {
        Self::with_key(TempDir::new().unwrap(), entry, size)
    }

    fn with_key(dir: TempDir, entry: &str, size: usize) -> Self {
        #[allow(unused_mut, reason = "appending needs no exclusive handle everywhere")]
        let mut ledger = Ledger::open(dir.path(), "example.com/log").unwrap();
        let mut checkpoints = vec![ledger.checkpoint()];
        for _ in 0..size {
            ledger.append(&[entry.as_bytes()]).unwrap();
            checkpoints.push(ledger.checkpoint());
        }
        let key = ledger.verifier().clone();
        Self { dir, key, checkpoints }
    }

    /// Another history by the same key.
    fn forked(&self, entry: &str, size: usize) -> Self {
        let dir = TempDir::new().unwrap();
        fs::copy(self.dir.path().join("key"), dir.path().join("key")).unwrap();
        Self::with_key(dir, entry, size)
    }

    fn request(&self, old: u64, size: usize) -> String {
        let checkpoint = self.checkpoints[size].clone();
        let (proof, _) = prove_consistency(self.dir.path(), old, &checkpoint).unwrap();
        AddCheckpoint { old, proof, checkpoint }.to_string()
    }
}

fn witness(log: &Log) -> (TempDir, Witness) {
    let dir = TempDir::new().unwrap();
    create_witness_key(dir.path(), "witness.example/one").unwrap();
    let witness = Witness::open(dir.path(), vec![log.key.clone()]).unwrap();
    (dir, witness)
}

fn status(witness: &Witness, body: &str) -> u16 {
    match witness.add_checkpoint(body.as_bytes(), 1_700_000_000) {
        Ok(_) => 200,
        Err(WitnessError::Refused(refused)) => refused.status(),
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn answers_are_those_of_the_specification() {
    let log = Log::new("a", 9);
    let (_dir, witness) = witness(&log);
    let hash = origin_hash("example.com/log");
    assert_eq!(witness.checkpoint(&hash).unwrap(), None);
    let body = log.request(0, 5);
    let line = witness.add_checkpoint(body.as_bytes(), 1_700_000_000).unwrap();
    let cosigned = with_cosignature(&log.checkpoints[5], &line, witness.key()).unwrap();
    assert_eq!(witness.key().cosigned(&cosigned), Ok(Some(1_700_000_000)));
    assert_eq!(witness.checkpoint(&hash).unwrap(), Some(cosigned));

    assert_eq!(status(&witness, "nonsense"), 400);
    assert_eq!(status(&witness, &body.replace("old 0", "old 6")), 400, "old is more than new");
    assert_eq!(status(&witness, &body), 409);
    assert_eq!(status(&witness, &log.request(5, 5)), 200, "the same again");
    let stranger = Log::with_key(TempDir::new().unwrap(), "a", 9);
    assert_eq!(status(&witness, &stranger.request(5, 9)), 403, "another key of the same origin");
    assert_eq!(status(&witness, &body.replace("example.com/log", "example.com/lag")), 404);
    let bad_signature = log.request(5, 7).replace("\n7\n", "\n8\n");
    assert_eq!(status(&witness, &bad_signature), 403);
    let good = log.request(5, 7);
    let start = good.find('\n').unwrap() + 1;
    let dropped = [&good[..start], &good[start + 45..]].concat();
    assert_eq!(status(&witness, &dropped), 422, "a hash is missing");
    assert_eq!(status(&witness, &good), 200);
    let stored = witness.checkpoint(&hash).unwrap().unwrap();
    assert_eq!(stored.size(), 7, "refused requests changed nothing");
    assert!(stored.is_signed_by(&log.key));
}

#[test]
fn the_empty_tree_is_cosigned_too() {
    let log = Log::new("a", 2);
    let (_dir, witness) = witness(&log);
    assert_eq!(status(&witness, &log.request(0, 0)), 200);
    assert_eq!(status(&witness, &log.request(0, 2)), 200);
    let hash = TreeHash::empty();
    assert_eq!(status(&witness, &log.request(2, 2).replace("old 2\n", &format!("old 2\n{hash}\n"))), 422);
}

#[test]
fn a_second_history_is_refused_and_kept_as_evidence() {
    let log = Log::new("a", 9);
    let (dir, witness) = witness(&log);
    assert_eq!(status(&witness, &log.request(0, 5)), 200);
    let fork = log.forked("b", 9);
    assert_eq!(status(&witness, &fork.request(5, 9)), 422);
    assert_eq!(status(&witness, &fork.request(0, 9)), 409, "forgetting the past is no way out");
    let evidence = dir.path().join(format!("{}.fork", origin_hash("example.com/log")));
    assert!(!evidence.exists(), "a wrong proof alone proves no fork");
    assert_eq!(status(&witness, &fork.request(5, 5)), 422);
    let kept: Checkpoint = fs::read_to_string(&evidence).unwrap().parse().unwrap();
    assert_eq!(kept, fork.checkpoints[5]);
    assert_eq!(status(&witness, &log.request(5, 9)), 200);
}

#[test]
fn requests_at_once_never_roll_back() {
    let log = Log::new("a", 40);
    let (dir, _) = witness(&log);
    let steps = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (log, steps, dir) = (&log, &steps, &dir);
            scope.spawn(move || {
                // Each with handles of its own, as another process has.
                let witness = Witness::open(dir.path(), vec![log.key.clone()]).unwrap();
                let mut old = 0;
                loop {
                    let size = (usize::try_from(old).unwrap() + 1 + thread % 3).min(40);
                    match witness.add_checkpoint(log.request(old, size).as_bytes(), 1) {
                        Ok(_) if old == 40 => break,
                        Ok(_) => {
                            let before = steps.lock().unwrap().insert(old, size as u64);
                            assert_eq!(before, None, "two requests went on from {old}");
                            old = size as u64;
                        }
                        Err(WitnessError::Refused(Refused::Conflict { size })) => old = size,
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
        }
    });
    let mut at = 0;
    let steps = steps.into_inner().unwrap();
    for (old, size) in &steps {
        assert_eq!(*old, at, "{steps:?}");
        at = *size;
    }
    assert_eq!(at, 40);
}

#[test]
fn keys_are_kept_and_never_replaced() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(Witness::open(dir.path(), Vec::new()), Err(WitnessError::Key(_))));
    assert!(matches!(create_witness_key(dir.path(), "a b"), Err(WitnessError::Name { .. })));
    let key = create_witness_key(dir.path(), "w").unwrap();
    assert!(
        matches!(create_witness_key(dir.path(), "x"), Err(WitnessError::KeyExists { name }) if name == "w")
    );
    assert_eq!(witness_key(dir.path()).unwrap(), key);
    fs::set_permissions(dir.path().join("key"), std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    assert!(matches!(witness_key(dir.path()), Err(WitnessError::KeyExposed { mode: 0o640 })));
}

#[test]
fn damaged_memory_stops_the_witness() {
    let log = Log::new("a", 3);
    let (dir, witness) = witness(&log);
    assert_eq!(status(&witness, &log.request(0, 2)), 200);
    let path = dir.path().join(format!("{}.checkpoint", origin_hash("example.com/log")));
    let stored = fs::read_to_string(&path).unwrap();
    for damaged in [String::new(), stored.replace("\n2\n", "\n1\n"), log.checkpoints[1].to_string()] {
        fs::write(&path, damaged).unwrap();
        let answer = witness.add_checkpoint(log.request(0, 3).as_bytes(), 1);
        assert!(matches!(answer, Err(WitnessError::Memory { .. })), "{answer:?}");
    }
}

fn policy(log: &Log, witnesses: &[(&str, &WitnessKey)], required: Required) -> Policy {
    let witness = |(name, key): &(&str, &WitnessKey)| PolicyWitness {
        name: (*name).to_owned(),
        key: (*key).clone(),
        url: None,
    };
    let logs = vec![PolicyLog { key: log.key.clone(), url: None }];
    Policy::of(logs, witnesses.iter().map(witness).collect(), required).unwrap()
}

fn kept(dir: &Path) -> Vec<u64> {
    collected(dir).unwrap().iter().map(Checkpoint::size).collect()
}

#[test]
fn cosignatures_are_collected() {
    let log = Log::new("a", 30);
    let (_one_dir, one) = witness(&log);
    let two_dir = TempDir::new().unwrap();
    create_witness_key(two_dir.path(), "witness.example/two").unwrap();
    let two = Witness::open(two_dir.path(), vec![log.key.clone()]).unwrap();
    let policy = policy(&log, &[("one", one.key()), ("two", two.key())], Required::All);
    let dir = log.dir.path();
    for witness in [&one, &two] {
        let line = witness.add_checkpoint(log.request(0, 3).as_bytes(), 5).unwrap();
        let cosigned = with_cosignature(&log.checkpoints[3], &line, witness.key()).unwrap();
        keep(dir, &cosigned, &policy).unwrap();
    }
    let [cosigned] = collected(dir).unwrap().try_into().unwrap();
    let judged = policy.judge(&cosigned).unwrap();
    assert!(judged.quorum);
    assert_eq!(judged.witnesses, [("one".to_owned(), 5), ("two".to_owned(), 5)]);
    for size in 4..=30 {
        keep(dir, &log.checkpoints[size], &policy).unwrap();
        assert!(kept(dir).contains(&3), "the one that is accepted stays");
    }
    assert_eq!(kept(dir), [vec![3], (15..=30).collect()].concat());
    assert!(!policy.judge(&log.checkpoints[4]).unwrap().quorum);

    let line = one.add_checkpoint(log.request(3, 4).as_bytes(), 5).unwrap();
    for wrong in ["", "nonsense", line.trim_start_matches('\u{2014}'), &line.repeat(200)] {
        with_cosignature(&log.checkpoints[4], wrong, one.key()).unwrap_err();
    }
    with_cosignature(&log.checkpoints[5], &line, one.key()).unwrap_err();
    with_cosignature(&log.checkpoints[4], &line, two.key()).unwrap_err();
}

#[test]
fn requests_are_parsed_strictly() {
    let log = Log::new("a", 9);
    let request = log.request(5, 9);
    assert_eq!(request.parse::<AddCheckpoint>().unwrap().to_string(), request);
    let hash = TreeHash::empty().to_string() + "\n";
    let cases = [
        request.replace("old 5\n", "old 05\n"),
        request.replace("old 5\n", "old  5\n"),
        request.replace("old 5\n", "old 5\r\n"),
        request.replace("old 5\n", "size 5\n"),
        request.replace("old 5\n", &format!("old 5\n{}", hash.repeat(64))),
        request.replace("\n\n", "\n"),
        request.trim_end().to_owned(),
        request.clone() + "\n",
        request.clone() + &"x".repeat(20_000),
    ];
    for bad in cases {
        bad.parse::<AddCheckpoint>().unwrap_err();
    }
}

proptest! {
    #[test]
    fn any_body_is_answered_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in any::<String>()) {
        let text = format!("old 0\n\n{text}");
        prop_assert!(text.parse::<AddCheckpoint>().is_err());
        prop_assert!(String::from_utf8_lossy(&bytes).parse::<AddCheckpoint>().is_err());
    }
}
