//! Two arrays of NumPy, alone and as archives, and tensors: the first byte says how long the first is.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for name in ["a.npy", "a.npz", "a.safetensors"] {
        aseptic_fuzz::compare(name, bytes);
    }
});
