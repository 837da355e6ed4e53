//! Requirements of Python, one by one and in files.
//!
//! Sources: PEP 508; pip's documentation of the requirements file format.

use super::Asked;

/// Lines of one file that are looked at.
pub(super) const LINES_MAX: usize = 100_000;
/// Longest requirement that is shown.
const SHOWN_CHARACTERS_MAX: usize = 200;

/// What one requirement asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Requirement {
    /// This version alone.
    Pinned { name: String, version: String, conditional: bool },
    /// One of several versions.
    Loose { name: String, wanted: String },
    /// No package, or one that is named by its bytes or commit.
    Nothing,
}

/// Understands a `requirements.txt`.
pub(super) fn file(text: &str) -> Asked {
    let mut asked = Asked::default();
    let mut whole = String::new();
    let mut start = 1;
    for (number, line) in text.lines().enumerate().take(LINES_MAX) {
        if whole.is_empty() {
            start = number + 1;
        }
        if let Some(more) = line.strip_suffix('\\') {
            whole.push_str(more);
            continue;
        }
        whole.push_str(line);
        asked.add(parse(&whole), start);
        whole.clear();
    }
    if !whole.is_empty() {
        asked.add(parse(&whole), start);
    }
    asked
}

/// Understands one requirement.
pub(super) fn parse(line: &str) -> Requirement {
    let line = line.split(" #").next().unwrap_or_default().trim();
    if line.is_empty() || line.starts_with(['#', '-']) {
        return Requirement::Nothing; // Options, such as `-r`, name other files, which are read by their names.
    }
    let (line, hashed) =
        line.split_once(" --").map_or((line, false), |(line, rest)| (line, rest.starts_with("hash")));
    let shown = || line.trim().chars().take(SHOWN_CHARACTERS_MAX).collect::<String>();
    if line.split_once("://").is_some_and(|(scheme, _)| !scheme.contains([' ', '@']))
        || line.starts_with(['.', '/'])
    {
        let fixed = hashed || is_fixed(line);
        let name =
            line.rsplit(['=', '/']).next().unwrap_or(line).chars().take(SHOWN_CHARACTERS_MAX).collect();
        return if fixed { Requirement::Nothing } else { Requirement::Loose { name, wanted: shown() } };
    }
    let (wanted, marker) =
        line.split_once(';').map_or((line, None), |(wanted, marker)| (wanted, Some(marker)));
    let end =
        wanted.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(wanted.len());
    let (name, rest) = wanted.split_at(end);
    if name.is_empty() {
        return Requirement::Nothing;
    }
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(extras) => extras.split_once(']').map_or("", |(_, rest)| rest),
        None => rest,
    };
    let rest = rest.trim().trim_start_matches('(').trim_end_matches(')').trim();
    let loose = || Requirement::Loose { name: name.to_owned(), wanted: shown() };
    if let Some(url) = rest.strip_prefix('@') {
        return if hashed || is_fixed(url) { Requirement::Nothing } else { loose() };
    }
    match exact(rest) {
        Some(version) => Requirement::Pinned {
            name: name.to_owned(),
            version: version.to_owned(),
            conditional: marker.is_some(),
        },
        None => loose(),
    }
}

/// The version of `==1.2` and `===1.2`.
pub(super) fn exact(specifier: &str) -> Option<&str> {
    let version = specifier.strip_prefix("===").or_else(|| specifier.strip_prefix("=="))?.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || ".+!-_".contains(c);
    (!version.is_empty() && version.chars().all(plain)).then_some(version)
}

/// Whether a URL names one content: by its digest, or by a commit of a repository.
fn is_fixed(url: &str) -> bool {
    let (place, fragment) = url.split_once('#').unwrap_or((url, ""));
    let is_digest = |part: &str| {
        let digits = part.split_once('=').map_or("", |(_, digits)| digits);
        part.starts_with("sha") && digits.len() >= 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let commit = place.trim().rsplit_once('@').map_or("", |(_, revision)| revision);
    let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    fragment.trim().split('&').any(is_digest) || is_commit
}
