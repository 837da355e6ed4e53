//! From what a gateway denied to what the record says of it, and to the line that would allow it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use aseptic_gateway::{Protocol, Why, Wish, is_metadata, telemetry};
use aseptic_model::{Denied, DeniedReason, Destination, Grant, Plan, TlsNames};

use super::totals::{Totals, host_and_port};

/// The port that is suggested for a name of which only the address was asked for.
const USUAL_PORT: u16 = 443;

/// Most bytes of the destinations that one suggestion names, or little more: a record has it with each denial.
const SUGGESTED_BYTES_MAX: usize = 1_500;

/// Everything that was denied, the most useful first.
pub(super) fn denied(totals: &Totals, plan: &Plan) -> Vec<Denied> {
    let denials = totals.denials.iter().map(|((wish, why), count)| (wish, why, *count));
    let refused = denials.clone().filter(|(_, why, _)| **why == Why::NotGranted);
    let candidates: Vec<_> = refused.filter_map(|(wish, ..)| candidate(wish)).collect();
    let known = candidates.iter().filter(|known| !known.guessed).map(|known| known.grant.clone()).collect();
    let line = suggestion(plan, &wanted(candidates.into_iter()), &known);
    let mut denied: Vec<(Rank, Denied)> = denials
        .map(|(wish, why, count)| {
            let (rank, reason, help) = advice(wish, why, &line);
            let (action, target) = name(wish);
            let (reason, help) = (Some(reason), Some(help));
            (rank, Denied { action: action.to_owned(), target, count, reason, help })
        })
        .collect();
    denied.sort();
    denied.into_iter().map(|(_, denied)| denied).collect()
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A line of the spec would allow it.
    Grant,
    /// Something else has to change.
    Change,
    /// It is better left denied.
    Nothing,
}

fn name(wish: &Wish) -> (&'static str, String) {
    match wish {
        Wish::Name(name) => ("resolve", name.clone()),
        Wish::Host(protocol, host, port) => sent(*protocol, host, *port),
        Wish::Address(protocol, address) => sent(*protocol, &address.ip().to_string(), address.port()),
    }
}

fn sent(protocol: Protocol, host: &str, port: u16) -> (&'static str, String) {
    match protocol {
        Protocol::Tcp => ("connect", host_and_port(host, port)),
        Protocol::Udp => ("send", format!("{}, UDP", host_and_port(host, port))),
        Protocol::Icmp => ("send", format!("{host}, ping")),
        Protocol::Other => ("send", host.to_owned()),
    }
}

fn advice(wish: &Wish, why: &Why, line: &str) -> (Rank, DeniedReason, String) {
    let said = |rank, reason, help: &str| (rank, reason, help.to_owned());
    match why {
        Why::NotGranted => not_granted(wish, line),
        Why::PrivateAddress(address) => private(wish, *address),
        Why::ServerName(asked) => other_name(wish, asked.as_deref(), "TLS"),
        Why::HostHeader(asked) => other_name(wish, asked.as_deref(), "HTTP"),
        Why::RecordType(_) => said(
            Rank::Nothing,
            DeniedReason::RecordType,
            "names are asked for addresses alone: other records carry data out and in",
        ),
        Why::Malformed => said(
            Rank::Change,
            DeniedReason::OtherName,
            "what was sent could not be read as TLS or HTTP, so the name in it was not checked; `,tls=any` after \
             the port of the grant lifts the check",
        ),
        Why::Connections => {
            let help = "raise `connections` in `limits`, or let the job keep fewer open";
            said(Rank::Change, DeniedReason::Limit, help)
        }
        Why::Traffic => {
            said(Rank::Change, DeniedReason::Limit, "raise `traffic` in `limits`, or let the job move less")
        }
        Why::Names => {
            let help = "more names were asked for than a run has addresses for";
            said(Rank::Nothing, DeniedReason::Limit, help)
        }
        Why::Revoked => said(Rank::Nothing, DeniedReason::Revoked, "the grant was revoked while the job ran"),
    }
}

fn not_granted(wish: &Wish, line: &str) -> (Rank, DeniedReason, String) {
    let (rank, help) = match candidate(wish) {
        Some(Candidate { grant, .. }) => match better_denied(&grant) {
            Some(what) if telemetry_of(&grant).is_some() => (
                Rank::Nothing,
                format!("this is {what}; a job works without it, and it tells others about yours"),
            ),
            Some(what) => (Rank::Nothing, format!("this is {what}")),
            None => (Rank::Grant, line.to_owned()),
        },
        None if matches!(wish, Wish::Name(_)) => {
            (Rank::Nothing, "this is no host name, and nothing grants it".to_owned())
        }
        None if matches!(wish, Wish::Address(Protocol::Tcp, _)) => {
            (Rank::Nothing, "no host has this address, and nothing grants it".to_owned())
        }
        None => (Rank::Nothing, "only TCP connections can be granted, by name or address".to_owned()),
    };
    (rank, DeniedReason::NotGranted, help)
}

fn private(wish: &Wish, address: IpAddr) -> (Rank, DeniedReason, String) {
    if is_metadata(address) {
        let help = format!("the name leads to {address}: {METADATA}");
        return (Rank::Nothing, DeniedReason::PrivateAddress, help);
    }
    let port = match wish {
        Wish::Host(_, _, port) => *port,
        Wish::Name(_) => USUAL_PORT,
        Wish::Address(_, address) => address.port(),
    };
    let literal = Grant::new(Destination::Address(address), port);
    let help = format!(
        "the name leads to {address}, which is private or this machine's; if that is meant, name it as well: \"{literal}\""
    );
    (Rank::Change, DeniedReason::PrivateAddress, help)
}

fn other_name(wish: &Wish, asked: Option<&str>, protocol: &str) -> (Rank, DeniedReason, String) {
    let (host, port) = match wish {
        Wish::Host(_, host, port) => (host.clone(), *port),
        Wish::Address(_, address) => (address.ip().to_string(), address.port()),
        Wish::Name(name) => (name.clone(), USUAL_PORT),
    };
    let granted = host_and_port(&host, port);
    let help = match asked {
        Some(asked) => {
            let itself =
                host_of(asked).map(|host| format!("grant \"{}\" itself, or ", Grant::new(host, port)));
            format!(
                "the job connected to {granted} and asked it for `{asked}` in {protocol}: {}\
                 \"{granted},tls=any\" for every name there",
                itself.unwrap_or_else(|| "grant ".to_owned())
            )
        }
        None => format!(
            "the job connected to {granted} and named no host in {protocol}; \"{granted},tls=any\" \
             would allow that"
        ),
    };
    (Rank::Change, DeniedReason::OtherName, help)
}

/// The host of a server name or a `Host` header, which may have a port; nothing where a grant of it would not
/// help: an address has no other name, and this machine has none in a run.
fn host_of(asked: &str) -> Option<Destination> {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let host = asked.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(asked, |(host, _)| host);
    host.parse().ok().map(Destination::Name).filter(|_| host != "localhost")
}

/// A grant that would allow something that was not granted.
#[derive(Debug)]
struct Candidate {
    grant: Grant,
    /// Whether only the address of a name was asked for, so that the port is a guess.
    guessed: bool,
}

/// The grants that would allow what was not granted, as far as a grant can. What is better left denied is left
/// out, and so are guesses about hosts of which more is known.
fn wanted(candidates: impl Iterator<Item = Candidate>) -> BTreeSet<Grant> {
    let named = candidates.filter(|candidate| better_denied(&candidate.grant).is_none());
    let (guessed, known): (Vec<_>, Vec<_>) = named.partition(|candidate| candidate.guessed);
    let mut wanted: BTreeSet<_> = known.into_iter().map(|candidate| candidate.grant).collect();
    let unknown: Vec<_> = guessed
        .into_iter()
        .map(|candidate| candidate.grant)
        .filter(|guess| wanted.iter().all(|grant| grant.host != guess.host))
        .collect();
    wanted.extend(unknown);
    wanted
}

/// The same for what the record of a run says of it.
pub(crate) fn wanted_of(denied: &[Denied]) -> BTreeSet<Grant> {
    let candidate = |denied: &Denied| {
        let refused = denied.reason == Some(DeniedReason::NotGranted);
        let guessed = denied.action == "resolve";
        let grant = match denied.action.as_str() {
            "resolve" => Some(Grant::new(Destination::Name(denied.target.parse().ok()?), USUAL_PORT)),
            "connect" => denied.target.parse().ok(),
            _ => None,
        };
        grant.filter(|_| refused).map(|grant| Candidate { grant, guessed })
    };
    wanted(denied.iter().filter_map(candidate))
}

/// What machines in a cloud ask for who they are.
const METADATA: &str = "the metadata service of a cloud, which gives out credentials of this machine";

/// What a grant would allow, if that is nothing to suggest.
pub(crate) fn better_denied(grant: &Grant) -> Option<String> {
    match grant.host {
        Destination::Address(address) => is_metadata(address).then(|| METADATA.to_owned()),
        Destination::Name(_) | Destination::Below(_) => {
            telemetry_of(grant).map(|of| format!("telemetry of {of}"))
        }
    }
}

/// Whose telemetry a grant would allow.
fn telemetry_of(grant: &Grant) -> Option<&'static str> {
    match &grant.host {
        Destination::Name(name) | Destination::Below(name) => telemetry(name),
        Destination::Address(_) => None,
    }
}

fn candidate(wish: &Wish) -> Option<Candidate> {
    let name = |name: &str| Some(Destination::Name(name.parse().ok()?));
    let (host, port, guessed) = match wish {
        Wish::Name(host) => (name(host)?, USUAL_PORT, true),
        Wish::Host(Protocol::Tcp, host, port) if *port > 0 => (name(host)?, *port, false),
        Wish::Address(Protocol::Tcp, address) if address.port() > 0 => {
            (Destination::of(address.ip())?, address.port(), false)
        }
        Wish::Host(..) | Wish::Address(..) => return None,
    };
    Some(Candidate { grant: Grant::new(host, port), guessed })
}

/// What to write so that all of `wanted` is granted, too. The ports of those that are not `known` are guesses.
fn suggestion(plan: &Plan, wanted: &BTreeSet<Grant>, known: &BTreeSet<Grant>) -> String {
    let guess = if wanted.is_subset(known) {
        String::new()
    } else {
        format!(
            " (port {USUAL_PORT} is a guess where only the name was asked for; `--network observe` shows it)"
        )
    };
    let named = first(wanted);
    if plan.experiment.is_none() {
        let options: Vec<_> = named.iter().map(|grant| format!("--network {grant}")).collect();
        return format!("to allow it, if that is meant: `{}`{guess}", options.join(" "));
    }
    let all: BTreeSet<_> = plan.network.iter().chain(named.iter().copied()).collect();
    let line = spec_line(all.into_iter());
    match line.len() > SUGGESTED_BYTES_MAX && !plan.network.is_empty() {
        true => {
            let added = elements(named.into_iter());
            format!("to allow it, if that is meant: `{added}` in `network` of the spec{guess}")
        }
        false => format!("to allow it, if that is meant: `{line}` in the spec{guess}"),
    }
}

/// As many as one suggestion names.
fn first(wanted: &BTreeSet<Grant>) -> Vec<&Grant> {
    let mut bytes = 0;
    let fits = |grant: &&Grant| {
        let before = bytes;
        bytes += grant.to_string().len();
        before < SUGGESTED_BYTES_MAX
    };
    wanted.iter().take_while(fits).collect()
}

/// `network = […]` as in a spec.
pub(crate) fn spec_line<'a>(grants: impl Iterator<Item = &'a Grant>) -> String {
    format!("network = [{}]", elements(grants))
}

fn elements<'a>(grants: impl Iterator<Item = &'a Grant>) -> String {
    let element = |grant: &Grant| match grant.tls {
        TlsNames::Granted => format!("\"{grant}\""),
        TlsNames::Any => {
            let to = Grant { tls: TlsNames::Granted, ..grant.clone() };
            format!("{{ to = \"{to}\", tls = \"any\" }}")
        }
    };
    grants.map(element).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_is_bounded() {
        let grants = |names: usize, length: usize| -> BTreeSet<Grant> {
            let part = "a".repeat(length);
            (0..names).map(|number| format!("n{number:04}.{part}.{part}:443").parse().unwrap()).collect()
        };
        assert_eq!(first(&grants(40, 10)).len(), 40);
        let long = grants(1_000, 63);
        let named = first(&long);
        let bytes: usize = named.iter().map(|grant| grant.to_string().len()).sum();
        assert!(!named.is_empty() && bytes < SUGGESTED_BYTES_MAX + 300, "{bytes}");
    }
}
