//! Tests of `aseptic-attest`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod documents;
mod signed;
