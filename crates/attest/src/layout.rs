//! in-toto layout and link: what a run was allowed to read and to leave, and what it read and left.
//!
//! `in-toto-verify` holds one against the other. Source: in-toto specification v1.0, in DSSE envelopes (ITE-5).

use std::collections::BTreeMap;

use aseptic_model::{InputName, to_canonical};
use serde_json::{Map, Value, json};

use crate::{AttestError, Envelope, Facts, IN_TOTO_PAYLOAD, PublicKey, SigningKey};

/// Name of the one step.
const STEP: &str = "run";

/// The layout says what was allowed to a run that is over, so it never ends; the format wants a date.
const EXPIRES: &str = "9999-12-31T23:59:59Z";

/// A file that a run read, with the digest that its tree gives it.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The input that it is in.
    pub input: InputName,
    /// Its path there.
    pub path: String,
    /// BLAKE3 in hexadecimal digits.
    pub blake3: String,
}

/// The signed layout of a run: it may read its inputs and its code, and leave files in `/out` and `/work`.
///
/// # Errors
/// [`AttestError::Random`].
pub fn layout(facts: &Facts<'_>, key: &SigningKey) -> Result<Envelope, AttestError> {
    let plan = facts.run.plan;
    let mut materials: Vec<Value> = Vec::new();
    for name in plan.inputs.keys() {
        materials.push(json!(["ALLOW", format!("data/{name}")]));
        materials.push(json!(["ALLOW", format!("data/{name}/*")]));
    }
    materials.extend(plan.code.iter().map(|_| json!(["ALLOW", "work"])));
    materials.push(json!(["DISALLOW", "*"]));
    let products = json!([["CREATE", "out/*"], ["CREATE", "work/*"], ["DISALLOW", "*"]]);
    let keys: Map<_, _> =
        [(key.public().id().to_owned(), key.public().as_layout_key())].into_iter().collect();
    let layout = json!({
        "_type": "layout",
        "expires": EXPIRES,
        "readme": format!("What run {} was allowed to read and to leave.", facts.invocation()),
        "keys": keys,
        "steps": [{
            "_type": "step", "name": STEP, "threshold": 1, "pubkeys": [key.public().id()],
            "expected_command": plan.command, "expected_materials": materials, "expected_products": products,
        }],
        "inspect": [],
    });
    Envelope::sign(IN_TOTO_PAYLOAD, to_canonical(&layout)?, key)
}

/// The signed link of a run: its inputs and code as trees, the files that it read, the files that it left.
///
/// # Errors
/// [`AttestError::Random`].
pub fn link(facts: &Facts<'_>, read: &[Artifact], key: &SigningKey) -> Result<Envelope, AttestError> {
    let (plan, record) = (facts.run.plan, facts.run.record);
    let mut materials = BTreeMap::new();
    for (name, input) in &plan.inputs {
        materials.insert(format!("data/{name}"), json!({ "blake3": input.snapshot }));
    }
    if let Some(code) = &plan.code {
        materials.insert("work".to_owned(), json!({ "blake3": code.snapshot }));
    }
    for file in read {
        materials.insert(format!("data/{}/{}", file.input, file.path), json!({ "blake3": file.blake3 }));
    }
    let products: BTreeMap<_, _> = record
        .outputs
        .iter()
        .map(|output| (output.path.to_string(), json!({ "sha256": output.sha256, "blake3": output.blake3 })))
        .collect();
    let link = json!({
        "_type": "link",
        "name": STEP,
        "command": plan.command,
        "materials": materials,
        "products": products,
        "byproducts": {
            "return-value": record.exit_code, "status": record.status.as_str(),
            "stdout": digest(record.logs.stdout.as_ref()), "stderr": digest(record.logs.stderr.as_ref()),
        },
        "environment": {
            "run": facts.invocation(), "record": facts.record_digest,
            "materials-complete": record.lineage.complete,
        },
    });
    Envelope::sign(IN_TOTO_PAYLOAD, to_canonical(&link)?, key)
}

fn digest(log: Option<&aseptic_model::Log>) -> String {
    log.map_or(String::new(), |log| format!("blake3:{}", log.blake3))
}

/// Name of the file of the link, by which `in-toto-verify` finds it.
#[must_use]
pub fn link_name(key: &PublicKey) -> String {
    format!("{STEP}.{}.link", key.id().get(..8).unwrap_or_default())
}
