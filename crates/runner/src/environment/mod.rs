//! The software a job runs on, as found without executing any of it.

pub(crate) mod host;
pub(crate) mod python;

pub use python::EnvironmentError;
