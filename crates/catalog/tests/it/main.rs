//! The catalog as its callers see it: entries in, answers out.

#![expect(clippy::unwrap_used, reason = "also the helpers of a test fail it")]

mod evaluations;
mod faults;
mod faults_server;
mod fold;
mod kept;
mod labels;
mod lineage;
mod private;
mod quarantine;
mod questions;
mod report;
mod search;
mod server;
mod world;
