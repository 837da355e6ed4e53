//! What witnesses prove of a ledger.

use std::path::Path;

use aseptic_ledger::{Checkpoint, Policy, collected, prove_consistency};

use super::WitnessingError;

/// How far a ledger is witnessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// Entries up to which enough witnesses cosigned; nothing where they never did.
    pub entries: Option<u64>,
    /// Names in the policy of those that cosigned these, and when, in seconds since 1970.
    pub witnesses: Vec<(String, u64)>,
    /// Larger numbers of entries that some cosigned, but not enough, and who.
    pub beyond: Vec<(u64, Vec<String>)>,
}

/// How far the ledger in `dir` is witnessed, as `policy` has it. `verified` is its whole tree, which the caller has
/// verified; every cosigned checkpoint is compared with it.
///
/// # Errors
/// - [`WitnessingError::Ahead`]: a witness saw more entries, so the end of the ledger is gone.
/// - [`WitnessingError::Fork`]: a witness saw other entries, so the ledger was rewritten.
/// - [`WitnessingError::Tiles`], [`WitnessingError::Storage`]: it cannot be known.
pub fn witnessed(dir: &Path, policy: &Policy, verified: &Checkpoint) -> Result<Witnessed, WitnessingError> {
    let mut found = Witnessed { entries: None, witnesses: Vec::new(), beyond: Vec::new() };
    for checkpoint in collected(dir)? {
        // One that is not by this ledger, or was changed, says nothing, good or bad.
        let Ok(judged) = policy.judge(&checkpoint) else { continue };
        if judged.witnesses.is_empty() {
            continue;
        }
        let names: Vec<String> = judged.witnesses.iter().map(|(name, _)| name.clone()).collect();
        let size = checkpoint.size();
        if size > verified.size() {
            let name = names.join(", ");
            return Err(WitnessingError::Ahead { name, seen: size, size: verified.size() });
        }
        let (_, root) = prove_consistency(dir, size, verified)?;
        if root != checkpoint.root() {
            return Err(WitnessingError::Fork { witnesses: names, size });
        }
        if judged.quorum {
            found = Witnessed { entries: Some(size), witnesses: judged.witnesses, beyond: Vec::new() };
        } else {
            found.beyond.push((size, names));
        }
    }
    Ok(found)
}
