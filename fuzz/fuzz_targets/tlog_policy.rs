//! Trust policies, and what they say about a checkpoint.
#![no_main]

use aseptic_ledger::{Checkpoint, Policy};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(policy) = text.parse::<Policy>() else { return };
    let again: Policy = policy.to_string().parse().expect("what is written can be read");
    assert_eq!(again, policy);
    let bare: Checkpoint = aseptic_fuzz::NOTE.parse().expect("a checkpoint");
    if let Ok(judgement) = policy.judge(&bare) {
        assert!(judgement.witnesses.is_empty(), "nobody witnessed it");
        assert_eq!(judgement.quorum, !policy.needs_witnesses());
    }
});
