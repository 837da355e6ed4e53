//! Which ledgers and witnesses somebody trusts, and how many of the witnesses are enough.
//!
//! Source: C2SP tlog-policy. Text that is not UTF-8 is refused, which that page allows in names.

mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aseptic_model::{Class, Diagnose, Diagnosis};

pub use file::{PolicyFileError, store_policy, stored_policy};

use crate::cosign::WitnessKey;
use crate::note::{Checkpoint, NoteError, VerifierKey};

/// Longest policy in bytes: hundreds of witnesses fit.
pub const POLICY_BYTES_MAX: usize = 64 << 10;

/// Name of the group that [`Policy::of`] makes.
const GROUP: &str = "witnesses";
const NONE: &str = "none";

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct PolicyError {
    /// Line of the text, from 1; 0 for the whole.
    line: usize,
    /// What is wrong with it.
    what: &'static str,
}

impl Diagnose for PolicyError {
    fn diagnosis(&self) -> Diagnosis {
        Diagnosis::new(Class::User, "ledger/policy", "correct the policy; docs/witness.md shows one")
    }
}

/// A ledger that the policy accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLog {
    /// Its verifier key, whose name is its origin.
    pub key: VerifierKey,
    /// Where it is published.
    pub url: Option<String>,
}

/// A witness that the policy knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWitness {
    /// Its name in this policy.
    pub name: String,
    /// Its key.
    pub key: WitnessKey,
    /// Prefix of its `add-checkpoint`; none for one that is reached by file.
    pub url: Option<String>,
}

/// How many of a group are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// Each of them.
    All,
    /// One of them.
    Any,
    /// At least this many.
    AtLeast(usize),
}

impl fmt::Display for Required {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Any => f.write_str("any"),
            Self::AtLeast(number) => write!(f, "{number}"),
        }
    }
}

impl FromStr for Required {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let number = || text.parse().ok().filter(|number: &usize| *number > 0 && number.to_string() == text);
        match text {
            "all" => Ok(Self::All),
            "any" => Ok(Self::Any),
            _ => number().map(Self::AtLeast).ok_or(PolicyError {
                line: 0,
                what: "how many are required is `all`, `any` or a number from 1",
            }),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    required: Required,
    members: Vec<String>,
}

impl Group {
    fn needed(&self) -> usize {
        match self.required {
            Required::All => self.members.len(),
            Required::Any => 1,
            Required::AtLeast(number) => number,
        }
    }
}

/// A trust policy; its text form is that of C2SP tlog-policy, without the comments of the text it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    /// Name of a witness or group; nothing where none is needed.
    quorum: Option<String>,
}

/// What a policy says about one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether enough witnesses cosigned it. True where the policy needs none.
    pub quorum: bool,
    /// Names in the policy of those that did, and when, in seconds since 1970.
    pub witnesses: Vec<(String, u64)>,
}

impl Policy {
    /// The policy with these logs, and these witnesses of which `required` are enough. Without witnesses it
    /// needs none.
    ///
    /// # Errors
    /// [`PolicyError`]: two have the same name or key, a name or URL has spaces, or more are required than
    /// there are.
    pub fn of(
        logs: Vec<PolicyLog>,
        witnesses: Vec<PolicyWitness>,
        required: Required,
    ) -> Result<Self, PolicyError> {
        let members: Vec<String> = witnesses.iter().map(|witness| witness.name.clone()).collect();
        let group = Group { name: GROUP.to_owned(), required, members };
        let empty = witnesses.is_empty();
        let groups = if empty { Vec::new() } else { vec![group] };
        let policy = Self { logs, witnesses, groups, quorum: (!empty).then(|| GROUP.to_owned()) };
        policy.to_string().parse()
    }

    /// The ledgers that it accepts; none where any will do.
    #[must_use]
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses that it knows.
    #[must_use]
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// How many of all witnesses it requires, if it is one that [`Policy::of`] can make.
    #[must_use]
    pub fn required(&self) -> Option<Required> {
        match (self.groups.as_slice(), self.quorum.as_deref()) {
            ([], None) if self.witnesses.is_empty() => Some(Required::All),
            ([group], Some(quorum)) if group.name == GROUP && quorum == GROUP => {
                let all = self.witnesses.iter().map(|witness| &witness.name).eq(&group.members);
                all.then_some(group.required)
            }
            _ => None,
        }
    }

    /// The same policy for other logs.
    #[must_use]
    pub fn with_logs(self, logs: Vec<PolicyLog>) -> Self {
        Self { logs, ..self }
    }

    /// Whether a checkpoint needs a witness at all.
    #[must_use]
    pub fn needs_witnesses(&self) -> bool {
        self.quorum.is_some()
    }

    /// What the policy says about `checkpoint`, which must be signed by one of its logs if it names any.
    ///
    /// # Errors
    /// [`NoteError`]: it is not signed by such a log, or a signature in the name of a known key is not by it.
    pub fn judge(&self, checkpoint: &Checkpoint) -> Result<Judgement, NoteError> {
        if !self.logs.is_empty() {
            let keys: Vec<&VerifierKey> = self.logs.iter().map(|log| &log.key).collect();
            if !checkpoint.is_signed_by_any(&keys)? {
                return Err(NoteError("the checkpoint is not signed by a log of the policy"));
            }
        }
        let mut witnesses = Vec::new();
        let mut said: BTreeMap<&str, bool> = BTreeMap::new();
        for witness in &self.witnesses {
            let time = witness.key.cosigned(checkpoint)?;
            said.insert(&witness.name, time.is_some());
            witnesses.extend(time.map(|time| (witness.name.clone(), time)));
        }
        for group in &self.groups {
            let holds = |member: &&String| said.get(member.as_str()).copied().unwrap_or(false);
            let enough = group.members.iter().filter(holds).count() >= group.needed();
            said.insert(&group.name, enough);
        }
        let quorum = self.quorum.as_ref().is_none_or(|name| said.get(name.as_str()) == Some(&true));
        Ok(Judgement { quorum, witnesses })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = |url: &Option<String>| url.as_ref().map(|url| format!(" {url}")).unwrap_or_default();
        for log in &self.logs {
            writeln!(f, "log {}{}", log.key, url(&log.url))?;
        }
        for witness in &self.witnesses {
            writeln!(f, "witness {} {}{}", witness.name, witness.key, url(&witness.url))?;
        }
        for group in &self.groups {
            writeln!(f, "group {} {} {}", group.name, group.required, group.members.join(" "))?;
        }
        writeln!(f, "quorum {}", self.quorum.as_deref().unwrap_or(NONE))
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let whole = |what| PolicyError { line: 0, what };
        if text.len() > POLICY_BYTES_MAX {
            return Err(whole("a policy is at most 65536 bytes"));
        }
        let lines = text.strip_suffix('\n').ok_or(whole("a policy ends with a newline"))?;
        let mut parser = Parser::default();
        for (number, line) in lines.split('\n').enumerate() {
            parser.line(line).map_err(|what| PolicyError { line: number + 1, what })?;
        }
        let Parser { logs, witnesses, groups, quorum, .. } = parser;
        let quorum = quorum.ok_or(whole("a policy has one line `quorum`"))?;
        Ok(Self { logs, witnesses, groups, quorum: Some(quorum).filter(|name| name != NONE) })
    }
}

#[derive(Default)]
struct Parser {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    quorum: Option<String>,
    /// Each defined name, and whether it is a member of a group already.
    names: BTreeMap<String, bool>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        if line.chars().any(|c| (c < ' ' && c != '\t') || c == '\u{7f}') {
            return Err("the only control characters of a policy are tabs and newlines");
        }
        let items: Vec<&str> = line.split([' ', '\t']).filter(|item| !item.is_empty()).collect();
        match items.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key, url @ ..] => self.log(key, one_url(url)?),
            ["witness", name, key, url @ ..] => self.witness(name, key, one_url(url)?),
            ["group", name, required, members @ ..] => self.group(name, required, members),
            ["quorum", name] if self.quorum.is_some() => Err(match *name {
                NONE => "the quorum was defined before",
                _ => "a policy has one quorum",
            }),
            ["quorum", name] if *name == NONE || self.names.contains_key(*name) => {
                self.quorum = Some((*name).to_owned());
                Ok(())
            }
            ["quorum", _] => Err("the quorum names what no line above defines"),
            _ => Err("a line is `log`, `witness`, `group` or `quorum` with its items"),
        }
    }

    fn log(&mut self, key: &str, url: Option<String>) -> Result<(), &'static str> {
        let key: VerifierKey = key.parse().map_err(|_| "that is not the verifier key of a log")?;
        if self.logs.iter().any(|log| is_same_key(&log.key, &key)) {
            return Err("two logs have the same key");
        }
        self.logs.push(PolicyLog { key, url });
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<String>) -> Result<(), &'static str> {
        let key: WitnessKey = key.parse().map_err(|_| "that is not the verifier key of a witness")?;
        if self.witnesses.iter().any(|witness| is_same_key(&witness.key, &key)) {
            return Err("two witnesses have the same key");
        }
        self.define(name)?;
        self.witnesses.push(PolicyWitness { name: name.to_owned(), key, url });
        Ok(())
    }

    fn group(&mut self, name: &str, required: &str, members: &[&str]) -> Result<(), &'static str> {
        let required = required.parse().map_err(|_| "a group requires `all`, `any` or a number from 1")?;
        for member in members {
            match self.names.get_mut(*member) {
                None => return Err("a group names what no line above defines"),
                Some(true) => return Err("a name is a member of a group twice"),
                Some(used) => *used = true,
            }
        }
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        let group = Group { name: name.to_owned(), required, members };
        if group.members.is_empty() || group.needed() > group.members.len() {
            return Err("a group requires more than it has members");
        }
        self.define(name)?;
        self.groups.push(group);
        Ok(())
    }

    fn define(&mut self, name: &str) -> Result<(), &'static str> {
        if name == NONE {
            return Err("`none` cannot be defined");
        }
        match self.names.insert(name.to_owned(), false) {
            None => Ok(()),
            Some(_) => Err("a name is defined twice"),
        }
    }
}

fn one_url(items: &[&str]) -> Result<Option<String>, &'static str> {
    match items {
        [] => Ok(None),
        [url] => Ok(Some((*url).to_owned())),
        _ => Err("there is something after the URL"),
    }
}

/// Whether two keys wrap the same public key: the third part of their text.
fn is_same_key(one: &impl ToString, other: &impl ToString) -> bool {
    let (one, other) = (one.to_string(), other.to_string());
    let bytes = |text: &str| text.splitn(3, '+').nth(2).map(str::to_owned);
    bytes(&one) == bytes(&other)
}

#[cfg(test)]
mod tests;
