//! The text of a roles file: strict and bounded.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;

use super::{GROUP, ROLES_FORMAT, Role, Roles, Through};
use crate::Problem;
use crate::read::source::{Item, Source, Table};
use crate::text::{did_you_mean, quoted, shortened};

/// Largest roles file in bytes: ten thousand people fit, and it is parsed in milliseconds.
pub const ROLES_BYTES_MAX: usize = 256 << 10;

/// Longest name of a user or group in bytes; Linux and directory services have at most this.
const NAME_BYTES_MAX: usize = 255;

/// Longest key of a signer in bytes: its name, its id and 33 bytes in base64.
const SIGNER_BYTES_MAX: usize = 320;

/// How the file is called in errors.
const PATH: &str = "policy/roles.toml";

impl Roles {
    /// Parses the text of a roles file. Nobody in what is returned has two roles that exclude each other, and somebody
    /// is a policy author.
    ///
    /// # Errors
    /// Everything that is the matter with it: it is no TOML or too large, has a key that no version knows, gives
    /// `owner`, names a group that there is not or somebody twice, or gives roles to one person that exclude each other.
    ///
    /// Source: `docs/roles.md`; TOML 1.0.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let mut source = Source::new(PATH, text, "docs/roles.md");
        let fits = source.fits(ROLES_BYTES_MAX, "give roles to fewer people, or split the project");
        let root = if fits { source.root() } else { None };
        let roles = root.and_then(|root| source.roles(&root));
        source.finish(roles)
    }
}

/// Where each member of a role stands.
type Places = BTreeMap<(Role, String), Range<usize>>;

impl<'s> Source<'s> {
    fn roles(&mut self, root: &Table<'s>) -> Option<Roles> {
        self.known("the file", root, &["format", "signer", "groups", "roles"]);
        self.format_of(root, ROLES_FORMAT);
        let groups = self.groups(root);
        let (members, places) = self.members(root, &groups);
        let roles = Roles { groups, members, signer: self.signer(root)? };
        if !self.is_wrong() {
            self.check(&roles, &places);
        }
        Some(roles)
    }

    fn groups(&mut self, root: &Table<'s>) -> BTreeMap<String, BTreeSet<String>> {
        let mut groups = BTreeMap::new();
        let table = root.get("groups").and_then(|value| self.table("groups", value));
        for (name, users) in table.into_iter().flatten() {
            self.name(name.get_ref(), name.span(), "group");
            let mut members = BTreeSet::new();
            for (user, span) in self.names(name.get_ref(), users) {
                if user.starts_with(GROUP) {
                    let help = "name the users of that group; a group is not part of another";
                    self.problem(span.clone(), "a group has users only", help);
                } else {
                    self.name(user, span.clone(), "user");
                }
                self.once(members.insert(user.to_owned()), user, span);
            }
            groups.insert(name.get_ref().to_string(), members);
        }
        groups
    }

    fn members(
        &mut self,
        root: &Table<'s>,
        groups: &BTreeMap<String, BTreeSet<String>>,
    ) -> (BTreeMap<Role, BTreeSet<String>>, Places) {
        let mut roles = BTreeMap::new();
        let mut places = BTreeMap::new();
        let table = root.get("roles").and_then(|value| self.table("roles", value));
        for (name, list) in table.into_iter().flatten() {
            let Some(role) = self.role(name) else { continue };
            let mut members = BTreeSet::new();
            for (member, span) in self.names(role.as_str(), list) {
                match member.strip_prefix(GROUP) {
                    Some(group) if groups.contains_key(group) => {}
                    Some(group) => self.unknown_group(group, groups, span.clone()),
                    None => self.name(member, span.clone(), "user"),
                }
                self.once(members.insert(member.to_owned()), member, span.clone());
                places.insert((role, member.to_owned()), span);
            }
            roles.insert(role, members);
        }
        (roles, places)
    }

    fn role(&mut self, name: &Spanned<Cow<'s, str>>) -> Option<Role> {
        let text: &str = name.get_ref();
        if text == Role::Owner.as_str() {
            let help = "give the roles that they need; an owner is whoever owns the state of a project without roles";
            self.problem(name.span(), "`owner` cannot be given", help);
            return None;
        }
        let role = text.parse().ok();
        if role.is_none() {
            let message = format!("there is no role `{}`", shown(text));
            self.problem(name.span(), message, did_you_mean(text, Role::GIVEN.map(Role::as_str), quoted));
        }
        role
    }

    fn signer(&mut self, root: &Table<'s>) -> Option<String> {
        let Some(value) = root.get("signer") else {
            self.problem(0..0, "the file has no `signer`", "add `signer`; see `docs/roles.md`");
            return None;
        };
        let signer = self.text("signer", value)?;
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if signer.is_empty() || signer.len() > SIGNER_BYTES_MAX || signer.contains(odd) {
            let help = "write the line that `aseptic role key FILE` prints";
            self.problem(value.span(), "`signer` is no key", help);
        }
        Some(signer.to_owned())
    }

    /// What can be wrong with the file as a whole.
    fn check(&mut self, roles: &Roles, places: &Places) {
        if let Some(found) = roles.exclusive() {
            let [(first, one), (second, other)] = &found.roles;
            let member = match other {
                Through::Name => found.user.clone(),
                Through::Group(group) => format!("{GROUP}{group}"),
            };
            let at = places.get(&(*second, member)).cloned().unwrap_or_default();
            let user = shown(&found.user);
            let message = format!("`{user}` is {first} ({one}) and {second} ({other}), and {}", found.why);
            self.problem(at, message, "take one of the two roles from them");
        }
        if roles.holders(Role::PolicyAuthor).is_empty() {
            let message = "nobody is `policy-author`, so nobody could ever put another file in force";
            self.problem(0..0, message, "give the role to somebody under `[roles]`");
        }
    }

    fn unknown_group(
        &mut self,
        group: &str,
        groups: &BTreeMap<String, BTreeSet<String>>,
        span: Range<usize>,
    ) {
        let help = match groups.is_empty() {
            true => "name its users under `[groups]`".to_owned(),
            false => did_you_mean(group, groups.keys().map(String::as_str), quoted),
        };
        self.problem(span, format!("there is no group `{}`", shown(group)), help);
    }

    fn name(&mut self, name: &str, span: Range<usize>, what: &str) {
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == ':';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(odd) {
            let message = format!("`{}` cannot be the name of a {what}", shown(name));
            let help = "a name has 1 to 255 bytes without spaces, control characters and `:`";
            self.problem(span, message, help);
        }
    }

    fn once(&mut self, is_new: bool, name: &str, span: Range<usize>) {
        if !is_new {
            self.problem(span, format!("`{}` is named twice", shown(name)), "remove one of them");
        }
    }

    /// The names of a list, each with its place.
    fn names<'t>(&mut self, key: &str, list: &'t Item<'s>) -> Vec<(&'t str, Range<usize>)> {
        let names = self.array(key, list).unwrap_or_default().iter();
        names.filter_map(|one| Some((self.text(key, one)?, one.span()))).collect()
    }
}

/// A name as shown in an error.
fn shown(name: &str) -> String {
    shortened(name, 80)
}
