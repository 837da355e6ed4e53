//! Destinations that were granted and never reached, and wildcards of which few names were.

use std::collections::BTreeSet;

use aseptic_model::{Destination, Egress, Grant, HostName, RunRecord};

use super::{Suggestion, Used, list};

/// Names that stand for a wildcard at most; with more it is what it is for.
const NAMES_MAX: usize = 8;

impl Used<'_> {
    pub(super) fn network(&self) -> Vec<Suggestion> {
        // What a gateway did not count may have gone through any grant.
        let counted: Option<Vec<&Egress>> = self.records.iter().map(counted).collect();
        let Some(counted) = counted else { return Vec::new() };
        let narrowed: Vec<(&Grant, Needed)> =
            self.experiment.network.iter().map(|grant| (grant, needed(grant, &counted))).collect();
        let left: BTreeSet<Grant> =
            narrowed.iter().flat_map(|(grant, needed)| needed.grants(grant)).collect();
        let line = list("network", left.into_iter());
        narrowed.iter().filter_map(|(grant, needed)| self.narrower(grant, needed, line.clone())).collect()
    }

    fn narrower(&self, grant: &Grant, needed: &Needed, line: Option<String>) -> Option<Suggestion> {
        let (finding, message) = match needed {
            Needed::Whole => return None,
            Needed::Nothing => ("unused-grant", format!("`{grant}` was never connected to {}", self.when())),
            Needed::Names(names) => {
                let names: Vec<_> = names.iter().map(HostName::as_str).collect();
                let message = format!("of `{grant}` only {} was reached {}", names.join(", "), self.when());
                ("wide-wildcard", message)
            }
        };
        Some(self.suggestion(finding, format!("network.{grant}"), message, line))
    }
}

/// What of a grant runs needed.
enum Needed {
    Whole,
    Nothing,
    /// These names of a wildcard.
    Names(BTreeSet<HostName>),
}

impl Needed {
    /// The grants that give no more.
    fn grants(&self, grant: &Grant) -> Vec<Grant> {
        match self {
            Self::Whole => vec![grant.clone()],
            Self::Nothing => Vec::new(),
            Self::Names(names) => {
                let narrower =
                    |name: &HostName| Grant { host: Destination::Name(name.clone()), ..grant.clone() };
                names.iter().map(narrower).collect()
            }
        }
    }
}

/// What runs that had `counted` of the network needed of `grant`; all of it where one of them did not have it.
fn needed(grant: &Grant, counted: &[&Egress]) -> Needed {
    let used =
        |egress: &&Egress| egress.grants.iter().find(|used| used.grant == *grant).map(|used| used.traffic);
    let Some(uses) = counted.iter().map(used).collect::<Option<Vec<_>>>() else { return Needed::Whole };
    if uses.iter().all(|traffic| traffic.connections == 0 && traffic.failed == 0) {
        return Needed::Nothing;
    }
    match &grant.host {
        Destination::Below(parent) => {
            names_below(parent, grant.port, counted).map_or(Needed::Whole, Needed::Names)
        }
        Destination::Name(_) | Destination::Address(_) => Needed::Whole,
    }
}

/// What a run had of the network, if all of it was counted.
fn counted(record: &RunRecord) -> Option<&Egress> {
    record.egress.as_ref().filter(|egress| egress.complete && egress.unlisted_hosts == 0)
}

/// The names below `parent` that were reached on `port`, if they are few.
fn names_below(parent: &HostName, port: u16, counted: &[&Egress]) -> Option<BTreeSet<HostName>> {
    let hosts = counted.iter().flat_map(|egress| &egress.hosts);
    let reached = hosts.filter_map(|reached| reached.host.parse::<Grant>().ok());
    let names: BTreeSet<HostName> = reached
        .filter(|reached| reached.port == port)
        .filter_map(|reached| match reached.host {
            Destination::Name(name) => Some(name),
            Destination::Below(_) | Destination::Address(_) => None,
        })
        .filter(|name| name.is_below(parent))
        .collect();
    (1..=NAMES_MAX).contains(&names.len()).then_some(names)
}

#[cfg(test)]
mod tests {
    use aseptic_model::{HostReached, Traffic};

    use super::*;

    fn egress(hosts: &[&str]) -> Egress {
        let host = |host: &&str| HostReached {
            host: (*host).to_owned(),
            addresses: BTreeSet::new(),
            traffic: Traffic { connections: 1, ..Traffic::default() },
        };
        Egress { complete: true, hosts: hosts.iter().map(host).collect(), ..Egress::default() }
    }

    #[test]
    fn names_of_a_wildcard_are_those_below_it_on_its_port() {
        let one = egress(&["a.hf.co:443", "b.hf.co:80", "hf.co:443", "nothf.co:443"]);
        let other = egress(&["c.d.hf.co:443", "a.hf.co:443"]);
        let parent = "hf.co".parse().unwrap();
        let names = names_below(&parent, 443, &[&one, &other]).unwrap();
        assert_eq!(names.iter().map(HostName::as_str).collect::<Vec<_>>(), ["a.hf.co", "c.d.hf.co"]);
        assert_eq!(names_below(&parent, 22, &[&one, &other]), None);
        let many: Vec<String> = (0..9).map(|one| format!("h{one}.hf.co:443")).collect();
        let many = egress(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(names_below(&parent, 443, &[&many]), None, "then the wildcard is what it is for");
    }
}
