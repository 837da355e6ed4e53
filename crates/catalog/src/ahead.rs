//! Plans, records and lists that entries name, read and understood ahead of the fold by a thread of their own: that takes
//! longer than the fold itself.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use aseptic_model::{Digest, Entry, Event, Plan, ProjectName, Reached, RunRecord, from_canonical};
use serde::de::DeserializeOwned;

use crate::{Fetch, Position};

/// Fewer entries are not worth a thread.
const ENTRIES_MIN: usize = 64;

/// Entries that are handed over together, unless their objects are large.
const PORTION_ENTRIES: usize = 64;

/// Bytes of objects that are handed over together, and a last one of any size.
const PORTION_BYTES: usize = 4 << 20;

/// What the store has of an entry, or why it cannot be read.
#[derive(Debug)]
pub(crate) enum Named {
    Nothing,
    Plan(Result<Box<Plan>, String>),
    Record(Result<Box<RunRecord>, String>),
    Reached(Result<Box<Reached>, String>),
}

pub(crate) type Ready = (Position, Entry, Named);

/// Calls `fold` with an iterator over `entries` and what each names.
pub(crate) fn ahead<T>(
    entries: Vec<(Position, Entry)>,
    fetch: &Fetch<'_>,
    fold: impl FnOnce(&mut dyn Iterator<Item = Ready>) -> T,
) -> T {
    if entries.len() < ENTRIES_MIN {
        return fold(&mut entries.into_iter().map(|(after, entry)| {
            let (named, _) = look_up(&entry, fetch);
            (after, entry, named)
        }));
    }
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(1);
        scope.spawn(move || look_up_all(entries, fetch, &sender));
        fold(&mut receive(receiver).flatten())
        // A fold that stops early drops the receiver, at which the thread ends.
    })
}

fn receive(receiver: Receiver<Vec<Ready>>) -> impl Iterator<Item = Vec<Ready>> {
    receiver.into_iter()
}

fn look_up_all(entries: Vec<(Position, Entry)>, fetch: &Fetch<'_>, sender: &SyncSender<Vec<Ready>>) {
    let mut portion = Vec::with_capacity(PORTION_ENTRIES);
    let mut bytes = 0;
    for (after, entry) in entries {
        let (named, size) = look_up(&entry, fetch);
        portion.push((after, entry, named));
        bytes += size;
        if portion.len() == PORTION_ENTRIES || bytes >= PORTION_BYTES {
            if sender.send(std::mem::take(&mut portion)).is_err() {
                return;
            }
            bytes = 0;
        }
    }
    let _ = sender.send(portion);
}

/// What an entry names, and how many bytes that has in the store.
fn look_up(entry: &Entry, fetch: &Fetch<'_>) -> (Named, usize) {
    match &entry.event {
        Event::RunPlanned { plan, .. } => {
            let (plan, size) = read(&entry.project, plan, fetch);
            (Named::Plan(plan), size)
        }
        Event::RunSealed { record, .. } => {
            let (record, size) = read(&entry.project, record, fetch);
            (Named::Record(record), size)
        }
        Event::QuarantineAdded { reached: Some(reached), .. } => {
            let (reached, size) = read(&entry.project, reached, fetch);
            (Named::Reached(reached), size)
        }
        _ => (Named::Nothing, 0),
    }
}

fn read<T: DeserializeOwned>(
    project: &ProjectName,
    digest: &Digest,
    fetch: &Fetch<'_>,
) -> (Result<Box<T>, String>, usize) {
    match fetch(project, digest) {
        Ok(bytes) => (from_canonical(&bytes).map_err(|error| error.to_string()), bytes.len()),
        Err(error) => (Err(error.to_string()), 0),
    }
}
