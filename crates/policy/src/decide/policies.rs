//! The policies that decide for a project, ready to be asked.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use aseptic_model::{Class, Diagnose, Diagnosis, Digest};

use crate::decide::slice::Slice;
use crate::read::Reading;
use crate::read::rule::Rule;
use crate::read::schema::Shapes;
use crate::{PolicyDocument, Problem, Roles, Settings};

/// The policies that decide for a project.
#[derive(Debug)]
pub struct Policies {
    document: PolicyDocument,
    digest: Digest,
    settings: Settings,
    roles: Option<Roles>,
    pub(crate) shapes: Shapes,
    pub(crate) rules: Vec<Rule>,
    by_id: HashMap<String, usize>,
    /// What was asked for so far, by action and kind of resource.
    slices: Mutex<HashMap<(&'static str, &'static str), Arc<Slice>>>,
}

/// Why policies cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A file cannot be understood.
    #[error("{path}:{line}:{column}: {message}")]
    File {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What is the matter.
        message: String,
        /// What would mend it.
        help: String,
    },
}

impl Diagnose for PolicyError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::File { help, .. } => Diagnosis::new(Class::User, "policy/file", help.clone()),
        }
    }
}

impl From<Problem> for PolicyError {
    fn from(problem: Problem) -> Self {
        let Problem { path, line, column, message, help, .. } = problem;
        Self::File { path, line, column, message, help }
    }
}

impl From<Vec<Problem>> for PolicyError {
    /// The first of them.
    fn from(problems: Vec<Problem>) -> Self {
        let unsaid = || Problem::new("policy", "", 0..0, "something is the matter", "report this");
        problems.into_iter().next().unwrap_or_else(unsaid).into()
    }
}

impl Policies {
    /// The policies of `document`. Those of the project are parsed, and those that were shipped when somebody asks for
    /// them. None is checked against the schema, which [`crate::check()`] does: a policy that the schema does not fit
    /// denies when it is asked, and so does one that cannot be parsed.
    ///
    /// # Errors
    /// [`PolicyError`], about the first thing that is the matter; [`crate::check()`] lists all.
    pub fn parse(document: PolicyDocument) -> Result<Self, PolicyError> {
        let digest = document.digest().map_err(|error| {
            PolicyError::from(Problem::new("policy", "", 0..0, &error.to_string(), "report this"))
        })?;
        Self::parse_named(document, digest)
    }

    /// As [`Self::parse`], for a document whose digest is known: finding it takes about as long as the rest.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_named(document: PolicyDocument, digest: Digest) -> Result<Self, PolicyError> {
        let Reading { rules, settings, roles, shapes, problems, .. } = Reading::of(&document);
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let by_id = rules.iter().enumerate().map(|(at, rule)| (rule.id.clone(), at)).collect();
        let slices = Mutex::default();
        Ok(Self { document, digest, settings, roles, shapes, rules, by_id, slices })
    }

    /// Their digest, which decisions name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What they were made from.
    #[must_use]
    pub fn document(&self) -> &PolicyDocument {
        &self.document
    }

    /// The settings of the project.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Who has which role; nothing without a roles file.
    #[must_use]
    pub fn roles(&self) -> Option<&Roles> {
        self.roles.as_ref()
    }

    /// Every id, sorted.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<String> {
        self.rules.iter().map(|rule| rule.id.clone()).collect()
    }

    pub(crate) fn rule(&self, id: &str) -> Option<&Rule> {
        self.by_id.get(id).and_then(|at| self.rules.get(*at))
    }

    /// The policies that can say something about `action` on a resource of `kind`.
    pub(crate) fn slice(&self, action: &'static str, kind: &'static str) -> Arc<Slice> {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Slice::of(&self.rules, (action, kind), self.shapes.0.get(action)).into();
        let slice = slices.entry((action, kind)).or_insert_with(made);
        Arc::clone(slice)
    }
}

#[cfg(test)]
impl Policies {
    pub(crate) fn set_roles(&mut self, roles: Roles) {
        self.roles = Some(roles);
    }
}
