//! Questions that were kept are read for ever.

use aseptic_policy::{Question, notes, risk};

use crate::world::{Case, evaluates};

const GOLDEN: &str = include_str!("../golden/requests-v1.json");

fn with_everything() -> Case {
    evaluates()
        .labelled("pii")
        .network("*.example.org:443")
        .observes()
        .unpinned("code", "no commit has exactly this code")
        .without_landlock()
        .accepts("landlock")
        .gpus("all")
        .at("data.test", "aseptic.toml:7")
}

#[test]
fn a_question_of_the_first_version_is_read_and_written_as_it_was() {
    let question: Question = serde_json::from_str(GOLDEN).unwrap();
    let bytes = aseptic_model::to_canonical(&question).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), GOLDEN.trim_end());
    assert_eq!(Some(risk(&question.requests)), question.risk);
    assert_eq!(notes(&question), notes(&with_everything().question()));
}

/// Writes the golden file of a new version: `cargo test -p aseptic-policy -- --ignored write_the_golden_question`.
#[test]
#[ignore = "writes a file of the source"]
fn write_the_golden_question() {
    let mut bytes = aseptic_model::to_canonical(&with_everything().question()).unwrap();
    bytes.push(b'\n');
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/requests-v1.json");
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_question_without_a_score_is_read() {
    let mut question: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
    question.as_object_mut().unwrap().remove("risk");
    let question: Question = serde_json::from_value(question).unwrap();
    assert_eq!(question.risk, None);
}
