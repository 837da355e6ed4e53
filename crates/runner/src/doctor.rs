//! Doctor: what this machine can enforce.

use std::path::Path;

use aseptic_model::Wall;
use aseptic_sandbox::Finding;

use crate::home::{HomeError, make_private, remove};

/// What was found out about this machine.
#[derive(Debug)]
pub struct Report {
    /// Each mechanism, tried.
    pub findings: Vec<Finding>,
    /// The walls of this version, those that it does not have included.
    pub walls: Vec<Wall>,
}

/// Tries every mechanism of the sandbox, with the state directory `home` as the place for runs.
///
/// # Errors
/// [`HomeError::Io`] when not even a directory can be made there.
pub fn doctor(home: &Path) -> Result<Report, HomeError> {
    let scratch = home.join("doctor").join(std::process::id().to_string());
    make_private(&scratch)?;
    let findings = aseptic_sandbox::probe(&scratch);
    remove(&scratch)?;
    let _ = std::fs::remove_dir(home.join("doctor")); // Another doctor may be at work in it.
    Ok(Report { findings, walls: aseptic_sandbox::walls() })
}
