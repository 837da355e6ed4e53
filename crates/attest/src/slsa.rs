//! SLSA provenance v1: how the outputs of a run came to be.
//!
//! Source: `spec/build-provenance.md` of slsa-framework/slsa, v1.

use aseptic_model::{Log, RunRecord, canonical_digest, to_canonical};
use serde_json::{Map, Value, json};

use crate::statement::subjects;
use crate::text::{pypi, sha256};
use crate::{AttestError, Facts, Statement};

/// Predicate type.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// What `externalParameters` and `internalParameters` mean.
pub const BUILD_TYPE: &str =
    "https://github.com/aseptic-dev/aseptic/blob/main/docs/formats/attestation.md#run-v1";

/// Who vouches for it: aseptic on the machine whose ledger has the key.
pub const BUILDER: &str =
    "https://github.com/aseptic-dev/aseptic/blob/main/docs/formats/attestation.md#builder-v1";

/// The statement about the outputs of a run.
///
/// # Errors
/// [`AttestError::Canonical`].
pub fn provenance(facts: &Facts<'_>) -> Result<Statement, AttestError> {
    let record = facts.run.record;
    let predicate = json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": external(facts),
            "internalParameters": internal(facts),
            "resolvedDependencies": dependencies(facts)?,
        },
        "runDetails": {
            "builder": { "id": BUILDER, "version": { "aseptic": facts.run.version } },
            "metadata": {
                "invocationId": facts.invocation(),
                "startedOn": record.planned,
                "finishedOn": record.ended,
            },
            "byproducts": byproducts(facts),
        },
    });
    Ok(Statement::new(subjects(record), PROVENANCE, predicate))
}

/// What the person who started the run chose.
fn external(facts: &Facts<'_>) -> Value {
    let plan = facts.run.plan;
    let inputs: Map<_, _> =
        plan.inputs.iter().map(|(name, input)| (name.to_string(), input.source.to_string().into())).collect();
    json!({
        "project": plan.project,
        "experiment": plan.experiment,
        "command": plan.command,
        "params": plan.params,
        "inputs": inputs,
        "network": plan.network,
        "limits": plan.limits,
        "variables": plan.environment.variables,
        "gpus": plan.gpus,
        "ports": plan.ports,
        "clock": plan.clock,
        "accept": plan.accept,
        "observeNetwork": plan.observe_network,
        "labels": plan.labels,
        "keep": plan.keep,
    })
}

/// What the machine added.
fn internal(facts: &Facts<'_>) -> Value {
    let RunRecord { environment, walls, .. } = facts.run.record;
    let walls: Vec<_> = walls.iter().filter(|wall| !wall.is_unasked()).collect();
    json!({ "host": environment.host, "walls": walls })
}

fn dependencies(facts: &Facts<'_>) -> Result<Vec<Value>, AttestError> {
    let (plan, record) = (facts.run.plan, facts.run.record);
    let mut all = vec![json!({
        "name": "plan",
        "digest": { "blake3": facts.plan_digest, "sha256": facts.plan_sha256 },
        "mediaType": "application/json",
    })];
    let decision = to_canonical(&record.decision)?;
    let rules: Vec<_> = record.decision.reasons.iter().map(|reason| &reason.rule).collect();
    let built_in = || format!("built into aseptic {}", facts.run.version);
    all.push(json!({
        "name": "decision",
        "digest": { "blake3": canonical_digest(&record.decision)?, "sha256": sha256(&decision) },
        "mediaType": "application/json",
        "annotations": {
            "outcome": record.decision.outcome.as_str(), "rules": rules,
            "policy": plan.policy.map_or_else(built_in, |policy| policy.to_string()),
        },
    }));
    if let Some(code) = &plan.code {
        all.push(json!({
            "name": "code",
            "digest": { "blake3": code.snapshot },
            "annotations": { "digestOf": "aseptic.tree/1", "files": code.files, "bytes": code.bytes },
        }));
        // Another thing than the tree, which may have changes on top of it.
        all.extend(code.git_commit.as_ref().map(|commit| {
            json!({
                "name": "commit", "digest": { "gitCommit": commit },
                "annotations": { "note": "the commit that was checked out; `code` is what ran" },
            })
        }));
    }
    for (name, input) in &plan.inputs {
        let labels: Vec<_> = input.labels.iter().map(ToString::to_string).collect();
        all.push(json!({
            "name": format!("data/{name}"),
            "digest": { "blake3": input.snapshot },
            "annotations": {
                "digestOf": "aseptic.tree/1", "source": input.source.to_string(), "files": input.files,
                "bytes": input.bytes, "labels": labels,
            },
        }));
    }
    if let Some(python) = &plan.environment.python {
        all.push(json!({
            "name": "python",
            "digest": { "blake3": python.interpreter },
            "annotations": { "version": python.version, "prefix": python.prefix },
        }));
        for package in &python.packages {
            let record = package.record.map(|record| json!({ "recordBlake3": record }));
            let mut descriptor =
                json!({ "name": package.name, "uri": pypi(&package.name, &package.version) });
            if let (Some(object), Some(record)) = (descriptor.as_object_mut(), record) {
                object.insert("annotations".to_owned(), record);
            }
            all.push(descriptor);
        }
    }
    Ok(all)
}

fn byproducts(facts: &Facts<'_>) -> Vec<Value> {
    let record = facts.run.record;
    let labels: Vec<_> = record.labels.iter().map(ToString::to_string).collect();
    let mut all = vec![json!({
        "name": "record",
        "digest": { "blake3": facts.record_digest, "sha256": facts.record_sha256 },
        "mediaType": "application/json",
        "annotations": {
            "status": record.status.as_str(), "exitCode": record.exit_code, "signal": record.signal,
            "reason": record.reason, "durationMs": record.duration_ms,
            "outputsNotKept": record.skipped.len(), "labels": labels,
        },
    })];
    let logs = &record.logs;
    let kept = [("stdout", logs.stdout.as_ref()), ("stderr", logs.stderr.as_ref()), ("stdin", logs.given())];
    let log = |(name, log): (&str, Option<&Log>)| {
        log.map(|log| {
            json!({
                "name": name, "digest": { "blake3": log.blake3 },
                "annotations": { "bytes": log.size, "bytesNotKept": log.dropped },
            })
        })
    };
    all.extend(kept.into_iter().filter_map(log));
    all
}
