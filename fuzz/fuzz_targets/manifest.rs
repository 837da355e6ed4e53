//! Directory objects, and indexes of packs with the packs that they lead to.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    aseptic_store::fuzz::manifest(bytes);
});
