//! Requests for what this machine has, or cannot enforce.

use aseptic_model::{Gpus, escape_bytes};

use super::{Asked, request, shown, texts};
use crate::{Action, Kind, Request, Value};

impl Asked<'_> {
    pub(super) fn gpus(&self) -> Vec<Request> {
        let Some(gpus) = &self.plan.gpus else { return Vec::new() };
        let cards: Vec<String> = match gpus {
            Gpus::All => vec!["all".to_owned()],
            Gpus::Cards(cards) => cards.iter().map(ToString::to_string).collect(),
        };
        let ask = |card: String| {
            let context = [
                ("available", Value::Bool(self.facts.gpus.is_none())),
                ("all", Value::Bool(matches!(gpus, Gpus::All))),
            ];
            let mut asked = request(Action::UseGpu, "gpus", card.clone(), (Kind::Gpu, &card), context);
            asked.shown.extend(self.facts.gpus.iter().map(|why| ("why".to_owned(), why.clone())));
            asked
        };
        cards.into_iter().map(ask).collect()
    }

    fn accept(&self, element: &str, name: &str, missing: bool, is_limit: bool, why: &str) -> Request {
        let acceptable = self.facts.acceptable.contains(name);
        let context = [
            ("accepted", Value::Bool(self.plan.accept.contains(name))),
            ("acceptable", Value::Bool(missing || acceptable)),
            ("missing", Value::Bool(missing)),
            ("limit", Value::Bool(is_limit)),
            self.labels(),
            ("sensitive", texts(&self.sensitive)),
        ];
        let name = escape_bytes(name.as_bytes());
        let mut asked = request(Action::Accept, element, name.clone(), (Kind::Wall, &name), context);
        let names: Vec<_> = self.facts.acceptable.iter().map(|name| format!("`{name}`")).collect();
        let remedy = match names.as_slice() {
            [] => "remove it: nothing can be accepted here".to_owned(),
            names => format!("remove it, or name one of {}", names.join(", ")),
        };
        asked.shown = shown([("name", name), ("why", why.to_owned()), ("remedy", remedy)]);
        if !is_limit && missing && !self.sensitive.is_empty() {
            asked.shown.insert("labelled".to_owned(), self.origins.describe(&self.sensitive));
        }
        asked
    }

    /// The limits that the plan sets and that a host may not be able to enforce.
    fn planned_limits(&self) -> impl Iterator<Item = &'static str> {
        let limits = &self.plan.limits;
        let planned = [
            ("bandwidth", limits.bandwidth_bytes.is_some()),
            ("connections", limits.connections.is_some()),
            ("cpus", limits.cpus.is_some()),
            ("files", limits.files.is_some()),
            ("memory", limits.memory_bytes.is_some()),
            ("outputs", limits.outputs_bytes.is_some()),
            ("scratch", limits.scratch_bytes.is_some()),
            ("scratch-files", limits.scratch_files.is_some()),
            ("traffic", limits.traffic_bytes.is_some()),
        ];
        planned.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name)
    }

    pub(super) fn limits(&self) -> Vec<Request> {
        let missing = self.planned_limits().filter(|name| !self.facts.enforced_limits.contains(name));
        missing.map(|name| self.accept(&format!("limits.{name}"), name, true, true, "")).collect()
    }

    /// Limits of the plan that something watches and nothing holds.
    pub(super) fn soft_limits(&self) -> impl Iterator<Item = &'static str> {
        self.planned_limits().filter(|name| self.facts.soft_limits.contains(name))
    }

    pub(super) fn walls(&self) -> Vec<Request> {
        let missing = self.facts.missing_walls.iter();
        missing.map(|(name, why)| self.accept(&format!("walls.{name}"), name, true, false, why)).collect()
    }

    /// What the plan accepts as not enforced, although nothing of that name can be missing.
    pub(super) fn accepted(&self) -> Vec<Request> {
        let unknown = self.plan.accept.iter().filter(|name| !self.facts.acceptable.contains(name.as_str()));
        let ask = |name: &String| {
            let element = format!("accept.{}", escape_bytes(name.as_bytes()));
            self.accept(&element, name, false, false, "")
        };
        unknown.map(ask).collect()
    }
}
