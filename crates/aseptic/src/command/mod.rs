//! One file per command: its help, its arguments, one library call.

pub(crate) mod archive;
pub(crate) mod attest;
pub(crate) mod catalog;
pub(crate) mod completions;
pub(crate) mod dataset;
mod denied;
pub(crate) mod doctor;
pub(crate) mod drill;
pub(crate) mod drill_part;
pub(crate) mod export;
pub(crate) mod gateway_part;
pub(crate) mod gc;
pub(crate) mod init;
pub(crate) mod ledger;
pub(crate) mod lineage;
pub(crate) mod logs;
mod network;
pub(crate) mod plan;
pub(crate) mod restore;
pub(crate) mod retention;
pub(crate) mod revoke;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod show;
pub(crate) mod witness;
