//! What a project sets for the shipped rules: `policy/settings.toml`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{Grant, Label};
use toml::Spanned;

use crate::Problem;
use crate::read::source::{Item, Source, Table};

/// Version tag of [`Settings`] on disk.
pub const SETTINGS_FORMAT: &str = "aseptic.settings/1";

/// The file of the settings.
pub(crate) const SETTINGS_PATH: &str = "policy/settings.toml";

/// Settings of a project. Without a file, the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether what is not pinned is denied and not only labelled.
    pub strict: bool,
    /// Labels of data that must not meet a network, besides the shipped ones, and the destinations that each allows.
    pub labels: BTreeMap<Label, BTreeSet<Grant>>,
    /// How many runs may evaluate on one hold-out before each needs approval.
    pub evaluations: u32,
    /// Most bytes that a run leaves of which only metrics are kept.
    pub metrics_bytes: u64,
    /// Policies made from templates.
    pub links: Vec<Link>,
}

/// A policy made from a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: String,
    /// Id of the template.
    pub template: String,
    /// Who, such as `User::"ada"`.
    pub principal: Option<String>,
    /// What, such as `Dataset::"digits"`.
    pub resource: Option<String>,
    /// Where it begins in the file, in bytes.
    pub start: usize,
}

/// Most labels, destinations of one, and links.
const ENTRIES_MAX: usize = 2000;

/// Most bytes that a run may leave of which only metrics are kept: more than this is no metric.
const METRICS_BYTES_MAX: u64 = 64 << 20;

impl Default for Settings {
    fn default() -> Self {
        Self {
            strict: false,
            labels: BTreeMap::new(),
            evaluations: 20,
            metrics_bytes: 64 << 10,
            links: Vec::new(),
        }
    }
}

impl Settings {
    /// Parses settings strictly: an unknown key is an error that names the nearest known one.
    ///
    /// # Errors
    /// Everything that is the matter with them.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let mut source = Source::new(SETTINGS_PATH, text, "docs/policy.md");
        let settings = source.root().map(|root| source.settings(&root));
        source.finish(settings)
    }
}

impl<'s> Source<'s> {
    fn settings(&mut self, root: &Table<'s>) -> Settings {
        let mut settings = Settings::default();
        self.known("the settings", root, &["format", "strict", "labels", "holdout", "link"]);
        self.format_of(root, SETTINGS_FORMAT);
        if let Some(strict) = root.get("strict").and_then(|value| self.typed("strict", value)) {
            settings.strict = strict;
        }
        if let Some(labels) = root.get("labels").and_then(|value| self.table("labels", value)) {
            settings.labels = labels.iter().filter_map(|(key, value)| self.label(key, value)).collect();
            self.at_most("labels", labels.len(), root.get("labels"));
        }
        if let Some(holdout) = root.get("holdout").and_then(|value| self.table("holdout", value)) {
            self.holdout(holdout, &mut settings);
        }
        if let Some(links) = root.get("link").and_then(|value| self.array("link", value)) {
            settings.links = links.iter().filter_map(|value| self.link(value)).collect();
            self.at_most("link", links.len(), root.get("link"));
        }
        settings
    }

    fn label(&mut self, key: &Spanned<Cow<'s, str>>, value: &Item<'s>) -> Option<(Label, BTreeSet<Grant>)> {
        let label: Label = match key.get_ref().parse() {
            Ok(label) => label,
            Err(error) => {
                self.problem(key.span(), error, "name a label as `dataset label` takes it");
                return None;
            }
        };
        let table = self.table(key.get_ref(), value)?;
        self.known(&format!("[labels.{label}]"), table, &["hosts"]);
        let hosts = match table.get("hosts") {
            Some(hosts) => {
                let values = self.array("hosts", hosts)?;
                self.at_most("hosts", values.len(), Some(hosts));
                values.iter().filter_map(|value| self.parsed("hosts", value)).collect()
            }
            None => BTreeSet::new(),
        };
        Some((label, hosts))
    }

    fn holdout(&mut self, table: &Table<'s>, settings: &mut Settings) {
        self.known("[holdout]", table, &["evaluations", "metrics_bytes"]);
        if let Some(value) = table.get("evaluations")
            && let Some(number) = self.typed("evaluations", value)
        {
            settings.evaluations = number;
        }
        if let Some(value) = table.get("metrics_bytes")
            && let Some(bytes) = self.typed("metrics_bytes", value)
        {
            if bytes > METRICS_BYTES_MAX {
                let help = format!(
                    "at most {METRICS_BYTES_MAX}, so that nobody carries hold-out data out as metrics"
                );
                self.problem(value.span(), "these are too many bytes for metrics", help);
            }
            settings.metrics_bytes = bytes;
        }
    }

    fn link(&mut self, value: &Item<'s>) -> Option<Link> {
        let table = self.table("link", value)?;
        self.known("[[link]]", table, &["id", "template", "principal", "resource"]);
        let mut text = |key: &'static str| {
            let value = table.get(key)?;
            self.text(key, value).map(str::to_owned)
        };
        let (id, template) = (text("id"), text("template"));
        let (principal, resource) = (text("principal"), text("resource"));
        for key in ["id", "template"] {
            if !table.contains_key(key) {
                self.problem(value.span(), format!("a link has no `{key}`"), format!("add `{key}`"));
            }
        }
        Some(Link { id: id?, template: template?, principal, resource, start: value.span().start })
    }

    fn at_most(&mut self, key: &str, number: usize, value: Option<&Item<'s>>) {
        if number > ENTRIES_MAX {
            let span = value.map_or(0..0, Spanned::span);
            self.problem(span, format!("`{key}` has {number} entries"), format!("at most {ENTRIES_MAX}"));
        }
    }
}
