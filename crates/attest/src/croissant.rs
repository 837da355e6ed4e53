//! Croissant 1.0: what a dataset version is, for loaders and search engines of others.
//!
//! Source: MLCommons Croissant 1.0.

use std::collections::BTreeSet;

use aseptic_model::{DatasetName, Digest, Label, Metadata, Timestamp};
use serde_json::{Map, Value, json};

use crate::text::sorted;

/// A version of a dataset.
#[derive(Clone, Debug)]
pub struct Dataset<'a> {
    /// Its name.
    pub name: &'a DatasetName,
    /// Its version, from 1.
    pub version: u32,
    /// Its tree.
    pub snapshot: Digest,
    /// When it was imported.
    pub added: Timestamp,
    /// Its labels.
    pub labels: &'a BTreeSet<Label>,
    /// What is said about it; `licence`, `source`, `owner` and `description` have places in the document.
    pub metadata: &'a Metadata,
    /// Its files.
    pub files: &'a [DatasetFile],
}

/// A file of a dataset version.
#[derive(Clone, Debug)]
pub struct DatasetFile {
    /// Its path in the dataset.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 in lowercase hexadecimal digits.
    pub sha256: String,
}

/// The official context, without which readers warn.
const CONTEXT: &str = include_str!("croissant/context.json");

/// The document of a dataset version. Paths are relative to the directory that it lies in.
///
/// # Errors
/// None in practice: the context that is part of the program is JSON.
pub fn croissant(dataset: &Dataset<'_>) -> Result<Value, serde_json::Error> {
    let said = |key: &str| {
        let mut all = dataset.metadata.iter();
        all.find(|(name, _)| name.as_str() == key).map(|(_, value)| value.as_str().to_owned())
    };
    let mut document: Map<String, Value> = Map::new();
    document.insert("@context".to_owned(), serde_json::from_str(CONTEXT)?);
    let name = dataset.name.to_string();
    let description =
        said("description").unwrap_or_else(|| format!("Version {} of the dataset {name}.", dataset.version));
    let fields = json!({
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": description,
        "version": format!("{}.0.0", dataset.version),
        "datePublished": dataset.added.to_string(),
        "identifier": dataset.snapshot.to_string(),
        "citeAs": format!("{name}@{} ({})", dataset.version, dataset.snapshot),
        "license": said("licence").or_else(|| said("license")).unwrap_or_else(|| "not stated".to_owned()),
        "url": said("source").unwrap_or_else(|| format!("urn:blake3:{}", dataset.snapshot)),
        "keywords": dataset.labels.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "distribution": dataset.files.iter().map(file).collect::<Vec<_>>(),
    });
    if let Value::Object(fields) = fields {
        document.extend(fields);
    }
    if let Some(owner) = said("owner") {
        document.insert("creator".to_owned(), json!({ "@type": "sc:Organization", "name": owner }));
    }
    Ok(sorted(Value::Object(document)))
}

fn file(file: &DatasetFile) -> Value {
    json!({
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": format!("{} B", file.size),
        "encodingFormat": media_type(&file.path),
        "sha256": file.sha256,
    })
}

/// The media type that a name promises; the bytes are not looked at.
fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => "text/csv",
        Some("json") => "application/json",
        Some("jsonl") => "application/jsonl",
        Some("parquet") => "application/x-parquet",
        Some("txt") => "text/plain",
        Some("tsv") => "text/tab-separated-values",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("gz") => "application/gzip",
        Some("tar") => "application/x-tar",
        Some("zip") => "application/zip",
        _ => "application/octet-stream",
    }
}
