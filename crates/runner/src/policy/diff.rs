//! Diff: two sets of policies, what the newer one permits or takes, and which recorded runs it would decide otherwise.

mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use aseptic_catalog::RunFilter;
use aseptic_model::{Digest, ExperimentName, Outcome, ProjectName, RunId};
use aseptic_policy::{Act, Listed, Policies, PolicyDocument};
use similar::TextDiff;

use super::recorded::{PolicyUseError, recorded};
use super::{PolicyFiles, in_force};
use crate::home::{Home, HomeError};

pub use settings::SettingChange;

/// Which policies are meant. Text form: `in-force`, `shipped`, a digest of 64 digits, or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyRef {
    /// Those that decide runs of the project.
    InForce,
    /// The shipped ones alone.
    Shipped,
    /// Those of this digest, which decided once.
    Digest(Digest),
    /// Those of a directory.
    Directory(PathBuf),
}

/// The text names no policies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of a directory is empty")]
pub struct PolicyRefError;

impl FromStr for PolicyRef {
    type Err = PolicyRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match (text, text.parse()) {
            ("", _) => return Err(PolicyRefError),
            ("in-force", _) => Self::InForce,
            ("shipped", _) => Self::Shipped,
            (_, Ok(digest)) => Self::Digest(digest),
            (directory, Err(_)) => Self::Directory(directory.into()),
        })
    }
}

impl fmt::Display for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InForce => f.write_str("in-force"),
            Self::Shipped => f.write_str("shipped"),
            Self::Digest(digest) => digest.fmt(f),
            Self::Directory(directory) => directory.display().fmt(f),
        }
    }
}

/// What a change does to what runs may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Nothing.
    Neither,
    /// Less is allowed.
    Narrows,
    /// More is allowed.
    Widens,
    /// That depends on the run.
    Either,
}

impl Direction {
    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Neither => "neither",
            Self::Narrows => "narrows",
            Self::Widens => "widens",
            Self::Either => "either",
        }
    }

    /// What several changes do together.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (one, Self::Neither) | (Self::Neither, one) => one,
            (one, other) if one == other => one,
            _ => Self::Either,
        }
    }
}

/// How something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

impl How {
    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// A file that differs.
#[derive(Clone, Debug)]
pub struct FileChange {
    /// Its path.
    pub path: String,
    /// How.
    pub how: How,
    /// Its lines before and after, as `diff -u` writes them.
    pub patch: String,
}

/// A policy or template that differs.
#[derive(Clone, Debug)]
pub struct RuleChange {
    /// Its id.
    pub id: String,
    /// How.
    pub how: How,
    /// Where it stands: after, or before where it was removed.
    pub at: String,
    /// What that does.
    pub direction: Direction,
}

/// A recorded run that the newer policies would decide otherwise.
#[derive(Clone, Debug)]
pub struct RunEffect {
    /// The run.
    pub run: RunId,
    /// Its experiment.
    pub experiment: Option<ExperimentName>,
    /// What the older policies decide.
    pub before: Outcome,
    /// What the newer ones do.
    pub after: Outcome,
    /// The rules that speak against it after, and before where it is allowed after.
    pub rules: BTreeSet<String>,
}

/// What differs between two sets of policies.
#[derive(Clone, Debug)]
pub struct PolicyDiff {
    /// Digest of the older ones.
    pub before: Digest,
    /// Digest of the newer ones.
    pub after: Digest,
    /// Files that differ, by path.
    pub files: Vec<FileChange>,
    /// Policies and templates that differ, by id.
    pub rules: Vec<RuleChange>,
    /// Settings that differ.
    pub settings: Vec<SettingChange>,
    /// Whether the roles differ.
    pub roles: bool,
    /// What all of that does.
    pub direction: Direction,
    /// Runs that were decided again with both.
    pub runs: u64,
    /// Runs of which nobody kept what was asked, so that they were not.
    pub unasked: u64,
    /// Those that would be decided otherwise, the newest first.
    pub effects: Vec<RunEffect>,
}

/// Compares two sets of policies, and decides the last `runs` runs of `project` again with both: each with its facts of
/// then, and with the settings and roles of the set.
///
/// # Errors
/// [`PolicyUseError`].
pub fn diff(
    home: &Home,
    project: &ProjectName,
    (before, after): (&PolicyRef, &PolicyRef),
    runs: usize,
) -> Result<PolicyDiff, PolicyUseError> {
    home.allowed(project, Act::View, None)?;
    let before = Policies::parse(load(home, project, before)?)?;
    let after = Policies::parse(load(home, project, after)?)?;
    let mut diff = PolicyDiff::of(&before, &after);
    decide_again(home, project, (&before, &after), runs, &mut diff)?;
    Ok(diff)
}

impl PolicyDiff {
    /// What differs, and nothing of runs.
    pub(super) fn of(before: &Policies, after: &Policies) -> Self {
        let rules = rule_changes(&before.document().listed(), &after.document().listed());
        let settings = settings::changes(before.settings(), after.settings(), after.document());
        let roles = before.roles() != after.roles();
        let directions =
            rules.iter().map(|one| one.direction).chain(settings.iter().map(|one| one.direction));
        let direction =
            directions.chain(roles.then_some(Direction::Either)).fold(Direction::Neither, Direction::and);
        Self {
            before: before.digest(),
            after: after.digest(),
            files: file_changes(before.document(), after.document()),
            rules,
            settings,
            roles,
            direction,
            runs: 0,
            unasked: 0,
            effects: Vec::new(),
        }
    }
}

fn load(home: &Home, project: &ProjectName, policies: &PolicyRef) -> Result<PolicyDocument, PolicyUseError> {
    Ok(match policies {
        PolicyRef::InForce => in_force(home, project)?.policies.document().clone(),
        PolicyRef::Shipped => PolicyDocument::new(BTreeMap::new()),
        PolicyRef::Digest(digest) => home.object(project, digest)?,
        PolicyRef::Directory(directory) => PolicyFiles::read(directory)?.document,
    })
}

/// Adds to `diff` which of the last runs would be decided otherwise.
fn decide_again(
    home: &Home,
    project: &ProjectName,
    (before, after): (&Policies, &Policies),
    runs: usize,
    diff: &mut PolicyDiff,
) -> Result<(), HomeError> {
    for run in home.catalog.runs(project, runs, &RunFilter::default())? {
        let Some((_, question)) = recorded(home, project, &run.run)?.and_then(|recorded| recorded.asked)
        else {
            diff.unasked += 1;
            continue;
        };
        diff.runs += 1;
        let old = before.decide(&before.restate(&question));
        let new = after.decide(&after.restate(&question));
        if old.outcome == new.outcome {
            continue;
        }
        let reasons = if new.outcome == Outcome::Allow { old.reasons } else { new.reasons };
        diff.effects.push(RunEffect {
            run: run.run,
            experiment: run.experiment,
            before: old.outcome,
            after: new.outcome,
            rules: reasons.into_iter().map(|reason| reason.rule).collect(),
        });
    }
    Ok(())
}

/// Every key of either, with its values.
fn paired<'m, V>(
    before: &'m BTreeMap<String, V>,
    after: &'m BTreeMap<String, V>,
) -> impl Iterator<Item = (&'m String, Option<&'m V>, Option<&'m V>)> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    keys.into_iter().map(|key| (key, before.get(key), after.get(key)))
}

fn how<V: PartialEq>(before: Option<&V>, after: Option<&V>) -> Option<How> {
    match (before, after) {
        (None, Some(_)) => Some(How::Added),
        (Some(_), None) => Some(How::Removed),
        (Some(before), Some(after)) if before != after => Some(How::Changed),
        _ => None,
    }
}

fn file_changes(before: &PolicyDocument, after: &PolicyDocument) -> Vec<FileChange> {
    let change = |(path, old, new): (&String, Option<&String>, Option<&String>)| {
        let how = how(old, new)?;
        let (old, new) = (old.map_or("", String::as_str), new.map_or("", String::as_str));
        let lines = TextDiff::from_lines(old, new);
        let patch = lines.unified_diff().context_radius(2).header(path, path).to_string();
        Some(FileChange { path: path.clone(), how, patch })
    };
    paired(&before.files, &after.files).filter_map(change).collect()
}

fn rule_changes(before: &[Listed], after: &[Listed]) -> Vec<RuleChange> {
    let by_id = |all: &[Listed]| -> BTreeMap<String, Listed> {
        all.iter().map(|one| (one.id.clone(), one.clone())).collect()
    };
    let (before, after) = (by_id(before), by_id(after));
    let change = |(id, old, new): (&String, Option<&Listed>, Option<&Listed>)| {
        let what = |one: &Listed| (one.effect, one.text.clone());
        let how = how(old.map(what).as_ref(), new.map(what).as_ref())?;
        let direction = direction(old.map(|one| one.effect), new.map(|one| one.effect));
        let at = new.or(old).map(|one| format!("{}:{}", one.path, one.line)).unwrap_or_default();
        Some(RuleChange { id: id.clone(), how, at, direction })
    };
    paired(&before, &after).filter_map(change).collect()
}

/// What a policy that has one effect, and then another, does.
fn direction(before: Option<&str>, after: Option<&str>) -> Direction {
    match (before, after) {
        (None, Some("permit")) => Direction::Widens,
        (Some("permit"), None) | (None, Some(_)) => Direction::Narrows,
        (Some(_), None) => Direction::Widens,
        _ => Direction::Either,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_change_does() {
        for (before, after, expected) in [
            (None, Some("deny"), Direction::Narrows),
            (None, Some("needs-approval"), Direction::Narrows),
            (None, Some("permit"), Direction::Widens),
            (Some("deny"), None, Direction::Widens),
            (Some("permit"), None, Direction::Narrows),
            (Some("deny"), Some("deny"), Direction::Either),
        ] {
            assert_eq!(direction(before, after), expected, "{before:?} {after:?}");
        }
        assert_eq!(Direction::Narrows.and(Direction::Neither), Direction::Narrows);
        assert_eq!(Direction::Narrows.and(Direction::Widens), Direction::Either);
    }

    #[test]
    fn policies_have_one_text_form() {
        for text in ["in-force", "shipped", "../policy", "0".repeat(64).as_str()] {
            assert_eq!(text.parse::<PolicyRef>().unwrap().to_string(), text);
        }
        assert!("".parse::<PolicyRef>().is_err());
    }
}
