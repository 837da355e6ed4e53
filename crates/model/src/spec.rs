//! The spec: `aseptic.toml` as a user writes it, before anything is resolved.

mod limits;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::{
    Class, Clock, Diagnose, Diagnosis, ExperimentName, Gpus, Grant, InputName, InputRef, Limits, ProjectName,
};

use limits::LIMIT_KEYS;
pub use limits::set_limit;

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
}

/// Why a spec is refused. The line counts from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Over [`SPEC_BYTES_MAX`].
    #[error("the spec has {bytes} bytes, and at most {SPEC_BYTES_MAX} are read")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// Not UTF-8, or not TOML.
    #[error("line {line}: {message}")]
    Syntax {
        /// Where.
        line: usize,
        /// The parser's words.
        message: String,
    },
    /// A key that no version knows.
    #[error("line {line}: unknown key `{key}` in {table}")]
    UnknownKey {
        /// Where.
        line: usize,
        /// The key.
        key: String,
        /// The table it stands in.
        table: String,
        /// The nearest known key.
        nearest: Option<&'static str>,
    },
    /// A key that must be there.
    #[error("{table} has no `{key}`")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// The table it belongs in.
        table: String,
    },
    /// A value of the wrong type or form.
    #[error("line {line}: `{key}`: {message}")]
    Value {
        /// Where.
        line: usize,
        /// The key.
        key: String,
        /// What is wrong.
        message: String,
    },
}

impl Diagnose for SpecError {
    fn diagnosis(&self) -> Diagnosis {
        let (code, help) = match self {
            Self::TooLarge { .. } => {
                ("spec/too-large", "keep data out of the spec; name it under `data`".into())
            }
            Self::Syntax { .. } => ("spec/syntax", "correct the line; the format is TOML 1.0".into()),
            Self::UnknownKey { nearest: Some(nearest), .. } => {
                ("spec/unknown-key", format!("did you mean `{nearest}`?"))
            }
            Self::UnknownKey { .. } => {
                ("spec/unknown-key", "remove the key; `docs/spec.md` lists those there are".into())
            }
            Self::MissingKey { key, .. } => ("spec/missing-key", format!("add `{key}`; see `docs/spec.md`")),
            Self::Value { .. } => ("spec/value", "correct the value; see `docs/spec.md`".into()),
        };
        Diagnosis::new(Class::User, code, help)
    }
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
        let text = std::str::from_utf8(bytes).map_err(|error| SpecError::Syntax {
            line: 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count(),
            message: "the spec is not UTF-8 text".to_owned(),
        })?;
        let source = Source { text };
        let root = DeTable::parse(text).map_err(|error| source.syntax(&error))?;
        let root = source.table("the spec", root.get_ref(), &["project", "experiment"])?;
        let project = source.child(&root, "the spec", "project")?;
        let project = source.table("[project]", project, &["name"])?;
        let name = project.get("name").ok_or_else(|| missing("name", "[project]"))?;
        let mut experiments = BTreeMap::new();
        if root.contains_key("experiment") {
            for (key, value) in source.child(&root, "the spec", "experiment")? {
                let name: ExperimentName =
                    key.get_ref().parse().map_err(|error| source.value("experiment", key.span(), &error))?;
                experiments.insert(name, source.experiment(key.get_ref(), value)?);
            }
        }
        Ok(Self { project: source.parsed("name", name)?, experiments })
    }
}

const EXPERIMENT_KEYS: [&str; 10] =
    ["command", "params", "data", "network", "limits", "env", "accept", "gpus", "ports", "clock"];
const ENV_KEYS: [&str; 2] = ["python", "variables"];
const GRANT_KEYS: [&str; 2] = ["to", "tls"];
/// A TOML table by key, after its keys were checked.
type Table<'t, 's> = BTreeMap<&'t str, &'t Spanned<DeValue<'s>>>;

struct Source<'s> {
    text: &'s str,
}

impl<'s> Source<'s> {
    fn experiment(&self, name: &str, value: &Spanned<DeValue<'s>>) -> Result<Experiment, SpecError> {
        let title = format!("[experiment.{name}]");
        let table = self.as_table(name, value)?;
        let table = self.table(&title, table, &EXPERIMENT_KEYS)?;
        let command = table.get("command").ok_or_else(|| missing("command", &title))?;
        let mut experiment = Experiment { command: self.typed("command", command)?, ..Experiment::default() };
        if experiment.command.first().is_none_or(String::is_empty) {
            return Err(self.value("command", command.span(), &"the first element is the program"));
        }
        if let Some(params) = table.get("params") {
            for (key, value) in self.as_table("params", params)? {
                experiment.params.insert(key.get_ref().to_string(), self.json(key.get_ref(), value)?);
            }
        }
        if let Some(data) = table.get("data") {
            for (key, reference) in self.as_table("data", data)? {
                let name = key.get_ref().parse().map_err(|error| self.value("data", key.span(), &error))?;
                experiment.data.insert(name, self.parsed(key.get_ref(), reference)?);
            }
        }
        if let Some(network) = table.get("network") {
            experiment.network = self.grants(network)?;
        }
        if let Some(accept) = table.get("accept") {
            experiment.accept = self.typed("accept", accept)?;
        }
        if let Some(gpus) = table.get("gpus") {
            experiment.gpus = Some(match gpus.get_ref() {
                DeValue::Array(_) => Gpus::Cards(self.typed("gpus", gpus)?),
                _ => self.parsed("gpus", gpus)?,
            });
        }
        if let Some(ports) = table.get("ports") {
            experiment.ports = Some(self.typed("ports", ports)?);
        }
        if let Some(clock) = table.get("clock") {
            experiment.clock = self.parsed("clock", clock)?;
        }
        if let Some(limits) = table.get("limits") {
            let entries = self.table("limits", self.as_table("limits", limits)?, &LIMIT_KEYS)?;
            for (key, value) in entries {
                let text = match value.get_ref() {
                    DeValue::Integer(number) => number.as_str().to_owned(),
                    _ => self.typed(key, value)?,
                };
                set_limit(&mut experiment.limits, key, &text)
                    .map_err(|error| self.value(key, value.span(), &error))?;
            }
        }
        if let Some(env) = table.get("env") {
            let env = self.table("env", self.as_table("env", env)?, &ENV_KEYS)?;
            if let Some(python) = env.get("python") {
                experiment.python = Some(self.typed("python", python)?);
            }
            if let Some(variables) = env.get("variables") {
                experiment.variables = self.typed("variables", variables)?;
            }
        }
        Ok(experiment)
    }

    /// Destinations: each `"HOST:PORT"`, or a table where more is to be said of it.
    fn grants(&self, value: &Spanned<DeValue<'s>>) -> Result<BTreeSet<Grant>, SpecError> {
        let Some(list) = value.get_ref().as_array() else {
            return Err(self.value("network", value.span(), &"expected a list of `\"HOST:PORT\"`"));
        };
        let grant = |value: &Spanned<DeValue<'s>>| {
            if !value.get_ref().is_table() {
                return self.parsed("network", value);
            }
            let table =
                self.table("an element of `network`", self.as_table("network", value)?, &GRANT_KEYS)?;
            let to = table.get("to").ok_or_else(|| missing("to", "an element of `network`"))?;
            let mut grant: Grant = self.parsed("to", to)?;
            if let Some(tls) = table.get("tls") {
                grant.tls = self.parsed("tls", tls)?;
            }
            Ok(grant)
        };
        list.iter().map(grant).collect()
    }

    /// A parameter as JSON, which has neither dates nor endless numbers.
    fn json(&self, key: &str, value: &Spanned<DeValue<'s>>) -> Result<serde_json::Value, SpecError> {
        match value.get_ref() {
            DeValue::Datetime(_) => Err(self.value(key, value.span(), &"write a date as text, in quotes")),
            DeValue::Float(_) => {
                let number = serde_json::Number::from_f64(self.typed(key, value)?);
                let number =
                    number.ok_or_else(|| self.value(key, value.span(), &"JSON has only finite numbers"))?;
                Ok(number.into())
            }
            DeValue::Array(values) => values.iter().map(|value| self.json(key, value)).collect(),
            DeValue::Table(table) => {
                let entries = table.iter();
                entries
                    .map(|(key, value)| Ok((key.get_ref().to_string(), self.json(key.get_ref(), value)?)))
                    .collect()
            }
            _ => self.typed(key, value),
        }
    }

    /// The entries of `table`, none of them unknown.
    fn table<'t>(
        &self,
        title: &str,
        table: &'t DeTable<'s>,
        known: &[&'static str],
    ) -> Result<Table<'t, 's>, SpecError> {
        for key in table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                return Err(SpecError::UnknownKey {
                    line: self.line(key.span().start),
                    key: shown(key.get_ref()),
                    table: title.to_owned(),
                    nearest: nearest(key.get_ref(), known),
                });
            }
        }
        Ok(table.iter().map(|(key, value)| (key.get_ref().as_ref(), value)).collect())
    }

    fn child<'t>(
        &self,
        table: &Table<'t, 's>,
        title: &str,
        key: &'static str,
    ) -> Result<&'t DeTable<'s>, SpecError> {
        self.as_table(key, table.get(key).ok_or_else(|| missing(key, title))?)
    }

    fn as_table<'t>(&self, key: &str, value: &'t Spanned<DeValue<'s>>) -> Result<&'t DeTable<'s>, SpecError> {
        value.get_ref().as_table().ok_or_else(|| self.value(key, value.span(), &"expected a table"))
    }

    fn typed<T: serde::de::DeserializeOwned>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'s>>,
    ) -> Result<T, SpecError> {
        let deserializer = toml::de::ValueDeserializer::from(value.clone());
        T::deserialize(deserializer).map_err(|error| self.value(key, value.span(), &error.message()))
    }

    fn parsed<T: std::str::FromStr<Err: fmt::Display>>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'s>>,
    ) -> Result<T, SpecError> {
        let text: String = self.typed(key, value)?;
        text.parse().map_err(|error| self.value(key, value.span(), &error))
    }

    fn value(&self, key: &str, span: std::ops::Range<usize>, message: &dyn fmt::Display) -> SpecError {
        SpecError::Value { line: self.line(span.start), key: shown(key), message: message.to_string() }
    }

    fn syntax(&self, error: &toml::de::Error) -> SpecError {
        let line = error.span().map_or(1, |span| self.line(span.start));
        SpecError::Syntax { line, message: error.message().to_owned() }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }
}

fn missing(key: &'static str, table: &str) -> SpecError {
    SpecError::MissingKey { key, table: table.to_owned() }
}

/// A key as shown in an error: one line, bounded.
fn shown(key: &str) -> String {
    key.chars().take(80).flat_map(char::escape_debug).collect()
}

fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let distance = |candidate: &&&'static str| strsim::damerau_levenshtein(key, candidate);
    known.iter().min_by_key(distance).filter(|best| strsim::damerau_levenshtein(key, best) <= 3).copied()
}

#[cfg(test)]
mod tests;
