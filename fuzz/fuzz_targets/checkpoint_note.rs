//! Checkpoints of ledgers, and keys.
#![no_main]

use aseptic_ledger::{Checkpoint, NOTE_BYTES_MAX, VerifierKey, WitnessKey};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(checkpoint) = text.parse::<Checkpoint>() {
        assert_eq!(checkpoint.to_string(), text, "a checkpoint has one form");
        assert!(text.len() <= NOTE_BYTES_MAX);
        let key: VerifierKey = aseptic_fuzz::LOG.parse().expect("a key");
        if checkpoint.is_signed_by(&key) {
            assert_eq!(checkpoint.origin(), key.name());
        }
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text, "a key has one form");
        assert!(text.parse::<WitnessKey>().is_err(), "a key has one type");
    }
    if let Ok(key) = text.parse::<WitnessKey>() {
        assert_eq!(key.to_string(), text, "a key has one form");
    }
});
