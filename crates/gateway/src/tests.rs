//! A whole gateway, with a machine around it that the test is.

mod checks;
mod end;
mod floods;
mod limits;
mod name_server;
mod proxied;
mod relayed;
mod revoked;
mod speed;
pub(crate) mod support;
