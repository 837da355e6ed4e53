//! Entries of a ledger, which whoever can write its directory may have written.
#![no_main]

use aseptic_model::{Entry, from_canonical, to_canonical};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(entry) = from_canonical::<Entry>(bytes) else { return };
    let Ok(text) = to_canonical(&entry) else { return };
    // A number beyond 2^53 is another one in canonical JSON, and none that is written is so large.
    if let Ok(again) = from_canonical::<Entry>(&text) {
        assert_eq!(to_canonical(&again).ok(), Some(text), "an entry has one encoding");
    }
});
