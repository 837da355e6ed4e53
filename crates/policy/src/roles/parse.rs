//! The text of a roles file: strict and bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::Range;

use aseptic_model::spec::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{GROUP, ROLES_FORMAT, Role, Roles};
use crate::PolicyError;

/// Largest roles file in bytes: ten thousand people fit, and it is parsed in milliseconds.
pub const ROLES_BYTES_MAX: usize = 256 << 10;

/// Longest name of a user or group in bytes; Linux and directory services have at most this.
const NAME_BYTES_MAX: usize = 255;

/// Longest key of a signer in bytes: its name, its id and 33 bytes in base64.
const SIGNER_BYTES_MAX: usize = 320;

/// How the file is called in errors.
const PATH: &str = "policy/roles.toml";

const KEYS: [&str; 4] = ["format", "signer", "groups", "roles"];

type Table<'s> = DeTable<'s>;
type Entry<'s> = Spanned<DeValue<'s>>;

impl Roles {
    /// Parses the text of a roles file. Nobody in what is returned has two roles that exclude each other, and somebody
    /// is a policy author.
    ///
    /// # Errors
    /// [`PolicyError::File`] with the place: it is no TOML or too large, has a key that no version knows, gives
    /// `owner`, names a group that there is not or somebody twice, or gives roles to one person that exclude each other.
    ///
    /// Source: `docs/roles.md`; TOML 1.0.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let source = Source { text };
        if text.len() > ROLES_BYTES_MAX {
            let message =
                format!("the file has {} bytes, and at most {ROLES_BYTES_MAX} are read", text.len());
            return Err(source.error(0, message, "give roles to fewer people, or split the project"));
        }
        let parsed = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            source.error(at, error.message(), "correct the line; the format is TOML 1.0")
        })?;
        let root = parsed.get_ref();
        source.known(root, "the file", &KEYS)?;
        let (format, span) = source.text_of(root, "format")?;
        if format != ROLES_FORMAT {
            let help = "use the version of aseptic that knows it, or correct the line";
            return Err(source.error(span.start, format!("the format is not `{ROLES_FORMAT}`"), help));
        }
        let groups = source.groups(root)?;
        let (members, places) = source.members(root, &groups)?;
        let signer = source.signer(root)?;
        let roles = Self { groups, members, signer };
        source.check(&roles, &places)?;
        Ok(roles)
    }
}

/// Where each member of a role stands.
type Places = BTreeMap<(Role, String), usize>;

struct Source<'s> {
    text: &'s str,
}

impl<'s> Source<'s> {
    fn groups(&self, root: &Table<'s>) -> Result<BTreeMap<String, BTreeSet<String>>, PolicyError> {
        let mut groups = BTreeMap::new();
        for (name, users) in self.table_of(root, "groups")?.into_iter().flatten() {
            self.name(name.get_ref(), name.span(), "group")?;
            let mut members = BTreeSet::new();
            for (user, span) in self.list(name.get_ref(), users)? {
                if user.starts_with(GROUP) {
                    let help = "name the users of that group; a group is not part of another";
                    return Err(self.error(span.start, "a group has users only", help));
                }
                self.name(user, span.clone(), "user")?;
                self.once(members.insert(user.to_owned()), user, &span)?;
            }
            groups.insert(name.get_ref().to_string(), members);
        }
        Ok(groups)
    }

    fn members(
        &self,
        root: &Table<'s>,
        groups: &BTreeMap<String, BTreeSet<String>>,
    ) -> Result<(BTreeMap<Role, BTreeSet<String>>, Places), PolicyError> {
        let mut roles = BTreeMap::new();
        let mut places = BTreeMap::new();
        for (name, list) in self.table_of(root, "roles")?.into_iter().flatten() {
            let role = self.role(name)?;
            let mut members = BTreeSet::new();
            for (member, span) in self.list(role.as_str(), list)? {
                match member.strip_prefix(GROUP) {
                    Some(group) if groups.contains_key(group) => {}
                    Some(group) => return Err(self.unknown_group(group, groups, &span)),
                    None => self.name(member, span.clone(), "user")?,
                }
                self.once(members.insert(member.to_owned()), member, &span)?;
                places.insert((role, member.to_owned()), span.start);
            }
            roles.insert(role, members);
        }
        Ok((roles, places))
    }

    fn role(&self, name: &Spanned<std::borrow::Cow<'s, str>>) -> Result<Role, PolicyError> {
        let text: &str = name.get_ref();
        if text == Role::Owner.as_str() {
            let help = "give the roles that they need; an owner is whoever owns the state of a project without roles";
            return Err(self.error(name.span().start, "`owner` cannot be given", help));
        }
        text.parse().map_err(|_| {
            let known = Role::GIVEN.map(Role::as_str);
            let message = format!("there is no role `{}`", shown(text));
            self.error(name.span().start, message, did_you_mean(text, &known))
        })
    }

    fn signer(&self, root: &Table<'s>) -> Result<String, PolicyError> {
        let (signer, span) = self.text_of(root, "signer")?;
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if signer.is_empty() || signer.len() > SIGNER_BYTES_MAX || signer.contains(odd) {
            let help = "write the line that `aseptic role key FILE` prints";
            return Err(self.error(span.start, "`signer` is no key", help));
        }
        Ok(signer.to_owned())
    }

    /// What can be wrong with the file as a whole.
    fn check(&self, roles: &Roles, places: &Places) -> Result<(), PolicyError> {
        if let Some(found) = roles.exclusive() {
            let [(first, one), (second, other)] = &found.roles;
            let member = match other {
                super::Through::Name => found.user.clone(),
                super::Through::Group(group) => format!("{GROUP}{group}"),
            };
            let at = places.get(&(*second, member)).copied().unwrap_or(0);
            let message = format!(
                "`{}` is {first} ({one}) and {second} ({other}), and {}",
                shown(&found.user),
                found.why
            );
            return Err(self.error(at, message, "take one of the two roles from them"));
        }
        if roles.holders(Role::PolicyAuthor).is_empty() {
            let message = "nobody is `policy-author`, so nobody could ever put another file in force";
            return Err(self.error(0, message, "give the role to somebody under `[roles]`"));
        }
        Ok(())
    }

    fn unknown_group(
        &self,
        group: &str,
        groups: &BTreeMap<String, BTreeSet<String>>,
        span: &Range<usize>,
    ) -> PolicyError {
        let known: Vec<&str> = groups.keys().map(String::as_str).collect();
        let message = format!("there is no group `{}`", shown(group));
        let help = match known.is_empty() {
            true => "name its users under `[groups]`".to_owned(),
            false => did_you_mean(group, &known),
        };
        self.error(span.start, message, help)
    }

    fn name(&self, name: &str, span: Range<usize>, what: &str) -> Result<(), PolicyError> {
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == ':';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(odd) {
            let message = format!("`{}` cannot be the name of a {what}", shown(name));
            let help = "a name has 1 to 255 bytes without spaces, control characters and `:`";
            return Err(self.error(span.start, message, help));
        }
        Ok(())
    }

    fn once(&self, is_new: bool, name: &str, span: &Range<usize>) -> Result<(), PolicyError> {
        if is_new {
            return Ok(());
        }
        let message = format!("`{}` is named twice", shown(name));
        Err(self.error(span.start, message, "remove one of them"))
    }

    fn known(&self, table: &Table<'s>, title: &str, known: &[&'static str]) -> Result<(), PolicyError> {
        match table.keys().find(|key| !known.contains(&key.get_ref().as_ref())) {
            None => Ok(()),
            Some(key) => {
                let message = format!("unknown key `{}` in {title}", shown(key.get_ref()));
                Err(self.error(key.span().start, message, did_you_mean(key.get_ref(), known)))
            }
        }
    }

    fn table_of<'t>(&self, root: &'t Table<'s>, key: &str) -> Result<Option<&'t Table<'s>>, PolicyError> {
        let Some(value) = root.get(key) else { return Ok(None) };
        let table = value.get_ref().as_table();
        let wrong = || self.error(value.span().start, format!("`{key}` is no table"), "write `[NAME]`");
        table.map(Some).ok_or_else(wrong)
    }

    fn text_of<'t>(&self, root: &'t Table<'s>, key: &str) -> Result<(&'t str, Range<usize>), PolicyError> {
        let missing = || {
            let help = format!("add `{key}`; see `docs/roles.md`");
            self.error(0, format!("the file has no `{key}`"), help)
        };
        let value = root.get(key).ok_or_else(missing)?;
        self.text_in(key, value)
    }

    fn text_in<'t>(&self, key: &str, value: &'t Entry<'s>) -> Result<(&'t str, Range<usize>), PolicyError> {
        let wrong = || {
            let message = format!("`{}`: expected a text", shown(key));
            self.error(value.span().start, message, "put it in quotes")
        };
        Ok((value.get_ref().as_str().ok_or_else(wrong)?, value.span()))
    }

    fn list<'t>(&self, key: &str, value: &'t Entry<'s>) -> Result<Vec<(&'t str, Range<usize>)>, PolicyError> {
        let wrong = || {
            let message = format!("`{}`: expected a list of names", shown(key));
            self.error(value.span().start, message, "write `[\"ada\"]`")
        };
        let list = value.get_ref().as_array().ok_or_else(wrong)?;
        list.iter().map(|one| self.text_in(key, one)).collect()
    }

    /// An error at the byte `offset`.
    fn error(&self, offset: usize, message: impl Display, help: impl Into<String>) -> PolicyError {
        let before = self.text.get(..offset).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        PolicyError::File {
            path: PATH.to_owned(),
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
            column: 1 + line.chars().count(),
            message: message.to_string(),
            help: help.into(),
        }
    }
}

fn did_you_mean(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(nearest) => format!("did you mean `{}`?", shown(nearest)),
        None if known.len() > 10 => "correct the name; `docs/roles.md` shows a file".to_owned(),
        None => format!("there are {}", known.iter().map(|k| shown(k)).collect::<Vec<_>>().join(", ")),
    }
}

/// A name as shown in an error: one line, bounded.
fn shown(name: &str) -> String {
    name.chars().take(80).flat_map(char::escape_debug).collect()
}
