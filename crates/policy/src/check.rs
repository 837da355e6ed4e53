//! Everything that is the matter with policies, before they decide anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use aseptic_model::spec::nearest;
use cedar_policy::{PolicyId, PolicySet, Schema, ValidationMode, ValidationWarning, Validator};

use crate::decide::slice::speaks_of;
use crate::decide::words::{ALWAYS, Part, parts};
use crate::read::lex::{Annotation, Piece, pieces};
use crate::read::problem::{PROBLEMS_MAX, cedar_problem};
use crate::read::rule::{Body, Rule, read_together};
use crate::read::settings::SETTINGS_PATH;
use crate::read::{Reading, SCHEMA_PATH};
use crate::text::did_you_mean;
use crate::{Act, Action, PolicyDocument, Problem};

/// Everything that is the matter with the policies, settings and roles of `document`, by file and place: their form,
/// what the schema does not know, and what messages cannot say. Nothing when there is nothing; at most 100 problems.
///
/// Policies with an error cannot be used; [`crate::Policies::parse`] refuses those whose form is wrong, and the others
/// deny when they are asked.
#[must_use]
pub fn check(document: &PolicyDocument) -> Vec<Problem> {
    let which = if document.has_this_base() { Which::OfProject } else { Which::All };
    problems(document, which)
}

/// Which policies are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// Those of the project, beside the files that this version ships: nothing is the matter with those.
    OfProject,
    All,
}

fn problems(document: &PolicyDocument, which: Which) -> Vec<Problem> {
    let mut reading = Reading::of(document);
    let mut problems = std::mem::take(&mut reading.problems);
    if which == Which::OfProject {
        reading.rules.retain(|rule| !rule.is_shipped());
        reading.templates.retain(|_, rule| !rule.is_shipped());
    }
    if which == Which::All || !reading.rules.is_empty() {
        problems.extend(against_schema(document, &reading));
    }
    for rule in reading.rules.iter().chain(reading.templates.values()) {
        problems.extend(placeholders(document, &reading, rule));
    }
    problems.sort();
    problems.dedup();
    problems.truncate(PROBLEMS_MAX);
    problems
}

/// The schema of `document`. The one that is shipped is read once.
fn schema(document: &PolicyDocument) -> Result<Schema, Problem> {
    static SHIPPED: OnceLock<Schema> = OnceLock::new();
    let text = document.files.get(SCHEMA_PATH).map_or("", String::as_str);
    let is_shipped = document.has_this_base();
    if let Some(schema) = SHIPPED.get().filter(|_| is_shipped) {
        return Ok(schema.clone());
    }
    let (schema, _) = Schema::from_cedarschema_str(text)
        .map_err(|error| cedar_problem(SCHEMA_PATH, text, |offset| offset, &error))?;
    if is_shipped {
        let _ = SHIPPED.set(schema.clone());
    }
    Ok(schema)
}

/// What the schema does not fit.
fn against_schema(document: &PolicyDocument, reading: &Reading) -> Vec<Problem> {
    let schema = match schema(document) {
        Ok(schema) => schema,
        Err(problem) => return vec![problem],
    };
    let mut problems = Vec::new();
    let mut set = PolicySet::new();
    let mut by_id: BTreeMap<String, &Rule> = BTreeMap::new();
    read_together(&reading.rules.iter().collect::<Vec<_>>());
    for rule in &reading.rules {
        match rule.add_to(&mut set) {
            Ok(()) => drop(by_id.insert(rule.id.clone(), rule)),
            Err(error) => problems.push(about(document, rule, &error)),
        }
    }
    let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
    let mut wrong: BTreeSet<&str> = BTreeSet::new();
    let mut missing = BTreeMap::new();
    for error in result.validation_errors() {
        if let Some(rule) = rule_of(&by_id, error.policy_id()) {
            wrong.insert(&rule.id);
            let problem = located(document, reading, rule, error);
            match missing_attribute(&problem.message) {
                None => problems.push(problem),
                Some((attribute, action)) => {
                    let place = (rule.id.as_str(), attribute.to_owned(), problem.line, problem.column);
                    let without: &mut (Problem, BTreeSet<String>) =
                        missing.entry(place).or_insert_with(|| (problem.clone(), BTreeSet::new()));
                    without.1.insert(action.to_owned());
                }
            }
        }
    }
    for ((id, attribute, ..), (problem, without)) in missing {
        let rule = by_id.get(id).copied();
        problems.push(without_attribute(problem, reading, rule, &attribute, &without));
    }
    for warning in result.validation_warnings() {
        // Where something is wrong, that it cannot apply follows.
        if let Some(rule) =
            rule_of(&by_id, warning.policy_id()).filter(|rule| !wrong.contains(rule.id.as_str()))
        {
            let problem = match warning {
                ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_) => {
                    impossible(document, rule)
                }
                _ => located(document, reading, rule, warning),
            };
            problems.push(problem.warning());
        }
    }
    problems
}

/// The attribute that the context of an action does not have, and the action, if Cedar says that.
fn missing_attribute(message: &str) -> Option<(&str, &str)> {
    let (attribute, rest) = message.strip_prefix("attribute `")?.split_once("` in context for Action::\"")?;
    Some((attribute, rest.strip_suffix("\" not found")?))
}

/// What Cedar says once for each action that a policy speaks of, as one problem: the actions `without` the attribute, and
/// those with it if there are any.
fn without_attribute(
    problem: Problem,
    reading: &Reading,
    rule: Option<&Rule>,
    attribute: &str,
    without: &BTreeSet<String>,
) -> Problem {
    let policy = rule.and_then(|rule| rule.policy().ok());
    let speaks = |action: &str| policy.is_some_and(|policy| speaks_of(policy, action));
    let contexts = reading.shapes.0.iter().filter(|(action, _)| speaks(action));
    let contexts: Vec<_> = contexts.map(|(action, shape)| (action, &shape.context)).collect();
    let with: Vec<_> = contexts.iter().filter(|(_, context)| context.contains_key(attribute)).collect();
    let with: Vec<String> = with.iter().map(|(action, _)| format!("`Action::\"{action}\"`")).collect();
    let first = without.first().map_or("", String::as_str);
    let others = match without.len().saturating_sub(1) {
        0 => String::new(),
        1 => " and of another action that the policy speaks of".to_owned(),
        more => format!(" and of {more} others that the policy speaks of"),
    };
    let message = format!("`{attribute}` is not in the context of `Action::\"{first}\"`{others}");
    let known: BTreeSet<&str> =
        contexts.iter().flat_map(|(_, context)| context.keys().map(String::as_str)).collect();
    let help = match (with.as_slice(), nearest(attribute, known.iter().copied())) {
        ([], Some(nearest)) => format!("did you mean `{nearest}`?"),
        ([], None) if without.len() == 1 => {
            let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
            format!("there are {}", known.join(", "))
        }
        ([], None) => "name the action; `docs/policy.md` lists the context of each".to_owned(),
        (with, _) => format!(
            "name the actions that have it, which are {}, or begin with `context has {attribute} &&`",
            with.join(", ")
        ),
    };
    Problem { message, help, ..problem }
}

/// A policy that is never asked, or never holds: likely a name that nothing has.
fn impossible(document: &PolicyDocument, rule: &Rule) -> Problem {
    let text = text_of(document, rule);
    let source = text.get(rule.range.clone()).unwrap_or_default();
    let effect = pieces(source).into_iter().next().and_then(|piece| piece.effect);
    let range = effect.map_or(rule.range.clone(), |effect| {
        rule.range.start + effect.start..rule.range.start + effect.range().end
    });
    let message = format!("the policy `{}` can never apply", rule.id);
    let help = "nothing that its actions are asked about is what it names; correct it, or remove it";
    Problem::new(&rule.path, text, range, &message, help)
}

/// The rule of an id, or the first link of the template of this id.
fn rule_of<'r>(by_id: &BTreeMap<String, &'r Rule>, id: &PolicyId) -> Option<&'r Rule> {
    let of_template =
        |rule: &&&Rule| matches!(&rule.body, Body::Link { template, .. } if template.id() == id);
    by_id.get(&id.to_string()).or_else(|| by_id.values().find(of_template)).copied()
}

fn text_of<'d>(document: &'d PolicyDocument, rule: &Rule) -> &'d str {
    document.files.get(&rule.path).map_or("", String::as_str)
}

fn about(document: &PolicyDocument, rule: &Rule, message: &str) -> Problem {
    let text = text_of(document, rule);
    Problem::new(&rule.path, text, rule.range.clone(), message, "correct the policy")
}

/// What Cedar says about `rule`: at its place in the policy, or about a link at the link.
fn located(
    document: &PolicyDocument,
    reading: &Reading,
    rule: &Rule,
    diagnostic: &dyn miette::Diagnostic,
) -> Problem {
    let text = text_of(document, rule);
    let mut problem = cedar_problem(&rule.path, text, |offset| rule.byte(offset), diagnostic);
    let unknown = problem.message.strip_prefix("unrecognized action `Action::\"");
    if let Some(action) = unknown.and_then(|rest| rest.strip_suffix("\"`")) {
        problem.help = match nearest(action, reading.shapes.0.keys().map(String::as_str)) {
            Some(nearest) => format!("did you mean `Action::\"{nearest}\"`?"),
            None => "`base/schema.cedarschema` lists the actions; `aseptic policy show` shows it".to_owned(),
        };
    }
    if rule.path != SETTINGS_PATH {
        return problem;
    }
    let message = format!("the link `{}` does not fit its template: {}", rule.id, problem.message);
    Problem::new(&rule.path, text, rule.range.clone(), &message, "put another principal or resource in")
}

/// Placeholders of messages that no request of the policy's actions has.
fn placeholders(document: &PolicyDocument, reading: &Reading, rule: &Rule) -> Vec<Problem> {
    let Body::Text(_) = &rule.body else { return Vec::new() };
    let text = text_of(document, rule);
    let Some(source) = text.get(rule.range.clone()) else { return Vec::new() };
    let Some(piece) = pieces(source).into_iter().next() else { return Vec::new() };
    let known = known_names(reading, rule, &piece);
    let said = piece.annotations.iter().filter(|one| ["message", "advice"].contains(&one.key.text));
    let mut problems = Vec::new();
    for Annotation { value, .. } in said {
        let Some(value) = value else { continue };
        for part in parts(value.text) {
            if let Part::Placeholder(name, at) = part
                && !known.contains(name)
            {
                let start = rule.range.start + value.start + at;
                let help =
                    did_you_mean(name, known.iter().map(String::as_str), |name| format!("`{{{name}}}`"));
                let message = format!("nothing that this policy speaks of has a `{{{name}}}`");
                problems.push(Problem::new(&rule.path, text, start..start + name.len() + 2, &message, &help));
            }
        }
    }
    problems
}

/// Names that a message may have: those that each request which the policy speaks of has.
fn known_names(reading: &Reading, rule: &Rule, piece: &Piece<'_>) -> BTreeSet<String> {
    let speaks = |action: &str| match (rule.policy(), &piece.actions) {
        (Ok(policy), _) => speaks_of(policy, action),
        (Err(_), Some(actions)) => actions.contains(&action),
        (Err(_), None) => true,
    };
    let shown = |action: &str| {
        let of_plan = Action::ALL.into_iter().find(|one| one.as_str() == action);
        of_plan.map_or(&[][..], Action::shown)
    };
    let names = Action::ALL.into_iter().map(Action::as_str).chain(Act::ALL.into_iter().map(Act::as_str));
    let of_action = |action: &str| -> BTreeSet<String> {
        let shape = reading.shapes.0.get(action);
        let context = shape.into_iter().flat_map(|shape| shape.context.keys().cloned());
        context.chain(shown(action).iter().map(|&name| name.to_owned())).collect()
    };
    let each = names.filter(|action| speaks(action)).map(of_action);
    let mut known = each.reduce(|all, one| &all & &one).unwrap_or_default();
    known.extend(ALWAYS.map(str::to_owned));
    known
}

#[cfg(test)]
mod tests;
