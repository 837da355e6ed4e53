//! The table of families, and what several of them need.

mod channels;
mod credentials;
mod direct_ip;
mod dns_tunnelling;
mod floods;
mod fronting;
mod host_files;
mod icmp;
mod kernel;
mod metadata;
mod network;
mod other_gateways;
mod own_gateway;
mod packets;
mod persistence;
mod privilege;
mod processes;
mod rebinding;
mod resources;
mod tampering;
mod terminal;

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use crate::Said;
use crate::attempt::Family;

/// Every family, in the order of a report.
const FAMILIES: [Family; 21] = [
    channels::FAMILY,
    processes::FAMILY,
    host_files::FAMILY,
    credentials::FAMILY,
    privilege::FAMILY,
    kernel::FAMILY,
    network::FAMILY,
    dns_tunnelling::FAMILY,
    direct_ip::FAMILY,
    packets::FAMILY,
    icmp::FAMILY,
    metadata::FAMILY,
    rebinding::FAMILY,
    fronting::FAMILY,
    other_gateways::FAMILY,
    own_gateway::FAMILY,
    floods::FAMILY,
    resources::FAMILY,
    terminal::FAMILY,
    persistence::FAMILY,
    tampering::FAMILY,
];

/// Every family of attempts.
#[must_use]
pub fn families() -> &'static [Family] {
    &FAMILIES
}

/// How long to wait for an answer that should not come; a victim beside it answers in less than a
/// millisecond.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// How long to wait for an answer that may take its time on a busy machine; a refusal comes at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// The wall of several families.
const NETWORK: &str = "network namespace";

/// The secret at the end of a file.
fn secret(path: &Path) -> io::Result<Said> {
    Said::reached(tail(&fs::read(path)?))
}

/// The last sixteen bytes, as text: a canary, where there is one.
fn tail(bytes: &[u8]) -> String {
    let start = bytes.len().saturating_sub(16);
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}

/// What the other end of a connection says first.
fn greeting(mut stream: impl Read) -> io::Result<Said> {
    let mut bytes = [0; 16];
    stream.read_exact(&mut bytes)?;
    Said::reached(tail(&bytes))
}

/// The canary after `before` in `bytes`.
fn after(bytes: &[u8], before: &str) -> Option<String> {
    let at = bytes.windows(before.len()).position(|window| window == before.as_bytes())?;
    let canary = bytes.get(at + before.len()..at + before.len() + 16)?;
    Some(String::from_utf8_lossy(canary).into_owned())
}

/// The first answer of `ask` about one of `all`, or a refusal.
fn first<T>(
    all: impl IntoIterator<Item = T>,
    mut ask: impl FnMut(T) -> io::Result<Said>,
) -> io::Result<Said> {
    let mut last = io::Error::other("nothing to see");
    for one in all {
        match ask(one) {
            Ok(Said::Refused(why)) => last = io::Error::other(why),
            Ok(said) => return Ok(said),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_stable_in_form() {
        let mut names = BTreeSet::new();
        let attempts: Vec<_> = families().iter().flat_map(|family| family.attempts).collect();
        for attempt in &attempts {
            assert!(attempt.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            assert!(names.insert(attempt.name), "{} twice", attempt.name);
            assert!(!attempt.what.is_empty() && !attempt.wall.is_empty());
        }
        assert!(attempts.len() >= 200, "{}", attempts.len());
        assert!(families().iter().all(|family| !family.attempts.is_empty()));
    }
}
