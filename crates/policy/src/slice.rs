//! The policies that can say something about one kind of request, by what they name.
//!
//! Cedar evaluates every policy of a set, so that the fewer are in one, the faster it answers. A policy that names a
//! resource in its scope, or else a user, group or role, is only asked where that is part of the request; and one that
//! names nobody and nothing and begins with `context.SET.contains("ELEMENT")`, where the set has that element.

use std::collections::{BTreeMap, HashMap};

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicySet, PrincipalConstraint, ResourceConstraint,
};

use crate::Value;
use crate::rule::{Rule, read_together};
use crate::shapes::Shape;

/// The policies that can say something about an action on a kind of resource.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    /// Those that name nobody and nothing.
    general: Part,
    /// Those that name something, by it.
    named: HashMap<EntityUid, Part>,
    /// Those that name nothing and need an element of a set of the context, by the set and the element.
    needing: BTreeMap<String, BTreeMap<String, Part>>,
    /// Those that are none, by id, with the words of Cedar.
    pub(crate) broken: Vec<(String, String)>,
}

/// Policies as sets of one effect, of which Cedar then tells every one that holds.
#[derive(Debug, Default)]
pub(crate) struct Part {
    permits: PolicySet,
    forbids: PolicySet,
}

impl Slice {
    /// Those of `rules` that can say something about `action` on a `kind`, with a context of this `shape`.
    pub(crate) fn of<'r>(
        rules: impl IntoIterator<Item = &'r Rule>,
        (action, kind): (&str, &str),
        shape: Option<&Shape>,
    ) -> Self {
        let mut slice = Self::default();
        let rules: Vec<&Rule> = rules.into_iter().filter(|rule| rule.can_speak_of(action)).collect();
        read_together(&rules);
        for rule in rules {
            if let Err(error) = slice.add(rule, (action, kind), shape) {
                slice.broken.push((rule.id.clone(), error));
            }
        }
        slice
    }

    fn add(
        &mut self,
        rule: &Rule,
        (action, kind): (&str, &str),
        shape: Option<&Shape>,
    ) -> Result<(), String> {
        let policy = rule.policy()?;
        if !speaks_of(policy, action) || !can_be(&policy.resource_constraint(), kind) {
            return Ok(());
        }
        let needed = rule.required().filter(|(set, _)| shape.is_some_and(|shape| shape.is_set(set)));
        let part = match (name(policy), needed) {
            (Some(entity), _) => self.named.entry(entity).or_default(),
            (None, Some((set, element))) => {
                let by_element = self.needing.entry(set.to_owned()).or_default();
                by_element.entry(element.to_owned()).or_default()
            }
            (None, None) => &mut self.general,
        };
        match policy.effect() {
            Effect::Permit => rule.add_to(&mut part.permits),
            Effect::Forbid => rule.add_to(&mut part.forbids),
        }
    }

    /// The sets to ask about a request that `entities` are part of, with `context`.
    pub(crate) fn sets<'s>(
        &'s self,
        entities: impl IntoIterator<Item = &'s EntityUid>,
        context: &'s BTreeMap<String, Value>,
    ) -> impl Iterator<Item = &'s PolicySet> {
        let named = entities.into_iter().filter_map(|entity| self.named.get(entity));
        let needing = self.needing.iter().flat_map(|(set, by_element)| {
            let elements = match context.get(set) {
                Some(Value::Set(elements)) => Some(elements),
                _ => None,
            };
            elements.into_iter().flatten().filter_map(|element| by_element.get(element))
        });
        let parts = std::iter::once(&self.general).chain(named).chain(needing);
        parts.flat_map(|part| [&part.permits, &part.forbids]).filter(|set| !set.is_empty())
    }
}

pub(crate) fn speaks_of(policy: &Policy, action: &str) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(one) => one.id().unescaped() == action,
        ActionConstraint::In(several) => several.iter().any(|one| one.id().unescaped() == action),
    }
}

/// Whether a resource of `kind` can be what a scope names.
fn can_be(constraint: &ResourceConstraint, kind: &str) -> bool {
    match constraint {
        ResourceConstraint::Any | ResourceConstraint::In(_) => true,
        ResourceConstraint::Eq(one) => one.type_name().to_string() == kind,
        ResourceConstraint::Is(type_name) | ResourceConstraint::IsIn(type_name, _) => {
            type_name.to_string() == kind
        }
    }
}

/// What the scope of a policy names: a resource, or else a principal.
fn name(policy: &Policy) -> Option<EntityUid> {
    let resource = match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
        ResourceConstraint::Eq(one) | ResourceConstraint::In(one) | ResourceConstraint::IsIn(_, one) => {
            Some(one)
        }
    };
    resource.or_else(|| principal(policy))
}

/// The user, group or role that the scope of a policy names.
pub(crate) fn principal(policy: &Policy) -> Option<EntityUid> {
    match policy.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
        PrincipalConstraint::Eq(one) | PrincipalConstraint::In(one) | PrincipalConstraint::IsIn(_, one) => {
            Some(one)
        }
    }
}
