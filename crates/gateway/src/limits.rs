//! Bounds of all connections of a run together.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use crate::{Limits, Why};

/// What is left of the limits.
#[derive(Debug)]
pub(crate) struct Budget {
    connections: Cell<u32>,
    bytes: Cell<u64>,
    bandwidth: Option<Bandwidth>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            connections: Cell::new(limits.connections.unwrap_or(Limits::CONNECTIONS)),
            bytes: Cell::new(limits.traffic_bytes.unwrap_or(u64::MAX)),
            bandwidth: limits.bandwidth_bytes.map(Bandwidth::new),
        }
    }

    /// One connection more, until what is returned is dropped.
    pub(crate) fn open(&self) -> Result<Open<'_>, Why> {
        if self.bytes.get() == 0 {
            return Err(Why::Traffic);
        }
        let left = self.connections.get().checked_sub(1).ok_or(Why::Connections)?;
        self.connections.set(left);
        Ok(Open(self))
    }

    /// How many bytes may be moved yet.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// So many bytes were moved.
    pub(crate) fn spend(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_sub(to_u64(bytes)));
    }

    /// The bound on bytes per second, if there is one.
    pub(crate) fn bandwidth(&self) -> Option<&Bandwidth> {
        self.bandwidth.as_ref()
    }
}

/// A connection that counts.
#[derive(Debug)]
pub(crate) struct Open<'a>(&'a Budget);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() + 1);
    }
}

/// Bytes per second. Who wants to move some books time for them, and waits until that time comes; so
/// everyone gets a turn, in order, and nobody wakes for nothing.
#[derive(Debug)]
pub(crate) struct Bandwidth {
    bytes_per_second: u64,
    /// When what was booked is over.
    booked: Cell<Instant>,
}

/// Time that was not used may be caught up with for so long: timers are late by milliseconds.
const CATCH_UP: Duration = Duration::from_millis(100);

/// Most bytes of one booking.
const BOOKED_MAX: u64 = 256 << 10;

/// Bookings in a second, as long as none is over [`BOOKED_MAX`].
const BOOKINGS: u64 = 50;

/// Bookings are so many times smaller where many wait, so that nobody waits for long.
const BUSY: u64 = 16;

impl Bandwidth {
    fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), booked: Cell::new(Instant::now()) }
    }

    /// Books some bytes. Returns how many, and when they may be moved.
    pub(crate) fn book(&self, now: Instant) -> (usize, Instant) {
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        let start = self.booked.get().max(earliest);
        let is_busy = start > now + CATCH_UP;
        let bookings = if is_busy { BOOKINGS * BUSY } else { BOOKINGS };
        let bytes = (self.bytes_per_second / bookings).clamp(1, BOOKED_MAX);
        self.booked.set(start + self.time(bytes));
        (usize::try_from(bytes).unwrap_or(usize::MAX), start)
    }

    /// Gives back what was booked and not moved.
    pub(crate) fn give_back(&self, bytes: usize) {
        let booked = self.booked.get();
        self.booked.set(booked.checked_sub(self.time(to_u64(bytes))).unwrap_or(booked));
    }

    /// So many of the booked bytes were moved, or more than these where they could not be parted.
    pub(crate) fn settle(&self, booked: usize, moved: usize) {
        if moved <= booked {
            self.give_back(booked - moved);
        } else {
            self.booked.set(self.booked.get() + self.time(to_u64(moved - booked)));
        }
    }

    fn time(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_come_back() {
        let budget = Budget::new(&Limits { connections: Some(1), ..Limits::default() });
        let open = budget.open().unwrap();
        assert_eq!(budget.open().unwrap_err(), Why::Connections);
        drop(open);
        assert!(budget.open().is_ok());
    }

    #[test]
    fn bytes_do_not() {
        let budget = Budget::new(&Limits { traffic_bytes: Some(10), ..Limits::default() });
        budget.spend(11);
        assert_eq!(budget.bytes(), 0);
        assert_eq!(budget.open().unwrap_err(), Why::Traffic);
    }

    #[test]
    fn a_second_of_bookings_takes_a_second() {
        for rate in [1, 50, 1_000, 1 << 20, 10 << 30] {
            let bandwidth = Bandwidth::new(rate);
            let start = Instant::now() + Duration::from_secs(1); // Nothing is to be caught up with.
            bandwidth.booked.set(start);
            let mut bytes = 0;
            loop {
                let (booked, at) = bandwidth.book(start);
                if at >= start + Duration::from_secs(1) {
                    break;
                }
                bytes += to_u64(booked);
            }
            assert!((rate..=rate + rate / 10 + 1).contains(&bytes), "{rate}: {bytes}");
        }
    }

    #[test]
    fn what_was_given_back_is_there_for_others() {
        let bandwidth = Bandwidth::new(1_000);
        let now = Instant::now() + Duration::from_secs(1);
        bandwidth.booked.set(now);
        let (bytes, _) = bandwidth.book(now);
        bandwidth.give_back(bytes);
        assert_eq!(bandwidth.book(now).1, now);
    }
}
