//! Proofs that somebody hands over with an entry.
#![no_main]

use aseptic_ledger::{LogProof, PROOF_BYTES_MAX};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(proof) = text.parse::<LogProof>() {
        assert_eq!(proof.to_string(), text, "a proof has one form");
        assert!(text.len() <= PROOF_BYTES_MAX);
        let entry = proof.extra.clone().unwrap_or_default();
        if proof.verify(&entry).is_ok() {
            assert!(proof.index < proof.checkpoint.size());
            let mut other = entry;
            other.push(0);
            assert!(proof.verify(&other).is_err(), "a proof is of one entry");
        }
    }
});
