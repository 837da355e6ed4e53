//! The packages of an environment, from the files that installers leave.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aseptic_model::{Digest, Package};
use serde::Deserialize;

use super::{Longer, RECORD_BYTES_MAX, TEXT_BYTES_MAX, WORD_CHARACTERS_MAX, entries, read, sites};

#[derive(Default)]
pub(super) struct Packages {
    pub(super) packages: BTreeSet<Package>,
    /// Directories that the environment imports from.
    pub(super) outside: BTreeSet<PathBuf>,
}

impl Packages {
    /// Adds what is installed below `prefix`.
    pub(super) fn scan(&mut self, prefix: &Path) {
        for site in sites(prefix) {
            self.scan_site(&site);
        }
    }

    fn scan_site(&mut self, site: &Path) {
        for path in entries(site) {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("dist-info") => self.add(&path, &path.join("METADATA")),
                Some("egg-info") if path.is_dir() => self.add(&path, &path.join("PKG-INFO")),
                Some("egg-info") => self.add(&path, &path),
                Some("egg-link" | "pth") => self.follow(&path),
                _ => {}
            }
        }
    }

    /// Adds the package of `installed`, by its headers or, if those cannot be read, by its file name.
    fn add(&mut self, installed: &Path, headers: &Path) {
        let bytes = read(headers, TEXT_BYTES_MAX, Longer::Cut).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        // Headers end at the first empty line; what follows is a description.
        let header = |name: &str| {
            let line =
                text.lines().take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix(name));
            line.map(str::trim).filter(|word| !word.is_empty() && word.chars().count() <= WORD_CHARACTERS_MAX)
        };
        let stem = installed.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
        let (name, version) = stem.split_once('-').unwrap_or((&stem, "unknown"));
        let record = read(&installed.join("RECORD"), RECORD_BYTES_MAX, Longer::Refuse).ok();
        self.packages.insert(Package {
            name: header("Name:").unwrap_or(name).to_owned(),
            version: header("Version:").unwrap_or(version).to_owned(),
            record: record.map(|bytes| Digest::of(&bytes)),
        });
        let url = read(&installed.join("direct_url.json"), TEXT_BYTES_MAX, Longer::Refuse).ok();
        let url: Option<DirectUrl> = url.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(DirectUrl { url, dir_info: Some(DirInfo { editable: true }) }) = url {
            self.outside.insert(url.strip_prefix("file://").unwrap_or(&url).into());
        }
    }

    /// Adds the directories that a `.pth` or `.egg-link` file names.
    fn follow(&mut self, file: &Path) {
        let bytes = read(file, TEXT_BYTES_MAX, Longer::Cut).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        self.outside
            .extend(text.lines().map(str::trim).filter(|line| line.starts_with('/')).map(PathBuf::from));
    }
}

/// Of PEP 610, which has other fields too.
#[derive(Deserialize)]
struct DirectUrl {
    url: String,
    dir_info: Option<DirInfo>,
}

#[derive(Deserialize)]
struct DirInfo {
    #[serde(default)]
    editable: bool,
}
