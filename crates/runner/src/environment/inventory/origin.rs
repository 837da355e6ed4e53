//! Where a package comes from, as `direct_url.json` says.
//!
//! Source: PEP 610, "Recording the Direct URL Origin of installed distributions".

use std::collections::BTreeMap;

use aseptic_model::PackageOrigin;
use serde::Deserialize;

/// Longest URL, path or revision that is kept.
const WORD_CHARACTERS_MAX: usize = 1000;

/// An origin, and the digests of the archive where it is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Direct {
    pub(super) origin: PackageOrigin,
    pub(super) archive: BTreeMap<String, String>,
}

/// Understands a `direct_url.json`; nothing where it is none.
pub(super) fn parse(bytes: &[u8]) -> Option<Direct> {
    let DirectUrl { url, vcs_info, archive_info, dir_info } = serde_json::from_slice(bytes).ok()?;
    let url = without_secrets(&url);
    let mut archive = BTreeMap::new();
    let origin = match (vcs_info, archive_info, dir_info) {
        (Some(VcsInfo { vcs, commit_id }), ..) => {
            PackageOrigin::Vcs { vcs: bounded(&vcs), url, commit: commit_id.map(|commit| bounded(&commit)) }
        }
        (None, _, Some(DirInfo { editable })) => PackageOrigin::Directory { path: path_of(&url), editable },
        (None, Some(ArchiveInfo { hash, hashes }), None) => {
            let old = hash.as_deref().and_then(|hash| hash.split_once('='));
            let all = hashes.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(old);
            archive.extend(all.filter_map(|(name, value)| digest(name, value)).take(8));
            PackageOrigin::Archive { url }
        }
        (None, None, None) => return None,
    };
    Some(Direct { origin, archive })
}

/// Name and digits of a digest that may be one.
pub(super) fn digest(name: &str, value: &str) -> Option<(String, String)> {
    let name_ok = (2..=16).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let value_ok = (16..=128).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    (name_ok && value_ok).then(|| (name.to_ascii_lowercase(), value.to_ascii_lowercase()))
}

/// A URL without user, password and query, any of which may be a secret.
pub(super) fn without_secrets(url: &str) -> String {
    let url = bounded(url);
    let (url, fragment) = url.split_once('#').map_or((url.as_str(), None), |(url, rest)| (url, Some(rest)));
    let url = url.split('?').next().unwrap_or_default();
    let plain = match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    };
    match fragment {
        Some(fragment) if !fragment.is_empty() => format!("{plain}#{fragment}"),
        _ => plain,
    }
}

/// The path of a `file:` URL, as it is on this machine.
fn path_of(url: &str) -> String {
    url.strip_prefix("file://").unwrap_or(url).to_owned()
}

fn bounded(text: &str) -> String {
    text.chars().take(WORD_CHARACTERS_MAX).collect()
}

#[derive(Deserialize)]
struct DirectUrl {
    url: String,
    vcs_info: Option<VcsInfo>,
    archive_info: Option<ArchiveInfo>,
    dir_info: Option<DirInfo>,
}

#[derive(Deserialize)]
struct VcsInfo {
    vcs: String,
    commit_id: Option<String>,
}

#[derive(Deserialize)]
struct ArchiveInfo {
    hash: Option<String>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct DirInfo {
    #[serde(default)]
    editable: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_origin_and_no_secret() {
        let origin = |text: &str| parse(text.as_bytes()).unwrap().origin;
        let git = r#"{"url": "https://ada:token@git.example:8443/a/b.git?key=1",
                      "vcs_info": {"vcs": "git", "commit_id": "abc", "requested_revision": "main"}}"#;
        let url = "https://git.example:8443/a/b.git".to_owned();
        assert_eq!(origin(git), PackageOrigin::Vcs { vcs: "git".into(), url, commit: Some("abc".into()) });
        let dir = r#"{"url": "file:///home/ada/lib", "dir_info": {"editable": true}}"#;
        let path = "/home/ada/lib".to_owned();
        assert_eq!(origin(dir), PackageOrigin::Directory { path, editable: true });
        let archive = format!(
            r#"{{"url": "https://x.example/a.whl", "archive_info": {{"hash": "sha256={0}", "hashes": {{"sha256": "{0}"}}}}}}"#,
            "AB".repeat(32)
        );
        let direct = parse(archive.as_bytes()).unwrap();
        assert_eq!(direct.origin, PackageOrigin::Archive { url: "https://x.example/a.whl".into() });
        assert_eq!(direct.archive, BTreeMap::from([("sha256".to_owned(), "ab".repeat(32))]));
        assert_eq!(without_secrets("http://u:p@h#sha256=1"), "http://h#sha256=1");
        assert_eq!(without_secrets("ssh://git@h/p@q"), "ssh://h/p@q");
        for none in ["", "[]", "{}", r#"{"url": "x"}"#, r#"{"url": 1, "dir_info": {}}"#, "\u{0}"] {
            assert_eq!(parse(none.as_bytes()), None, "{none}");
        }
    }
}
