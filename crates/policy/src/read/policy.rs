//! The policies of one file: their bounds, what they say of themselves, and their ids.

use std::ops::Range;

use cedar_policy::{Effect, ParseErrors, Policy};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as ValueError;

use crate::Role;
use crate::read::Reading;
use crate::read::lex::{Annotation, Piece, Token, pieces, unclosed};
use crate::read::problem::{PROBLEMS_MAX, cedar_problem};
use crate::read::rule::{Body, Rule, read_together};
use crate::text::{did_you_mean, shortened};

/// Most policies, so that a decision stays quick.
pub(crate) const POLICIES_MAX: usize = 2000;

/// How deep brackets and conditions of a policy may be in each other: Cedar's parser takes some 4 KiB of the stack for
/// each.
const DEPTH_MAX: usize = 32;

/// Most brackets and operators of a policy: what reads it goes as deep as its longest chain of operators.
const OPERATORS_MAX: usize = 512;

/// What a policy may say besides what it does.
const ANNOTATIONS: [&str; 5] = ["advice", "effect", "grant", "id", "message"];

/// The value of `@effect` that makes a prohibition ask for an approval.
pub(crate) const NEEDS_APPROVAL: &str = "needs-approval";

/// Groups of ids that decisions have without a policy.
const OWN_GROUPS: [&str; 2] = ["plan", "policy"];

impl Reading {
    /// Every policy of the file at `path`.
    pub(super) fn policies(&mut self, path: &str, text: &str) {
        if !path.starts_with("base/") && self.is_misread(path, text) {
            return;
        }
        let first = self.rules.len();
        for piece in pieces(text) {
            self.piece(path, text, &piece);
        }
        self.form(path, text, first);
    }

    /// Whether what a file says cannot be told apart, so that only the first cause is a problem.
    fn is_misread(&mut self, path: &str, text: &str) -> bool {
        if text.starts_with('\u{feff}') {
            let help = "save the file as UTF-8 without it";
            self.problem(path, text, 0..3, "the file begins with a byte order mark", help);
            return true;
        }
        let Some(token) = unclosed(text) else { return false };
        self.problem(path, text, token.range(), "this text has no end", "end it with `\"`");
        true
    }

    /// One policy of the file at `path`.
    fn piece(&mut self, path: &str, text: &str, piece: &Piece<'_>) {
        let before = self.problems.len();
        let is_shipped = path.starts_with("base/");
        self.bounds(path, text, piece);
        if self.problems.len() > before {
            return;
        }
        self.annotations(path, text, piece);
        let Some(effect) = piece.effect else {
            // Cedar says what it expected instead.
            let source = text.get(piece.range.clone()).unwrap_or_default();
            if let Err(errors) = Policy::parse(None, source) {
                self.cedar(path, text, piece.range.start, &errors);
            }
            return;
        };
        if !is_shipped && effect.text == "permit" {
            self.problem(
                path,
                text,
                effect.range(),
                "a policy of a project may only forbid",
                "write what must not be as `forbid`; `policy/roles.toml` says who may do what",
            );
        }
        if !is_shipped && piece.is_template {
            self.problem(
                path,
                text,
                effect.range(),
                "a policy of a project cannot be a template",
                "name who and what, or link a shipped template with `[[link]]` in `policy/settings.toml`",
            );
        }
        let id = self.id(path, text, piece, effect);
        let (Some(id), true) = (id, self.problems.len() == before) else { return };
        self.rule(path, text, piece, id);
    }

    fn rule(&mut self, path: &str, text: &str, piece: &Piece<'_>, id: String) {
        let source = text.get(piece.range.clone()).unwrap_or_default();
        let is_shipped = path.starts_with("base/");
        let place = (path, piece.range.clone());
        // Only a hint, so that what was shipped and tested is parsed when it is asked.
        let actions = piece.actions.as_ref().filter(|_| is_shipped);
        let actions = actions.map(|actions| actions.iter().map(|&action| action.to_owned()).collect());
        let rule = Rule::new(id.clone(), place, actions, Body::Text(source.to_owned()));
        if piece.is_template {
            self.templates.insert(id, rule);
        } else {
            self.rules.push(rule);
        }
    }

    /// What Cedar says about the form of the policies from number `first` on, which are those of one file of a project.
    /// Those whose form is wrong are left out.
    fn form(&mut self, path: &str, text: &str, first: usize) {
        if path.starts_with("base/") {
            return;
        }
        let rules = self.rules.split_off(first);
        read_together(&rules.iter().collect::<Vec<_>>());
        for rule in rules {
            match rule.form() {
                // What Cedar read decides, so that no text can pass for another policy than it is.
                Ok(()) if rule.policy().is_ok_and(|policy| policy.effect() == Effect::Permit) => {
                    let help = "write what must not be as `forbid`";
                    let range = rule.range.clone();
                    self.problem(path, text, range, "a policy of a project may only forbid", help);
                }
                Ok(()) => self.rules.push(rule),
                Err(errors) => self.cedar(path, text, rule.range.start, &errors),
            }
        }
    }

    fn bounds(&mut self, path: &str, text: &str, piece: &Piece<'_>) {
        if piece.operators > OPERATORS_MAX {
            let message = format!("the policy has {} brackets and operators", piece.operators);
            let help = format!("at most {OPERATORS_MAX}; write several policies");
            self.problem(path, text, piece.range.clone(), &message, &help);
        }
        if piece.depth > DEPTH_MAX {
            let message = format!("the policy goes {} deep", piece.depth);
            let help = format!("at most {DEPTH_MAX} brackets and `if` in each other; write several policies");
            self.problem(path, text, piece.range.clone(), &message, &help);
        }
        if self.rules.len() + self.templates.len() == POLICIES_MAX {
            let help = "write fewer, or link a template less often";
            let message = format!("these are more than {POLICIES_MAX} policies");
            self.problem(path, text, piece.range.clone(), &message, help);
        }
    }

    fn annotations(&mut self, path: &str, text: &str, piece: &Piece<'_>) {
        for Annotation { key, value } in &piece.annotations {
            let said = value.map(|value| value.text.trim_matches('"'));
            let place = value.map_or(key.range(), |value| value.range());
            match (key.text, said) {
                (known, None) if ANNOTATIONS.contains(&known) => {
                    let help = format!("write `@{known}(\"…\")`");
                    self.problem(path, text, key.range(), &format!("`@{known}` says nothing"), &help);
                }
                ("effect", Some(effect)) if effect != NEEDS_APPROVAL => self.problem(
                    path,
                    text,
                    place,
                    &format!("`{effect}` is no effect"),
                    "there is `needs-approval`; without `@effect` a `forbid` denies",
                ),
                ("effect", Some(_)) if piece.effect.is_some_and(|effect| effect.text == "permit") => {
                    self.problem(path, text, place, "a `permit` needs no approval", "write it on a `forbid`");
                }
                ("grant", Some(role)) if !is_role(role) => {
                    self.problem(
                        path,
                        text,
                        place,
                        &format!("there is no role `{role}`"),
                        "name a role, such as `approver` or `data-steward`",
                    );
                }
                (known, Some(_)) if ANNOTATIONS.contains(&known) => {}
                (unknown, _) => {
                    let help = did_you_mean(unknown, ANNOTATIONS, |known| format!("`@{known}`"));
                    let message = format!("unknown annotation `@{}`", shortened(unknown, 80));
                    self.problem(path, text, key.range(), &message, &help);
                }
            }
        }
    }

    /// The id of a policy, if it may have it.
    fn id(&mut self, path: &str, text: &str, piece: &Piece<'_>, effect: Token<'_>) -> Option<String> {
        let annotation = piece.annotations.iter().find(|annotation| annotation.key.text == "id");
        let Some(annotation) = annotation else {
            let help = "begin it with `@id(\"GROUP/NAME\")`, which decisions name";
            self.problem(path, text, effect.range(), "a policy has no `@id`", help);
            return None;
        };
        let value = annotation.value?;
        self.named(path, text, value.range(), value.text.trim_matches('"'))
    }

    /// `id`, if what stands at `range` of the file at `path` may have it.
    pub(crate) fn named(&mut self, path: &str, text: &str, range: Range<usize>, id: &str) -> Option<String> {
        let is_shipped = path.starts_with("base/");
        let group = id.split('/').next().unwrap_or_default();
        let is_taken = self.groups.contains(group) || OWN_GROUPS.contains(&group);
        let (message, help) = if !is_id(id) {
            let message = format!("`{}` is no id of a policy", shortened(id, 80));
            (message, "write `GROUP/NAME`, each of lowercase letters, digits and `-`")
        } else if !is_shipped && is_taken {
            let message = format!("ids of the group `{group}` are of shipped policies");
            (message, "take another group, such as the name of your team")
        } else if !self.ids.insert(id.to_owned()) {
            (format!("there are two policies `{id}`"), "give one of them another id")
        } else {
            if is_shipped {
                self.groups.insert(group.to_owned());
            }
            return Some(id.to_owned());
        };
        self.problem(path, text, range, &message, help);
        None
    }

    /// What Cedar says about the form of the policy at byte `start` of a file.
    pub(crate) fn cedar(&mut self, path: &str, text: &str, start: usize, errors: &ParseErrors) {
        for error in errors.iter() {
            let problem = cedar_problem(path, text, |offset| start + offset, error);
            if self.problems.len() < PROBLEMS_MAX {
                self.problems.push(problem);
            }
        }
    }
}

/// `GROUP/NAME`.
fn is_id(id: &str) -> bool {
    let is_part = |part: &str| {
        let also = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=64).contains(&part.len()) && part.bytes().all(also)
    };
    id.split_once('/').is_some_and(|(group, name)| is_part(group) && is_part(name))
}

fn is_role(name: &str) -> bool {
    let name = IntoDeserializer::<ValueError>::into_deserializer(name);
    Role::deserialize(name).is_ok()
}
