//! Roles that one person must not have together.
//!
//! Source: separation of duty, as in NIST RBAC (INCITS 359-2012, static separation of duty).

use std::collections::BTreeMap;

use super::{Role, Roles, Through};

/// Pairs of roles that nobody may have at once, with the reason.
pub const EXCLUSIVE: [(Role, Role, &str); 7] = [
    (Role::Experimenter, Role::Approver, "nobody approves their own runs"),
    (Role::Experimenter, Role::PolicyAuthor, "nobody writes the policies that decide their own runs"),
    (Role::PolicyAuthor, Role::Approver, "nobody asks for an approval in a policy and gives it too"),
    (Role::Experimenter, Role::Auditor, "nobody audits their own runs"),
    (Role::DataSteward, Role::Auditor, "nobody audits their own decisions about data"),
    (Role::PolicyAuthor, Role::Auditor, "nobody audits their own policies"),
    (Role::Approver, Role::Auditor, "nobody audits their own approvals"),
];

/// Somebody who has two roles that nobody may have at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusive {
    /// Who.
    pub user: String,
    /// The two roles, each with one way by which the user comes to it.
    pub roles: [(Role, Through); 2],
    /// Why nobody may have both.
    pub why: &'static str,
}

impl Roles {
    /// The first user, by name, who has two roles that exclude each other.
    #[must_use]
    pub fn exclusive(&self) -> Option<Exclusive> {
        let ways = self.ways();
        ways.iter().find_map(|(user, roles)| {
            EXCLUSIVE.iter().find_map(|(first, second, why)| {
                let one = (*first, roles.get(first)?.clone());
                let other = (*second, roles.get(second)?.clone());
                Some(Exclusive { user: (*user).to_owned(), roles: [one, other], why })
            })
        })
    }

    /// The roles of everybody, each with the first way to it; in time in proportion to what the groups that have roles
    /// hold.
    fn ways(&self) -> BTreeMap<&str, BTreeMap<Role, Through>> {
        let mut ways: BTreeMap<&str, BTreeMap<Role, Through>> = BTreeMap::new();
        for (role, members) in &self.members {
            for member in members {
                let (users, through) = match member.strip_prefix(super::GROUP) {
                    Some(group) => (
                        self.groups.get(group).into_iter().flatten().map(String::as_str).collect(),
                        Through::Group(group.to_owned()),
                    ),
                    None => (vec![member.as_str()], Through::Name),
                };
                for user in users {
                    ways.entry(user).or_default().entry(*role).or_insert_with(|| through.clone());
                }
            }
        }
        ways
    }
}
