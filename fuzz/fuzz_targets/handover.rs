//! What a gateway is handed over, and its conversation with its supervisor.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aseptic_gateway::fuzz::handover(bytes));
