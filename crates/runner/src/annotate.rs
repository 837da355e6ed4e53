//! What people say about a run: its name, tags and a note.

use std::collections::BTreeSet;

use aseptic_catalog::{CatalogError, ResolveError, RunSummary};
use aseptic_model::{
    Class, Diagnose, Diagnosis, Event as Entry, ExperimentName, ProjectName, RunId, RunName, RunRef, Tag,
};
use aseptic_policy::Act;

use crate::home::{Home, HomeError};

/// What is said about a run from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotation {
    /// Its name.
    pub name: Option<RunName>,
    /// Tags that it gets.
    pub added: BTreeSet<Tag>,
    /// Tags that it loses.
    pub removed: BTreeSet<Tag>,
    /// Its note; an empty one takes it back.
    pub note: Option<String>,
}

/// A run and what is said about it.
#[derive(Clone, Debug)]
pub struct Annotated {
    /// The run.
    pub run: RunSummary,
    /// Its tags.
    pub tags: BTreeSet<Tag>,
    /// What was recorded; nothing where all of it was so before.
    pub recorded: Option<Entry>,
}

/// Why nothing was said about a run.
#[derive(Debug, thiserror::Error)]
pub enum AnnotateError {
    /// No run is meant.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The name means something else already.
    #[error("a run cannot be called `{name}`, which is {what}")]
    Name {
        /// The name.
        name: RunName,
        /// What it means.
        what: &'static str,
    },
    /// A tag is given and taken away.
    #[error("the tag `{0}` is both given and taken away")]
    Both(Tag),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for AnnotateError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Resolve(error) => error.diagnosis(),
            Self::Name { .. } => Diagnosis::new(
                Class::User,
                "run/name",
                "choose another name: `latest`, ids and experiments come first wherever a run is named",
            ),
            Self::Both(_) => {
                Diagnosis::new(Class::User, "run/tag", "name it in one of `--tag` and `--untag`")
            }
            Self::Home(error) => error.diagnosis(),
        }
    }
}

impl From<CatalogError> for AnnotateError {
    fn from(error: CatalogError) -> Self {
        Self::Home(error.into())
    }
}

impl Annotation {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The ledger entry about a run; nothing where nothing is said.
    pub(crate) fn entry(&self, run: &RunId) -> Option<Entry> {
        let Self { name, added, removed, note } = self.clone();
        (!self.is_empty()).then(|| Entry::RunDescribed { run: run.clone(), name, added, removed, note })
    }

    /// Whether it can be said of a run.
    pub(crate) fn check(&self, home: &Home, project: &ProjectName) -> Result<(), AnnotateError> {
        if let Some(tag) = self.added.intersection(&self.removed).next() {
            return Err(AnnotateError::Both(tag.clone()));
        }
        let Some(name) = &self.name else { return Ok(()) };
        let wrong = |what| Err(AnnotateError::Name { name: name.clone(), what });
        if name.as_str() == "latest" {
            return wrong("the run that was planned last");
        }
        if let Ok(id) = name.as_str().parse::<RunId>()
            && home.catalog.run(project, &id)?.is_some()
        {
            return wrong("the id of a run");
        }
        if let Ok(experiment) = name.as_str().parse::<ExperimentName>()
            && home.catalog.experiments(project)?.contains(&experiment)
        {
            return wrong("an experiment that has runs");
        }
        Ok(())
    }
}

/// Changes what is said about a run. Durable when it returns; what is so already is not recorded again.
///
/// # Errors
/// [`AnnotateError`]; nothing was recorded.
pub fn annotate(
    home: &mut Home,
    project: &ProjectName,
    run: &RunRef,
    annotation: &Annotation,
) -> Result<Annotated, AnnotateError> {
    home.allowed(project, Act::Annotate, None)?;
    annotation.check(home, project)?;
    let id = home.catalog.resolve_run(project, run)?;
    let before = annotated(home, project, run, &id)?;
    let note = annotation.note.clone().filter(|note| *note != before.run.note.clone().unwrap_or_default());
    let new = Annotation {
        name: annotation.name.clone().filter(|name| before.run.name.as_ref() != Some(name)),
        added: annotation.added.difference(&before.tags).cloned().collect(),
        removed: annotation.removed.intersection(&before.tags).cloned().collect(),
        note,
    };
    let Some(entry) = new.entry(&id) else { return Ok(before) };
    home.record(project, vec![entry.clone()])?;
    home.catch_up()?;
    Ok(Annotated { recorded: Some(entry), ..annotated(home, project, run, &id)? })
}

fn annotated(
    home: &Home,
    project: &ProjectName,
    named: &RunRef,
    id: &RunId,
) -> Result<Annotated, AnnotateError> {
    let missing = || ResolveError::NotFound { reference: named.clone(), experiments: Vec::new() };
    let run = home.catalog.run(project, id)?.ok_or_else(missing)?;
    Ok(Annotated { run, tags: home.catalog.tags(project, id)?, recorded: None })
}
