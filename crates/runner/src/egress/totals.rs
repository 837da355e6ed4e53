//! What a gateway has said so far, and what of it enters the record.

use std::collections::BTreeMap;

use aseptic_gateway::{Denial, Reached, Report, Settings, Why, Wish};
use aseptic_model::{Egress, GrantUse, HostReached, Traffic};

/// Hosts and denials that are kept. The gateway keeps no more itself; this holds if it says otherwise.
const LISTED_MAX: usize = 1_000;

/// Everything that went through and everything that did not.
#[derive(Debug, Default)]
pub(super) struct Totals {
    grants: BTreeMap<u32, Traffic>,
    hosts: BTreeMap<(String, u16), Reached>,
    pub(super) denials: BTreeMap<(Wish, Why), u64>,
    unlisted_hosts: u64,
    unlisted_denials: u64,
    lost: bool,
}

impl Totals {
    /// Takes a [`Report::Seen`] in; every count of it is a total.
    pub(super) fn add(&mut self, report: Report) {
        let Report::Seen { grants, hosts, denials, unlisted_hosts, unlisted_denials, lost } = report else {
            return;
        };
        self.grants.extend(grants);
        for reached in hosts {
            let key = (reached.host.clone(), reached.port);
            if self.hosts.len() < LISTED_MAX || self.hosts.contains_key(&key) {
                self.hosts.insert(key, reached);
            }
        }
        for Denial { wish, why, count } in denials {
            let key = (wish, why);
            if self.denials.len() < LISTED_MAX || self.denials.contains_key(&key) {
                self.denials.insert(key, count);
            }
        }
        self.unlisted_hosts = unlisted_hosts;
        self.unlisted_denials = unlisted_denials;
        self.lost |= lost;
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
