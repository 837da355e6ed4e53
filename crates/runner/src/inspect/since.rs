//! What changed since the last run of the same experiment.

use std::collections::BTreeMap;

use aseptic_model::{ExperimentName, Finding, FindingCode, Package, PackageName, Plan, ProjectName};

use super::InspectError;
use crate::home::Home;

/// Changes that are listed.
const CHANGES_MAX: usize = 1000;

/// Packages that are others than in the last sealed run of `experiment` before the entry `before`. Runs without an
/// experiment are compared with those that have none either.
pub(super) fn changed(
    home: &Home,
    project: &ProjectName,
    experiment: Option<&ExperimentName>,
    before: Option<u64>,
    packages: Option<&[Package]>,
) -> Result<Vec<Finding>, InspectError> {
    let Some(packages) = packages else { return Ok(Vec::new()) };
    let Some(last) = home.catalog.sealed_before(project, experiment, before)? else { return Ok(Vec::new()) };
    let plan: Plan = home.object(project, &last.plan)?;
    let Some(python) = plan.environment.python else { return Ok(Vec::new()) };
    let (then, now) = (by_name(&python.packages), by_name(packages));
    let run = &last.run;
    let mut findings = Vec::new();
    let mut add = |name: &str, detail: String| {
        let code = FindingCode::ChangedSince;
        findings.push(Finding { code, subject: name.to_owned(), place: Some(format!("run {run}")), detail });
    };
    for (name, package) in &now {
        match then.get(name) {
            Some(same) if same.version == package.version && same.record == package.record => {}
            Some(other) if other.version == package.version => {
                add(name, format!("another list of files, at the same version {}", package.version));
            }
            Some(other) => add(name, format!("it was {}, and is {}", other.version, package.version)),
            None => add(name, format!("it was not there, and is {}", package.version)),
        }
    }
    for (name, package) in then.iter().filter(|(name, _)| !now.contains_key(*name)) {
        add(name, format!("it was {}, and is not there", package.version));
    }
    findings.truncate(CHANGES_MAX);
    Ok(findings)
}

fn by_name(packages: &[Package]) -> BTreeMap<String, &Package> {
    let name = |package: &Package| {
        PackageName::normalised(&package.name).map_or_else(|| package.name.clone(), |name| name.to_string())
    };
    packages.iter().map(|package| (name(package), package)).collect()
}
