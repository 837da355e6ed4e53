//! What a user sees: the whole command, in an empty home, on the real kernel.

mod bad_input;
mod commands;
mod crash;
mod isolation;
mod record;
mod signals;
mod world;
