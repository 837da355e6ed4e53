//! CycloneDX 1.6: a bill of materials of what a run made, the data and libraries that went into it.
//!
//! Source: CycloneDX 1.6, machine-learning model cards and data components.

use aseptic_model::{
    Input, InputName, InstalledPackage, Inventory, Label, Output, PackageKind, PackageOrigin, RunRecord,
};
use serde_json::{Value, json};

use crate::names::{HOME_PAGE, TOOL, VERSION, job_name, uuid};
use crate::text::sorted;

/// Outputs with this label are models.
pub const MODEL_LABEL: &str = "model";

/// The bill of materials of a sealed run. A run whose outputs have the label `model` is a
/// `machine-learning-model` with a model card; another is an `application`.
///
/// Only what the run could touch is listed, and that is all it could touch. Libraries have licences, digests of their
/// archives and origins where there is an `inventory` of the environment.
#[must_use]
pub fn cyclonedx(record: &RunRecord, inventory: Option<&Inventory>) -> Value {
    let is_model = record.labels.iter().any(|label| label.as_str() == MODEL_LABEL);
    let inputs: Vec<Value> = record.inputs.keys().map(|name| json!({ "ref": input_ref(name) })).collect();
    let this = format!("run:{}", record.run);
    let mut subject = json!({
        "type": if is_model { "machine-learning-model" } else { "application" },
        "bom-ref": this,
        "name": job_name(record),
        "version": record.run.to_string(),
        "properties": properties(record),
    });
    if is_model && !inputs.is_empty() {
        subject["modelCard"] = json!({ "modelParameters": { "datasets": inputs } });
    }
    let mut packages: Vec<_> = match inventory {
        Some(inventory) => inventory.packages.iter().map(inventoried).collect(),
        None => {
            let packages = record.environment.python.iter().flat_map(|python| &python.packages);
            packages.map(|package| library(&package.name, &package.version)).collect()
        }
    };
    packages.sort_by(|a, b| a["bom-ref"].as_str().cmp(&b["bom-ref"].as_str()));
    packages.dedup_by(|a, b| a["bom-ref"] == b["bom-ref"]);
    let data = record.inputs.iter().map(|(name, input)| dataset(name, input));
    let files = record.outputs.iter().map(file);
    let components: Vec<Value> = data.chain(packages).chain(files).collect();
    let needs = |component: &&Value| component["type"] != "file";
    let needed: Vec<_> = components.iter().filter(needs).map(|component| &component["bom-ref"]).collect();
    let mut dependencies = vec![json!({ "ref": this, "dependsOn": needed })];
    for output in components.iter().filter(|component| component["type"] == "file") {
        dependencies.push(json!({ "ref": output["bom-ref"], "dependsOn": [this] }));
    }
    sorted(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(&record.project, &record.run)),
        "version": 1,
        "metadata": {
            "timestamp": record.ended.to_string(),
            "tools": { "components": [{
                "type": "application", "name": TOOL, "version": VERSION,
                "externalReferences": [{ "type": "vcs", "url": HOME_PAGE }],
            }] },
            "component": subject,
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn input_ref(name: &InputName) -> String {
    format!("input:{name}")
}

fn property(name: &str, value: impl ToString) -> Value {
    json!({ "name": format!("aseptic:{name}"), "value": value.to_string() })
}

fn labels<'a>(labels: impl IntoIterator<Item = &'a Label>) -> impl Iterator<Item = Value> {
    labels.into_iter().map(|label| property("label", label))
}

fn properties(record: &RunRecord) -> Vec<Value> {
    let mut all = vec![
        property("project", &record.project),
        property("plan", record.plan),
        property("status", record.status),
    ];
    if let Some(code) = &record.code {
        all.push(property("code", code.snapshot));
        all.extend(code.git_commit.as_ref().map(|commit| property("git-commit", commit)));
    }
    all.extend(record.params.iter().map(|(name, value)| property(&format!("param:{name}"), value)));
    all.extend(labels(&record.labels));
    all
}

fn dataset(name: &InputName, input: &Input) -> Value {
    let mut properties = vec![
        property("files", input.files),
        property("bytes", input.bytes),
        property("tree", input.snapshot),
    ];
    properties.extend(labels(&input.labels));
    json!({
        "type": "data", "bom-ref": input_ref(name), "name": input.source.to_string(),
        "version": input.snapshot.to_string(),
        "data": [{ "type": "dataset", "name": input.source.to_string() }],
        "properties": properties,
    })
}

fn library(name: &str, version: &str) -> Value {
    let purl = format!("pkg:pypi/{}@{}", purl_name(name), percent(version));
    json!({ "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl })
}

/// A package with what its inventory says of it.
fn inventoried(package: &InstalledPackage) -> Value {
    let InstalledPackage { name, version, .. } = package;
    let mut component = library(name, version);
    match (package.kind, &package.origin) {
        (PackageKind::Conda, origin) => {
            let build = match origin {
                Some(PackageOrigin::Channel { build, .. }) => format!("?build={}", percent(build)),
                _ => String::new(),
            };
            let purl = format!("pkg:conda/{}@{}{build}", percent(name), percent(version));
            component["purl"] = json!(purl);
            component["bom-ref"] = json!(purl);
        }
        (_, Some(PackageOrigin::Vcs { vcs, url, commit })) => {
            let commit = commit.as_ref().map(|commit| format!("@{commit}")).unwrap_or_default();
            let from = percent(&format!("{vcs}+{url}{commit}"));
            let purl = format!("pkg:pypi/{}@{}?vcs_url={from}", purl_name(name), percent(version));
            component["purl"] = json!(purl);
            component["bom-ref"] = json!(purl);
        }
        (_, Some(PackageOrigin::Directory { .. })) => {
            // No index has it, so it has no name among packages.
            component.as_object_mut().map(|fields| fields.remove("purl"));
            component["bom-ref"] = json!(format!("package:{}@{}", percent(name), percent(version)));
        }
        _ => {}
    }
    if let Some(licence) = &package.licence {
        component["licenses"] = match &licence.expression {
            Some(expression) => json!([{ "expression": expression }]),
            None => json!([{ "license": { "name": licence.as_str() } }]),
        };
    }
    let hashes: Vec<_> = package.archive.iter().filter_map(|(name, digits)| hash(name, digits)).collect();
    if !hashes.is_empty() {
        component["hashes"] = json!(hashes);
    }
    let origin = package.origin.as_ref().map(|origin| property("origin", described(origin)));
    let record = package.record.map(|digest| property("record", digest));
    let installer = package.installer.as_ref().map(|installer| property("installer", installer));
    let properties: Vec<_> = [origin, record, installer].into_iter().flatten().collect();
    if !properties.is_empty() {
        component["properties"] = json!(properties);
    }
    component
}

/// A digest in the words of the format; nothing where it has none for it.
fn hash(name: &str, digits: &str) -> Option<Value> {
    let known =
        [("md5", "MD5", 32), ("sha1", "SHA-1", 40), ("sha256", "SHA-256", 64), ("sha384", "SHA-384", 96)];
    let all = known.into_iter().chain([("sha512", "SHA-512", 128)]);
    let (_, algorithm, _) =
        all.into_iter().find(|(known, _, length)| *known == name && digits.len() == *length)?;
    Some(json!({ "alg": algorithm, "content": digits }))
}

fn described(origin: &PackageOrigin) -> String {
    match origin {
        PackageOrigin::Vcs { vcs, url, commit } => {
            format!("{vcs} {url} {}", commit.as_deref().unwrap_or("at an unknown commit"))
        }
        PackageOrigin::Directory { path, editable: true } => format!("editable {path}"),
        PackageOrigin::Directory { path, editable: false } => format!("directory {path}"),
        PackageOrigin::Archive { url } => format!("archive {url}"),
        PackageOrigin::Channel { channel, build } => format!("channel {channel} {build}"),
    }
}

/// A name as a package URL has it: lower case, and `-` for `_`.
fn purl_name(name: &str) -> String {
    percent(&name.to_lowercase().replace('_', "-"))
}

fn percent(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

fn file(output: &Output) -> Value {
    json!({
        "type": "file", "bom-ref": format!("output:{}", output.path), "name": output.path.to_string(),
        "hashes": [
            { "alg": "SHA-256", "content": output.sha256 },
            { "alg": "BLAKE3", "content": output.blake3.to_string() },
        ],
        "properties": [property("bytes", output.size)],
    })
}
