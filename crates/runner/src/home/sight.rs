//! What of a project the user may look at, for whatever lists many things.

use std::sync::Arc;

use aseptic_catalog::{DatasetVersion, RunFilter, RunSummary};
use aseptic_model::{Object, Outcome, ProjectName};
use aseptic_policy::{About, Act, Policies, Principal};

use super::{Home, HomeError};
use crate::labels::object_of;
use crate::policy::in_force;

/// Says of each thing whether the user may look at it. Nothing is recorded: who asks for a list asks for no one of them.
#[derive(Debug)]
pub(crate) struct Sight {
    policies: Arc<Policies>,
    principal: Principal,
    project: ProjectName,
    /// Whether no policy tells one thing from another.
    is_whole: bool,
}

impl Home {
    /// What of `project` the user may look at.
    ///
    /// # Errors
    /// [`HomeError::NotAllowed`] where that is nothing; others when it cannot be found out.
    pub(crate) fn sight(&self, project: &ProjectName) -> Result<Sight, HomeError> {
        self.allowed(project, Act::View, None)?;
        let policies = in_force(self, project)?.policies;
        let principal = self.principal(&policies)?;
        let is_whole = !policies.tells_apart(Act::View);
        Ok(Sight { policies, principal, project: project.clone(), is_whole })
    }
}

impl Home {
    /// Whether the user may do such a thing as `act` in `project` at all. Nothing is recorded.
    pub(crate) fn may(&self, project: &ProjectName, act: Act) -> Result<bool, HomeError> {
        let policies = in_force(self, project)?.policies;
        let decision = policies.allows(&self.principal(&policies)?, act, project, &About::default());
        Ok(decision.outcome == Outcome::Allow)
    }

    /// Whether the user may look at `project` at all. Nothing is recorded.
    pub(crate) fn views(&self, project: &ProjectName) -> Result<bool, HomeError> {
        self.may(project, Act::View)
    }

    /// Whether that is so of every project.
    pub(crate) fn views_everything(&self) -> Result<bool, HomeError> {
        self.projects()?.iter().try_fold(true, |all, project| Ok(all && self.views(project)?))
    }

    /// Asks whether the user may look at every project of the state directory, and at `project`, from which they ask.
    ///
    /// # Errors
    /// As [`Self::allowed`].
    pub(crate) fn allowed_everywhere(&self, project: &ProjectName) -> Result<(), HomeError> {
        self.allowed(project, Act::View, None)?;
        self.projects()?.iter().try_for_each(|project| self.allowed(project, Act::View, None))
    }

    /// The whole catalog as text, for comparing two: for who may look at everything in it, of whatever project.
    ///
    /// # Errors
    /// As [`Self::allowed`].
    pub fn dump_catalog(&self, project: &ProjectName) -> Result<String, HomeError> {
        self.allowed_everywhere(project)?;
        for project in self.projects()? {
            let sight = self.sight(&project)?;
            if sight.is_whole() {
                continue;
            }
            let runs = self.catalog.runs(&project, usize::MAX, &RunFilter::default())?;
            let runs = runs.into_iter().filter(|run| !sight.has_run(run)).map(|run| Object::Run(run.run));
            let versions = self.catalog.all_versions(&project)?;
            let hidden = versions.iter().filter(|version| !sight.has_version(version)).map(object_of);
            runs.chain(hidden).try_for_each(|object| self.allowed_on(&project, Act::View, &object))?;
        }
        Ok(self.catalog.dump()?)
    }
}

impl Sight {
    /// Whether it is everything.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub(crate) fn has_run(&self, run: &RunSummary) -> bool {
        let object = || Object::Run(run.run.clone()).to_string();
        self.is_whole || self.has(&About { object: object(), labels: run.labels.clone() })
    }

    pub(crate) fn has_version(&self, version: &DatasetVersion) -> bool {
        let object = || object_of(version).to_string();
        self.is_whole || self.has(&About { object: object(), labels: version.labels.clone() })
    }

    fn has(&self, about: &About) -> bool {
        let decision = self.policies.allows(&self.principal, Act::View, &self.project, about);
        decision.outcome == Outcome::Allow
    }
}
