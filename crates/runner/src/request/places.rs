//! Where each element of a plan was said: on a line of the spec, or by an option.

use std::collections::BTreeMap;

use aseptic_model::escape_bytes;
use aseptic_model::spec::Experiment;

use super::{Request, SPEC_FILE};

/// Longest value of an option that is repeated.
const VALUE_CHARACTERS_MAX: usize = 80;

impl Request {
    /// The place of every element that somebody named, by the names that requests of policies have. An option that says
    /// the same as the spec has the last word.
    pub(super) fn places(&self, experiment: &Experiment) -> BTreeMap<String, String> {
        let spec = if self.spec_shown.is_empty() { SPEC_FILE } else { &self.spec_shown };
        let lines =
            experiment.places.iter().map(|(name, place)| (name.clone(), format!("{spec}:{}", place.line)));
        lines.chain(self.options()).collect()
    }

    fn options(&self) -> Vec<(String, String)> {
        let mut options = Vec::new();
        let mut add = |element: String, option: &str, value: &str| {
            let value: String = value.chars().take(VALUE_CHARACTERS_MAX).collect();
            options.push((element, format!("--{option} {}", escape_bytes(value.as_bytes()))));
        };
        for (name, reference) in &self.data {
            add(format!("data.{name}"), "data", &format!("{name}={reference}"));
        }
        for grant in &self.network {
            add(format!("network.{grant}"), "network", &grant.to_string());
        }
        if self.observe_network {
            add("network.observe".to_owned(), "network", "observe");
        }
        for (key, text) in &self.limits {
            add(format!("limits.{key}"), "limit", &format!("{key}={text}"));
        }
        for name in &self.accept {
            add(format!("accept.{}", escape_bytes(name.as_bytes())), "accept", name);
        }
        for label in &self.labels {
            add(format!("labels.{label}"), "label", label.as_str());
        }
        if let Some(keep) = self.keep {
            add("outputs".to_owned(), "keep", keep.as_str());
        }
        if let Some(gpus) = &self.gpus {
            add("gpus".to_owned(), "gpu", &gpus.to_string());
        }
        if let Some(python) = &self.python {
            add("environment".to_owned(), "python", &python.display().to_string());
        }
        options
    }
}
