//! The one way from a sealed run to the destinations that its plan grants.
#![forbid(unsafe_code)]

mod report;
mod settings;

pub use report::{Denial, Order, Protocol, Reached, Report, Why, Wish};
pub use settings::{Ends, Limits, Proxy, Settings};
