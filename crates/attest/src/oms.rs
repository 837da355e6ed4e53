//! OpenSSF model signing: one signature over every file of a model.
//!
//! Source: sigstore/model-transparency, predicate type `https://model_signing/signature/v1.0`, and the Sigstore
//! bundle v0.3 with a public key.

use std::collections::BTreeMap;

use aseptic_model::to_canonical;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::dsse::ENVELOPE_BYTES_MAX;
use crate::statement::{Statement, Subject};
use crate::text::{sha256, sorted};
use crate::{AttestError, Envelope, IN_TOTO_PAYLOAD, SigningKey};

/// Predicate type.
pub const MODEL_SIGNATURE: &str = "https://model_signing/signature/v1.0";

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The list of labels that an export writes beside the files of a model, at the top of their directory.
pub const LABELS_FILE: &str = ".aseptic-labels.json";

/// Files at the top of a model that its signature leaves out, and names, so that verifiers leave them out: those of
/// git, as `model_signing` does without options, and the list of labels, which is written after the signature.
const IGNORED: [&str; 5] = [LABELS_FILE, ".git", ".gitattributes", ".github", ".gitignore"];

/// Whether the signature of a model leaves out `path`.
#[must_use]
pub fn is_ignored(path: &str) -> bool {
    IGNORED.contains(&path.split('/').next().unwrap_or(path))
}

/// One file of a model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelFile {
    /// Its path in the directory of the model.
    pub path: String,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// The statement that is signed: about the model `name`, a directory with these files.
///
/// # Errors
/// [`AttestError::Inexpressible`]: there are no files; [`AttestError::Format`]: a digest is none.
pub fn model_statement(name: &str, files: &[ModelFile]) -> Result<Statement, AttestError> {
    let mut files: Vec<_> = files.iter().filter(|file| !is_ignored(&file.path)).collect();
    // As pathlib sorts paths: name by name.
    files.sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
    if files.is_empty() {
        let what = "a model without files".to_owned();
        return Err(AttestError::Inexpressible { format: "a model signature", what });
    }
    let mut root = sha2::Sha256::new();
    let mut resources = Vec::with_capacity(files.len());
    for file in files {
        let digest = HEXLOWER.decode(file.sha256.as_bytes()).map_err(|_| AttestError::Format {
            what: "SHA-256 digest",
            why: format!("that of `{}` is not in hexadecimal digits", file.path),
        })?;
        root.update(&digest);
        resources.push(json!({ "name": file.path, "algorithm": "sha256", "digest": file.sha256 }));
    }
    let digest = BTreeMap::from([("sha256".to_owned(), HEXLOWER.encode(&root.finalize()))]);
    let subject = Subject { name: name.to_owned(), digest, annotations: None };
    let predicate = json!({
        "serialization": {
            "method": "files", "hash_type": "sha256", "allow_symlinks": false, "ignore_paths": IGNORED,
        },
        "resources": resources,
    });
    Ok(Statement::new(vec![subject], MODEL_SIGNATURE, predicate))
}

/// The file with the signature of the model: a Sigstore bundle that names a public key.
///
/// # Errors
/// As [`model_statement`]; [`AttestError::Random`].
pub fn model_signature(name: &str, files: &[ModelFile], key: &SigningKey) -> Result<Value, AttestError> {
    let payload = to_canonical(&model_statement(name, files)?)?;
    let envelope = Envelope::sign(IN_TOTO_PAYLOAD, payload, key)?;
    Ok(sorted(json!({
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            "publicKey": { "hint": sha256(key.public().pem().as_bytes()) },
            "tlogEntries": [],
        },
        "dsseEnvelope": envelope.to_value(),
    })))
}

/// The envelope in the signature of a model, if `text` is one; nothing where it is something else. Nothing of it is
/// verified yet.
///
/// # Errors
/// [`AttestError::Format`]: it is the signature of a model, and damaged.
pub fn parse_model_signature(text: &[u8]) -> Result<Option<Envelope>, AttestError> {
    if text.len() > ENVELOPE_BYTES_MAX {
        return Ok(None);
    }
    let Ok(bundle) = serde_json::from_slice::<Value>(text) else { return Ok(None) };
    if bundle.get("mediaType").and_then(Value::as_str) != Some(MEDIA_TYPE) {
        return Ok(None);
    }
    let wrong = |why: &str| AttestError::Format { what: "model signature", why: why.to_owned() };
    let envelope = bundle.get("dsseEnvelope").ok_or_else(|| wrong("it has no envelope"))?;
    Ok(Some(Envelope::parse(envelope.to_string().as_bytes())?))
}
