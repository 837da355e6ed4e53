//! The catalog as its callers see it: entries in, answers out.

#![expect(clippy::unwrap_used, reason = "also the helpers of a test fail it")]

mod faults;
mod fold;
mod kept;
mod questions;
mod world;
