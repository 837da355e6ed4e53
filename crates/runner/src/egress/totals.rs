//! What a gateway has said so far, and what of it enters the record.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use aseptic_gateway::{Denial, Reached, Report, Settings, Why, Wish};
use aseptic_model::{Egress, GrantUse, HostReached, Traffic};

use crate::execute::NetworkBytes;

/// Hosts and denials that are kept. The gateway keeps no more itself; this holds if it says otherwise.
const LISTED_MAX: usize = 1_000;

/// Longest text, most addresses of a host, and most of any count, whose sums are bounded so.
const TEXT_BYTES_MAX: usize = 1_024;
const ADDRESSES_MAX: usize = 32;
const COUNT_MAX: u64 = 1 << 50;

/// Everything that went through and everything that did not, as far as a gateway that was taken over may say.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// How many grants there are.
    known: usize,
    grants: BTreeMap<u32, Traffic>,
    hosts: BTreeMap<(String, u16), Reached>,
    pub(super) denials: BTreeMap<(Wish, Why), u64>,
    unlisted_hosts: u64,
    unlisted_denials: u64,
    lost: bool,
}

impl Totals {
    /// Nothing yet, of so many grants.
    pub(super) fn of(grants: usize) -> Self {
        Self { known: grants, ..Self::default() }
    }

    /// Takes a [`Report::Seen`] in; every count of it is a total.
    pub(super) fn add(&mut self, report: Report) {
        let Report::Seen { grants, hosts, denials, unlisted_hosts, unlisted_denials, lost } = report else {
            return;
        };
        let known = |number: u32| usize::try_from(number).is_ok_and(|number| number < self.known);
        let grants = grants.into_iter().filter(|(number, _)| known(*number));
        self.grants.extend(grants.map(|(number, traffic)| (number, bounded(traffic))));
        for mut reached in hosts.into_iter().filter(|reached| is_plain(&reached.host)) {
            reached.traffic = bounded(reached.traffic);
            reached.addresses = reached.addresses.into_iter().take(ADDRESSES_MAX).collect();
            let key = (reached.host.clone(), reached.port);
            if self.hosts.len() < LISTED_MAX || self.hosts.contains_key(&key) {
                self.hosts.insert(key, reached);
            }
        }
        for Denial { wish, why, count } in denials.into_iter().filter(is_plain_denial) {
            let key = (wish, why);
            if self.denials.len() < LISTED_MAX || self.denials.contains_key(&key) {
                self.denials.insert(key, count.min(COUNT_MAX));
            }
        }
        self.unlisted_hosts = unlisted_hosts.min(COUNT_MAX);
        self.unlisted_denials = unlisted_denials.min(COUNT_MAX);
        self.lost |= lost;
    }

    /// Says how much went through until now.
    pub(super) fn count(&self, bytes: &NetworkBytes) {
        let sum = |of: fn(&Traffic) -> u64| self.grants.values().map(of).fold(0, u64::saturating_add);
        bytes.sent.store(sum(|traffic| traffic.sent_bytes), Ordering::Relaxed);
        bytes.received.store(sum(|traffic| traffic.received_bytes), Ordering::Relaxed);
    }

    /// The part of the record that is about what went through. `incomplete` says why there may have been
    /// more.
    pub(super) fn record(&self, settings: &Settings, revoked: &[bool], incomplete: Option<String>) -> Egress {
        let lost = "the kernel had more refused packets than it could report";
        let incomplete_because = incomplete.or_else(|| self.lost.then(|| lost.to_owned()));
        let grants = (0..).zip(&settings.grants).map(|(number, grant)| GrantUse {
            grant: grant.clone(),
            traffic: self.grants.get(&number).copied().unwrap_or_default(),
            revoked: usize::try_from(number).ok().and_then(|at| revoked.get(at)).copied().unwrap_or(false),
        });
        let hosts = self.hosts.values().map(|reached| HostReached {
            host: host_and_port(&reached.host, reached.port),
            addresses: reached.addresses.clone(),
            traffic: reached.traffic,
        });
        Egress {
            complete: incomplete_because.is_none(),
            incomplete_because,
            grants: grants.collect(),
            hosts: hosts.collect(),
            unlisted_hosts: self.unlisted_hosts,
            unlisted_denials: self.unlisted_denials,
            proxy: settings.proxy.as_ref().map(|proxy| host_and_port(&proxy.host, proxy.port)),
        }
    }
}

/// `HOST:PORT`, an IPv6 address in brackets.
pub(super) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn bounded(traffic: Traffic) -> Traffic {
    let Traffic { connections, failed, sent_bytes, received_bytes } = traffic;
    let [connections, failed, sent_bytes, received_bytes] =
        [connections, failed, sent_bytes, received_bytes].map(|count| count.min(COUNT_MAX));
    Traffic { connections, failed, sent_bytes, received_bytes }
}

fn is_plain_denial(denial: &Denial) -> bool {
    let wished = match &denial.wish {
        Wish::Name(name) | Wish::Host(_, name, _) => is_plain(name),
        Wish::Address(..) => true,
    };
    let asked = match &denial.why {
        Why::ServerName(Some(name)) | Why::HostHeader(Some(name)) => is_plain(name),
        _ => true,
    };
    wished && asked
}

/// Whether a text is one that a gateway makes: short, and nothing in it that a terminal would obey.
pub(super) fn is_plain(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_lies_fills_and_breaks_nothing() {
        let mut totals = Totals::of(1);
        let most = Traffic {
            connections: u64::MAX,
            failed: u64::MAX,
            sent_bytes: u64::MAX,
            received_bytes: u64::MAX,
        };
        let host = |host: &str| Reached {
            host: host.to_owned(),
            port: 1,
            addresses: (0..100_u32).map(|bits| std::net::Ipv4Addr::from_bits(bits).into()).collect(),
            traffic: most,
        };
        let denial = |name: &str, asked: &str| Denial {
            wish: Wish::Name(name.to_owned()),
            why: Why::HostHeader(Some(asked.to_owned())),
            count: u64::MAX,
        };
        let long = "a".repeat(TEXT_BYTES_MAX + 1);
        totals.add(Report::Seen {
            grants: vec![(0, most), (1, most), (u32::MAX, most)],
            hosts: vec![host("a.example"), host(&long), host("\u{1b}[2J")],
            denials: vec![denial("a", "b"), denial(&long, "b"), denial("a", &long), denial("\u{9b}", "\n")],
            unlisted_hosts: u64::MAX,
            unlisted_denials: u64::MAX,
            lost: false,
        });
        assert_eq!((totals.grants.len(), totals.hosts.len(), totals.denials.len()), (1, 1, 1));
        assert_eq!(totals.grants[&0].sent_bytes, COUNT_MAX);
        let egress = totals.record(&Settings::default(), &[], None);
        assert_eq!((egress.hosts[0].addresses.len(), egress.unlisted_denials), (ADDRESSES_MAX, COUNT_MAX));
        assert_eq!(totals.denials.values().sum::<u64>(), COUNT_MAX);
    }
}
