//! The spec: `aseptic.toml` as a user writes it, before anything is resolved.

mod error;
mod experiment;
mod limits;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeTable;

use crate::{
    Clock, Excerpt, ExperimentName, Gpus, Grant, InputName, InputRef, Keep, Label, Limits, ProjectName,
};

pub use error::SpecError;
pub use limits::set_limit;
use source::{Source, shown};
pub use source::{is_slip, nearest};

/// Largest spec in bytes: a thousand times a long one, and small enough to parse in milliseconds.
pub const SPEC_BYTES_MAX: usize = 1 << 20;

/// A parsed spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The project.
    pub project: ProjectName,
    /// Its experiments.
    pub experiments: BTreeMap<ExperimentName, Experiment>,
}

/// One experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Experiment {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Parameters.
    pub params: BTreeMap<String, serde_json::Value>,
    /// Inputs.
    pub data: BTreeMap<InputName, InputRef>,
    /// Destinations.
    pub network: BTreeSet<Grant>,
    /// Bounds.
    pub limits: Limits,
    /// Directory or interpreter of the Python environment, relative to the spec.
    pub python: Option<String>,
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// Named elements that may go unenforced.
    pub accept: BTreeSet<String>,
    /// GPUs of the host.
    pub gpus: Option<Gpus>,
    /// TCP ports of its own loopback.
    pub ports: Option<BTreeSet<u16>>,
    /// Clocks that count from the start of the machine.
    pub clock: Clock,
    /// Labels of the outputs, besides those of the inputs.
    pub labels: BTreeSet<Label>,
    /// What is kept of what the job leaves.
    pub keep: Keep,
    /// Where each element stands in the spec, by its name in a plan, such as `data.train`.
    pub places: BTreeMap<String, Place>,
}

/// A place in a spec. Both count from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Spec {
    /// Parses a spec strictly: an unknown key is an error that names the nearest known one.
    ///
    /// # Errors
    /// [`SpecError`], with the line it is about.
    ///
    /// Source: `docs/spec.md`; TOML 1.0.
    pub fn parse(bytes: &[u8]) -> Result<Self, SpecError> {
        if bytes.len() > SPEC_BYTES_MAX {
            return Err(SpecError::TooLarge { bytes: bytes.len() as u64 });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let readable = String::from_utf8_lossy(bytes);
            // What is read before the place is the same in both.
            let at = Box::new(Excerpt::of(&readable, error.valid_up_to()..error.valid_up_to()));
            SpecError::Syntax { at, message: "the spec is not UTF-8 text".to_owned() }
        })?;
        let source = Source::new(text);
        let root = DeTable::parse(text).map_err(|error| source.syntax(&error))?;
        let root = source.table("the spec", root.get_ref(), &["project", "experiment"])?;
        let whole = root.get("project").ok_or_else(|| source.missing("project", "the spec", 0..0))?;
        let project = source.table("[project]", source.as_table("project", whole)?, &["name"])?;
        let name = project.get("name").ok_or_else(|| source.missing("name", "[project]", whole.span()))?;
        let mut experiments = BTreeMap::new();
        if let Some(tables) = root.get("experiment") {
            for (key, value) in source.as_table("experiment", tables)? {
                let name: ExperimentName =
                    key.get_ref().parse().map_err(|error| source.value("experiment", key.span(), &error))?;
                experiments.insert(name, source.experiment(key, value)?);
            }
        }
        Ok(Self { project: source.parsed("name", name)?, experiments })
    }
}

#[cfg(test)]
mod tests;
