//! What is signed stays as it is, byte for byte, and every change of it is seen.

use std::path::{Path, PathBuf};

use aseptic_attest::{
    Artifact, AttestError, Envelope, FILES_MAX, Facts, MODEL_SIGNATURE, ModelFile, PublicKey, RunFacts,
    SigningKey, Statement, layout, link, link_name, model_signature, model_statement, parse_lines,
    parse_model_signature, provenance, trace,
};
use aseptic_model::{Diagnose, Lineage, Plan, RunRecord, Status, from_canonical};
use serde_json::Value;

fn golden<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/golden").join(name);
    from_canonical(&std::fs::read(path).unwrap()).unwrap()
}

fn with_facts<T>(change: impl FnOnce(&mut Plan, &mut RunRecord), with: impl FnOnce(&Facts<'_>) -> T) -> T {
    let (mut plan, mut record): (Plan, RunRecord) =
        (golden("plan-v1-network.json"), golden("run-v1-network.json"));
    change(&mut plan, &mut record);
    let run = RunFacts {
        plan: &plan,
        record: &record,
        ledger: "aseptic.local/ledger/0123456789ab",
        version: "1.2.3",
    };
    with(&Facts::new(run).unwrap())
}

/// Compares with the golden file, which `ASEPTIC_GOLDEN=write` writes.
fn assert_golden(name: &str, document: &Value) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let text = format!("{document:#}\n");
    if std::env::var_os("ASEPTIC_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{name}");
}

fn key() -> SigningKey {
    SigningKey::from_pem(&SigningKey::generate().unwrap()).unwrap()
}

/// The payload of an envelope with a good signature.
fn payload(envelope: &Envelope, key: &PublicKey) -> Value {
    serde_json::from_slice(envelope.verify(key).unwrap()).unwrap()
}

#[test]
fn statements_at_seal() {
    let key = key();
    let signed = |statement: &Statement| payload(&statement.sign(&key).unwrap(), key.public());
    with_facts(
        |_, _| {},
        |facts| {
            assert_golden("slsa.json", &signed(&provenance(facts).unwrap()));
            assert_golden("runtime-trace.json", &signed(&trace(facts)));
            assert_eq!(facts.invocation(), "aseptic.local/ledger/0123456789ab/default/xaq8vqxresgx");
        },
    );
}

#[test]
fn the_layout_of_a_run_and_its_link() {
    let (key, read) =
        (key(), Artifact { input: "train".parse().unwrap(), path: "x".into(), blake3: "0".repeat(64) });
    let public = key.public();
    with_facts(
        |_, _| {},
        |facts| {
            let text = payload(&layout(facts, &key).unwrap(), public).to_string();
            let settled =
                text.replace(&public.pem().replace('\n', "\\n"), "PEM").replace(public.id(), "KEYID");
            assert_golden("layout.json", &serde_json::from_str(&settled).unwrap());
            assert_golden("link.json", &payload(&link(facts, &[read], &key).unwrap(), public));
        },
    );
    assert_eq!(link_name(public), format!("run.{}.link", &public.id()[..8]));
}

#[test]
fn the_signature_of_a_model() {
    let file = |path: &str, digit: &str| ModelFile { path: path.to_owned(), sha256: digit.repeat(64) };
    // Names are compared one by one, so that a directory comes before what begins with its name.
    let files = [
        file("a.txt", "1"),
        file("a/b", "2"),
        file(".gitignore", "3"),
        file(".github/x", "4"),
        file(".aseptic-labels.json", "6"),
        file("b", "5"),
    ];
    let statement = model_statement("model", &files).unwrap();
    let key = key();
    let signature = model_signature("model", &files, &key).unwrap();
    let read = parse_model_signature(signature.to_string().as_bytes()).unwrap().unwrap();
    assert_golden("model.json", &payload(&read, key.public()));
    assert_eq!(Statement::of(&read).unwrap(), statement);
    assert_eq!(statement.predicate_type, MODEL_SIGNATURE);
    read.verify(key.public()).unwrap();
    assert!(read.verify(self::key().public()).is_err());

    let nothing = model_statement("model", &files[2..5]).unwrap_err();
    assert_eq!(nothing.diagnosis().code, "attest/inexpressible");
    assert!(model_statement("model", &[file("a", "x")]).is_err());
    assert!(parse_model_signature(b"{}").unwrap().is_none());
    let mut other = signature.clone();
    other["dsseEnvelope"] = Value::Null;
    assert!(parse_model_signature(other.to_string().as_bytes()).is_err());
}

#[test]
fn an_altered_statement_is_refused() {
    let key = key();
    let envelope = with_facts(|_, _| {}, |facts| provenance(facts).unwrap().sign(&key).unwrap());
    let line = envelope.to_line();
    assert_eq!(
        payload(&Envelope::parse(line.as_bytes()).unwrap(), key.public())["_type"],
        aseptic_attest::STATEMENT
    );
    // Each byte of the line in turn, but not all of a long one.
    for at in (0..line.len()).step_by(97) {
        let mut bytes = line.clone().into_bytes();
        bytes[at] ^= 1;
        let refused = Envelope::parse(&bytes).and_then(|read| read.verify(key.public()).map(drop));
        let error = refused.expect_err("a changed byte");
        assert!(matches!(error, AttestError::Format { .. } | AttestError::Signature { .. }), "{at}: {error}");
    }
    for length in [0, 1, line.len() / 2, line.len() - 1] {
        assert!(parse_lines(&line.as_bytes()[..length]).is_err(), "{length}");
    }
}

#[test]
fn a_statement_says_where_it_is_not_complete() {
    let traced = |change: fn(&mut Plan, &mut RunRecord)| {
        with_facts(change, |facts| trace(facts).predicate["coverage"].clone())
    };
    // The gateway counted denials that are not listed.
    let coverage = traced(|_, _| {});
    assert_eq!(
        (&coverage["files"]["complete"], &coverage["network"]["complete"]),
        (&true.into(), &false.into())
    );
    assert_eq!(coverage["network"]["unlistedDenials"], 3);
    let aborted = traced(|_, record| {
        record.status = Status::Aborted;
        record.egress = None;
        let because = Some("the supervisor of the run died".to_owned());
        record.lineage = Lineage { complete: false, incomplete_because: because, ..Lineage::default() };
    });
    assert_eq!(
        (&aborted["files"]["complete"], &aborted["network"]["complete"]),
        (&false.into(), &false.into())
    );
    let closed = traced(|plan, record| {
        plan.network.clear();
        plan.observe_network = false;
        record.egress = None;
    });
    assert_eq!(closed["network"]["complete"], true);
    let many = traced(|_, record| {
        let paths = (0..FILES_MAX + 5).map(|number| number.to_string().parse().unwrap()).collect();
        record.lineage.read.insert("train".parse().unwrap(), paths);
    });
    assert_eq!((&many["files"]["complete"], &many["files"]["unlisted"]), (&false.into(), &5.into()));
}

#[test]
fn too_many_outputs_are_stood_for_by_their_tree() {
    let subjects = |count: usize| {
        with_facts(
            |_, record| {
                let one = record.outputs[0].clone();
                record.outputs = (0..count)
                    .map(|number| aseptic_model::Output {
                        path: format!("out/{number}").parse().unwrap(),
                        ..one.clone()
                    })
                    .collect();
            },
            |facts| provenance(facts).unwrap().subject,
        )
    };
    assert_eq!(subjects(FILES_MAX).len(), FILES_MAX + 1);
    let [tree] = subjects(FILES_MAX + 1).try_into().unwrap();
    let said = tree.annotations.unwrap();
    assert_eq!((&said["filesListed"], &said["files"]), (&false.into(), &(FILES_MAX + 1).into()));
    assert_eq!(subjects(0).len(), 1, "a run that left nothing is about an empty tree");
}

#[test]
fn names_of_outputs_are_text() {
    let awkward = "out/\\x1b[2J \"'<script>";
    let statement = with_facts(
        |_, record| record.outputs[0].path = awkward.parse().unwrap(),
        |facts| provenance(facts).unwrap(),
    );
    let envelope = statement.sign(&key()).unwrap();
    assert_eq!(Statement::of(&Envelope::parse(envelope.to_line().as_bytes()).unwrap()).unwrap(), statement);
    assert!(!String::from_utf8_lossy(envelope.payload()).contains('\u{1b}'));
}
