//! What in quarantine reaches plans, runs and versions: the one question that all commands ask.

use std::collections::BTreeMap;

use aseptic_catalog::{DatasetVersion, Reach, Tracer};
use aseptic_model::{Digest, FilePath, Input, Plan, ProjectName, RunId};
use aseptic_policy::InQuarantine;
use aseptic_store::StoreError;

use super::places::first_of;
use crate::environment;
use crate::home::{Home, HomeError};

/// Says of one thing after the other whether something in quarantine reaches it, as things are when it is made.
#[derive(Debug)]
pub struct Marks<'h>(Tracer<'h>);

impl<'h> Marks<'h> {
    /// # Errors
    /// [`HomeError::Catalog`].
    pub fn new(home: &'h Home) -> Result<Self, HomeError> {
        Ok(Self(home.catalog.tracer()?))
    }

    /// What reaches a run.
    ///
    /// # Errors
    /// [`HomeError::Catalog`].
    pub fn run(&mut self, project: &ProjectName, run: &RunId) -> Result<Option<InQuarantine>, HomeError> {
        Ok(self.0.run(project, run)?.map(told))
    }

    /// What reaches outputs of a run: all, or those at `path`.
    ///
    /// # Errors
    /// [`HomeError::Catalog`].
    pub fn outputs(
        &mut self,
        project: &ProjectName,
        run: &RunId,
        path: Option<&FilePath>,
    ) -> Result<Option<InQuarantine>, HomeError> {
        Ok(self.0.outputs(project, run, path)?.map(told))
    }

    /// What reaches a version of a dataset. A file in quarantine is found in versions that were there when it was
    /// put in quarantine; later ones are looked into when a plan wants them.
    ///
    /// # Errors
    /// [`HomeError::Catalog`].
    pub fn version(
        &mut self,
        project: &ProjectName,
        version: &DatasetVersion,
    ) -> Result<Option<InQuarantine>, HomeError> {
        Ok(self.0.version(project, version)?.map(told))
    }
}

fn told(reach: Reach) -> InQuarantine {
    InQuarantine { project: reach.project, object: reach.object, path: reach.path }
}

/// What of `plan` something in quarantine reaches, by element.
pub(crate) fn of_plan(home: &Home, plan: &Plan) -> Result<BTreeMap<String, InQuarantine>, HomeError> {
    let mut tracer = home.catalog.tracer()?;
    let mut found = BTreeMap::new();
    if tracer.is_idle() {
        return Ok(found);
    }
    let project = &plan.project;
    let mut add = |element: String, reach: Option<Reach>| {
        found.extend(reach.map(|reach| (element, told(reach))));
    };
    if let Some(code) = &plan.code {
        let known = tracer.code(project, &code.snapshot)?;
        let inside = || inside(home, &tracer, project, &code.snapshot, None);
        add("code".to_owned(), known.map_or_else(inside, |reach| Ok(Some(reach)))?);
    }
    for (name, input) in &plan.inputs {
        let known = tracer.input(project, input)?;
        let inside = || inside(home, &tracer, project, &input.snapshot, Some(input));
        add(format!("data.{name}"), known.map_or_else(inside, |reach| Ok(Some(reach)))?);
    }
    for package in plan.environment.python.iter().flat_map(|python| &python.packages) {
        let reach = tracer.package(project, &package.name, &package.version);
        add(format!("environment.{}", package.name), reach);
    }
    if let Some(host) = environment::host::name() {
        add("host".to_owned(), tracer.host(project, &host));
    }
    if let Some(policy) = &plan.policy {
        add("policy".to_owned(), tracer.policy(project, policy));
    }
    Ok(found)
}

/// A file or directory in quarantine that lies in a tree.
fn inside(
    home: &Home,
    tracer: &Tracer<'_>,
    project: &ProjectName,
    tree: &Digest,
    input: Option<&Input>,
) -> Result<Option<Reach>, HomeError> {
    let sought: BTreeMap<Digest, Reach> = tracer.sought(project, input)?.into_iter().collect();
    if sought.is_empty() {
        return Ok(None);
    }
    match first_of(&home.store(project)?, tree, |digest| sought.contains_key(digest)) {
        Ok(found) => Ok(found.and_then(|digest| sought.get(&digest).cloned())),
        Err(StoreError::Missing { .. }) => Ok(None), // Another rule denies what is not there.
        Err(error) => Err(error.into()),
    }
}

/// Why a run that was allowed must not start: something was put in quarantine since. The ledger is read up to its
/// end.
pub(crate) fn since_decided(home: &mut Home, plan: &Plan) -> Result<Option<String>, HomeError> {
    home.catch_up()?;
    let found = of_plan(home, plan)?;
    Ok(found
        .iter()
        .next()
        .map(|(element, found)| format!("{element} is in quarantine: {}", found.describe())))
}
