//! Processes that append together, and processes that die while they append or hand over.
//!
//! `ASEPTIC_TEST_KILLS` says how often one is killed, 20 times if it does not; `ASEPTIC_TEST_SECONDS` how long
//! two append together, 1 if it does not.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aseptic_ledger::{Ledger, verify};
use tempfile::TempDir;

use crate::rotate::rotate;
use crate::support::{ORIGIN, entries};

pub(crate) const DIR: &str = "ASEPTIC_TEST_LEDGER";
const SECONDS: &str = "ASEPTIC_TEST_SECONDS";

pub(crate) fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// What a child appends in round `round`: one to three entries, some of many pages.
fn batch(child: u32, round: usize) -> Vec<Vec<u8>> {
    let text = |part: usize| format!("{child} {round} {part} ").into_bytes();
    let pad = |part: usize| vec![b'.'; if (round + part).is_multiple_of(3) { 60_000 } else { 10 }];
    (0..1 + round % 3).map(|part| [text(part), pad(part)].concat()).collect()
}

/// One write: the parent sees whole acknowledgements or none.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{text}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// The body of a child process; does nothing in a run of all tests.
#[test]
fn child_appends_until_it_is_killed() {
    let Ok(dir) = env::var(DIR) else { return };
    let ledger = Ledger::open(Path::new(&dir), ORIGIN).unwrap();
    for round in 0.. {
        let batch = batch(std::process::id(), round);
        let indexes = ledger.append(&batch.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        say(&format!("acknowledged {round} {}", indexes.start));
        if round % 3 == 1 {
            rotate(&ledger);
            say(&format!("rotated {}", ledger.verifier()));
        }
    }
}

/// As above, with four threads that share a handle, for the time that the parent says.
#[test]
fn child_appends_for_a_while() {
    let Ok(dir) = env::var(DIR) else { return };
    let ledger = Ledger::open(Path::new(&dir), ORIGIN).unwrap();
    let (me, until) = (std::process::id(), Instant::now() + Duration::from_secs(number(SECONDS, 1)));
    thread::scope(|scope| {
        for thread in 0..4 {
            let ledger = &ledger;
            scope.spawn(move || {
                let mut round = 0;
                while round < 10 || Instant::now() < until {
                    let indexes = ledger.append(&[format!("{me}.{thread} {round}").as_bytes()]).unwrap();
                    say(&format!("appended {} {me}.{thread} {round}", indexes.start));
                    round += 1;
                }
            });
        }
    });
}

pub(crate) fn child(dir: &Path, test: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets `child` append at least `rounds` times and `more` after that, kills it, and returns what it said.
pub(crate) fn kill_after(child: &mut Child, rounds: usize, more: Duration) -> String {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while text.matches("acknowledged").count() < rounds {
        assert_ne!(out.read_line(&mut text).unwrap(), 0, "the child ended by itself: {text}");
    }
    // Any moment will do: this does not wait for anything.
    thread::sleep(more);
    child.kill().unwrap();
    out.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    // The last line may be cut.
    text[..text.rfind('\n').unwrap_or(0)].to_owned()
}

/// The rounds that a child acknowledged, and the index of the first entry of each.
fn acknowledged(text: &str) -> Vec<(usize, usize)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("acknowledged "));
    let numbers = lines.map(|line| line.split_once(' ').unwrap());
    numbers.map(|(round, index)| (round.parse().unwrap(), index.parse().unwrap())).collect()
}

fn assert_there(entries: &[Vec<u8>], child: u32, acknowledged: &[(usize, usize)]) {
    for &(round, index) in acknowledged {
        for (part, entry) in batch(child, round).iter().enumerate() {
            assert_eq!(&entries[index + part], entry, "round {round}");
        }
    }
}

/// No append is there in part.
fn assert_whole(entries: &[Vec<u8>]) {
    let mut rounds: BTreeMap<(u32, usize), usize> = BTreeMap::new();
    for entry in entries {
        let text = String::from_utf8_lossy(entry);
        let mut words = text.split(' ');
        let mut number = || words.next().and_then(|word| word.parse().ok());
        if let (Some(child), Some(round), Some(_)) = (number(), number(), number()) {
            *rounds.entry((u32::try_from(child).unwrap(), round)).or_default() += 1;
        }
    }
    for ((child, round), parts) in rounds {
        assert_eq!(parts, batch(child, round).len(), "round {round} of {child}");
    }
}

#[test]
fn every_acknowledged_entry_survives_kill_9() {
    let dir = TempDir::new().unwrap();
    Ledger::open(dir.path(), ORIGIN).unwrap();
    let mut all = Vec::new();
    for round in 0..number("ASEPTIC_TEST_KILLS", 20) {
        let mut child = child(dir.path(), "crash::child_appends_until_it_is_killed");
        let rounds = usize::try_from(round * 7 % 5).unwrap();
        let text = kill_after(&mut child, rounds, Duration::from_micros(round * 1_237 % 9_973));
        let rotated = text.lines().rev().find_map(|line| line.strip_prefix("rotated "));
        all.push((child.id(), acknowledged(&text)));

        let verified = verify(dir.path(), None).unwrap();
        let before = entries(dir.path()).unwrap();
        assert_eq!(before.len() as u64, verified.entries);
        assert_whole(&before);
        for (child, acknowledged) in &all {
            assert_there(&before, *child, acknowledged);
        }
        let known = |key| verified.keys.iter().any(|known| known.to_string() == key);
        assert!(rotated.is_none_or(known), "a handover is gone");

        let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
        assert_eq!(ledger.verifier(), verified.verifier);
        ledger.append(&[b"after"]).unwrap();
        let verified = verify(dir.path(), Some(&ledger.checkpoint())).unwrap();
        assert_eq!((verified.entries, verified.torn_tail), (before.len() as u64 + 1, 0));
    }
}

#[test]
fn processes_share_a_ledger_while_some_are_killed() {
    let dir = TempDir::new().unwrap();
    let role = "crash::child_appends_until_it_is_killed";
    let mut children: Vec<_> = (0..3).map(|_| child(dir.path(), role)).collect();
    let said = children.iter_mut().map(|child| (child.id(), kill_after(child, 8, Duration::ZERO)));
    let all: Vec<_> = said.map(|(child, text)| (child, acknowledged(&text))).collect();
    let entries = entries(dir.path()).unwrap();
    assert_eq!(verify(dir.path(), None).unwrap().entries, entries.len() as u64);
    assert_whole(&entries);
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

#[test]
fn two_processes_append_without_a_gap_and_without_a_double() {
    let dir = TempDir::new().unwrap();
    let start = |_| child(dir.path(), "crash::child_appends_for_a_while");
    let children: Vec<_> = (0..2).map(start).collect();
    let mut said = BTreeMap::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("appended ")) {
            let (index, entry) = line.split_once(' ').unwrap();
            let double = said.insert(index.parse::<usize>().unwrap(), entry.to_owned().into_bytes());
            assert_eq!(double, None, "{index} was acknowledged twice");
        }
    }
    let entries = entries(dir.path()).unwrap();
    assert_eq!(said.into_values().collect::<Vec<_>>(), entries);
    assert_eq!(verify(dir.path(), None).unwrap().entries, entries.len() as u64);
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    for entry in entries {
        let entry = String::from_utf8(entry).unwrap();
        let (writer, round) = entry.split_once(' ').unwrap();
        let expected = next.entry(writer.to_owned()).or_default();
        assert_eq!(round.parse::<u64>().unwrap(), *expected, "{writer}");
        *expected += 1;
    }
    assert_eq!(next.len(), 8);
}
