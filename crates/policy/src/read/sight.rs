//! What a policy looks at, as far as its text shows that, so that it need not be asked where it would say nothing.
//!
//! Cedar evaluates conditions from left to right and stops at the first part that does not hold. A part of one of the
//! forms below cannot fail, because a request is only asked when its context has the values of the schema. So a policy
//! neither speaks nor fails where such a part does not hold that only such parts stand before. Nothing is decided by it:
//! Cedar has parsed the policy, and is asked wherever the part holds.

use crate::read::lex::{Token, TokenKind, closed, tokens};
use crate::read::schema::Shape;

/// What a policy looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sight<'t> {
    /// Without which it says nothing; nothing where that is not known.
    pub(crate) need: Option<Need<'t>>,
    /// Whether its conditions may look at the resource, or at what it is part of.
    pub(crate) resource: bool,
}

/// What a value of the context must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Need<'t> {
    /// Its name.
    pub(crate) name: &'t str,
    pub(crate) value: Needed<'t>,
}

/// How a value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Needed<'t> {
    /// A truth value of this kind.
    Truth(bool),
    /// A set, and whether it is empty.
    Empty(bool),
    /// One of these texts, or a set that has one of them.
    OneOf(Vec<&'t str>),
}

/// Most texts of which one is needed: a policy is kept once for each.
const TEXTS_MAX: usize = 8;

/// A part of a condition that cannot fail.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form<'t> {
    /// It holds exactly where this is so.
    Needs(Need<'t>),
    /// It holds for more than one value.
    Other,
}

impl<'t> Sight<'t> {
    /// Of a policy without a text: it may look at everything.
    pub(crate) const UNKNOWN: Self = Self { need: None, resource: true };

    /// Of the policy `text`, which Cedar has parsed, for contexts of this `shape`.
    pub(crate) fn of(text: &'t str, shape: &Shape) -> Self {
        let tokens: Vec<Token<'t>> = tokens(text).collect();
        let Some(conditions) = conditions(&tokens) else { return Self::UNKNOWN };
        // A resource can also be named: of `Version::"digits@3"` is only known what it is part of where it is asked about.
        let is_resource = |token: &Token<'_>| ["resource", ":"].contains(&token.text);
        Self { need: need(conditions, shape), resource: conditions.iter().any(is_resource) }
    }
}

/// What follows the scope.
fn conditions<'s, 't>(tokens: &'s [Token<'t>]) -> Option<&'s [Token<'t>]> {
    let is_effect =
        |token: &Token<'_>| token.kind == TokenKind::Word && ["permit", "forbid"].contains(&token.text);
    let scope = tokens.get(tokens.iter().position(is_effect)? + 1..)?;
    scope.get(closed(scope)? + 1..)
}

/// What the first condition needs: a text rather than anything else, of which there are few.
fn need<'t>(conditions: &[Token<'t>], shape: &Shape) -> Option<Need<'t>> {
    let (keyword, rest) = conditions.split_first()?;
    let clause = rest.get(1..closed(rest)?)?;
    if has_other_way(clause) {
        return None;
    }
    let holds = match keyword.text {
        "when" => true,
        "unless" => false,
        _ => return None,
    };
    let parts = parts(clause);
    // Of several parts one alone may be wrong where the whole is.
    if !holds && parts.len() > 1 {
        return None;
    }
    let forms = parts.into_iter().map_while(|part| form(part, holds, shape));
    let needs: Vec<Need<'t>> = forms
        .filter_map(|form| match form {
            Form::Needs(need) => Some(need),
            Form::Other => None,
        })
        .collect();
    let texts = needs.iter().find(|need| matches!(need.value, Needed::OneOf(_)));
    texts.or_else(|| needs.first()).cloned()
}

/// The parts that `&&` joins outside of brackets.
fn parts<'s, 't>(clause: &'s [Token<'t>]) -> Vec<&'s [Token<'t>]> {
    let mut open = 0_usize;
    let is_joint = |token: &Token<'_>| {
        match token.text {
            "(" | "[" | "{" => open += 1,
            ")" | "]" | "}" => open = open.saturating_sub(1),
            _ => {}
        }
        open == 0 && token.text == "&"
    };
    // Between both characters of `&&` there is nothing.
    clause.split(is_joint).enumerate().filter(|(number, _)| number % 2 == 0).map(|(_, part)| part).collect()
}

/// Whether something stands outside of brackets that binds less than `&&`.
fn has_other_way(tokens: &[Token<'_>]) -> bool {
    let mut open = 0_usize;
    tokens.iter().any(|token| {
        match token.text {
            "(" | "[" | "{" => open += 1,
            ")" | "]" | "}" => open = open.saturating_sub(1),
            _ => {}
        }
        open == 0 && ["|", "if"].contains(&token.text)
    })
}

/// What `part` is, if it cannot fail; what it is that it does not hold, unless it is to hold.
fn form<'t>(part: &[Token<'t>], holds: bool, shape: &Shape) -> Option<Form<'t>> {
    let (value, is_negated) = match part {
        [not, value @ ..] if not.text == "!" => (value, true),
        _ => (part, false),
    };
    let holds = holds != is_negated;
    let (name, rest) = value_of_context(value)?;
    let words: Vec<&str> = rest.iter().map(|token| token.text).collect();
    let need = |value| Some(Form::Needs(Need { name, value }));
    let texts = |tokens: Option<&[Token<'t>]>, is_needed: bool| match plain(tokens?)? {
        texts if is_needed && (1..=TEXTS_MAX).contains(&texts.len()) => need(Needed::OneOf(texts)),
        _ => Some(Form::Other),
    };
    match (shape.type_of(name)?, words.as_slice()) {
        ("Bool", []) => need(Needed::Truth(holds)),
        ("Set<String>", [".", "contains", "(", _, ")"]) => texts(rest.get(3..4), holds),
        // To have all of them is to have one of them.
        ("Set<String>", [".", "containsAny" | "containsAll", "(", "[", .., "]", ")"]) => {
            texts(rest.get(4..rest.len() - 2), holds)
        }
        ("Set<String>", [".", "isEmpty", "(", ")"]) => need(Needed::Empty(holds)),
        // A negation in front of a comparison is one of its first value, which is no truth value.
        _ if is_negated => None,
        ("String", ["=", "=", _]) => texts(rest.get(2..), holds),
        ("String", ["!", "=", _]) => texts(rest.get(2..), !holds),
        ("Long", ["<" | ">", "=", ..] | ["=" | "!", "=", ..]) if is_number(rest.get(2..)?, shape) => {
            Some(Form::Other)
        }
        ("Long", ["<" | ">", ..]) if is_number(rest.get(1..)?, shape) => Some(Form::Other),
        _ => None,
    }
}

/// The name of `context.NAME`, and what follows it.
fn value_of_context<'s, 't>(tokens: &'s [Token<'t>]) -> Option<(&'t str, &'s [Token<'t>])> {
    let [context, dot, name, rest @ ..] = tokens else { return None };
    let is_value = context.kind == TokenKind::Word && context.text == "context" && dot.text == ".";
    (is_value && name.kind == TokenKind::Word).then_some((name.text, rest))
}

/// Whether this is a whole number, or a value of the context that is one.
fn is_number(tokens: &[Token<'_>], shape: &Shape) -> bool {
    match tokens {
        [one] => one.kind == TokenKind::Word && one.text.bytes().all(|byte| byte.is_ascii_digit()),
        _ => value_of_context(tokens)
            .is_some_and(|(name, rest)| rest.is_empty() && shape.type_of(name) == Some("Long")),
    }
}

/// Texts between commas, without anything that stands for something else.
fn plain<'t>(tokens: &[Token<'t>]) -> Option<Vec<&'t str>> {
    let text = |(number, token): (usize, &Token<'t>)| match number % 2 {
        0 => (token.kind == TokenKind::Text && !token.text.contains('\\'))
            .then(|| Some(token.text.trim_matches('"'))),
        _ => (token.text == ",").then_some(None),
    };
    let texts: Vec<Option<&str>> = tokens.iter().enumerate().map(text).collect::<Option<_>>()?;
    Some(texts.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests;
