//! What nobody can know from evidence alone.

use aseptic_ledger::Checkpoint;

use super::document::{Document, Line};

pub(super) fn not_proven(
    document: &Document,
    timeline: &[Line],
    checkpoint: &Checkpoint,
    key_given: bool,
    statements: usize,
    signer: &str,
) -> Vec<String> {
    let mut list = vec![
        "that it is complete: whoever exported it could leave entries out".to_owned(),
        "that the files of runs are listed as they were: the key of this machine says so, and the statements of \
         each run"
            .to_owned(),
        "how one thing came of another: the key of this machine says so".to_owned(),
    ];
    if !key_given {
        list.push(format!(
            "whose ledger it is: compare `{signer}` with the key that was published, or give it with --key"
        ));
    }
    let signatures = checkpoint.to_string().lines().filter(|line| line.starts_with('\u{2014}')).count();
    if signatures > 1 {
        list.push(format!("that the ledger had no other history: {} cosignatures of witnesses are there, and were not verified", signatures - 1));
    } else {
        list.push("that the ledger had no other history: no witness cosigned the checkpoint".to_owned());
    }
    let hidden: usize = timeline.iter().map(|line| line.not_known.len()).sum();
    if hidden > 0 {
        list.push(format!("what {hidden} values of people were: they were erased or are missing"));
    }
    let unsigned = document.runs.len().saturating_sub(statements);
    if unsigned > 0 {
        list.push(format!("what {unsigned} runs did: they have no signed statements, or go on"));
    }
    if !document.unseen.is_empty() {
        list.push("that no other run had what is meant: trees were deleted before anybody looked".to_owned());
    }
    list
}
