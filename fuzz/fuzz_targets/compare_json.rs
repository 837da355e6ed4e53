//! Two JSON documents, and two files of JSON lines.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for name in ["a.json", "a.jsonl"] {
        aseptic_fuzz::compare(name, bytes);
    }
});
