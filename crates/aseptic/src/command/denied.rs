//! What a run was denied, for people; and whether a failure looks as if it was.

use std::fmt::Write as _;

use aseptic_model::{Denied, RunRecord};

use crate::table::{columns, command};

/// Rows shown under one advice.
const ROWS: usize = 10;

/// Whether something of a job was denied that is known without looking at its attempts.
pub(crate) fn is_seen(record: &RunRecord) -> bool {
    let unlisted = unlisted_of_network(record);
    record.status.has_started() && (!record.denied.is_empty() || unlisted > 0)
}

fn unlisted_of_network(record: &RunRecord) -> u64 {
    record.egress.as_ref().map_or(0, |egress| egress.unlisted_denials)
}

/// Everything denied, grouped by what would help.
pub(crate) fn describe(record: &RunRecord) -> String {
    let unlisted = record.observed.map_or(0, |observed| observed.unlisted) + unlisted_of_network(record);
    if record.denied.is_empty() && unlisted == 0 {
        return "  denied: nothing that is on this machine".to_owned();
    }
    let count: u64 = record.denied.iter().map(|denied| denied.count).sum();
    let mut text = format!("  denied: {count} attempt{}", if count == 1 { "" } else { "s" });
    let mut groups: Vec<(&str, Vec<&Denied>)> = Vec::new();
    for denied in &record.denied {
        let help = denied.help.as_deref().unwrap_or("");
        match groups.iter_mut().find(|(other, _)| *other == help) {
            Some((_, group)) => group.push(denied),
            None => groups.push((help, vec![denied])),
        }
    }
    for (help, group) in &groups {
        let rows: Vec<_> = group.iter().take(ROWS).map(|denied| row(denied)).collect();
        let _ = write!(text, "\n    {}", columns(&rows).join("\n    "));
        if group.len() > ROWS {
            let _ = write!(text, "\n    and {} more: `aseptic show {}`", group.len() - ROWS, record.run);
        }
        // Of an evaluation nothing is known that could be granted.
        if !help.is_empty() {
            let _ = write!(text, "\n      help: {help}");
        }
    }
    if unlisted > 0 {
        let _ = write!(text, "\n    and {unlisted} attempts that did not fit into the list");
    }
    text
}

fn row(denied: &Denied) -> [String; 4] {
    let why = denied.reason.map_or("", |reason| reason.as_str());
    [denied.action.clone(), denied.target.clone(), times(denied.count), why.to_owned()]
}

pub(crate) fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// What programs print when something is not there or not writable.
const SIGNS: [&str; 8] = [
    "FileNotFoundError",
    "PermissionError",
    "No such file or directory",
    "Permission denied",
    "Operation not permitted",
    "Read-only file system",
    "LocalEntryNotFoundError",
    "command not found",
];

/// What programs print when a host is not reached.
const NETWORK_SIGNS: [&str; 9] = [
    "Network is unreachable",
    "Name or service not known",
    "Temporary failure in name resolution",
    "Could not resolve host",
    "NameResolutionError",
    "Connection refused",
    "Connection reset",
    "Connection aborted",
    "ConnectionError",
];

/// Whether a failed run may have failed at a wall: its program was not found, or the end of what it printed
/// says what a denied attempt looks like.
pub(crate) fn looks_denied(record: &RunRecord, tail: &[u8]) -> bool {
    let tail = String::from_utf8_lossy(tail);
    let mut signs = SIGNS.iter().chain(&NETWORK_SIGNS);
    matches!(record.exit_code, Some(126 | 127)) || signs.any(|sign| tail.contains(sign))
}

/// Whether it may have failed at the network although nothing of that was denied. Everything that is denied
/// there is listed, so there is nothing to explain.
pub(crate) fn looks_unreachable(record: &RunRecord, tail: &[u8]) -> bool {
    let tail = String::from_utf8_lossy(tail);
    record.egress.as_ref().is_some_and(|egress| egress.complete)
        && NETWORK_SIGNS.iter().any(|sign| tail.contains(sign))
}

/// What to look at then.
pub(crate) const UNREACHABLE: &str = "of the network nothing was denied: look whether this machine reaches what is \
     granted. `localhost` in a run is the run itself; a server of this machine is `--network 127.0.0.1:PORT`";

/// The command that was typed, with `--explain`.
pub(crate) fn explained(mut words: Vec<String>) -> String {
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    words.insert(end, "--explain".to_owned());
    if let Some(program) = words.first_mut() {
        "aseptic".clone_into(program);
    }
    command(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_the_same_with_one_word_more() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect();
        let again = |line| explained(words(line));
        assert_eq!(
            again("/usr/bin/aseptic run --param a=1 -- python3 -- x"),
            "aseptic run --param a=1 --explain -- python3 -- x"
        );
        assert_eq!(again("aseptic run train"), "aseptic run train --explain");
    }
}
