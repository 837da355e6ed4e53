//! in-toto Statement v1: what a predicate is about.
//!
//! Source: `spec/v1` of in-toto/attestation.

use std::collections::BTreeMap;

use aseptic_model::{RunRecord, to_canonical};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{AttestError, Envelope, IN_TOTO_PAYLOAD, SigningKey};

/// The type of every statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// Most files that a statement lists, as subjects or as read: 3 MB. Beyond it stands for them the tree that
/// they are in, and the statement says so.
pub const FILES_MAX: usize = 10_000;

/// A statement. Read back from files of others, so members that we do not know are kept out of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// [`STATEMENT`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// What it is about.
    pub subject: Vec<Subject>,
    /// What kind of predicate it has.
    pub predicate_type: String,
    /// What it says.
    pub predicate: Value,
}

/// One thing that a statement is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name: the path of an output.
    #[serde(default)]
    pub name: String,
    /// Its digests by algorithm, in hexadecimal digits.
    #[serde(default)]
    pub digest: BTreeMap<String, String>,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Value>,
}

impl Statement {
    pub(crate) fn new(subject: Vec<Subject>, predicate_type: &str, predicate: Value) -> Self {
        Self { kind: STATEMENT.to_owned(), subject, predicate_type: predicate_type.to_owned(), predicate }
    }

    /// The signed envelope of its canonical bytes.
    ///
    /// # Errors
    /// [`AttestError::Random`], [`AttestError::Canonical`].
    pub fn sign(&self, key: &SigningKey) -> Result<Envelope, AttestError> {
        Envelope::sign(IN_TOTO_PAYLOAD, to_canonical(self)?, key)
    }

    /// The statement that is the payload of `envelope`, whose signature the caller verifies.
    ///
    /// # Errors
    /// [`AttestError::Format`].
    pub fn of(envelope: &Envelope) -> Result<Self, AttestError> {
        let wrong = |why: String| AttestError::Format { what: "in-toto statement", why };
        if envelope.payload_type() != IN_TOTO_PAYLOAD {
            return Err(wrong("its payload is of another type".to_owned()));
        }
        let statement: Self =
            serde_json::from_slice(envelope.payload()).map_err(|error| wrong(error.to_string()))?;
        if statement.kind != STATEMENT {
            return Err(wrong("its `_type` is another".to_owned()));
        }
        // It is printed, and a signer may be a stranger.
        if !statement.predicate_type.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("its `predicateType` is no URI".to_owned()));
        }
        Ok(statement)
    }
}

/// The outputs of a run: their tree, and each file unless there are too many.
pub(crate) fn subjects(record: &RunRecord) -> Vec<Subject> {
    let listed = record.outputs.len() <= FILES_MAX;
    let tree = record.outputs_snapshot.map(|tree| Subject {
        name: "outputs".to_owned(),
        digest: BTreeMap::from([("blake3".to_owned(), tree.to_string())]),
        annotations: Some(json!({
            "digestOf": "aseptic.tree/1", "files": record.outputs.len(), "filesListed": listed,
        })),
    });
    let files = record.outputs.iter().filter(|_| listed).map(|output| Subject {
        name: output.path.to_string(),
        digest: BTreeMap::from([
            ("blake3".to_owned(), output.blake3.to_string()),
            ("sha256".to_owned(), output.sha256.clone()),
        ]),
        annotations: None,
    });
    tree.into_iter().chain(files).collect()
}
