//! What a question names, in the words of Cedar.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request as Asked, RestrictedExpression,
};

use crate::{Principal, Resource, Value};

/// Who asks: once for all requests of a question.
pub(crate) struct Asker {
    pub(crate) user: EntityUid,
    /// Groups and roles.
    parents: HashSet<EntityUid>,
}

/// A request as Cedar takes it.
pub(crate) struct Ask {
    pub(crate) asked: Asked,
    pub(crate) entities: Entities,
    /// Everything that a scope can name: the user, groups, roles, the resource and what it is part of.
    pub(crate) named: Vec<EntityUid>,
}

impl Asker {
    pub(crate) fn of(principal: &Principal) -> Option<Self> {
        let roles = principal.roles.iter().map(|role| uid("Role", role.as_str()));
        let groups = principal.groups.iter().map(|group| uid("Group", group));
        let parents = roles.chain(groups).collect::<Option<_>>()?;
        Some(Self { user: uid("User", &principal.user)?, parents })
    }

    /// A request of this user.
    pub(crate) fn ask(
        &self,
        action: &'static str,
        resource: &Resource,
        within: &[Resource],
        context: &BTreeMap<String, Value>,
    ) -> Option<Ask> {
        let of = |resource: &Resource| uid(resource.kind.as_str(), &resource.name);
        let resource = of(resource)?;
        let within: HashSet<EntityUid> = within.iter().map(of).collect::<Option<_>>()?;
        let named = self.parents.iter().chain(&within).chain([&self.user, &resource]).cloned().collect();
        let user = Entity::new_no_attrs(self.user.clone(), self.parents.clone());
        let thing = Entity::new_no_attrs(resource.clone(), within);
        let entities = Entities::from_entities([user, thing], None).ok()?;
        let context = context.iter().map(|(key, value)| (key.clone(), expression(value)));
        let context = Context::from_pairs(context).ok()?;
        let asked = Asked::new(self.user.clone(), uid("Action", action)?, resource, context, None).ok()?;
        Some(Ask { asked, entities, named })
    }
}

fn uid(type_name: &'static str, name: &str) -> Option<EntityUid> {
    Some(EntityUid::from_type_name_and_id(known(type_name)?.as_ref().clone(), EntityId::new(name)))
}

/// An entity type. Cedar parses its name, which takes longer than the rest of a request.
fn known(type_name: &'static str) -> Option<Arc<EntityTypeName>> {
    static KNOWN: Mutex<BTreeMap<&'static str, Arc<EntityTypeName>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.get(type_name) {
        return Some(Arc::clone(found));
    }
    let parsed: Arc<EntityTypeName> = Arc::new(type_name.parse().ok()?);
    known.insert(type_name, Arc::clone(&parsed));
    Some(parsed)
}

fn expression(value: &Value) -> RestrictedExpression {
    match value {
        Value::Bool(value) => RestrictedExpression::new_bool(*value),
        Value::Long(value) => RestrictedExpression::new_long(*value),
        Value::Text(value) => RestrictedExpression::new_string(value.clone()),
        Value::Set(values) => {
            RestrictedExpression::new_set(values.iter().cloned().map(RestrictedExpression::new_string))
        }
    }
}
