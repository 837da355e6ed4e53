//! Jobs that make more jobs, done by a few threads in bounded memory.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::parallel::{BUFFER_BYTES, TICK, threads};

/// Jobs whose end the caller has not heard of yet. Few, so that little is done after it says stop.
const UNHEARD_MAX: usize = 4;

/// Jobs of two kinds. The first, which finds work, goes before the second, which does it, until so much is
/// found that more would only cost memory. Of each kind the newest job goes first, so that a tree is walked
/// in depth and little of it is half done.
#[derive(Debug)]
pub(crate) struct Jobs<J> {
    state: Mutex<State<J>>,
    wake: Condvar,
    /// So many items are enough to have found.
    found_max: usize,
}

#[derive(Debug)]
struct State<J> {
    find: Vec<J>,
    /// Each with the number of items that it stands for.
    work: Vec<(J, usize)>,
    found: usize,
    running: usize,
    stopped: bool,
}

impl<J: Send> Jobs<J> {
    pub(crate) fn new(found_max: usize) -> Self {
        let state = State { find: Vec::new(), work: Vec::new(), found: 0, running: 0, stopped: false };
        Self { state: Mutex::new(state), wake: Condvar::new(), found_max }
    }

    /// Adds jobs that find work, and jobs of so many items each that do it.
    pub(crate) fn add(&self, find: impl IntoIterator<Item = J>, work: impl IntoIterator<Item = (J, usize)>) {
        let mut state = self.lock();
        state.find.extend(find);
        for (job, items) in work {
            state.found += items;
            state.work.push((job, items));
        }
        drop(state);
        self.wake.notify_all();
    }

    /// Whether everybody should stop: a long job asks now and then.
    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Does all jobs, and those that they add.
    ///
    /// `each` is called on this thread after each job and every now and then. The first error of a job or of
    /// `each` stops everything and is returned.
    pub(crate) fn run<E: Send>(
        &self,
        work: impl Fn(&mut [u8], J) -> Result<(), E> + Sync,
        mut each: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let worker = |mut tell: Box<dyn FnMut(Result<(), E>) -> bool + '_>| {
            let mut buffer = vec![0; BUFFER_BYTES];
            while let Some(job) = self.take() {
                let done = work(&mut buffer, job);
                // Told before the others hear of it, so that what they then stop with comes later.
                let failed = done.is_err();
                let heard = tell(done);
                self.taken_is_done(failed || !heard);
            }
        };
        thread::scope(|scope| {
            let (sender, receiver) = sync_channel(UNHEARD_MAX);
            let mut started = 0;
            for _ in 0..threads() {
                let (sender, worker) = (sender.clone(), &worker);
                let body = move || worker(Box::new(move |done| sender.send(done).is_ok()));
                started += usize::from(thread::Builder::new().spawn_scoped(scope, body).is_ok());
            }
            drop(sender);
            let mut result = Ok(());
            if started == 0 {
                // The user may have no more threads.
                worker(Box::new(|done| {
                    result = done.and_then(|()| each());
                    result.is_ok()
                }));
                return result;
            }
            while result.is_ok() {
                result = match receiver.recv_timeout(TICK) {
                    Ok(done) => done.and_then(|()| each()),
                    Err(RecvTimeoutError::Timeout) => each(),
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                };
            }
            self.stop();
            drop(receiver); // Whoever waits to tell something goes on, and finds that it is over.
            result
        })
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.wake.notify_all();
    }

    /// The next job, or none when there will be no more.
    fn take(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            let enough = state.found >= self.found_max;
            let next = if enough { None } else { state.find.pop() };
            let next = next.or_else(|| {
                let (job, items) = state.work.pop()?;
                state.found -= items;
                Some(job)
            });
            if next.is_some() {
                state.running += 1;
                return next;
            }
            if state.running == 0 {
                return None;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// After an error nobody takes another job.
    fn taken_is_done(&self, failed: bool) {
        let mut state = self.lock();
        state.running -= 1;
        state.stopped |= failed;
        if state.running == 0 || failed {
            drop(state);
            self.wake.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug)]
    enum Job {
        Find(u32),
        Work(u32),
    }

    /// A tree of three to the power of five directories, with one item in each.
    fn walk(
        jobs: &Jobs<Job>,
        mut each: impl FnMut(usize) -> Result<(), &'static str>,
    ) -> (Result<(), &'static str>, usize) {
        let done = AtomicUsize::new(0);
        jobs.add([Job::Find(0)], []);
        let work = |_: &mut [u8], job| match job {
            Job::Find(depth) => {
                let below = if depth < 5 { 0..3 } else { 0..0 };
                jobs.add(below.map(|_| Job::Find(depth + 1)), [(Job::Work(depth), 1)]);
                Ok(())
            }
            Job::Work(depth) if depth > 5 => Err("too deep"),
            Job::Work(_) => {
                done.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        };
        let result = jobs.run(work, || each(done.load(Ordering::SeqCst)));
        (result, done.into_inner())
    }

    #[test]
    fn everything_is_found_and_done() {
        for found_max in [1, 7, 1000] {
            let (result, done) = walk(&Jobs::new(found_max), |_| Ok(()));
            assert_eq!((result, done), (Ok(()), 364), "{found_max}");
        }
    }

    #[test]
    fn a_stop_leaves_the_rest_undone() {
        let jobs = Jobs::new(1);
        let (result, done) = walk(&jobs, |done| if done > 10 { Err("stop") } else { Ok(()) });
        assert_eq!(result, Err("stop"));
        assert!((10..100).contains(&done) && jobs.is_stopped(), "{done}");
    }

    #[test]
    fn an_error_stops_everybody() {
        let jobs = Jobs::new(1);
        jobs.add([], [(Job::Work(6), 1)]);
        assert_eq!(walk(&jobs, |_| Ok(())).0, Err("too deep"));
    }
}
