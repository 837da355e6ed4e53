//! What each action of the schema is asked about: kinds of resources, and the values of its context.

use std::collections::{BTreeMap, BTreeSet};

use crate::read::lex::{Token, TokenKind, tokens};
use crate::text::visible;
use crate::{Resource, Value};

/// What each action is asked about, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shapes(pub(crate) BTreeMap<String, Shape>);

/// What an action is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Kinds of resources, as entity types.
    pub(crate) kinds: BTreeSet<String>,
    /// Type of each value of the context, such as `Set<String>`.
    pub(crate) context: BTreeMap<String, String>,
}

impl Shapes {
    /// The actions of a schema in Cedar's own form, as far as contexts of plain values go. Reading all of a schema takes
    /// Cedar longer than everything else that happens before a decision.
    ///
    /// # Errors
    /// The byte at which something else stands.
    pub(crate) fn parse(schema: &str) -> Result<Self, usize> {
        let tokens: Vec<Token<'_>> = tokens(schema).collect();
        let mut rest = Rest { tokens: &tokens, end: schema.len() };
        let mut shapes = Self::default();
        while !rest.tokens.is_empty() {
            if rest.takes("action") {
                rest.action(&mut shapes)?;
            } else {
                while !rest.takes(";") {
                    rest.next()?;
                }
            }
        }
        Ok(shapes)
    }

    /// Why nothing can be asked about `resource` with `context`, if nothing can.
    pub(crate) fn misfit(
        &self,
        action: &str,
        resource: &Resource,
        context: &BTreeMap<String, Value>,
    ) -> Option<String> {
        let Some(shape) = self.0.get(action) else { return Some(format!("there is no action `{action}`")) };
        let kind = resource.kind.as_str();
        if !shape.kinds.contains(kind) {
            return Some(format!("`{action}` is not asked about a `{kind}`"));
        }
        if let Some(key) = shape.context.keys().find(|key| !context.contains_key(*key)) {
            return Some(format!("the context of `{action}` lacks `{key}`"));
        }
        context.iter().find_map(|(key, value)| match shape.context.get(key) {
            Some(type_name) if type_name == value.type_name() => None,
            Some(type_name) => Some(format!("`{key}` is a `{}` and not a `{type_name}`", value.type_name())),
            None => Some(format!("the context of `{action}` has no `{}`", visible(key))),
        })
    }
}

impl Shape {
    /// The type of a value of the context, if it has one of this name.
    pub(crate) fn type_of(&self, name: &str) -> Option<&str> {
        self.context.get(name).map(String::as_str)
    }
}

struct Rest<'t, 's> {
    tokens: &'s [Token<'t>],
    end: usize,
}

impl<'t> Rest<'t, '_> {
    fn at(&self) -> usize {
        self.tokens.first().map_or(self.end, |token| token.start)
    }

    fn next(&mut self) -> Result<Token<'t>, usize> {
        let (first, rest) = self.tokens.split_first().ok_or(self.end)?;
        self.tokens = rest;
        Ok(*first)
    }

    fn takes(&mut self, text: &str) -> bool {
        let is_next = self.tokens.first().is_some_and(|token| token.text == text);
        if is_next {
            let _ = self.next();
        }
        is_next
    }

    fn expect(&mut self, text: &str) -> Result<(), usize> {
        let at = self.at();
        if self.takes(text) { Ok(()) } else { Err(at) }
    }

    fn word(&mut self) -> Result<String, usize> {
        let token = self.next()?;
        if token.kind == TokenKind::Word { Ok(token.text.to_owned()) } else { Err(token.start) }
    }

    /// `A, B appliesTo { principal: […], resource: […], context: { name: Type, … } };`
    fn action(&mut self, shapes: &mut Shapes) -> Result<(), usize> {
        let mut names = vec![self.word()?];
        while self.takes(",") {
            names.push(self.word()?);
        }
        let mut shape = Shape::default();
        self.expect("appliesTo")?;
        self.expect("{")?;
        while !self.takes("}") {
            let at = self.at();
            let part = self.word()?;
            self.expect(":")?;
            match part.as_str() {
                "principal" => drop(self.list()?),
                "resource" => shape.kinds = self.list()?,
                "context" => shape.context = self.record()?,
                _ => return Err(at),
            }
            let _ = self.takes(",");
        }
        self.expect(";")?;
        shapes.0.extend(names.into_iter().map(|name| (name, shape.clone())));
        Ok(())
    }

    fn list(&mut self) -> Result<BTreeSet<String>, usize> {
        let mut names = BTreeSet::new();
        self.expect("[")?;
        while !self.takes("]") {
            names.insert(self.word()?);
            let _ = self.takes(",");
        }
        Ok(names)
    }

    fn record(&mut self) -> Result<BTreeMap<String, String>, usize> {
        let mut types = BTreeMap::new();
        self.expect("{")?;
        while !self.takes("}") {
            let key = self.word()?;
            self.expect(":")?;
            let mut type_name = self.word()?;
            if self.takes("<") {
                type_name = format!("{type_name}<{}>", self.word()?);
                self.expect(">")?;
            }
            types.insert(key, type_name);
            let _ = self.takes(",");
        }
        Ok(types)
    }
}

impl Value {
    /// Its type in the schema.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "Bool",
            Self::Long(_) => "Long",
            Self::Text(_) => "String",
            Self::Set(_) => "Set<String>",
        }
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::SchemaFragment;

    use super::*;

    const SCHEMA: &str = include_str!("../../base/schema.cedarschema");

    /// The same by Cedar's own reader of schemas.
    fn peer() -> Shapes {
        let (fragment, _) = SchemaFragment::from_cedarschema_str(SCHEMA).unwrap();
        let json = fragment.to_json_value().unwrap();
        let type_name = |value: &serde_json::Value| {
            let name = |value: &serde_json::Value| match value["type"].as_str().unwrap() {
                "EntityOrCommon" => value["name"].as_str().unwrap().to_owned(),
                other => other.to_owned(),
            };
            match name(value).as_str() {
                "Set" => format!("Set<{}>", name(&value["element"])),
                other => other.to_owned(),
            }
        };
        let actions = json[""]["actions"].as_object().unwrap();
        let shape = |action: &serde_json::Value| Shape {
            kinds: action["appliesTo"]["resourceTypes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|kind| kind.as_str().unwrap().to_owned())
                .collect(),
            context: action["appliesTo"]["context"]["attributes"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), type_name(value)))
                .collect(),
        };
        Shapes(actions.iter().map(|(name, action)| (name.clone(), shape(action))).collect())
    }

    #[test]
    fn actions_are_read_as_cedar_reads_them() {
        let shapes = Shapes::parse(SCHEMA).unwrap();
        assert_eq!(shapes, peer());
        assert!(shapes.0.len() > crate::Act::ALL.len());
    }

    #[test]
    fn what_is_not_understood_is_an_error_with_its_place() {
        for text in
            ["action", "action A", "action A appliesTo { what: [] };", "entity A", "action A appliesTo {"]
        {
            assert!(Shapes::parse(text).is_err(), "{text}");
        }
        assert_eq!(Shapes::parse("action A in [B];"), Err(9));
    }
}
