//! What differs between the settings of two sets of policies, and what that does.

use std::collections::BTreeSet;

use aseptic_policy::{Link, PolicyDocument, Settings};

use super::Direction;

/// A setting that differs.
#[derive(Clone, Debug)]
pub struct SettingChange {
    /// Its name, such as `labels.trial`.
    pub name: String,
    /// What it was; nothing where it was not set.
    pub before: Option<String>,
    /// What it is; nothing where it is not set.
    pub after: Option<String>,
    /// What that does.
    pub direction: Direction,
}

/// What differs; `after` is also where templates stand that links name.
pub(super) fn changes(before: &Settings, after: &Settings, document: &PolicyDocument) -> Vec<SettingChange> {
    let mut changes = Vec::new();
    let mut number = |name: &str, before: u64, after: u64| {
        let direction = if after < before { Direction::Narrows } else { Direction::Widens };
        changes.extend((before != after).then(|| change(name, Some(before), Some(after), direction)));
    };
    number("holdout.evaluations", before.evaluations.into(), after.evaluations.into());
    number("holdout.metrics_bytes", before.metrics_bytes, after.metrics_bytes);
    if before.strict != after.strict {
        let direction = if after.strict { Direction::Narrows } else { Direction::Widens };
        changes.push(change("strict", Some(before.strict), Some(after.strict), direction));
    }
    changes.extend(labels(before, after));
    changes.extend(links(before, after, document));
    changes
}

fn change<T: ToString>(
    name: &str,
    before: Option<T>,
    after: Option<T>,
    direction: Direction,
) -> SettingChange {
    let text = |value: Option<T>| value.map(|value| value.to_string());
    SettingChange { name: name.to_owned(), before: text(before), after: text(after), direction }
}

/// A label that is set keeps data away from all hosts but those that it allows.
fn labels(before: &Settings, after: &Settings) -> Vec<SettingChange> {
    let all: BTreeSet<_> = before.labels.keys().chain(after.labels.keys()).collect();
    let changed = |label| {
        let (old, new) = (before.labels.get(label), after.labels.get(label));
        let direction = match (old, new) {
            (Some(old), Some(new)) if old == new => return None,
            (Some(old), Some(new)) if new.is_subset(old) => Direction::Narrows,
            (Some(old), Some(new)) if new.is_superset(old) => Direction::Widens,
            // A shipped label has no host; one that is set may have some.
            (None, Some(new)) if new.is_empty() => Direction::Narrows,
            (Some(old), None) if old.is_empty() => Direction::Widens,
            _ => Direction::Either,
        };
        let hosts = |hosts: &BTreeSet<_>| {
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            if hosts.is_empty() { "no host".to_owned() } else { hosts.join(" ") }
        };
        Some(change(&format!("labels.{label}"), old.map(hosts), new.map(hosts), direction))
    };
    all.into_iter().filter_map(changed).collect()
}

/// Policies made from templates.
fn links(before: &Settings, after: &Settings, document: &PolicyDocument) -> Vec<SettingChange> {
    let listed = document.listed();
    let find = |settings: &Settings, id: &str| settings.links.iter().find(|link| link.id == id).cloned();
    let ids: BTreeSet<&String> = before.links.iter().chain(&after.links).map(|link| &link.id).collect();
    let changed = |id: &String| {
        let (old, new) = (find(before, id), find(after, id));
        if old == new {
            return None;
        }
        let permits = [&old, &new]
            .into_iter()
            .flatten()
            .any(|link: &Link| listed.iter().any(|one| one.id == link.template && one.effect == "permit"));
        let direction = match (&old, &new) {
            (None, _) if permits => Direction::Widens,
            (None, _) => Direction::Narrows,
            (_, None) if permits => Direction::Narrows,
            (_, None) => Direction::Widens,
            _ => Direction::Either,
        };
        let words = |link: Link| {
            let slots = [link.principal, link.resource].into_iter().flatten();
            std::iter::once(link.template).chain(slots).collect::<Vec<_>>().join(" ")
        };
        Some(change(&format!("link.{id}"), old.map(words), new.map(words), direction))
    };
    ids.into_iter().filter_map(changed).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_setting_says_what_its_change_does() {
        let document = PolicyDocument::new(BTreeMap::new());
        let before = Settings::default();
        let hosts = |hosts: &[&str]| hosts.iter().map(|host| host.parse().unwrap()).collect();
        let after = Settings {
            strict: true,
            evaluations: before.evaluations + 1,
            labels: [("trial".parse().unwrap(), hosts(&[])), ("pii".parse().unwrap(), hosts(&["h:443"]))]
                .into(),
            ..before.clone()
        };
        let found = changes(&before, &after, &document);
        let found: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.direction)).collect();
        assert_eq!(
            found,
            [
                ("holdout.evaluations", Direction::Widens),
                ("strict", Direction::Narrows),
                ("labels.pii", Direction::Either),
                ("labels.trial", Direction::Narrows),
            ]
        );
        assert!(changes(&after, &after, &document).is_empty());
    }
}
