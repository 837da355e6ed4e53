//! The jail on the real kernel. An attempt to get out has a twin that must succeed: without it, a typo
//! in the attempt would look like a strong jail.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails by panicking")]

mod attempts;
mod environment;
mod fidelity;
mod hostile;
mod landlock;
mod lifetime;
mod limits;
mod network;
mod overlay;
mod probe;
mod served;
mod support;
mod terminal;
mod walls;
