//! Show what decides here.

use aseptic_catalog::PolicyApplied;
use aseptic_model::spec::nearest;
use aseptic_model::{Digest, ProjectName};
use aseptic_policy::{Act, Listed, Roles, Settings};

use super::directory::PolicyFiles;
use super::recorded::PolicyUseError;
use super::{InForce, in_force};
use crate::home::Home;

/// What decides runs of a project.
#[derive(Clone, Debug)]
pub struct ShownPolicies {
    /// Digest of the policies.
    pub digest: Digest,
    /// When, by whom and why they were put in force; nothing where the shipped ones alone decide.
    pub applied: Option<PolicyApplied>,
    /// The policies and templates, in the order of files and lines.
    pub policies: Vec<Listed>,
    /// What the project sets.
    pub settings: Settings,
    /// Who has which role; nothing without a roles file.
    pub roles: Option<Roles>,
    /// How the directory beside the spec stands to it.
    pub directory: Standing,
}

/// How a directory of policies stands to what is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none.
    None,
    /// It is what is in force.
    Same,
    /// It is something else.
    Differs,
}

/// What decides runs of `project`; `directory` is what lies beside the spec.
///
/// # Errors
/// [`PolicyUseError`].
pub fn show(
    home: &Home,
    project: &ProjectName,
    directory: Option<&PolicyFiles>,
) -> Result<ShownPolicies, PolicyUseError> {
    home.allowed(project, Act::View, None)?;
    let InForce { policies, applied, .. } = in_force(home, project)?;
    let directory = match directory {
        None => Standing::None,
        Some(files) if files.document == *policies.document() => Standing::Same,
        Some(_) => Standing::Differs,
    };
    Ok(ShownPolicies {
        digest: policies.digest(),
        applied,
        policies: policies.document().listed(),
        settings: policies.settings().clone(),
        roles: policies.roles().cloned(),
        directory,
    })
}

impl ShownPolicies {
    /// The policy of this id.
    ///
    /// # Errors
    /// [`PolicyUseError::NoPolicy`], with the nearest id.
    pub fn policy(&self, id: &str) -> Result<&Listed, PolicyUseError> {
        self.policies.iter().find(|one| one.id == id).ok_or_else(|| PolicyUseError::NoPolicy {
            id: id.chars().take(80).flat_map(char::escape_debug).collect(),
            nearest: self.nearest(id),
        })
    }

    /// The first id that has the same last word, or else the one that is spelt most like it.
    fn nearest(&self, id: &str) -> Option<String> {
        let last = id.rsplit('/').next().filter(|last| !last.is_empty())?;
        let ids = || self.policies.iter().map(|one| one.id.as_str());
        ids().find(|one| one.contains(last)).or_else(|| nearest(id, ids())).map(str::to_owned)
    }
}
