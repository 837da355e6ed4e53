//! The files of a code tree that ask for packages: of a snapshot, or of a directory as it is.

use std::collections::BTreeMap;
use std::path::Path;

use aseptic_model::{Digest, FilePath, escape_bytes};
use aseptic_store::{EntryKind, Store, StoreError};

use super::super::python::{Longer, entries, read};

/// Largest file of requirements: lock files of many packages have some megabytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Files that are read.
const FILES_MAX: usize = 100;

/// Files by their paths, and those that could not be read, with the reason.
#[derive(Debug, Default)]
pub(crate) struct CodeFiles {
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) unread: BTreeMap<String, String>,
}

impl CodeFiles {
    /// Those of a directory.
    pub(crate) fn in_directory(root: &Path) -> Self {
        let mut this = Self::default();
        for (directory, prefix) in [(root.to_owned(), ""), (root.join("requirements"), "requirements/")] {
            for path in entries(&directory) {
                let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
                if this.wants(name, prefix) && path.is_file() {
                    let bytes =
                        read(&path, FILE_BYTES_MAX, Longer::Refuse).map_err(|error| error.to_string());
                    this.add(format!("{prefix}{name}"), bytes);
                }
            }
        }
        this
    }

    /// Those of a snapshot in a store.
    pub(crate) fn in_snapshot(store: &Store, snapshot: &Digest) -> Result<Self, StoreError> {
        let mut this = Self::default();
        let mut trees = vec![(*snapshot, "")];
        let below = "requirements".parse::<FilePath>().ok();
        if let Some(entry) = below.and_then(|path| store.lookup(snapshot, &path).transpose()).transpose()?
            && let EntryKind::Directory { digest, .. } = entry.kind
        {
            trees.push((digest, "requirements/"));
        }
        for (tree, prefix) in trees {
            for entry in store.read_tree(&tree)?.entries() {
                let (Ok(name), EntryKind::File { size, digest, .. }) =
                    (std::str::from_utf8(&entry.name), &entry.kind)
                else {
                    continue;
                };
                if !this.wants(name, prefix) {
                    continue;
                }
                let bytes = match *size <= FILE_BYTES_MAX {
                    true => {
                        Ok(store.get_bytes(digest, usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX))?)
                    }
                    false => Err("it is too large".to_owned()),
                };
                this.add(format!("{prefix}{name}"), bytes);
            }
        }
        Ok(this)
    }

    fn add(&mut self, name: String, bytes: Result<Vec<u8>, String>) {
        let shown = escape_bytes(name.as_bytes());
        match bytes {
            Ok(bytes) => drop(self.files.insert(shown, bytes)),
            Err(why) => drop(self.unread.insert(shown, why)),
        }
    }

    fn wants(&self, name: &str, prefix: &str) -> bool {
        let text = name.ends_with(".txt");
        let names = ["requirements", "constraints"].iter().any(|start| name.starts_with(start));
        let asks = match prefix {
            "" => text && names || is_named(name),
            _ => text,
        };
        asks && self.files.len() + self.unread.len() < FILES_MAX
    }
}

fn is_named(name: &str) -> bool {
    let known = [
        "Pipfile",
        "Pipfile.lock",
        "conda-lock.yaml",
        "conda-lock.yml",
        "environment.yaml",
        "environment.yml",
        "pdm.lock",
        "poetry.lock",
        "pyproject.toml",
        "uv.lock",
    ];
    known.contains(&name) || name.starts_with("pylock") && name.ends_with(".toml")
}
