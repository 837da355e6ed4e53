//! What a project sets for the shipped rules: `policy/settings.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use aseptic_model::spec::nearest;
use aseptic_model::{Grant, Label};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Problem;

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

/// Most problems that are listed: nobody corrects more at once.
const PROBLEMS_MAX: usize = 100;

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
        let mut reader = Reader { text, problems: Vec::new() };
        let settings = match DeTable::parse(text) {
            Ok(root) => reader.settings(root.get_ref()),
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                reader.problem(span, error.message(), "the format is TOML 1.0");
                Self::default()
            }
        };
        if reader.problems.is_empty() { Ok(settings) } else { Err(reader.problems) }
    }
}

type Table<'s> = DeTable<'s>;
type Item<'s> = Spanned<DeValue<'s>>;

struct Reader<'s> {
    text: &'s str,
    problems: Vec<Problem>,
}

impl<'s> Reader<'s> {
    fn problem(&mut self, span: std::ops::Range<usize>, message: &str, help: &str) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem::new(SETTINGS_PATH, self.text, span, message, help));
        }
    }

    fn settings(&mut self, root: &Table<'s>) -> Settings {
        let mut settings = Settings::default();
        self.known("the settings", root, &["format", "strict", "labels", "holdout", "link"]);
        match root.get("format") {
            None => self.problem(
                0..0,
                "the settings have no `format`",
                &format!("begin with `format = \"{SETTINGS_FORMAT}\"`"),
            ),
            Some(value) if value.get_ref().as_str() != Some(SETTINGS_FORMAT) => self.problem(
                value.span(),
                "settings of this format cannot be read",
                &format!("this version reads `{SETTINGS_FORMAT}`"),
            ),
            Some(_) => {}
        }
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

    fn label(
        &mut self,
        key: &Spanned<std::borrow::Cow<'s, str>>,
        value: &Item<'s>,
    ) -> Option<(Label, BTreeSet<Grant>)> {
        let label: Label = match key.get_ref().parse() {
            Ok(label) => label,
            Err(error) => {
                self.problem(key.span(), &format!("{error}"), "name a label as `dataset label` takes it");
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
                self.problem(value.span(), "these are too many bytes for metrics", &help);
            }
            settings.metrics_bytes = bytes;
        }
    }

    fn link(&mut self, value: &Item<'s>) -> Option<Link> {
        let table = self.table("link", value)?;
        self.known("[[link]]", table, &["id", "template", "principal", "resource"]);
        let mut text = |key: &'static str| {
            let value = table.get(key)?;
            self.typed::<String>(key, value)
        };
        let (id, template) = (text("id"), text("template"));
        let (principal, resource) = (text("principal"), text("resource"));
        for key in ["id", "template"] {
            if !table.contains_key(key) {
                self.problem(value.span(), &format!("a link has no `{key}`"), &format!("add `{key}`"));
            }
        }
        Some(Link { id: id?, template: template?, principal, resource, start: value.span().start })
    }

    fn known(&mut self, title: &str, table: &Table<'s>, known: &[&'static str]) {
        for key in table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                let help = match nearest(key.get_ref(), known.iter().copied()) {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None => {
                        let known: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
                        format!("remove it; there are {}", known.join(", "))
                    }
                };
                self.problem(key.span(), &format!("unknown key `{}` in {title}", key.get_ref()), &help);
            }
        }
    }

    fn at_most(&mut self, key: &str, number: usize, value: Option<&Item<'s>>) {
        if number > ENTRIES_MAX {
            let span = value.map_or(0..0, Spanned::span);
            self.problem(span, &format!("`{key}` has {number} entries"), &format!("at most {ENTRIES_MAX}"));
        }
    }

    fn table<'t>(&mut self, key: &str, value: &'t Item<'s>) -> Option<&'t Table<'s>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong(key, value, &"expected a table");
        }
        table
    }

    fn array<'t>(&mut self, key: &str, value: &'t Item<'s>) -> Option<&'t [Item<'s>]> {
        let array = value.get_ref().as_array();
        if array.is_none() {
            self.wrong(key, value, &"expected a list");
        }
        array.map(|array| array.as_ref())
    }

    fn typed<T: serde::de::DeserializeOwned>(&mut self, key: &str, value: &Item<'s>) -> Option<T> {
        let read = T::deserialize(toml::de::ValueDeserializer::from(value.clone()));
        read.map_err(|error| self.wrong(key, value, &error.message())).ok()
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, key: &str, value: &Item<'s>) -> Option<T> {
        let text: String = self.typed(key, value)?;
        text.parse().map_err(|error| self.wrong(key, value, &error)).ok()
    }

    fn wrong(&mut self, key: &str, value: &Item<'s>, message: &dyn fmt::Display) {
        self.problem(value.span(), &format!("`{key}`: {message}"), "correct the value; see `docs/policy.md`");
    }
}
