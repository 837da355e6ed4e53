//! Everything that is the matter with policies, before they decide anything.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::spec::nearest;
use cedar_policy::{PolicyId, PolicySet, Schema, ValidationMode, ValidationWarning, Validator};

use crate::lex::{Annotation, Piece, pieces};
use crate::problem::cedar_problem;
use crate::reading::{PROBLEMS_MAX, Reading, SCHEMA_PATH};
use crate::rule::{Body, Rule, read_together};
use crate::settings::SETTINGS_PATH;
use crate::slice::speaks_of;
use crate::words::{ALWAYS, Part, parts};
use crate::{Act, Action, PolicyDocument, Problem};

/// Everything that is the matter with the policies, settings and roles of `document`, by file and place: their form,
/// what the schema does not know, and what messages cannot say. Nothing when there is nothing; at most 100 problems.
///
/// Policies with an error cannot be used; [`crate::Policies::parse`] refuses those whose form is wrong, and the others
/// deny when they are asked.
#[must_use]
pub fn check(document: &PolicyDocument) -> Vec<Problem> {
    let mut reading = Reading::of(document);
    let mut problems = std::mem::take(&mut reading.problems);
    match Schema::from_cedarschema_str(document.files.get(SCHEMA_PATH).map_or("", String::as_str)) {
        Ok((schema, _)) => problems.extend(against_schema(document, &reading, schema)),
        Err(error) => {
            let text = document.files.get(SCHEMA_PATH).map_or("", String::as_str);
            problems.push(cedar_problem(SCHEMA_PATH, text, |offset| offset, &error));
        }
    }
    for rule in reading.rules.iter().chain(reading.templates.values()) {
        problems.extend(placeholders(document, &reading, rule));
    }
    problems.sort();
    problems.dedup();
    problems.truncate(PROBLEMS_MAX);
    problems
}

/// What the schema does not fit.
fn against_schema(document: &PolicyDocument, reading: &Reading, schema: Schema) -> Vec<Problem> {
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
    for error in result.validation_errors() {
        if let Some(rule) = rule_of(&by_id, error.policy_id()) {
            wrong.insert(&rule.id);
            problems.push(located(document, reading, rule, error));
        }
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
                let help = match nearest(name, known.iter().map(String::as_str)) {
                    Some(nearest) => format!("did you mean `{{{nearest}}}`?"),
                    None => {
                        let known: Vec<_> = known.iter().map(|name| format!("`{{{name}}}`")).collect();
                        format!("there are {}", known.join(", "))
                    }
                };
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
