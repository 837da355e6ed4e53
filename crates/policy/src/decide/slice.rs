//! The policies that can say something about one kind of request, by what they name and need.
//!
//! Cedar evaluates every policy of a set, so that the fewer are in one, the faster it answers. A policy that names a
//! resource in its scope, or else a user, group or role, is only asked where that is part of the request; and one that
//! needs something of the context, such as a label, where the context has it. Those that do not look at the resource say
//! the same about every resource of a kind, so that they are asked once for requests that are otherwise equal.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicySet, PrincipalConstraint, ResourceConstraint,
};

use crate::Value;
use crate::read::rule::{Rule, read_together};
use crate::read::schema::Shape;
use crate::read::sight::{Need, Needed};

/// The policies that can say something about an action on a kind of resource.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    /// Those that say the same about every resource of the kind.
    pub(crate) of_kind: Index,
    /// Those that may look at the resource.
    pub(crate) of_resource: Index,
    /// Those that are none, by id, with the words of Cedar.
    pub(crate) broken: Vec<(String, String)>,
}

/// Policies by what their scope names.
#[derive(Debug, Default)]
pub(crate) struct Index {
    unnamed: Branch,
    named: HashMap<EntityUid, Branch>,
}

/// Policies that name the same, by what they need of the context.
#[derive(Debug, Default)]
struct Branch {
    /// Those of which that is not known.
    general: Part,
    /// The others, by the name of the value.
    needing: BTreeMap<String, ByValue>,
}

/// Policies that need the same value of the context, by how it must be.
#[derive(Debug, Default)]
struct ByValue {
    truth: BTreeMap<bool, Part>,
    empty: BTreeMap<bool, Part>,
    texts: BTreeMap<String, Part>,
}

/// Policies as sets of one effect, of which Cedar then tells every one that holds.
#[derive(Debug, Default)]
struct Part {
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
        let sight = rule.sight(shape);
        let resource = resource(policy);
        let index =
            if sight.resource || resource.is_some() { &mut self.of_resource } else { &mut self.of_kind };
        let branch = match resource.or_else(|| principal(policy)) {
            Some(entity) => index.named.entry(entity).or_default(),
            None => &mut index.unnamed,
        };
        let Some(Need { name, value }) = sight.need else { return branch.general.add(rule, policy) };
        let by_value = branch.needing.entry(name.to_owned()).or_default();
        match value {
            Needed::Truth(truth) => by_value.truth.entry(truth).or_default().add(rule, policy),
            Needed::Empty(empty) => by_value.empty.entry(empty).or_default().add(rule, policy),
            Needed::OneOf(texts) => {
                let texts: BTreeSet<&str> = texts.into_iter().collect();
                let mut parts = texts.into_iter().map(|text| text.to_owned());
                parts.try_for_each(|text| by_value.texts.entry(text).or_default().add(rule, policy))
            }
        }
    }
}

impl Index {
    /// The sets to ask about a request that `entities` are part of, with `context`.
    pub(crate) fn sets<'s>(
        &'s self,
        entities: impl IntoIterator<Item = &'s EntityUid>,
        context: &'s BTreeMap<String, Value>,
    ) -> impl Iterator<Item = &'s PolicySet> {
        let named = entities.into_iter().filter_map(|entity| self.named.get(entity));
        let branches = std::iter::once(&self.unnamed).chain(named);
        let parts = branches.flat_map(|branch| branch.parts(context));
        parts.flat_map(|part| [&part.permits, &part.forbids]).filter(|set| !set.is_empty())
    }
}

impl Branch {
    fn parts<'s>(&'s self, context: &'s BTreeMap<String, Value>) -> impl Iterator<Item = &'s Part> {
        let needing = self.needing.iter().filter_map(|(name, by_value)| Some((by_value, context.get(name)?)));
        std::iter::once(&self.general).chain(needing.flat_map(|(by_value, value)| by_value.parts(value)))
    }
}

impl Part {
    fn add(&mut self, rule: &Rule, policy: &Policy) -> Result<(), String> {
        match policy.effect() {
            Effect::Permit => rule.add_to(&mut self.permits),
            Effect::Forbid => rule.add_to(&mut self.forbids),
        }
    }
}

impl ByValue {
    fn parts<'s>(&'s self, value: &'s Value) -> impl Iterator<Item = &'s Part> {
        let (truth, texts) = match value {
            Value::Bool(truth) => (self.truth.get(truth), None),
            Value::Long(_) => (None, None),
            Value::Text(text) => (self.texts.get(text), None),
            Value::Set(texts) => (self.empty.get(&texts.is_empty()), Some(texts)),
        };
        truth.into_iter().chain(texts.into_iter().flatten().filter_map(|text| self.texts.get(text)))
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

/// The resource that the scope of a policy names.
fn resource(policy: &Policy) -> Option<EntityUid> {
    match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
        ResourceConstraint::Eq(one) | ResourceConstraint::In(one) | ResourceConstraint::IsIn(_, one) => {
            Some(one)
        }
    }
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
