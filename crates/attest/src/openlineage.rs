//! OpenLineage 2-0-2: the start and the end of a run, with its inputs and outputs, for catalogs of others.
//!
//! Source: OpenLineage 2-0-2; each facet names its own schema.

use aseptic_model::{Digest, Input, Label, RunRecord, Status};
use serde_json::{Map, Value, json};

use crate::names::{HOME_PAGE, TOOL, VERSION, job_name, uuid};
use crate::text::sorted;

const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// Two events of a sealed run: its start, and its end. A service takes each by an HTTP POST.
///
/// Datasets and runs are named within the namespace `aseptic:PROJECT`; the version of a dataset is the digest
/// of its tree.
#[must_use]
pub fn openlineage(record: &RunRecord) -> [Value; 2] {
    let start = event(record, "START", &record.planned.to_string(), &run_facets(record, false));
    let kind = match record.status {
        Status::Succeeded => "COMPLETE",
        Status::Aborted => "ABORT",
        _ => "FAIL",
    };
    let end = event(record, kind, &record.ended.to_string(), &run_facets(record, true));
    [start, end]
}

fn event(record: &RunRecord, kind: &str, time: &str, facets: &Value) -> Value {
    let namespace = format!("{TOOL}:{}", record.project);
    let inputs: Vec<Value> = record.inputs.values().map(|input| dataset(record, input)).collect();
    let mut event = json!({
        "eventTime": time,
        "eventType": kind,
        "producer": HOME_PAGE,
        "schemaURL": SCHEMA,
        "run": { "runId": uuid(&record.project, &record.run), "facets": facets },
        "job": { "namespace": namespace, "name": job_name(record), "facets": {
            "jobType": facet("2-0-4/JobTypeJobFacet", json!({
                "processingType": "BATCH", "integration": "ASEPTIC", "jobType": "RUN",
            })),
        } },
        "inputs": inputs,
        "outputs": [],
    });
    if let (true, Some(snapshot)) = (kind != "START", &record.outputs_snapshot) {
        let bytes: u64 = record.outputs.iter().map(|output| output.size).sum();
        let mut output = json!({
            "namespace": namespace,
            "name": format!("run:{}", record.run),
            "facets": dataset_facets(snapshot, &record.labels),
        });
        output["outputFacets"] = json!({
            "outputStatistics": facet("1-0-2/OutputStatisticsOutputDatasetFacet", json!({
                "size": bytes, "fileCount": record.outputs.len(),
            })),
        });
        event["outputs"] = json!([output]);
    }
    sorted(event)
}

fn run_facets(record: &RunRecord, ended: bool) -> Value {
    let mut facets = Map::new();
    let engine = json!({ "name": TOOL, "version": VERSION, "openlineageAdapterVersion": VERSION });
    facets.insert("processing_engine".to_owned(), facet("1-1-1/ProcessingEngineRunFacet", engine));
    if let (true, Some(reason)) = (ended, &record.reason) {
        let message = json!({ "message": reason, "programmingLanguage": "UNKNOWN" });
        facets.insert("errorMessage".to_owned(), facet("1-0-1/ErrorMessageRunFacet", message));
    }
    Value::Object(facets)
}

fn dataset(record: &RunRecord, input: &Input) -> Value {
    json!({
        "namespace": format!("{TOOL}:{}", record.project),
        "name": match &input.source {
            aseptic_model::InputSource::Dataset { name, .. } => name.to_string(),
            source @ aseptic_model::InputSource::Artifact { .. } => source.to_string(),
        },
        "facets": dataset_facets(&input.snapshot, &input.labels),
    })
}

fn dataset_facets<'a>(snapshot: &Digest, labels: impl IntoIterator<Item = &'a Label>) -> Value {
    let tag = |label: &Label| {
        let text = label.to_string();
        let (key, value) = text.split_once('=').unwrap_or((&text, "true"));
        json!({ "key": key, "value": value, "source": "ASEPTIC" })
    };
    let tags: Vec<Value> = labels.into_iter().map(tag).collect();
    json!({
        "version": facet("1-0-1/DatasetVersionDatasetFacet", json!({ "datasetVersion": snapshot.to_string() })),
        "tags": facet("1-0-0/TagsDatasetFacet", json!({ "tags": tags })),
    })
}

/// A facet with its schema, `VERSION/NAME`.
fn facet(schema: &str, mut body: Value) -> Value {
    let name = schema.split('/').next_back().unwrap_or_default();
    body["_producer"] = json!(HOME_PAGE);
    body["_schemaURL"] = json!(format!("https://openlineage.io/spec/facets/{schema}.json#/$defs/{name}"));
    body
}
