//! Pipes through which the kernel moves bytes from one connection to another without copying them here.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;

use rustix::pipe::PipeFlags;

/// Bytes that one pipe holds; measured, more is no faster.
pub(crate) const PIPE_BYTES: usize = 512 << 10;

/// Most pipes at once. An ordinary user may have 64 MiB in pipes (`pipe-user-pages-soft`), and this is the
/// half of it. Connections that find none copy their bytes.
pub(crate) const PIPES_MAX: usize = 64;

/// Most pipes that are kept for later.
const FREE_MAX: usize = 8;

/// An empty pipe, or one with bytes on their way.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) read: OwnedFd,
    pub(crate) write: OwnedFd,
}

/// Pipes that are not in use, and how many there are altogether.
#[derive(Debug)]
pub(crate) struct Pipes {
    max: usize,
    free: RefCell<Vec<Pipe>>,
    all: Cell<usize>,
}

impl Pipes {
    /// At most so many.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, free: RefCell::default(), all: Cell::new(0) }
    }

    /// An empty pipe, unless too many are in use or no more can be made.
    pub(crate) fn take(&self) -> Option<Pipe> {
        if let Some(pipe) = self.free.borrow_mut().pop() {
            return Some(pipe);
        }
        if self.all.get() >= self.max {
            return None;
        }
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
        // A user who has many pipes gets small ones, which work as well.
        let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE_BYTES);
        self.all.set(self.all.get() + 1);
        Some(Pipe { read, write })
    }

    /// Takes back a pipe that is empty.
    pub(crate) fn give_back(&self, pipe: Pipe) {
        let mut free = self.free.borrow_mut();
        if free.len() < FREE_MAX {
            free.push(pipe);
        } else {
            self.throw_away(pipe);
        }
    }

    /// Takes back a pipe with bytes that nobody wants.
    pub(crate) fn throw_away(&self, pipe: Pipe) {
        drop(pipe);
        self.all.set(self.all.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_bounded_and_come_back() {
        let pipes = Pipes::new(20);
        let mut taken: Vec<Pipe> = std::iter::from_fn(|| pipes.take()).collect();
        assert!(!taken.is_empty() && taken.len() <= 20);
        assert!(pipes.take().is_none());
        pipes.throw_away(taken.pop().unwrap());
        pipes.give_back(pipes.take().unwrap());
        assert!(pipes.take().is_some());
        taken.into_iter().for_each(|pipe| pipes.give_back(pipe));
        assert_eq!(pipes.free.borrow().len(), FREE_MAX);
    }
}
