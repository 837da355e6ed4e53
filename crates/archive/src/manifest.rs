//! The list of what an archive holds: `manifest.json`.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{
    CanonicalError, Digest, Label, Metadata, ProjectName, Retained, Retention, from_canonical, to_canonical,
};
use serde::{Deserialize, Serialize};

/// Version tag of [`Manifest`].
const SCHEMA: &str = "aseptic.archive/1";
/// Version tag of [`Incoming`].
const INCOMING_SCHEMA: &str = "aseptic.archive-incoming/1";

/// Name of the manifest. It is put last, so an archive without one is not complete.
pub const MANIFEST: &str = "manifest.json";
/// Name of the mark of an archive that is being written. It is put first, and removed last.
pub const INCOMING: &str = "incoming.json";

/// Largest manifest that is read: of about a million files.
pub const MANIFEST_BYTES_MAX: usize = 256 << 20;

/// What an archive holds; see `docs/formats/archive.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `aseptic.archive/1`.
    pub schema: String,
    /// Of what it is the archive, in the project below.
    pub object: Retained,
    /// Where that is at home.
    pub project: ProjectName,
    /// Trees of the store that are complete in it. Of a dataset version it is one.
    pub snapshots: BTreeSet<Digest>,
    /// Objects that are in it besides: of a run its plan, its record and its logs.
    pub objects: BTreeSet<Digest>,
    /// Number of files in the trees.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
    /// Labels that it had.
    pub labels: BTreeSet<Label>,
    /// What was said about it.
    pub metadata: Metadata,
    /// Its own retention class.
    pub retention: Option<Retention>,
    /// Every other file of the archive, by its path.
    pub contents: BTreeMap<String, FileSum>,
}

/// What a file must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSum {
    /// Its size in bytes.
    pub bytes: u64,
    /// Digest of its content.
    pub blake3: Digest,
}

impl Manifest {
    /// The version tag that a new manifest has.
    #[must_use]
    pub fn schema() -> String {
        SCHEMA.to_owned()
    }

    /// The bytes that are put: canonical JSON, whose BLAKE3 names the archive.
    ///
    /// # Errors
    /// [`CanonicalError`]; no value of this type has one.
    pub fn encode(&self) -> Result<Vec<u8>, CanonicalError> {
        to_canonical(self)
    }

    /// Reads what [`Manifest::encode`] wrote, and nothing else.
    ///
    /// # Errors
    /// Why it is none, in words.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = from_canonical(bytes).map_err(|error| error.to_string())?;
        if manifest.schema != SCHEMA {
            return Err(format!("it is not of the form {SCHEMA}"));
        }
        if manifest.encode().ok().as_deref() != Some(bytes) {
            return Err("it is not in canonical form".to_owned());
        }
        match manifest.contents.keys().find(|path| !is_archive_path(path)) {
            Some(path) => Err(format!("`{}` is no file of an archive", path.escape_debug())),
            None if manifest.snapshots.is_empty() && manifest.objects.is_empty() => {
                Err("it names nothing".to_owned())
            }
            None => Ok(manifest),
        }
    }

    /// Sum of the sizes of the files, in bytes.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.contents.values().map(|sum| sum.bytes).fold(0, u64::saturating_add)
    }
}

/// Says that an archive of this object is being written to a place, or was not completed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incoming {
    /// `aseptic.archive-incoming/1`.
    pub schema: String,
    /// As in the manifest that will follow.
    pub object: Retained,
    /// As in the manifest that will follow.
    pub project: ProjectName,
    /// As in the manifest that will follow.
    pub snapshots: BTreeSet<Digest>,
}

impl Incoming {
    /// The mark of an archive of this content.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            schema: INCOMING_SCHEMA.to_owned(),
            object: manifest.object.clone(),
            project: manifest.project.clone(),
            snapshots: manifest.snapshots.clone(),
        }
    }
}

/// Whether this is the path of a file that a store of format 2 has: nothing else is put, got or removed.
#[must_use]
pub fn is_archive_path(path: &str) -> bool {
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["format"] => true,
        ["packs", name] => name.strip_suffix(".pack").is_some_and(|id| is_hex(id, 32)),
        ["segments", name] => is_hex(name, 32),
        ["objects", prefix, name] => is_hex(prefix, 2) && is_hex(name, 64) && name.starts_with(prefix),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_store_have_a_place() {
        let hex = "0123456789abcdef".repeat(4);
        for good in [
            "format".to_owned(),
            format!("packs/{}.pack", &hex[..32]),
            format!("segments/{}", &hex[..32]),
            format!("objects/01/{hex}"),
        ] {
            assert!(is_archive_path(&good), "{good}");
        }
        for bad in [
            String::new(),
            "manifest.json".into(),
            "../format".into(),
            "/format".into(),
            "packs/../../../x.pack".into(),
            format!("packs/{}", &hex[..32]),
            format!("packs/{}.pack", hex[..32].to_uppercase()),
            format!("objects/02/{hex}"),
            format!("objects/01/{hex}/x"),
            "lock".into(),
        ] {
            assert!(!is_archive_path(&bad), "{bad}");
        }
    }

    #[test]
    fn a_manifest_has_one_form() {
        let manifest = Manifest {
            schema: Manifest::schema(),
            object: "digits@1".parse().unwrap(),
            project: "default".parse().unwrap(),
            snapshots: [Digest::of(b"tree")].into(),
            objects: BTreeSet::new(),
            files: 1,
            bytes: 2,
            labels: ["pii".parse().unwrap()].into(),
            metadata: [("licence".parse().unwrap(), "MIT".parse().unwrap())].into(),
            retention: None,
            contents: [("format".into(), FileSum { bytes: 16, blake3: Digest::of(b"format") })].into(),
        };
        let bytes = manifest.encode().unwrap();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest.clone()));
        for (from, to) in [
            ("archive/1", "archive/2"),
            ("\"format\"", "\"formats\""),
            ("{\"bytes\":2", "{ \"bytes\":2"),
            ("\"files\":1", "\"files\":1,\"more\":1"),
        ] {
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(text.contains(from), "{from} in {text}");
            Manifest::decode(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        }
    }
}
