//! All bytes of a hostile HTTP client.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    aseptic_gateway::fuzz::http_requests(bytes);
});
