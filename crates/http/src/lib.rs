//! The HTTP that aseptic itself speaks: a bounded server, and a client.
//!
//! [`Server`] answers small requests with small answers, such as those of a witness. [`Client`] sends one
//! request and takes one answer. Neither follows redirects, keeps cookies or knows what the bytes mean.
//!
//! **Invariant:** what a peer sends never decides how much memory is used, how long one waits, or how many
//! connections are open: each has a bound that the caller chose.
//! **Absent on purpose:** TLS of the server (a reverse proxy does that), streams, HTTP/2, and retries.
#![forbid(unsafe_code)]

mod client;
mod server;

pub use client::{Answer, Client, ClientError, ClientLimits, Outgoing, SiteProxy};
pub use server::{Request, Response, ServeError, Server, ServerLimits};
