//! Two tables: CSV, TSV.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for name in ["a.csv", "a.tsv"] {
        aseptic_fuzz::compare(name, bytes);
    }
});
