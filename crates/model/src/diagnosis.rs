//! What an error means to the person who meets it.

use crate::Excerpt;

/// Whose move it is after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The command line, the spec or the named thing is wrong: the user corrects it.
    User,
    /// A rule said no: another plan, or someone who may allow it.
    Denied,
    /// This machine cannot do it now: disk, permission, kernel.
    Host,
    /// Stored data is not what was written: keep it as evidence.
    Damaged,
    /// The user stopped it.
    Interrupted,
    /// A defect of aseptic.
    Internal,
}

/// The stable code of an error, its class, and the next step.
///
/// The help is never empty and never repeats the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Whose move it is.
    pub class: Class,
    /// Stable, for scripts and searches: `family/cause`. Listed in `docs/errors.md`.
    pub code: &'static str,
    /// What to do next, as one line without a full stop.
    pub help: String,
    /// The place in a text that it is about, if there is one.
    pub excerpt: Option<Box<Excerpt>>,
}

impl Diagnosis {
    /// A diagnosis from its three parts.
    #[must_use]
    pub fn new(class: Class, code: &'static str, help: impl Into<String>) -> Self {
        Self { class, code, help: help.into(), excerpt: None }
    }

    /// The same, with the place in a text that it is about.
    #[must_use]
    pub fn at(self, excerpt: Excerpt) -> Self {
        Self { excerpt: Some(Box::new(excerpt)), ..self }
    }
}

/// An error with all that led to it, in one line.
#[must_use]
pub fn in_words(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", in_words(source)),
        None => error.to_string(),
    }
}

/// An error that can say what to do next.
pub trait Diagnose: std::error::Error {
    /// The code, class and next step of this error.
    fn diagnosis(&self) -> Diagnosis;
}
