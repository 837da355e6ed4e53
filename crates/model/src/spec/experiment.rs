//! An experiment of a spec, key by key, with the place of each element that a plan has of it.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::DeValue;

use super::limits::LIMIT_KEYS;
use super::source::{Source, Table};
use super::{Experiment, SpecError, set_limit};
use crate::{Gpus, Grant, escape_bytes};

const EXPERIMENT_KEYS: [&str; 12] = [
    "command", "params", "data", "network", "limits", "env", "accept", "gpus", "ports", "clock", "labels",
    "keep",
];
const ENV_KEYS: [&str; 2] = ["python", "variables"];
const GRANT_KEYS: [&str; 2] = ["to", "tls"];

type Value<'s> = Spanned<DeValue<'s>>;

impl<'s> Source<'s> {
    pub(super) fn experiment(
        &self,
        key: &Spanned<Cow<'s, str>>,
        value: &Value<'s>,
    ) -> Result<Experiment, SpecError> {
        let name = key.get_ref();
        let title = format!("[experiment.{}]", super::shown(name));
        let table = self.table(&title, self.as_table(name, value)?, &EXPERIMENT_KEYS)?;
        let command = table.get("command").ok_or_else(|| self.missing("command", &title, key.span()))?;
        let mut experiment = Experiment { command: self.typed("command", command)?, ..Experiment::default() };
        if experiment.command.first().is_none_or(String::is_empty) {
            return Err(self.value("command", command.span(), &"the first element is the program"));
        }
        experiment.places.insert("run".to_owned(), self.place(key.span().start));
        self.given(&table, &mut experiment)?;
        self.wanted(&table, &mut experiment)?;
        self.bounds(&table, &mut experiment)?;
        self.environment(&table, &mut experiment)?;
        self.kept(&table, &mut experiment)?;
        Ok(experiment)
    }

    /// What it is given: parameters and inputs.
    fn given(&self, table: &Table<'_, 's>, experiment: &mut Experiment) -> Result<(), SpecError> {
        if let Some(params) = table.get("params") {
            for (key, value) in self.as_table("params", params)? {
                experiment.params.insert(key.get_ref().to_string(), self.json(key.get_ref(), value)?);
            }
        }
        if let Some(data) = table.get("data") {
            for (key, reference) in self.as_table("data", data)? {
                let name = key.get_ref().parse().map_err(|error| self.value("data", key.span(), &error))?;
                experiment.places.insert(format!("data.{name}"), self.place(key.span().start));
                experiment.data.insert(name, self.parsed(key.get_ref(), reference)?);
            }
        }
        Ok(())
    }

    /// What it may use of the host and of the network.
    fn wanted(&self, table: &Table<'_, 's>, experiment: &mut Experiment) -> Result<(), SpecError> {
        if let Some(network) = table.get("network") {
            let expected = "expected a list of `\"HOST:PORT\"`";
            for value in self.list("network", network, expected)? {
                let grant = self.grant(value)?;
                experiment.places.insert(format!("network.{grant}"), self.place(value.span().start));
                experiment.network.insert(grant);
            }
        }
        if let Some(gpus) = table.get("gpus") {
            experiment.places.insert("gpus".to_owned(), self.place(gpus.span().start));
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
        Ok(())
    }

    /// Its limits, and what may go unenforced.
    fn bounds(&self, table: &Table<'_, 's>, experiment: &mut Experiment) -> Result<(), SpecError> {
        if let Some(accept) = table.get("accept") {
            for value in self.list("accept", accept, "expected a list of names")? {
                let name: String = self.typed("accept", value)?;
                let element = format!("accept.{}", escape_bytes(name.as_bytes()));
                experiment.places.insert(element, self.place(value.span().start));
                experiment.accept.insert(name);
            }
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
                experiment.places.insert(format!("limits.{key}"), self.place(value.span().start));
            }
        }
        Ok(())
    }

    fn environment(&self, table: &Table<'_, 's>, experiment: &mut Experiment) -> Result<(), SpecError> {
        let Some(env) = table.get("env") else { return Ok(()) };
        let env = self.table("env", self.as_table("env", env)?, &ENV_KEYS)?;
        if let Some(python) = env.get("python") {
            experiment.places.insert("environment".to_owned(), self.place(python.span().start));
            experiment.python = Some(self.typed("python", python)?);
        }
        if let Some(variables) = env.get("variables") {
            experiment.variables = self.typed("variables", variables)?;
        }
        Ok(())
    }

    /// What is kept of what it leaves, and the labels of that.
    fn kept(&self, table: &Table<'_, 's>, experiment: &mut Experiment) -> Result<(), SpecError> {
        if let Some(labels) = table.get("labels") {
            for value in self.list("labels", labels, "expected a list of labels")? {
                let label = self.parsed("labels", value)?;
                experiment.places.insert(format!("labels.{label}"), self.place(value.span().start));
                experiment.labels.insert(label);
            }
        }
        if let Some(keep) = table.get("keep") {
            experiment.places.insert("outputs".to_owned(), self.place(keep.span().start));
            experiment.keep = self.parsed("keep", keep)?;
        }
        Ok(())
    }

    fn list<'t>(
        &self,
        key: &str,
        value: &'t Value<'s>,
        expected: &str,
    ) -> Result<&'t [Value<'s>], SpecError> {
        let list = value.get_ref().as_array().ok_or_else(|| self.value(key, value.span(), &expected))?;
        Ok(list)
    }

    /// A destination: `"HOST:PORT"`, or a table where more is to be said of it.
    fn grant(&self, value: &Value<'s>) -> Result<Grant, SpecError> {
        if !value.get_ref().is_table() {
            return self.parsed("network", value);
        }
        let title = "an element of `network`";
        let table = self.table(title, self.as_table("network", value)?, &GRANT_KEYS)?;
        let to = table.get("to").ok_or_else(|| self.missing("to", title, value.span()))?;
        let mut grant: Grant = self.parsed("to", to)?;
        if let Some(tls) = table.get("tls") {
            grant.tls = self.parsed("tls", tls)?;
        }
        Ok(grant)
    }
}
