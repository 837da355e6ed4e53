//! What a stranger sends to a witness: the request alone, and a witness that answers it.
#![no_main]

use std::cell::OnceCell;

use aseptic_ledger::{ADD_CHECKPOINT_BYTES_MAX, AddCheckpoint, Witness, WitnessError, create_witness_key};

thread_local! {
    static FRESH: OnceCell<Witness> = const { OnceCell::new() };
}

/// A witness that trusts one log and never saw a checkpoint of it.
fn witness() -> Witness {
    let dir = aseptic_fuzz::directory("witness");
    create_witness_key(&dir, "witness.example/fuzz").expect("a key");
    let log = aseptic_fuzz::LOG.parse().expect("a key");
    Witness::open(&dir, vec![log]).expect("a witness")
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(request) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<AddCheckpoint>().ok())
    {
        assert_eq!(request.to_string().as_bytes(), bytes, "a request has one form");
        assert!(bytes.len() <= ADD_CHECKPOINT_BYTES_MAX);
    }
    FRESH.with(|fresh| match fresh.get_or_init(witness).add_checkpoint(bytes, aseptic_fuzz::TIME) {
        Ok(line) => {
            let cosigned = String::from_utf8_lossy(bytes).contains(aseptic_fuzz::NOTE);
            assert!(cosigned && line.starts_with('\u{2014}'), "only this checkpoint was ever signed");
        }
        Err(WitnessError::Refused(_)) => {}
        Err(error) => panic!("the witness failed: {error}"),
    });
});
