//! The one way from a sealed run to the destinations that its plan grants.
//!
//! A gateway is a process outside of the run's network. It holds sockets that were made inside: it answers
//! the run's questions for names, accepts its connections, checks each against the grants, connects outside
//! and passes bytes on. Its supervisor starts it with [`hand_over`], hears of everything that went through or
//! was denied from a [`Conversation`], and can revoke grants.
//!
//! **Invariant:** nothing leaves but bytes of connections that a grant permits, and look-ups of granted names.
//! **Invariant:** what comes from a job is hostile: all of it is bounded, and none of it ends the gateway.
//! **Absent on purpose:** walls around the gateway itself, which whoever starts it puts up before [`serve()`].
#![forbid(unsafe_code)]

mod accept;
mod address;
mod connection;
mod conversation;
mod dial;
mod dns;
mod frame;
mod gate;
mod gateway;
mod grants;
mod handover;
mod hello;
mod http;
mod limits;
mod name_server;
mod names;
mod packet;
mod pipes;
mod proxy;
mod race;
mod reader;
mod refused;
mod relay;
mod report;
mod resolve;
mod seen;
mod serve;
mod settings;
mod sockets;
mod telemetry;

pub use address::is_metadata;
pub use conversation::Conversation;
pub use frame::ProtocolError;
pub use handover::{hand_over, receive, say};
pub use proxy::InvalidProxy;
pub use report::{Denial, Order, Protocol, Reached, Report, Why, Wish};
pub use serve::{ServeError, serve};
pub use settings::{Ends, Limits, Proxy, Settings};
pub use telemetry::telemetry;

#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
mod tests;
