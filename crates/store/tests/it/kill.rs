//! Processes that are killed at any time, and many at once.
//!
//! `ASEPTIC_TEST_KILLS` says how often one is killed: 20 times if it does not.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aseptic_model::Digest;
use aseptic_store::{CaptureKind, CaptureRoot, ImportOptions, Store, StoreError};

use crate::{Env, child, role_dir};

/// In memory where there is such a place: a kill loses nothing that was written, so no disk is waited for.
fn env() -> Env {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let dir = dir.unwrap().keep();
    let store = Store::open(&dir.join("store")).unwrap();
    Env { dir, store }
}

/// Bytes that are the same for the same seed only.
fn noise(seed: &str, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut noise);
    noise
}

fn number(seed: &str, below: u64) -> u64 {
    u64::from_le_bytes(noise(seed, 8).try_into().unwrap()) % below
}

/// Makes `dir` a tree of its own for each seed: small files, some of them as in all others, and a larger one.
fn fill(dir: &Path, seed: &str) {
    fs::create_dir_all(dir).unwrap();
    for file in 0..usize::try_from(10 + number(seed, 60)).unwrap() {
        let path = dir.join(format!("{}/{file}", file % 5));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let seed = if file % 4 == 0 { String::new() } else { seed.to_owned() };
        fs::write(path, noise(&format!("{seed}{file}"), 500 + file * 100)).unwrap();
    }
    fs::write(dir.join("text"), format!("{seed} ").repeat(3000)).unwrap();
    fs::write(dir.join("large"), noise(seed, 600_000)).unwrap();
}

fn import(store: &Store, source: &Path) -> Digest {
    let lease = store.lease().unwrap();
    let imported =
        store.import(&lease, source, &ImportOptions::default(), &mut |_| ControlFlow::Continue(()));
    imported.unwrap().snapshot.digest
}

fn capture(store: &Store, source: &Path) -> Digest {
    let root = CaptureRoot { name: b"out", path: source, kind: CaptureKind::Plain, max_bytes: None };
    store.capture(&store.lease().unwrap(), &[root]).unwrap().snapshot.digest
}

fn say(word: &str, value: impl std::fmt::Display) {
    std::io::stdout().write_all(format!("{word} {value}\n").as_bytes()).unwrap();
}

/// Imports, captures and shows one tree after the other, until it is killed.
#[test]
fn role_works_until_killed() {
    let Some(dir) = role_dir() else { return };
    let store = Store::open(&dir.join("store")).unwrap();
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    for round in 0.. {
        let source = dir.join(format!("source-{began}-{round}"));
        fill(&source, &format!("{began}-{round}"));
        say("begin", source.display());
        let digest = if round % 2 == 0 { import(&store, &source) } else { capture(&store, &source) };
        say("kept", digest);
        store.view(&digest).unwrap();
    }
}

#[test]
fn whoever_is_killed_leaves_what_it_said_and_nothing_half_done() {
    let kills = std::env::var("ASEPTIC_TEST_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let (env, other) = (env(), env());
    let mut kept = Vec::new();
    for kill in 0..kills {
        let mut process = child(&["env"], "kill::role_works_until_killed", &env.dir).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("begin ") {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "it did not begin");
        }
        // Any moment will do: this does not wait for anything.
        std::thread::sleep(Duration::from_micros(number(&format!("kill {kill}"), 300_000)));
        process.kill().unwrap();
        process.wait().unwrap();
        output.read_to_string(&mut line).unwrap();
        // The last line may be cut.
        let whole = line.rfind('\n').map_or("", |end| &line[..end]);
        let (mut last, mut done) = (None, 0);
        for line in whole.lines() {
            match line.split_once(' ') {
                Some(("begin", source)) => last = Some((PathBuf::from(source), done)),
                Some(("kept", digest)) => {
                    kept.push(digest.parse::<Digest>().unwrap());
                    done += 1;
                }
                _ => {}
            }
        }
        let (source, round) = last.unwrap();
        let store = Store::open(&env.path("store")).unwrap();
        // Those of this process; at the end all of them.
        for digest in kept.iter().rev().take(round + 1) {
            store.verify(digest, &mut |_| ()).unwrap_or_else(|error| panic!("kill {kill}: {error:?}"));
        }
        // What it was at: the same bytes have the same digest in any store.
        let work = if round % 2 == 0 { import } else { capture };
        let copy = other.path("copy");
        copy_tree(&source, &copy);
        let expected = work(&other.store, &copy);
        match store.walk(&expected) {
            Err(StoreError::Missing { .. }) => {}
            complete => {
                complete.unwrap();
                store.verify(&expected, &mut |_| ()).unwrap_or_else(|error| panic!("kill {kill}: {error:?}"));
            }
        }
        assert_eq!(work(&store, &source), expected);
        kept.push(expected);
        store.put_bytes(&store.lease().unwrap(), format!("new {kill}").as_bytes()).unwrap();
        assert_eq!(fs::read_dir(env.path("store/tmp")).unwrap().count(), 0, "the remains are gone");
        store.verify(&expected, &mut |_| ()).unwrap();
        for entry in fs::read_dir(&env.dir).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name != "store") {
                aseptic_store::remove_tree(&path).unwrap();
            }
        }
    }
    let store = Store::open(&env.path("store")).unwrap();
    for digest in &kept {
        store.verify(digest, &mut |_| ()).unwrap();
    }
}

fn copy_tree(from: &Path, to: &Path) {
    if to.exists() {
        aseptic_store::remove_tree(to).unwrap();
    }
    let status = std::process::Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    assert!(status.success());
}

#[test]
fn role_works_beside_others() {
    let Some(dir) = role_dir() else { return };
    let store = Store::open(&dir.join("store")).unwrap();
    let me = std::process::id();
    for round in 0..4 {
        let source = dir.join(format!("source-{me}-{round}"));
        fill(&source, &format!("{me}-{round}"));
        say("kept", import(&store, &source));
        // The same bytes in all processes; nobody else may touch files that are captured.
        let out = dir.join(format!("out-{me}-{round}"));
        fill(&out, &format!("{round}"));
        say("kept", capture(&store, &out));
    }
}

#[test]
fn many_processes_import_at_once() {
    for processes in [2, 8] {
        let env = env();
        let start = |_| child(&["env"], "kill::role_works_beside_others", &env.dir).spawn().unwrap();
        let started: Vec<_> = (0..processes).map(start).collect();
        let mut kept = Vec::new();
        for process in started {
            let output = process.wait_with_output().unwrap();
            crate::assert_success(&output);
            let text = String::from_utf8(output.stdout).unwrap();
            kept.extend(text.lines().filter_map(|line| line.strip_prefix("kept ")?.parse::<Digest>().ok()));
        }
        assert_eq!(kept.len(), processes * 8);
        fill(&env.path("last"), "last");
        kept.push(import(&env.store, &env.path("last")));
        let store = Store::open(&env.path("store")).unwrap();
        for digest in &kept {
            store.verify(digest, &mut |_| ()).unwrap();
        }
        let segments = fs::read_dir(env.path("store/segments")).unwrap().count();
        assert!((1..=8).contains(&segments), "{segments} segments");
        assert_eq!(fs::read_dir(env.path("store/tmp")).unwrap().count(), 0);
    }
}
