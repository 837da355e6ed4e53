//! The policy of the owner: which witnesses there are, and how many are enough.

use std::path::Path;

use aseptic_ledger::{
    Policy, PolicyLog, PolicyWitness, Required, WitnessKey, ledger_keys, store_policy, stored_policy,
};
use aseptic_model::{Event, ProjectName};
use aseptic_policy::Act;

use super::WitnessingError;
use crate::home::Home;

/// The policy of the ledger in `dir`, for the keys that sign it now. Without a stored one it needs no witness.
///
/// # Errors
/// [`WitnessingError`].
pub fn witness_policy(dir: &Path) -> Result<Policy, WitnessingError> {
    let policy = match stored_policy(dir)? {
        Some(policy) => policy,
        None => Policy::of(Vec::new(), Vec::new(), Required::All)?,
    };
    let logs = ledger_keys(dir)?.into_iter().map(|key| PolicyLog { key, url: None });
    Ok(policy.with_logs(logs.collect()))
}

/// Adds a witness under `name`, or the name of its key. `required` says how many of all are enough from then on;
/// none leaves that as it is, and the first witness is required.
///
/// Durable when it returns, with an entry of the ledger before.
///
/// # Errors
/// [`WitnessingError`]; nothing was changed, or the entry says what would have been.
pub fn add_witness(
    home: &mut Home,
    project: &ProjectName,
    name: Option<&str>,
    key: WitnessKey,
    url: Option<String>,
    required: Option<Required>,
) -> Result<Policy, WitnessingError> {
    home.allowed(project, Act::ManageKeys, None)?;
    let policy = witness_policy(&home.ledger_dir())?;
    let before = policy.required().ok_or(WitnessingError::ByHand)?;
    let name = name.unwrap_or(key.name()).to_owned();
    let mut witnesses = policy.witnesses().to_vec();
    witnesses.push(PolicyWitness { name, key, url });
    let policy = Policy::of(policy.logs().to_vec(), witnesses, required.unwrap_or(before))?;
    set_witness_policy(home, project, &policy)?;
    Ok(policy)
}

/// Removes the witness `name`; as [`add_witness`].
///
/// # Errors
/// [`WitnessingError`]; also where more are required than would be left.
pub fn remove_witness(
    home: &mut Home,
    project: &ProjectName,
    name: &str,
    required: Option<Required>,
) -> Result<Policy, WitnessingError> {
    home.allowed(project, Act::ManageKeys, None)?;
    let policy = witness_policy(&home.ledger_dir())?;
    let before = policy.required().ok_or(WitnessingError::ByHand)?;
    let (gone, left): (Vec<_>, Vec<_>) =
        policy.witnesses().iter().cloned().partition(|witness| witness.name == name);
    if gone.is_empty() {
        let has = left.into_iter().map(|witness| witness.name).collect();
        return Err(WitnessingError::NoWitness { name: name.to_owned(), has });
    }
    let policy = Policy::of(policy.logs().to_vec(), left, required.unwrap_or(before))?;
    set_witness_policy(home, project, &policy)?;
    Ok(policy)
}

/// Makes `policy` the policy of the ledger, whatever its logs: it is for this ledger.
///
/// # Errors
/// [`WitnessingError`].
pub fn set_witness_policy(
    home: &mut Home,
    project: &ProjectName,
    policy: &Policy,
) -> Result<(), WitnessingError> {
    home.allowed(project, Act::ManageKeys, None)?;
    let dir = home.ledger_dir();
    let logs = ledger_keys(&dir)?.into_iter().map(|key| PolicyLog { key, url: None }).collect();
    let policy = policy.clone().with_logs(logs);
    home.record(project, vec![Event::WitnessPolicy { policy: policy.to_string() }])?;
    Ok(store_policy(&dir, &policy)?)
}
