//! Process Run Crate 0.5: the outputs of a run as a research object, with what made them.
//!
//! Source: RO-Crate 1.1 and the Process Run Crate profile 0.5 of Workflow Run RO-Crate.

use aseptic_model::{RunRecord, Status};
use serde_json::{Value, json};

use crate::names::{HOME_PAGE, TOOL, VERSION, job_name};
use crate::text::sorted;

/// Name of the metadata file of a crate.
pub const CRATE_FILE: &str = "ro-crate-metadata.json";

/// Has no term for SHA-256, which schema.org has.
const CONTEXT: &str = "https://w3id.org/ro/crate/1.1/context";
const PROFILE: &str = "https://w3id.org/ro/wfrun/process/0.5";

/// The metadata of a crate: the content of [`CRATE_FILE`] in a directory that has every output of the run at
/// its path. `licence` is that of the results, as text or URL.
#[must_use]
pub fn ro_crate(record: &RunRecord, licence: Option<&str>) -> Value {
    let files: Vec<Value> = record.outputs.iter().map(|output| id(&output.path.to_string())).collect();
    let inputs: Vec<Value> =
        record.inputs.keys().map(|name| json!({ "@id": format!("#input-{name}") })).collect();
    let status = match record.status {
        Status::Succeeded => "http://schema.org/CompletedActionStatus",
        _ => "http://schema.org/FailedActionStatus",
    };
    let run = format!("#run-{}", record.run);
    let name = format!("{} of run {}", job_name(record), record.run);
    let mut graph = vec![
        json!({
            "@id": CRATE_FILE, "@type": "CreativeWork",
            "conformsTo": { "@id": "https://w3id.org/ro/crate/1.1" }, "about": { "@id": "./" },
        }),
        json!({
            "@id": "./", "@type": "Dataset", "name": name,
            "description": format!("Outputs of the sealed run {} in the project {}.", record.run, record.project),
            "datePublished": record.ended.to_string(),
            "license": licence.unwrap_or("No licence was stated."),
            "conformsTo": { "@id": PROFILE },
            "hasPart": files, "mentions": { "@id": run },
        }),
        json!({ "@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5" }),
        json!({
            "@id": "#program", "@type": "SoftwareApplication", "name": job_name(record),
            "softwareRequirements": { "@id": "#aseptic" }, "url": HOME_PAGE,
            "version": record.code.as_ref().map_or_else(
                || record.plan.to_string(),
                |code| code.git_commit.clone().unwrap_or_else(|| code.snapshot.to_string()),
            ),
        }),
        json!({
            "@id": "#aseptic", "@type": "SoftwareApplication", "name": TOOL, "version": VERSION, "url": HOME_PAGE,
        }),
    ];
    let mut action = json!({
        "@id": run, "@type": "CreateAction", "name": name, "description": record.command.join(" "),
        "instrument": { "@id": "#program" }, "object": inputs, "result": files,
        "startTime": record.planned.to_string(), "endTime": record.ended.to_string(),
        "actionStatus": { "@id": status },
    });
    if let Some(reason) = &record.reason {
        action["error"] = json!(reason);
    }
    graph.push(action);
    for (name, input) in &record.inputs {
        graph.push(json!({
            "@id": format!("#input-{name}"), "@type": "CreativeWork", "name": input.source.to_string(),
            "identifier": input.snapshot.to_string(),
            "keywords": input.labels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        }));
    }
    for output in &record.outputs {
        let path = output.path.to_string();
        let mut file = id(&path);
        file["@type"] = json!("File");
        file["name"] = json!(path);
        file["contentSize"] = json!(output.size.to_string());
        file["sha256"] = json!(output.sha256);
        graph.push(file);
    }
    let context = json!([CONTEXT, { "sha256": "https://schema.org/sha256" }]);
    sorted(json!({ "@context": context, "@graph": graph }))
}

/// A reference to the file `path` of the crate.
fn id(path: &str) -> Value {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    json!({ "@id": path.bytes().map(escape).collect::<String>() })
}
