//! Read: a document becomes policies, settings and roles, with everything that is the matter with their form.

pub(crate) mod document;
pub(crate) mod lex;
mod link;
pub(crate) mod policy;
pub(crate) mod problem;
pub(crate) mod rule;
pub(crate) mod schema;
pub(crate) mod settings;
pub(crate) mod sight;
pub(crate) mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::read::problem::PROBLEMS_MAX;
use crate::read::rule::Rule;
use crate::read::schema::Shapes;
use crate::read::settings::SETTINGS_PATH;
use crate::{POLICY_FORMAT, PolicyDocument, Problem, Roles, Settings};

/// Most bytes of a file.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Most files of a project.
const FILES_MAX: usize = 200;

/// Where the schema is in a document.
pub(crate) const SCHEMA_PATH: &str = "base/schema.cedarschema";

/// What a document has, and what is the matter with it.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) rules: Vec<Rule>,
    /// Policies with slots, by id.
    pub(crate) templates: BTreeMap<String, Rule>,
    pub(crate) settings: Settings,
    pub(crate) roles: Option<Roles>,
    pub(crate) shapes: Shapes,
    pub(crate) problems: Vec<Problem>,
    ids: BTreeSet<String>,
    /// Groups of the ids of shipped policies.
    groups: BTreeSet<String>,
}

impl Reading {
    pub(crate) fn of(document: &PolicyDocument) -> Self {
        let mut reading = Self::default();
        if document.format != POLICY_FORMAT {
            let message = format!("policies of the format `{}` cannot be read", document.format);
            let help = format!("this version reads `{POLICY_FORMAT}`");
            reading.problem("policy", "", 0..0, &message, &help);
            return reading;
        }
        let own = document.files.keys().filter(|path| path.starts_with("policy/")).count();
        if own > FILES_MAX {
            let message = format!("the project has {own} files of policies");
            reading.problem(
                "policy",
                "",
                0..0,
                &message,
                &format!("at most {FILES_MAX}; put policies together"),
            );
            return reading;
        }
        reading.schema(document);
        let known = document.files.iter().filter(|(path, text)| reading.is_known(path, text));
        let known: Vec<_> = known.collect();
        for (path, text) in known.iter().filter(|(path, _)| path.ends_with(".cedar")) {
            reading.policies(path, text);
        }
        if let Some(text) = document.files.get(SETTINGS_PATH).filter(|text| text.len() <= FILE_BYTES_MAX) {
            match Settings::parse(text) {
                Ok(settings) => reading.settings = settings,
                Err(problems) => reading.problems.extend(problems),
            }
            for link in reading.settings.links.clone() {
                reading.link(text, &link);
            }
        }
        match document.files.get("policy/roles.toml").map(|text| Roles::parse(text)).transpose() {
            Ok(roles) => reading.roles = roles,
            Err(problems) => reading.problems.extend(problems),
        }
        reading.problems.truncate(PROBLEMS_MAX);
        reading
    }

    pub(crate) fn problem(&mut self, path: &str, text: &str, range: Range<usize>, message: &str, help: &str) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem::new(path, text, range, message, help));
        }
    }

    fn schema(&mut self, document: &PolicyDocument) {
        let text = document.files.get(SCHEMA_PATH).map_or("", String::as_str);
        match Shapes::parse(text) {
            Ok(shapes) if !shapes.0.is_empty() => self.shapes = shapes,
            Ok(_) => {
                self.problem(
                    SCHEMA_PATH,
                    text,
                    0..0,
                    "the schema has no actions",
                    "restore the shipped file",
                );
            }
            Err(at) => self.problem(
                SCHEMA_PATH,
                text,
                at..at,
                "this part of the schema cannot be read",
                "restore the shipped file",
            ),
        }
    }

    /// Whether a file is one that decides. One that is not is a problem: somebody thinks that it does.
    fn is_known(&mut self, path: &str, text: &str) -> bool {
        if text.len() > FILE_BYTES_MAX {
            let message = format!("the file has {} bytes", text.len());
            self.problem(path, "", 0..0, &message, &format!("at most {FILE_BYTES_MAX} are read"));
            return false;
        }
        let own = path.strip_prefix("policy/");
        let is_known = match own {
            None => path.starts_with("base/"),
            Some("settings.toml" | "roles.toml" | "roles.sig") => true,
            Some(name) => {
                name.strip_suffix(".cedar").is_some_and(|stem| !stem.is_empty() && !stem.contains('/'))
            }
        };
        if !is_known {
            self.problem(
                path,
                text,
                0..0,
                "this file decides nothing",
                "there are `policy/NAME.cedar`, `settings.toml`, `roles.toml` and `roles.sig`; move or remove it",
            );
        }
        is_known
    }
}
