//! Decide: gather the facts that a decision needs, and ask policy once.

use std::collections::BTreeSet;

use aseptic_model::{Decision, Plan};
use aseptic_policy::{Egress, Facts};

use crate::egress::support;
use crate::home::{Home, HomeError};
use crate::quarantine;

/// Limits that this version can enforce on this host, by their names in the spec.
pub(crate) fn enforced_limits(has_network: bool) -> BTreeSet<&'static str> {
    // All but one can be had in some way everywhere. How is in the record, and hard or soft.
    let mut limits =
        BTreeSet::from(["wall", "grace", "memory", "cpus", "files", "scratch", "scratch-files", "outputs"]);
    if has_network {
        limits.extend(["connections", "traffic", "bandwidth"]);
    }
    if aseptic_sandbox::enforces_task_limit() {
        limits.insert("processes");
    }
    limits
}

/// What a plan may go without where the host cannot enforce it, if it says so.
const ACCEPTABLE: [&str; 4] = ["landlock", "memory", "cpus", "scratch"];

/// Decides `plan` on the facts of this moment.
///
/// # Errors
/// [`HomeError`] when a fact could not be found out. Nothing is decided then, so nothing starts.
pub fn decide(home: &Home, plan: &Plan) -> Result<Decision, HomeError> {
    let store = home.store(&plan.project)?;
    let network = support(home);
    let present = aseptic_policy::snapshots(plan).filter(|digest| store.snapshot(digest).is_ok()).collect();
    let facts = Facts {
        present,
        quarantined: quarantine::of_plan(home, plan)?,
        enforced_limits: enforced_limits(network.is_ok()),
        egress: match network {
            Ok(()) => Egress::Gateway,
            Err(why) => Egress::Unavailable(why),
        },
        missing_walls: aseptic_sandbox::missing_walls().into_iter().collect(),
        gpus: plan
            .gpus
            .as_ref()
            .and_then(|gpus| aseptic_sandbox::gpu_mounts(gpus).err())
            .map(|e| e.to_string()),
        acceptable: ACCEPTABLE.into(),
    };
    Ok(aseptic_policy::decide(plan, &facts))
}
