//! Packages of conda, from the files that it keeps of each: `conda-meta/NAME-VERSION-BUILD.json`.
//!
//! Source: conda's `PrefixRecord`, as its documentation of the package metadata describes it.

use std::collections::BTreeMap;
use std::path::Path;

use aseptic_model::{FindingCode, InstalledPackage, PackageKind, PackageOrigin};
use serde::Deserialize;

use super::super::python::{Longer, WORD_CHARACTERS_MAX, read};
use super::{Found, licence, listing, origin};

/// Largest description: it lists every file of the package.
const RECORD_BYTES_MAX: u64 = 32 << 20;

#[derive(Deserialize)]
struct Description {
    name: String,
    version: String,
    #[serde(default)]
    build: Option<String>,
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    sha256: Option<String>,
    #[serde(default)]
    md5: Option<String>,
    #[serde(default)]
    license: Option<String>,
    #[serde(default)]
    requested_spec: Option<String>,
}

/// Adds the packages that `directory` describes.
pub(super) fn scan(directory: &Path, prefix: &Path, found: &mut Found) {
    for path in listing(directory, found) {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue; // `history` is beside them.
        }
        let relative = path.strip_prefix(prefix).unwrap_or(&path);
        let place = aseptic_model::escape_bytes(relative.as_os_str().as_encoded_bytes());
        let bytes = read(&path, RECORD_BYTES_MAX, Longer::Refuse).ok();
        match bytes.and_then(|bytes| parse(&bytes, &place)) {
            Some(package) => found.package(package),
            None => {
                let subject = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let detail = "conda's description of it cannot be understood".to_owned();
                found.finding(FindingCode::Unreadable, subject, Some(place), detail);
            }
        }
    }
}

/// Understands one description; nothing where it is none.
pub(super) fn parse(bytes: &[u8], place: &str) -> Option<InstalledPackage> {
    let Description { name, version, build, channel, sha256, md5, license, requested_spec } =
        serde_json::from_slice(bytes).ok()?;
    let short = |text: &String| !text.is_empty() && text.chars().count() <= WORD_CHARACTERS_MAX;
    if !short(&name) || !short(&version) {
        return None;
    }
    let digests = [("sha256", sha256), ("md5", md5)];
    let archive: BTreeMap<_, _> =
        digests.into_iter().filter_map(|(name, value)| origin::digest(name, &value?)).collect();
    let channel = channel.map(|channel| origin::without_secrets(&channel));
    let build = build.filter(short).unwrap_or_default();
    Some(InstalledPackage {
        name,
        version,
        kind: PackageKind::Conda,
        place: place.to_owned(),
        record: None,
        archive,
        licence: licence::licence(None, license.as_deref(), &[]),
        installer: Some("conda".to_owned()),
        requested: requested_spec.map(|spec| !spec.is_empty() && spec != "None"),
        origin: channel.map(|channel| PackageOrigin::Channel { channel, build }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_of_conda() {
        let text = r#"{"name": "numpy", "version": "1.26.4", "build": "py311h64a7726_0", "build_number": 0,
            "channel": "https://u:t@conda.anaconda.org/t/conda-forge/linux-64", "fn": "numpy-1.26.4.conda",
            "sha256": "3f4365e11b28e244c95ba8579942b0802761ba7bb31c026f50d1a9ea9c728149",
            "md5": "a502d7aad449a1206efb366d6a12c52d", "license": "BSD-3-Clause", "requested_spec": "numpy",
            "files": ["bin/f2py"], "depends": ["python >=3.11"], "link": {"type": 1}}"#;
        let package = parse(text.as_bytes(), "conda-meta/numpy.json").unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str()), ("numpy", "1.26.4"));
        let channel = "https://conda.anaconda.org/t/conda-forge/linux-64".to_owned();
        let build = "py311h64a7726_0".to_owned();
        assert_eq!(package.origin, Some(PackageOrigin::Channel { channel, build }));
        assert_eq!(package.archive.keys().collect::<Vec<_>>(), ["md5", "sha256"]);
        assert_eq!(package.licence.unwrap().expression.as_deref(), Some("BSD-3-Clause"));
        assert_eq!(package.requested, Some(true));
        for none in ["", "{}", "[]", r#"{"name": "", "version": "1"}"#, r#"{"name": 1, "version": "1"}"#] {
            assert_eq!(parse(none.as_bytes(), ""), None, "{none}");
        }
    }
}
