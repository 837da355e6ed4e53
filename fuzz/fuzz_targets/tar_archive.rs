//! Archives that a stranger made, in any compression.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    aseptic_store::fuzz::tar_archive(bytes);
});
