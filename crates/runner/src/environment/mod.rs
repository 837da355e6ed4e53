//! The software a job runs on, as found without executing any of it.

pub(crate) mod asked;
pub(crate) mod changes;
pub(crate) mod host;
pub(crate) mod inventory;
pub(crate) mod python;

pub use changes::{EnvironmentChange, EnvironmentPart};
pub use python::EnvironmentError;
