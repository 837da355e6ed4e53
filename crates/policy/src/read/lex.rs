//! Words of policies and of their schema, and a file as its policies: what must be known before Cedar reads one.
//!
//! Nothing is decided by it. Cedar parses each policy, and what it says counts; what is found here says only that a
//! policy need not be asked.

use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A name, a number or a keyword.
    Word,
    /// A text in quotes, which stay on it.
    Text,
    /// Any other character.
    Symbol,
}

/// A token and where it begins, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'t> {
    pub(crate) kind: TokenKind,
    pub(crate) text: &'t str,
    pub(crate) start: usize,
}

impl Token<'_> {
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }
}

/// The tokens of `text`, without space and comments. Never fails: what Cedar does not know is a symbol.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(at..)?;
            let first = rest.chars().next()?;
            let (length, kind) = if first.is_whitespace() {
                (first.len_utf8(), None)
            } else if rest.starts_with("//") {
                (rest.find(['\n', '\r']).unwrap_or(rest.len()), None)
            } else if first == '"' {
                (quoted(rest), Some(TokenKind::Text))
            } else if is_word(first) {
                (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), Some(TokenKind::Word))
            } else {
                (first.len_utf8(), Some(TokenKind::Symbol))
            };
            let start = at;
            at += length;
            if let Some(kind) = kind {
                return Some(Token { kind, text: text.get(start..at)?, start });
            }
        }
    })
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Where in a file a quote that ends a text is missing: from then on texts are what is between them. So it is the first
/// one that goes beyond its line, if the last one has no end.
pub(crate) fn unclosed(text: &str) -> Option<Token<'_>> {
    let mut texts = tokens(text).filter(|token| token.kind == TokenKind::Text).peekable();
    let mut first = None;
    while let Some(token) = texts.next() {
        first = first.or_else(|| token.text.contains('\n').then_some(token));
        let is_closed = || quoted(&format!("{}\"", token.text)) == token.text.len();
        if texts.peek().is_none() && !is_closed() {
            return first.or(Some(token));
        }
    }
    None
}

/// Bytes of the text in quotes that `text` begins with; all of it when nothing ends it.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// An annotation: `@key("text")`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Annotation<'t> {
    pub(crate) key: Token<'t>,
    /// Its text with the quotes, if it has one.
    pub(crate) value: Option<Token<'t>>,
}

/// One policy of a file, from its first annotation to its semicolon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'t> {
    /// Its bytes in the file.
    pub(crate) range: Range<usize>,
    pub(crate) annotations: Vec<Annotation<'t>>,
    /// `permit` or `forbid`; nothing where neither is there.
    pub(crate) effect: Option<Token<'t>>,
    /// Whether it has a slot, which makes it a template.
    pub(crate) is_template: bool,
    /// How deep brackets and conditions in it are in each other, at most.
    pub(crate) depth: usize,
    /// Brackets and operators: how long a chain in it can be at most.
    pub(crate) operators: usize,
    /// The actions that its scope names; nothing where it speaks of all, or that cannot be said before it is parsed.
    pub(crate) actions: Option<Vec<&'t str>>,
}

/// The policies of a file, in order.
pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut piece: Vec<Token<'_>> = Vec::new();
    for token in tokens(text) {
        let ends = token.text == ";";
        piece.push(token);
        if ends {
            pieces.extend(piece_of(&piece));
            piece.clear();
        }
    }
    pieces.extend(piece_of(&piece));
    pieces
}

fn piece_of<'t>(tokens: &[Token<'t>]) -> Option<Piece<'t>> {
    let (first, last) = (tokens.first()?, tokens.last()?);
    let mut piece = Piece {
        range: first.start..last.range().end,
        annotations: Vec::new(),
        effect: None,
        is_template: tokens.iter().any(|token| token.text == "?"),
        depth: depth(tokens),
        operators: tokens.iter().filter(|token| is_operator(token)).count(),
        actions: None,
    };
    let mut rest = tokens;
    while let [at, key, after @ ..] = rest {
        if at.text != "@" {
            break;
        }
        let (value, after) = match after {
            [open, value, close, after @ ..]
                if open.text == "(" && value.kind == TokenKind::Text && close.text == ")" =>
            {
                (Some(*value), after)
            }
            _ => (None, after),
        };
        piece.annotations.push(Annotation { key: *key, value });
        rest = after;
    }
    piece.effect = rest.first().filter(|token| ["permit", "forbid"].contains(&token.text)).copied();
    piece.actions = actions_of_scope(rest);
    Some(piece)
}

/// The texts after `action ==` or `action in`.
fn actions_of_scope<'t>(tokens: &[Token<'t>]) -> Option<Vec<&'t str>> {
    let action = tokens.iter().position(|token| token.kind == TokenKind::Word && token.text == "action")?;
    let rest = tokens.get(action + 1..)?;
    let constraint = rest.first().filter(|token| ["=", "in"].contains(&token.text));
    constraint?;
    let mut actions = Vec::new();
    for token in rest {
        match token.kind {
            TokenKind::Text if token.text.contains('\\') => return None,
            TokenKind::Text => actions.push(token.text.trim_matches('"')),
            TokenKind::Word if token.text == "resource" => return Some(actions),
            _ => {}
        }
    }
    None
}

/// Number of the token that closes the bracket with which `tokens` begin.
pub(crate) fn closed(tokens: &[Token<'_>]) -> Option<usize> {
    let mut open = 0_usize;
    for (number, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => open += 1,
            ")" | "]" | "}" => open = open.checked_sub(1)?,
            _ => {}
        }
        if open == 0 {
            return Some(number);
        }
    }
    None
}

/// How deep brackets are in each other, and each `if` counts as one that nothing closes.
fn depth(tokens: &[Token<'_>]) -> usize {
    let (mut open, mut conditions, mut deepest) = (0_usize, 0, 0);
    for token in tokens.iter().filter(|token| token.kind != TokenKind::Text) {
        match token.text {
            "(" | "[" | "{" => open += 1,
            ")" | "]" | "}" => open = open.saturating_sub(1),
            "if" => conditions += 1,
            _ => {}
        }
        deepest = deepest.max(open + conditions);
    }
    deepest
}

/// Whether an expression can be deeper for this token. `else` and `then` come with `if`, closing brackets with opening
/// ones, and the elements of a set are beside each other.
fn is_operator(token: &Token<'_>) -> bool {
    match token.kind {
        TokenKind::Symbol => {
            ["(", "[", "{", "!", "&", "|", ".", "+", "-", "*", "<", ">", "="].contains(&token.text)
        }
        TokenKind::Word => ["if", "in", "has", "like", "is"].contains(&token.text),
        TokenKind::Text => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_texts_and_comments_end_nothing() {
        let text = "// a; b\n@id(\"a/b;\\\"c\") permit (principal, action, resource);\n\n@x forbid (principal, action == Action::\"View\", resource) when { 1 < 2 }; // end";
        let pieces = pieces(text);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0].annotations[0].value.unwrap().text, "\"a/b;\\\"c\"");
        assert_eq!(pieces[0].effect.unwrap().text, "permit");
        assert!(text[pieces[1].range.clone()].starts_with("@x forbid"));
        assert_eq!(pieces[1].annotations[0].value, None);
        assert_eq!(pieces[0].actions, None);
        assert_eq!(pieces[1].actions.as_deref(), Some(&["View"][..]));
    }

    #[test]
    fn what_is_escaped_is_not_compared() {
        let pieces = pieces(r#"forbid (principal, action == Action::"Vi\u{65}w", resource);"#);
        assert_eq!(pieces[0].actions, None);
    }

    #[test]
    fn nothing_but_comments_has_no_policies() {
        assert_eq!(pieces("// a\r// b\n  "), []);
        assert_eq!(pieces("\"open").len(), 1);
    }
}
