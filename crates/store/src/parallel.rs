//! Work on many items by a few threads, in bounded memory.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Size of the buffer that each thread reuses. Files up to this size are read in one piece.
pub(crate) const BUFFER_BYTES: usize = 1 << 20;
/// More threads than this gain nothing: the file system is the limit, not the hash.
const THREADS_MAX: usize = 16;
/// Results that wait for the caller; bounds memory when the caller is slow.
const BACKLOG: usize = 1024;
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// How many threads work at once.
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(2, |count| count.get().clamp(2, THREADS_MAX))
}

/// As [`run`], by the calling thread.
fn alone<T, R, E>(
    items: &Mutex<impl Iterator<Item = T>>,
    work: &impl Fn(&mut [u8], T) -> Result<R, E>,
    mut each: impl FnMut(Option<R>) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
    items.try_for_each(|item| each(Some(work(&mut buffer, item)?)))
}

/// Runs `work` on every item and hands each result to `each` on the calling thread, in any order.
///
/// `each` gets `None` every now and then when nothing is done, so that progress can move during one large
/// file. `items` is advanced by one thread at a time. The first error stops everything and is returned.
pub(crate) fn run<T, R: Send, E: Send>(
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(&mut [u8], T) -> Result<R, E> + Sync,
    mut each: impl FnMut(Option<R>) -> Result<(), E>,
) -> Result<(), E> {
    let items = Mutex::new(items.fuse());
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(BACKLOG);
        let mut started = 0;
        for _ in 0..threads() {
            let sender = sender.clone();
            let (items, work) = (&items, &work);
            let thread = thread::Builder::new().spawn_scoped(scope, move || {
                let mut buffer = vec![0; BUFFER_BYTES];
                loop {
                    let item = items.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(item) = item else { break };
                    // The receiver is gone after an error: then there is nothing left to do.
                    if sender.send(work(&mut buffer, item)).is_err() {
                        break;
                    }
                }
            });
            started += usize::from(thread.is_ok());
        }
        drop(sender);
        if started == 0 {
            return alone(&items, &work, each); // The user may have no more threads.
        }
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(result) => each(Some(result?))?,
                Err(RecvTimeoutError::Timeout) => each(None)?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_does_the_same() {
        let work = |_: &mut [u8], item: u32| if item < 5 { Ok(item * 2) } else { Err("five") };
        let collect = |items: std::ops::Range<u32>| {
            let mut done = Vec::new();
            let each = |result: Option<u32>| {
                done.extend(result);
                Ok(())
            };
            (alone(&Mutex::new(items), &work, each), done)
        };
        assert_eq!(collect(0..4), (Ok(()), vec![0, 2, 4, 6]));
        assert_eq!(collect(3..9), (Err("five"), vec![6, 8]));
    }
}
