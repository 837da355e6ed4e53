//! What is remembered of the files of a source.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    aseptic_store::fuzz::stat_index(bytes);
});
