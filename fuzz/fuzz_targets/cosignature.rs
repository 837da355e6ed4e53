//! Lines of witnesses below a checkpoint: the fuzzer changes them, and the checkpoint stays.
#![no_main]

use aseptic_ledger::{Checkpoint, Policy, WitnessKey};

libfuzzer_sys::fuzz_target!(|lines: &str| {
    let Ok(checkpoint) = format!("{}{lines}", aseptic_fuzz::NOTE).parse::<Checkpoint>() else { return };
    let witness: WitnessKey = aseptic_fuzz::WITNESS.parse().expect("a key");
    let policy: Policy = aseptic_fuzz::POLICY.parse().expect("a policy");
    let cosigned = witness.cosigned(&checkpoint);
    if let Ok(Some(time)) = &cosigned {
        assert_eq!(*time, aseptic_fuzz::TIME, "no other cosignature was ever made");
    }
    match policy.judge(&checkpoint) {
        Ok(judgement) => assert_eq!(judgement.quorum, matches!(cosigned, Ok(Some(_)))),
        Err(_) => assert!(cosigned.is_err() || lines.contains("aseptic.local/ledger/")),
    }
});
