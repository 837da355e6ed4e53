//! The policies one by one, as a person wrote them: for listings, and to say where one stands.

use std::collections::BTreeMap;

use cedar_policy::{ActionConstraint, Effect, PolicySet};

use crate::PolicyDocument;

/// A policy or template in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its `@id`.
    pub id: String,
    /// The file.
    pub path: String,
    /// The line where it begins, from 1.
    pub line: usize,
    /// What it does: `permit`, `deny` or `needs-approval`.
    pub effect: &'static str,
    /// The actions that it speaks of; none for every action.
    pub actions: Vec<String>,
    /// Whether settings make policies of it.
    pub is_template: bool,
    /// Its annotations but the id, by name.
    pub annotations: BTreeMap<String, String>,
    /// Its text.
    pub text: String,
}

impl Listed {
    /// Whether the project wrote it.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.path.starts_with("policy/")
    }
}

impl PolicyDocument {
    /// Its policies and templates in the order of files and lines. A file that cannot be understood has none here:
    /// [`crate::check()`] says what is the matter with it.
    #[must_use]
    pub fn listed(&self) -> Vec<Listed> {
        let files = self.files.iter().filter(|(path, _)| path.ends_with(".cedar"));
        files.flat_map(|(path, text)| listed_in(path, text)).collect()
    }
}

fn listed_in(path: &str, text: &str) -> Vec<Listed> {
    let Ok(set) = text.parse::<PolicySet>() else { return Vec::new() };
    let policies = set.policies().map(|policy| Listed {
        id: annotated(policy.annotations(), "id").unwrap_or_default().to_owned(),
        effect: effect(policy.effect(), annotated(policy.annotations(), "effect")),
        actions: actions(&policy.action_constraint()),
        is_template: false,
        annotations: annotations(policy.annotations()),
        text: policy.to_cedar().unwrap_or_default(),
        ..empty(path)
    });
    let templates = set.templates().map(|template| Listed {
        id: annotated(template.annotations(), "id").unwrap_or_default().to_owned(),
        effect: effect(template.effect(), annotated(template.annotations(), "effect")),
        actions: actions(&template.action_constraint()),
        is_template: true,
        annotations: annotations(template.annotations()),
        text: template.to_cedar(),
        ..empty(path)
    });
    let mut listed: Vec<Listed> = policies.chain(templates).collect();
    for one in &mut listed {
        one.line = line_of(text, &one.text);
    }
    listed.sort_by(|one, other| (one.line, &one.id).cmp(&(other.line, &other.id)));
    listed
}

fn empty(path: &str) -> Listed {
    Listed {
        id: String::new(),
        path: path.to_owned(),
        line: 1,
        effect: "",
        actions: Vec::new(),
        is_template: false,
        annotations: BTreeMap::new(),
        text: String::new(),
    }
}

fn effect(effect: Effect, annotated: Option<&str>) -> &'static str {
    match (effect, annotated) {
        (Effect::Permit, _) => "permit",
        (Effect::Forbid, Some("needs-approval")) => "needs-approval",
        (Effect::Forbid, _) => "deny",
    }
}

fn actions(constraint: &ActionConstraint) -> Vec<String> {
    match constraint {
        ActionConstraint::Any => Vec::new(),
        ActionConstraint::Eq(one) => vec![one.id().unescaped().to_owned()],
        ActionConstraint::In(several) => several.iter().map(|one| one.id().unescaped().to_owned()).collect(),
    }
}

/// The text of the annotation `key`, without parsing the key as Cedar's own search does.
pub(crate) fn annotated<'a>(mut all: impl Iterator<Item = (&'a str, &'a str)>, key: &str) -> Option<&'a str> {
    all.find_map(|(known, text)| (known == key).then_some(text))
}

fn annotations<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    all.filter(|(key, _)| *key != "id").map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Where `policy` begins in `file`, which it is a part of, as the parser gives it.
fn line_of(file: &str, policy: &str) -> usize {
    let before = file.find(policy).and_then(|at| file.get(..at)).unwrap_or_default();
    1 + before.bytes().filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_listed_where_they_stand() {
        let own = "// Ours.\n\n@id(\"lab/night\")\n@message(\"not now\")\nforbid (principal, action, resource);\n\
                   @id(\"lab/ask\") @effect(\"needs-approval\")\nforbid (principal, action == Action::\"Connect\", resource);\n";
        let document = PolicyDocument::new([("policy/lab.cedar".to_owned(), own.to_owned())].into());
        let listed = document.listed();
        let own: Vec<_> = listed.iter().filter(|one| one.is_own()).collect();
        let [night, ask] = own.as_slice() else { panic!("{own:?}") };
        assert_eq!((night.id.as_str(), night.line, night.effect), ("lab/night", 3, "deny"));
        assert_eq!(night.annotations, [("message".to_owned(), "not now".to_owned())].into());
        assert!(night.text.starts_with("@id(\"lab/night\")") && night.text.ends_with(';'), "{}", night.text);
        assert_eq!((ask.line, ask.effect), (6, "needs-approval"));
        assert_eq!(ask.actions, ["Connect"]);
        assert!(listed.iter().any(|one| one.id == "input/missing" && !one.is_own() && one.line > 1));
    }
}
