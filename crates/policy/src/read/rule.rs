//! One policy: where it stands, and what Cedar makes of it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use cedar_policy::{EntityUid, ParseErrors, Policy, PolicyId, PolicySet, SlotId, Template};

use crate::listing::annotated;
use crate::read::schema::Shape;
use crate::read::sight::Sight;

/// A policy of a set.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Its `@id`.
    pub(crate) id: String,
    /// The file.
    pub(crate) path: String,
    /// Its bytes in the file.
    pub(crate) range: Range<usize>,
    /// The actions that it can speak of; every one where that is not known before it is parsed.
    pub(crate) actions: Option<Vec<String>>,
    pub(crate) body: Body,
    /// What Cedar made of it, once somebody asked.
    read: OnceLock<Result<Read, String>>,
}

/// A policy as Cedar read it.
#[derive(Clone, Debug)]
struct Read {
    policy: Policy,
    /// The byte at which it begins in the text that Cedar read, from which Cedar counts when it says a place.
    start: usize,
}

/// What a policy is made from.
#[derive(Debug)]
pub(crate) enum Body {
    /// Its text.
    Text(String),
    /// A template, with who and what is put in.
    Link { template: Box<Template>, values: HashMap<SlotId, EntityUid> },
}

impl Rule {
    pub(crate) fn new(
        id: String,
        (path, range): (&str, Range<usize>),
        actions: Option<Vec<String>>,
        body: Body,
    ) -> Self {
        Self { id, path: path.to_owned(), range, actions, body, read: OnceLock::new() }
    }

    /// The policy.
    ///
    /// # Errors
    /// Cedar's words, if it is none.
    pub(crate) fn policy(&self) -> Result<&Policy, &str> {
        let read = self.read.get_or_init(|| self.parsed()).as_ref();
        read.map(|read| &read.policy).map_err(String::as_str)
    }

    /// Whether Cedar was asked what it is.
    pub(crate) fn is_read(&self) -> bool {
        self.read.get().is_some()
    }

    /// Whether it has the form of a policy.
    ///
    /// # Errors
    /// What Cedar says about it, with places in its text.
    pub(crate) fn form(&self) -> Result<(), Box<ParseErrors>> {
        if let (false, Body::Text(text)) = (self.is_read(), &self.body) {
            let _ = self.read.set(Ok(Read::alone(&self.id, text)?));
        }
        Ok(())
    }

    /// What it says of itself by `@key("…")`; nothing where Cedar did not read it.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        annotated(self.policy().ok()?.annotations(), key)
    }

    /// The byte of the file that Cedar means when it says `offset` about this policy.
    pub(crate) fn byte(&self, offset: usize) -> usize {
        let start = self.read.get().and_then(|read| read.as_ref().ok()).map_or(0, |read| read.start);
        self.range.start + offset.saturating_sub(start)
    }

    fn parsed(&self) -> Result<Read, String> {
        match &self.body {
            Body::Text(text) => Read::alone(&self.id, text).map_err(|error| error.to_string()),
            Body::Link { .. } => {
                let mut set = PolicySet::new();
                self.add_to(&mut set)?;
                let policy = set.policy(&PolicyId::new(&self.id)).cloned();
                let policy = policy.ok_or_else(|| "the template gives no policy".to_owned())?;
                Ok(Read { policy, start: 0 })
            }
        }
    }

    /// Adds it to `set`, with its template if it has one.
    ///
    /// # Errors
    /// Cedar's words.
    pub(crate) fn add_to(&self, set: &mut PolicySet) -> Result<(), String> {
        match &self.body {
            Body::Text(_) => set.add(self.policy()?.clone()).map_err(|error| error.to_string()),
            Body::Link { template, values } => {
                if set.template(template.id()).is_none() {
                    set.add_template(Template::clone(template)).map_err(|error| error.to_string())?;
                }
                set.link(template.id().clone(), PolicyId::new(&self.id), values.clone())
                    .map_err(|error| error.to_string())
            }
        }
    }

    /// Whether it may say something about `action`, as far as that is known before it is parsed.
    pub(crate) fn can_speak_of(&self, action: &str) -> bool {
        self.actions.as_ref().is_none_or(|actions| actions.iter().any(|one| one == action))
    }

    /// What the policy, once parsed, looks at in a context of this `shape`.
    pub(crate) fn sight(&self, shape: Option<&Shape>) -> Sight<'_> {
        match (&self.body, shape) {
            (Body::Text(text), Some(shape)) => Sight::of(text, shape),
            (Body::Text(_) | Body::Link { .. }, _) => Sight::UNKNOWN,
        }
    }

    /// Whether it was shipped with aseptic.
    pub(crate) fn is_shipped(&self) -> bool {
        self.path.starts_with("base/")
    }
}

impl Read {
    /// One policy.
    ///
    /// # Errors
    /// What Cedar says about its form.
    fn alone(id: &str, text: &str) -> Result<Self, Box<ParseErrors>> {
        Ok(Self { policy: Policy::parse(Some(PolicyId::new(id)), text)?, start: 0 })
    }

    /// Several policies at once, each by its id and its text: for each text that it is given, Cedar makes the tables anew
    /// by which it finds words, which takes longer than to read a policy. Nothing for one that must be read alone: a
    /// template, or all of them where the form of one is wrong.
    fn together(policies: &[(&str, &str)]) -> Vec<Option<Self>> {
        let mut joined = String::with_capacity(policies.iter().map(|(_, text)| text.len() + 1).sum());
        let mut starts = Vec::with_capacity(policies.len());
        for (_, text) in policies {
            starts.push(joined.len());
            joined.push_str(text);
            joined.push('\n');
        }
        let set: PolicySet =
            if policies.is_empty() { PolicySet::new() } else { joined.parse().unwrap_or_default() };
        let read = |(number, ((id, text), start)): (usize, (&(&str, &str), usize))| {
            // Cedar names policies without a name by their number in the text.
            let policy = set.policy(&PolicyId::new(format!("policy{number}")))?;
            let is_same = policy.to_cedar().as_deref() == Some(*text);
            is_same.then(|| Self { policy: policy.new_id(PolicyId::new(id)), start })
        };
        policies.iter().zip(starts).enumerate().map(read).collect()
    }
}

/// Has Cedar read those of `rules` that it did not read yet.
pub(crate) fn read_together(rules: &[&Rule]) {
    let unread = rules.iter().filter(|rule| !rule.is_read());
    let unread: Vec<(&Rule, &str)> = unread
        .filter_map(|rule| match &rule.body {
            Body::Text(text) => Some((*rule, text.as_str())),
            Body::Link { .. } => None,
        })
        .collect();
    let texts: Vec<(&str, &str)> = unread.iter().map(|(rule, text)| (rule.id.as_str(), *text)).collect();
    for ((rule, _), read) in unread.iter().zip(Read::together(&texts)) {
        if let Some(read) = read {
            let _ = rule.read.set(Ok(read));
        }
    }
}
