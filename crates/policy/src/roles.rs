//! Who has which role in a project: `policy/roles.toml`, which must be signed.

mod exclusive;
mod parse;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use exclusive::{EXCLUSIVE, Exclusive};
pub use parse::ROLES_BYTES_MAX;

use crate::Principal;

/// Version tag of a roles file.
pub const ROLES_FORMAT: &str = "aseptic.roles/1";

/// What a member of a role begins with, if it is a group.
const GROUP: &str = "group:";

/// What somebody is in a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Whoever owns the state of a project without a roles file: may do everything.
    Owner,
    /// May read.
    Viewer,
    /// May run experiments and add data.
    Experimenter,
    /// Decides on labels, retention and quarantine.
    DataSteward,
    /// Decides on policies, settings and roles.
    PolicyAuthor,
    /// Approves what policies leave to people.
    Approver,
    /// Reads everything, and gives evidence to others.
    Auditor,
}

impl Role {
    /// Those that a roles file can give.
    pub const GIVEN: [Self; 6] = [
        Self::Viewer,
        Self::Experimenter,
        Self::DataSteward,
        Self::PolicyAuthor,
        Self::Approver,
        Self::Auditor,
    ];

    /// Its name in policies and in the roles file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Viewer => "viewer",
            Self::Experimenter => "experimenter",
            Self::DataSteward => "data-steward",
            Self::PolicyAuthor => "policy-author",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text is no role that a file can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no role that can be given")]
pub struct NoRole;

impl FromStr for Role {
    type Err = NoRole;

    fn from_str(text: &str) -> Result<Self, NoRole> {
        Self::GIVEN.into_iter().find(|role| role.as_str() == text).ok_or(NoRole)
    }
}

/// Who has which role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Users of each group.
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// Users (`ada`) and groups (`group:lab`) of each role.
    pub members: BTreeMap<Role, BTreeSet<String>>,
    /// The key that must sign the next roles file, as C2SP signed-note writes it.
    pub signer: String,
}

/// How somebody comes to a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Through {
    /// By name.
    Name,
    /// As a member of this group.
    Group(String),
}

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("by name"),
            Self::Group(group) => write!(f, "through `{GROUP}{group}`"),
        }
    }
}

impl Roles {
    /// What `user` is. Somebody without a role is nobody: not even to look is permitted then.
    #[must_use]
    pub fn principal(&self, user: &str) -> Principal {
        let groups = self.groups_of(user).map(str::to_owned).collect();
        Principal { user: user.to_owned(), groups, roles: self.roles_of(user).into_keys().collect() }
    }

    /// The roles of `user`, each with every way by which it comes to it.
    #[must_use]
    pub fn roles_of(&self, user: &str) -> BTreeMap<Role, BTreeSet<Through>> {
        let groups: BTreeSet<&str> = self.groups_of(user).collect();
        let through = |member: &String| match member.strip_prefix(GROUP) {
            Some(group) => groups.contains(group).then(|| Through::Group(group.to_owned())),
            None => (member == user).then_some(Through::Name),
        };
        let ways = |members: &BTreeSet<String>| members.iter().filter_map(through).collect();
        let roles = self.members.iter().map(|(role, members)| (*role, ways(members)));
        roles.filter(|(_, ways): &(_, BTreeSet<_>)| !ways.is_empty()).collect()
    }

    /// Everybody who has a role, by name.
    #[must_use]
    pub fn users(&self) -> BTreeSet<&str> {
        self.members.keys().flat_map(|role| self.holders(*role)).collect()
    }

    /// Everybody who has `role`, by name or through a group.
    #[must_use]
    pub fn holders(&self, role: Role) -> BTreeSet<&str> {
        let members = self.members.get(&role).into_iter().flatten();
        members
            .flat_map(|member| match member.strip_prefix(GROUP).and_then(|group| self.groups.get(group)) {
                Some(users) => users.iter().map(String::as_str).collect(),
                None => vec![member.as_str()],
            })
            .collect()
    }

    fn groups_of(&self, user: &str) -> impl Iterator<Item = &str> {
        let groups = self.groups.iter().filter(move |(_, users)| users.contains(user));
        groups.map(|(group, _)| group.as_str())
    }
}

#[cfg(test)]
mod tests;
