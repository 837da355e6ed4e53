//! in-toto runtime trace v0.1: what a run read, which hosts it reached, what it was denied.
//!
//! Source: `spec/predicates/runtime-trace.md` of in-toto/attestation. The entries of `network` have the members
//! that v0.2 recommends; `denials` and `coverage` are ours.

use std::net::IpAddr;

use aseptic_model::{Egress, HostReached, Plan, RunRecord};
use serde_json::{Value, json};

use crate::statement::{FILES_MAX, subjects};
use crate::{BUILD_TYPE, BUILDER, Facts, Statement};

/// Predicate type.
pub const TRACE: &str = "https://in-toto.io/attestation/runtime-trace/v0.1";

/// The statement about what a run did.
#[must_use]
pub fn trace(facts: &Facts<'_>) -> Statement {
    let record = facts.run.record;
    let network: Vec<_> = record
        .egress
        .iter()
        .flat_map(|egress| &egress.hosts)
        .filter(|host| host.traffic.connections > 0)
        .map(host)
        .collect();
    let denials: Vec<_> = record
        .denied
        .iter()
        .map(|denied| {
            json!({
                "action": denied.action, "target": denied.target, "count": denied.count,
                "reason": denied.reason,
            })
        })
        .collect();
    let predicate = json!({
        "monitor": {
            "type": BUILDER,
            "tracePolicy": { "network": record.egress.is_some(), "files": true },
        },
        "monitoredProcess": {
            "hostID": format!("aseptic:{}", facts.run.ledger),
            "type": BUILD_TYPE,
            "event": facts.invocation(),
        },
        "monitorLog": { "fileAccess": files(record), "network": network },
        "metadata": { "buildStartedOn": record.planned, "buildFinishedOn": record.ended },
        "denials": denials,
        "coverage": coverage(facts.run.plan, record),
    });
    Statement::new(subjects(record), TRACE, predicate)
}

/// The files that were opened. What was in them is said by the tree that they are in.
fn files(record: &RunRecord) -> Vec<Value> {
    let read = record.lineage.read.iter().flat_map(|(name, paths)| {
        let tree = record.inputs.get(name).map(|input| input.snapshot);
        paths.iter().map(
            move |path| json!({ "name": format!("data/{name}/{path}"), "annotations": { "inTree": tree } }),
        )
    });
    read.take(FILES_MAX).collect()
}

/// A host and what went there.
fn host(host: &HostReached) -> Value {
    let (name, port) = host.host.rsplit_once(':').unwrap_or((&host.host, ""));
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let literal = bare.parse::<IpAddr>().ok();
    let one = host.addresses.first().copied().filter(|_| host.addresses.len() == 1);
    json!({
        "hostname": literal.is_none().then_some(name),
        "ip": literal.or(one),
        "port": port.parse::<u16>().ok(),
        "protocol": "tcp",
        "addresses": host.addresses,
        "connections": host.traffic.connections,
        "sentBytes": host.traffic.sent_bytes,
        "receivedBytes": host.traffic.received_bytes,
    })
}

/// How far the rest can be relied on. Nothing of it counts what was not there to be seen.
fn coverage(plan: &Plan, record: &RunRecord) -> Value {
    let opened: usize = record.lineage.read.values().map(std::collections::BTreeSet::len).sum();
    let unlisted = opened.saturating_sub(FILES_MAX);
    let granted = !plan.network.is_empty() || plan.observe_network;
    let network = match &record.egress {
        Some(egress) => counted(egress),
        None if granted => json!({
            "complete": false, "gateway": false, "because": "what the gateway counted was lost, or nothing started",
        }),
        // No interface of the jail leads anywhere, so there was nothing to see.
        None => json!({ "complete": true, "gateway": false }),
    };
    json!({
        "files": {
            "complete": record.lineage.complete && unlisted == 0,
            "because": record.lineage.incomplete_because,
            "unlisted": unlisted,
            "of": "inputs",
        },
        "network": network,
        "denials": {
            "attemptsSeen": record.observed.map(|observed| observed.attempts),
            "unlisted": record.observed.map(|observed| observed.unlisted),
            "complete": false,
            "because": "a job can hide an attempt at a file or program; what is denied of the network is under `network`",
        },
    })
}

fn counted(egress: &Egress) -> Value {
    json!({
        "complete": egress.complete && egress.unlisted_hosts == 0 && egress.unlisted_denials == 0,
        "because": egress.incomplete_because,
        "unlistedConnections": egress.unlisted_hosts,
        "unlistedDenials": egress.unlisted_denials,
        "gateway": true,
        "proxy": egress.proxy,
    })
}
