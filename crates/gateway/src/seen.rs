//! What went through, and what was denied: totals, in lists that do not grow without end.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::net::IpAddr;

use aseptic_model::Traffic;
use tokio::sync::Notify;

use crate::{Denial, Reached, Report, Why, Wish};

/// Most hosts and most denials that are listed: more than a person reads, and bounded memory.
pub(crate) const LISTED_MAX: usize = 1_000;

/// Most addresses that are kept of one host.
const ADDRESSES_MAX: usize = 32;

/// Most entries of each list in one report, so that it fits into a frame.
const REPORTED_MAX: usize = 100;

/// Counts since the start, and which of them changed since they were reported.
#[derive(Debug)]
pub(crate) struct Seen {
    counts: RefCell<Counts>,
    /// There is something to report.
    is_new: Cell<bool>,
    changed: Notify,
}

/// Where a connection is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    grant: usize,
    host: Option<usize>,
}

#[derive(Debug, Default)]
struct Counts {
    grants: Listed<Traffic>,
    hosts: Listed<Reached>,
    host_numbers: HashMap<(String, u16), usize>,
    denials: Listed<Denial>,
    denial_numbers: HashMap<(Wish, Why), usize>,
    unlisted_hosts: u64,
    unlisted_denials: u64,
    lost: bool,
}

/// A list with the numbers of what changed in it.
#[derive(Debug)]
struct Listed<T> {
    all: Vec<(T, bool)>,
    changed: Vec<usize>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { all: Vec::new(), changed: Vec::new() }
    }
}

impl<T> Listed<T> {
    /// Nothing when the list is full.
    fn add(&mut self, entry: T) -> Option<usize> {
        (self.all.len() < LISTED_MAX).then(|| {
            self.all.push((entry, false));
            self.all.len() - 1
        })
    }

    fn change(&mut self, number: usize, change: impl FnOnce(&mut T)) {
        if let Some((entry, is_changed)) = self.all.get_mut(number) {
            change(entry);
            if !mem::replace(is_changed, true) {
                self.changed.push(number);
            }
        }
    }

    /// Some of what changed, with its numbers.
    fn take(&mut self) -> impl Iterator<Item = (usize, &T)> {
        let rest = self.changed.len().saturating_sub(REPORTED_MAX);
        let taken = self.changed.split_off(rest);
        for number in &taken {
            if let Some((_, is_changed)) = self.all.get_mut(*number) {
                *is_changed = false;
            }
        }
        let all = &self.all;
        taken.into_iter().filter_map(|number| all.get(number).map(|(entry, _)| (number, entry)))
    }
}

impl Seen {
    /// Nothing was seen yet, of so many grants.
    pub(crate) fn new(grants: usize) -> Self {
        let grants = Listed { all: vec![(Traffic::default(), false); grants], changed: Vec::new() };
        Self {
            counts: RefCell::new(Counts { grants, ..Counts::default() }),
            is_new: Cell::new(false),
            changed: Notify::new(),
        }
    }

    /// The job wanted something that it did not get.
    pub(crate) fn deny(&self, wish: Wish, why: Why) {
        let mut counts = self.counts.borrow_mut();
        let counts = &mut *counts;
        let key = (wish, why);
        let number = counts.denial_numbers.get(&key).copied().or_else(|| {
            let number = counts.denials.add(Denial { wish: key.0.clone(), why: key.1.clone(), count: 0 })?;
            counts.denial_numbers.insert(key, number);
            Some(number)
        });
        match number {
            Some(number) => counts.denials.change(number, |denial| denial.count += 1),
            None => counts.unlisted_denials += 1,
        }
        self.tell();
    }

    /// Whether this name was already denied.
    pub(crate) fn was_denied(&self, name: &str, why: Why) -> bool {
        self.counts.borrow().denial_numbers.contains_key(&(Wish::Name(name.to_owned()), why))
    }

    /// The kernel refused packets without a report.
    pub(crate) fn lose(&self) {
        self.counts.borrow_mut().lost = true;
        self.tell();
    }

    /// Where a connection through grant `grant` to `host` is counted. `host` is a name, or an address without
    /// brackets.
    pub(crate) fn account(&self, grant: u32, host: String, port: u16) -> Account {
        let mut counts = self.counts.borrow_mut();
        let counts = &mut *counts;
        let key = (host, port);
        let number = counts.host_numbers.get(&key).copied().or_else(|| {
            let (host, addresses) = (key.0.clone(), BTreeSet::new());
            let number = counts.hosts.add(Reached { host, port, addresses, traffic: Traffic::default() })?;
            counts.host_numbers.insert(key, number);
            Some(number)
        });
        if number.is_none() {
            counts.unlisted_hosts += 1;
        }
        Account { grant: usize::try_from(grant).unwrap_or(usize::MAX), host: number }
    }

    /// A connection was made, to this address where it is known.
    pub(crate) fn connect(&self, account: Account, address: Option<IpAddr>) {
        self.count(account, |traffic| traffic.connections += 1);
        if let (Some(host), Some(address)) = (account.host, address) {
            self.counts.borrow_mut().hosts.change(host, |host| {
                if host.addresses.len() < ADDRESSES_MAX {
                    host.addresses.insert(address);
                }
            });
        }
    }

    /// Counts something in both places.
    pub(crate) fn count(&self, account: Account, change: impl Fn(&mut Traffic)) {
        let mut counts = self.counts.borrow_mut();
        counts.grants.change(account.grant, &change);
        if let Some(host) = account.host {
            counts.hosts.change(host, |host| change(&mut host.traffic));
        }
        drop(counts);
        self.tell();
    }

    fn tell(&self) {
        if !self.is_new.replace(true) {
            self.changed.notify_one();
        }
    }

    /// Waits until there is something to report.
    pub(crate) async fn wait(&self) {
        while !self.is_new.get() {
            self.changed.notified().await;
        }
    }

    /// The next report of what changed, if anything did.
    pub(crate) fn take(&self) -> Option<Report> {
        if !self.is_new.get() {
            return None;
        }
        let mut counts = self.counts.borrow_mut();
        let counts = &mut *counts;
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let report = Report::Seen {
            grants: counts.grants.take().map(|(grant, traffic)| (number(grant), *traffic)).collect(),
            hosts: counts.hosts.take().map(|(_, host)| host.clone()).collect(),
            denials: counts.denials.take().map(|(_, denial)| denial.clone()).collect(),
            unlisted_hosts: counts.unlisted_hosts,
            unlisted_denials: counts.unlisted_denials,
            lost: counts.lost,
        };
        let more = [&counts.grants.changed, &counts.hosts.changed, &counts.denials.changed];
        self.is_new.set(more.iter().any(|changed| !changed.is_empty()));
        Some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::to_frame;

    #[derive(Default)]
    struct Drained {
        grants: Vec<(u32, Traffic)>,
        hosts: Vec<Reached>,
        denials: Vec<Denial>,
        unlisted_hosts: u64,
        unlisted_denials: u64,
    }

    fn drain(seen: &Seen) -> Drained {
        let mut all = Drained::default();
        while let Some(report) = seen.take() {
            to_frame(&report).unwrap();
            let Report::Seen { grants, hosts, denials, unlisted_hosts, unlisted_denials, .. } = report else {
                unreachable!("only that is reported")
            };
            all.grants.extend(grants);
            all.hosts.extend(hosts);
            all.denials.extend(denials);
            all = Drained { unlisted_hosts, unlisted_denials, ..all };
        }
        all
    }

    #[test]
    fn what_changed_is_reported_once_and_as_a_total() {
        let seen = Seen::new(2);
        assert_eq!(seen.take(), None);
        let account = seen.account(1, "example.org".to_owned(), 443);
        seen.connect(account, Some("192.0.2.1".parse().unwrap()));
        seen.count(account, |traffic| traffic.sent_bytes += 5);
        let Drained { grants, hosts, denials, .. } = drain(&seen);
        let traffic = Traffic { connections: 1, sent_bytes: 5, ..Traffic::default() };
        assert_eq!(grants, [(1, traffic)]);
        assert_eq!((hosts.len(), hosts[0].traffic, denials.len()), (1, traffic, 0));
        assert_eq!(seen.take(), None);
        seen.count(account, |traffic| traffic.received_bytes += 7);
        assert_eq!(drain(&seen).grants, [(1, Traffic { received_bytes: 7, ..traffic })]);
    }

    #[test]
    fn lists_are_bounded_and_the_rest_is_counted() {
        let seen = Seen::new(1);
        let long = |number: usize| format!("{number:04}{}", "\\000".repeat(62));
        for number in 0..LISTED_MAX + 5 {
            seen.deny(Wish::Name(long(number)), Why::ServerName(Some(long(number))));
            let account = seen.account(0, long(number), 443);
            for last in 0..64 {
                seen.connect(account, Some([0xfda5, 0, 0, 0, 0, 0, 0, last].into()));
            }
        }
        let Drained { hosts, denials, unlisted_hosts, unlisted_denials, .. } = drain(&seen);
        assert_eq!((hosts.len(), unlisted_hosts), (LISTED_MAX, 5));
        assert_eq!((denials.len(), unlisted_denials), (LISTED_MAX, 5));
        seen.deny(Wish::Name(long(3)), Why::ServerName(Some(long(3))));
        assert_eq!(drain(&seen).denials[0].count, 2);
    }
}
