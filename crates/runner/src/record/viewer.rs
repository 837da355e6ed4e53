//! Which entries the user may look at.

use std::collections::HashMap;

use aseptic_model::ProjectName;
use aseptic_policy::Act;
use serde::Deserialize;

use super::Recorded;
use crate::home::{Home, HomeError};

/// The ledger is one for all projects of a state directory, and shows to each user the entries of those projects that
/// they may look at, by the policies that were in force when this was made.
#[derive(Debug)]
pub struct EntryViewer {
    /// Nothing where the ledger is a file of the user.
    home: Option<Home>,
    known: HashMap<ProjectName, bool>,
    left_out: u64,
}

/// What of an entry is read that this version does not understand.
#[derive(Deserialize)]
struct OfProject {
    project: ProjectName,
}

impl EntryViewer {
    /// For the ledger of `home`.
    ///
    /// # Errors
    /// [`HomeError::NotAllowed`] where the user may not look at `project`, from which they ask.
    pub fn new(home: Home, project: &ProjectName) -> Result<Self, HomeError> {
        home.allowed(project, Act::View, None)?;
        Ok(Self { home: Some(home), known: HashMap::new(), left_out: 0 })
    }

    /// For a ledger that lies somewhere else: whoever can read it sees all of it.
    #[must_use]
    pub fn of_everything() -> Self {
        Self { home: None, known: HashMap::new(), left_out: 0 }
    }

    /// Whether the user may look at an entry. One whose project cannot be told is shown to nobody who may not see all.
    ///
    /// # Errors
    /// [`HomeError`]: that cannot be found out.
    pub fn has(&mut self, recorded: &Recorded) -> Result<bool, HomeError> {
        let Some(home) = &self.home else { return Ok(true) };
        let project = match &recorded.entry {
            Some(entry) => Some(entry.project.clone()),
            None => serde_json::from_slice(&recorded.bytes).ok().map(|OfProject { project }| project),
        };
        let may = match &project {
            Some(project) => match self.known.get(project) {
                Some(known) => *known,
                None => home.views(project)?,
            },
            None => home.views_everything()?,
        };
        self.known.extend(project.map(|project| (project, may)));
        self.left_out += u64::from(!may);
        Ok(may)
    }

    /// How many entries were left out, whatever else was asked of them.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}
