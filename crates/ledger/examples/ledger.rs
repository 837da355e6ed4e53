//! What a ledger does, and what each step takes:
//!
//! ```text
//! cargo run --release -p aseptic-ledger --example ledger -- DIRECTORY append THREADS SECONDS
//! cargo run --release -p aseptic-ledger --example ledger -- DIRECTORY fill ENTRIES
//! cargo run --release -p aseptic-ledger --example ledger -- DIRECTORY publish|verify
//! cargo run --release -p aseptic-ledger --example ledger -- DIRECTORY prove TIMES
//! ```
//!
//! `append` has one open ledger and THREADS that append an entry of 512 bytes each, again and again, until SECONDS
//! are over; it waits for a line on standard input before it begins, so that several processes begin together. Each
//! step prints one line: numbers with their names.

use std::io::{Write, stdin, stdout};
use std::num::ParseIntError;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aseptic_ledger::{Ledger, LogProof, prove, update_tiles, verify};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "DIRECTORY append THREADS SECONDS, fill ENTRIES, publish, verify, or prove TIMES";
const ORIGIN: &str = "aseptic.local/ledger/bench";
const ENTRY_BYTES: usize = 512;
/// Threads that fill a ledger: so many that the disk is not what they wait for.
const FILLERS: u64 = 64;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [dir, step, rest @ ..] = words.as_slice() else { return Err(USAGE.into()) };
    let dir = Path::new(dir);
    let numbers = rest.iter().map(|word| word.parse()).collect::<Result<Vec<u64>, ParseIntError>>()?;
    let said = match (*step, numbers.as_slice()) {
        ("append", &[threads, seconds]) => append(dir, threads, Duration::from_secs(seconds))?,
        ("fill", &[entries]) => fill(dir, entries)?,
        ("publish", []) => {
            let begun = Instant::now();
            let size = update_tiles(dir)?.unwrap_or_default();
            format!("entries {size} ms {:.3}", milliseconds(begun))
        }
        ("verify", []) => {
            let begun = Instant::now();
            let verified = verify(dir, None)?;
            format!("entries {} ms {:.3} peak {}", verified.entries, milliseconds(begun), peak()?)
        }
        ("prove", &[times]) => prove_all(dir, times)?,
        _ => return Err(USAGE.into()),
    };
    writeln!(stdout(), "{said}")?;
    Ok(())
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

/// Most memory that this process had, in KiB; what it was before it became this program does not count.
fn peak() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix(" kB"));
    Ok(line.ok_or("the kernel does not say")?.trim().parse()?)
}

/// An entry that is not like another one.
fn entry(number: u64) -> Vec<u8> {
    let mut entry = format!("{{\"number\":{number},\"filling\":\"").into_bytes();
    entry.resize(ENTRY_BYTES - 2, b'x');
    entry.extend(b"\"}");
    entry
}

fn append(dir: &Path, threads: u64, time: Duration) -> Result<String, Failure> {
    let ledger = Ledger::open(dir, ORIGIN)?;
    ledger.append(&[&entry(0)])?;
    stdin().read_line(&mut String::new())?;
    let begun = Instant::now();
    let one = |thread: u64| -> Result<Vec<f64>, Failure> {
        let mut took = Vec::new();
        while begun.elapsed() < time {
            let number = took.len() as u64;
            let start = Instant::now();
            ledger.append(&[&entry(thread << 32 | number)])?;
            took.push(milliseconds(start));
        }
        Ok(took)
    };
    let mut took = thread::scope(|scope| {
        let one = &one;
        let writers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        let ended = writers.into_iter().map(|writer| writer.join().map_err(|_| "a writer panicked")?);
        ended.collect::<Result<Vec<_>, Failure>>()
    })?
    .concat();
    let seconds = begun.elapsed().as_secs_f64();
    took.sort_by(f64::total_cmp);
    let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
    Ok(format!("entries {} seconds {seconds:.3} p50 {:.3} p99 {:.3}", took.len(), at(50), at(99)))
}

/// Every entry is a commit of its own, as those of a ledger in use are.
fn fill(dir: &Path, entries: u64) -> Result<String, Failure> {
    let ledger = Ledger::open(dir, ORIGIN)?;
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        let one = || -> Result<(), Failure> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= entries {
                    return Ok(());
                }
                ledger.append(&[&entry(number)])?;
            }
        };
        let writers: Vec<_> = (0..FILLERS).map(|_| scope.spawn(one)).collect();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| "a writer panicked")?)
    })?;
    Ok(format!("entries {entries} ms {:.3}", milliseconds(begun)))
}

/// Proofs of entries all over the log, each with all that it has to read.
fn prove_all(dir: &Path, times: u64) -> Result<String, Failure> {
    let verified = verify(dir, None)?;
    let checkpoint = verified.checkpoint.ok_or("the ledger is empty")?;
    let mut took = Vec::new();
    for number in 0..times {
        let index = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) % checkpoint.size();
        let begun = Instant::now();
        let proof = prove(dir, index, &checkpoint)?;
        took.push(milliseconds(begun));
        proof.to_string().parse::<LogProof>()?;
    }
    took.sort_by(f64::total_cmp);
    let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
    Ok(format!("entries {} p50 {:.3} p99 {:.3}", checkpoint.size(), at(50), at(99)))
}
