//! The shipped rules, from plans to the words that people read.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers included")]

mod docs;
mod format;
mod golden;
mod hostile;
mod monotone;
mod plans;
mod risk;
mod schema;
mod world;
