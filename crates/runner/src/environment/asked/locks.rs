//! Lock files: every package with its one version.
//!
//! Sources: PEP 751 (`pylock.toml`); the lock files of uv, Poetry, PDM, Pipenv and conda-lock.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::de::DeTable;

use super::Asked;
use super::requirement::{LINES_MAX, exact};
use super::toml_files::line_of;
use super::version::Exact;

/// Understands a lock file of TOML with a list of packages called `list`.
pub(super) fn toml(text: &str, list: &str) -> Asked {
    let Ok(root) = DeTable::parse(text) else { return Asked::unreadable("it is not TOML") };
    let mut asked = Asked { is_lock: true, ..Asked::default() };
    let packages = root.get_ref().get(list).and_then(|packages| packages.get_ref().as_array());
    for package in packages.into_iter().flatten().take(LINES_MAX) {
        let Some(table) = package.get_ref().as_table() else { continue };
        let word = |key: &str| table.get(key).and_then(|value| value.get_ref().as_str());
        // A package of a directory or a repository may have no version.
        if let (Some(name), Some(version)) = (word("name"), word("version")) {
            let line = table.get("name").map_or(1, |name| line_of(text, name));
            asked.pin(name, Exact::whole(version), line, true);
        }
    }
    asked
}

/// Understands a `Pipfile.lock`.
pub(super) fn pipfile(bytes: &[u8]) -> Asked {
    #[derive(Deserialize)]
    struct Lock {
        #[serde(default)]
        default: BTreeMap<String, Locked>,
        #[serde(default)]
        develop: BTreeMap<String, Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        version: Option<String>,
    }
    let Ok(lock) = serde_json::from_slice::<Lock>(bytes) else {
        return Asked::unreadable("it is not JSON of a lock");
    };
    let mut asked = Asked { is_lock: true, ..Asked::default() };
    for (name, locked) in lock.default.iter().chain(&lock.develop).take(LINES_MAX) {
        if let Some(version) = locked.version.as_deref().and_then(exact) {
            asked.pin(name, Exact::whole(version), 1, true);
        }
    }
    asked
}

/// Understands what `conda-lock` writes: a list whose items have `name` and `version` on lines of their own.
pub(super) fn conda(text: &str) -> Asked {
    let mut asked = Asked { is_lock: true, ..Asked::default() };
    let mut name = None;
    for (number, line) in text.lines().enumerate().take(LINES_MAX) {
        let value = |key: &str| {
            line.trim_start_matches([' ', '-'])
                .strip_prefix(key)
                .map(|value| value.trim().trim_matches(['\'', '"']))
        };
        if let Some(found) = value("name:") {
            name = Some((found, number + 1));
        } else if let (Some(version), Some((name, line))) = (value("version:"), name.take()) {
            asked.pin(name, Exact::whole(version), line, true);
        }
    }
    asked
}
