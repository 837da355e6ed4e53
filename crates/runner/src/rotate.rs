//! Another key for the ledger.

use aseptic_model::ProjectName;

use crate::home::{Home, HomeError};

/// A ledger that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// Index of the entry that says so, the last one that the key before signed.
    pub entry: u64,
    /// The verifier key before, as C2SP signed-note writes it.
    pub before: String,
    /// The one from the next entry on.
    pub after: String,
}

/// Makes a key for the ledger and hands the ledger over to it, in one durable commit that the key before signs
/// and that names the new one. The private key before is removed.
///
/// # Errors
/// [`HomeError`]: the key is the one before, unless the ledger says that the outcome is not known.
pub fn rotate_key(
    home: &mut Home,
    project: &ProjectName,
    reason: Option<&str>,
) -> Result<Rotated, HomeError> {
    let rotated = home.hand_over(project, reason.map(str::to_owned))?;
    home.catch_up()?;
    Ok(rotated)
}
