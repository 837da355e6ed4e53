//! Processes that append together, and processes that die while they append.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use aseptic_ledger::{Ledger, verify};
use tempfile::TempDir;

use crate::support::{ORIGIN, entries};

const DIR: &str = "ASEPTIC_TEST_LEDGER";

/// What a child appends in round `round`: one to three entries, some of many pages.
fn batch(child: u32, round: usize) -> Vec<Vec<u8>> {
    let text = |part: usize| format!("{child} {round} {part} ").into_bytes();
    let pad = |part: usize| vec![b'.'; if (round + part).is_multiple_of(3) { 60_000 } else { 10 }];
    (0..1 + round % 3).map(|part| [text(part), pad(part)].concat()).collect()
}

/// The body of a child process; does nothing in a run of all tests.
#[test]
fn child_appends_until_it_is_killed() {
    let Ok(dir) = env::var(DIR) else { return };
    let mut ledger = Ledger::open(Path::new(&dir), ORIGIN).unwrap();
    let mut out = std::io::stdout();
    for round in 0.. {
        let batch = batch(std::process::id(), round);
        let indexes = ledger.append(&batch.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        // One write: the parent sees whole acknowledgements or none.
        out.write_all(format!("\nacknowledged {round} {}\n", indexes.start).as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

fn child(dir: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "crash::child_appends_until_it_is_killed", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets `child` append at least `rounds` times, kills it, and returns all that it acknowledged.
fn kill_after(child: &mut Child, rounds: usize) -> Vec<(usize, usize)> {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while text.matches("acknowledged").count() < rounds {
        assert_ne!(out.read_line(&mut text).unwrap(), 0, "the child ended by itself: {text}");
    }
    child.kill().unwrap();
    out.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    let acknowledged = text.lines().filter_map(|line| line.strip_prefix("acknowledged "));
    let numbers = acknowledged.map(|line| line.split_once(' ').unwrap());
    numbers.map(|(round, index)| (round.parse().unwrap(), index.parse().unwrap())).collect()
}

fn assert_there(entries: &[Vec<u8>], child: u32, acknowledged: &[(usize, usize)]) {
    for &(round, index) in acknowledged {
        for (part, entry) in batch(child, round).iter().enumerate() {
            assert_eq!(&entries[index + part], entry, "round {round}");
        }
    }
}

#[test]
fn every_acknowledged_entry_survives_kill_9() {
    let dir = TempDir::new().unwrap();
    let mut all = Vec::new();
    for round in 0..12 {
        let mut child = child(dir.path());
        let acknowledged = kill_after(&mut child, 1 + round * 7 % 13);
        all.push((child.id(), acknowledged));

        let verified = verify(dir.path(), None).unwrap();
        let before = entries(dir.path()).unwrap();
        assert_eq!(before.len() as u64, verified.entries);
        for (child, acknowledged) in &all {
            assert_there(&before, *child, acknowledged);
        }
        let mut ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
        ledger.append(&[b"after"]).unwrap();
        let verified = verify(dir.path(), Some(&ledger.checkpoint())).unwrap();
        assert_eq!((verified.entries, verified.torn_tail), (before.len() as u64 + 1, 0));
    }
}

#[test]
fn processes_share_a_ledger_without_gaps() {
    let dir = TempDir::new().unwrap();
    let mut children: Vec<_> = (0..3).map(|_| child(dir.path())).collect();
    let all: Vec<_> = children.iter_mut().map(|child| (child.id(), kill_after(child, 8))).collect();
    let entries = entries(dir.path()).unwrap();
    assert_eq!(verify(dir.path(), None).unwrap().entries, entries.len() as u64);
    let mut starts: Vec<usize> = Vec::new();
    for (child, acknowledged) in &all {
        assert_there(&entries, *child, acknowledged);
        starts.extend(acknowledged.iter().map(|(_, index)| index));
    }
    let count = starts.len();
    starts.sort_unstable();
    starts.dedup();
    assert_eq!(starts.len(), count, "one index was acknowledged twice");
}
