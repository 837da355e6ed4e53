//! Requirements in files of TOML: `pyproject.toml` and `Pipfile`.
//!
//! Sources: PEP 621, PEP 735; the documentation of Poetry ("Dependency specification") and of Pipenv.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Asked;
use super::requirement::{self, Requirement};

type Value<'t> = Spanned<DeValue<'t>>;

/// Understands a `pyproject.toml`.
pub(super) fn pyproject(text: &str) -> Asked {
    let Ok(root) = DeTable::parse(text) else { return Asked::unreadable("it is not TOML") };
    let mut asked = Asked::default();
    let root = root.get_ref();
    if let Some(project) = table(root, "project") {
        let lists = project.get("dependencies").into_iter();
        let optional = table(project, "optional-dependencies").into_iter().flat_map(|groups| groups.values());
        strings(text, lists.chain(optional), &mut asked);
    }
    if let Some(groups) = table(root, "dependency-groups") {
        strings(text, groups.values(), &mut asked);
    }
    if let Some(poetry) = table(root, "tool").and_then(|tool| table(tool, "poetry")) {
        let groups = table(poetry, "group").into_iter().flat_map(|groups| groups.values());
        let groups = groups.filter_map(|group| table(group.get_ref().as_table()?, "dependencies"));
        let main = ["dependencies", "dev-dependencies"].into_iter().filter_map(|name| table(poetry, name));
        for packages in main.chain(groups) {
            by_name(text, packages, Bare::Exact, &mut asked);
        }
    }
    asked
}

/// Understands a `Pipfile`.
pub(super) fn pipfile(text: &str) -> Asked {
    let Ok(root) = DeTable::parse(text) else { return Asked::unreadable("it is not TOML") };
    let mut asked = Asked::default();
    for name in ["packages", "dev-packages"] {
        if let Some(packages) = table(root.get_ref(), name) {
            by_name(text, packages, Bare::Loose, &mut asked);
        }
    }
    asked
}

pub(super) fn table<'v, 't>(parent: &'v DeTable<'t>, name: &str) -> Option<&'v DeTable<'t>> {
    parent.get(name)?.get_ref().as_table()
}

/// The line of a value, from 1.
pub(super) fn line_of(text: &str, value: &Value<'_>) -> usize {
    let before = text.as_bytes().get(..value.span().start).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Adds each text of each list.
fn strings<'v, 't: 'v>(text: &str, lists: impl Iterator<Item = &'v Value<'t>>, asked: &mut Asked) {
    let items = lists.filter_map(|list| list.get_ref().as_array()).flatten();
    for item in items.take(requirement::LINES_MAX) {
        if let Some(wanted) = item.get_ref().as_str() {
            asked.add(requirement::parse(wanted), line_of(text, item));
        }
    }
}

/// What a version without an operator means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bare {
    Exact,
    Loose,
}

/// Adds each package of a table from names to versions.
fn by_name(text: &str, packages: &DeTable<'_>, bare: Bare, asked: &mut Asked) {
    for (name, value) in packages.iter().take(requirement::LINES_MAX) {
        let name = name.get_ref();
        if name.eq_ignore_ascii_case("python") {
            continue;
        }
        let line = line_of(text, value);
        let version = match value.get_ref() {
            DeValue::String(version) => Some(version.as_ref()),
            DeValue::Table(details)
                if ["rev", "file", "path"].iter().any(|key| details.contains_key(*key)) =>
            {
                continue;
            }
            DeValue::Table(details) => details.get("version").and_then(|version| version.get_ref().as_str()),
            _ => None,
        };
        let version = version.unwrap_or("*").trim();
        let is_plain =
            version.starts_with(|c: char| c.is_ascii_digit()) && !version.contains(['*', ',', ' ', '|']);
        let exact =
            requirement::exact(version).or_else(|| (bare == Bare::Exact && is_plain).then_some(version));
        asked.add(
            match exact {
                Some(version) => Requirement::Pinned {
                    name: name.to_string(),
                    version: version.to_owned(),
                    conditional: true, // It may be optional, or of a group.
                },
                None => {
                    let wanted = format!("{name} = {version}").chars().take(200).collect();
                    Requirement::Loose { name: name.to_string(), wanted }
                }
            },
            line,
        );
    }
}
