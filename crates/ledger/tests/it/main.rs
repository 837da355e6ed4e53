//! The ledger as its users meet it: a directory that is written, copied, damaged and proven.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod format;
mod open;
mod rotate;
mod since;
mod support;
mod tamper;
mod tiles;
