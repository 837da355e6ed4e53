//! What a user sees: the whole command, in an empty home, on the real kernel.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers included")]

mod archive_attacks;
mod archives;
mod attestations;
mod bad_input;
mod clock;
mod collection;
mod commands;
mod crash;
mod datasets;
mod drill;
mod egress;
mod explain;
mod hosts;
mod immutable;
mod imports;
mod isolation;
mod ledgers;
mod limits;
mod network;
mod pages;
mod pipes;
mod planted;
mod record;
mod recorded;
mod retention;
mod rotation;
mod session;
mod sharing;
mod signals;
mod terminal;
mod testbed;
mod witness;
mod world;
