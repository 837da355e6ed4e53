//! Which labels a place has, by what it inherits and by what was decided.

use std::collections::BTreeSet;

use aseptic_model::{FilePath, Label};

use crate::column::{Column as _, Read, Row, get};

/// A label was given to a node or taken off it: to all of it, or to what lies at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) label: Label,
    pub(crate) path: Option<FilePath>,
    pub(crate) given: bool,
    /// The entry that says so; the last one counts.
    pub(crate) entry: i64,
}

pub(crate) const ACTS: &str =
    "SELECT entry, label, path, given, act FROM label_act WHERE entry IN ({entries}) ORDER BY label, path";

pub(crate) fn act(row: &Row<'_>) -> Read<Act> {
    Ok(Act {
        label: get(row, "label")?,
        path: path(row)?,
        given: get(row, "given")?,
        entry: get(row, "act")?,
    })
}

/// A path that is kept as no bytes where all is meant.
pub(crate) fn path(row: &Row<'_>) -> Read<Option<FilePath>> {
    row.get("path", |value| match value.as_blob()? {
        [] => Ok(None),
        _ => FilePath::read(value).map(Some),
    })
}

/// The labels of what lies at `path` of a node; without a path, of all of it, which has what any part of it has.
pub(crate) fn labels_at(
    inherited: &BTreeSet<Label>,
    acts: &[Act],
    path: Option<&FilePath>,
) -> BTreeSet<Label> {
    let named: BTreeSet<&Label> = acts.iter().map(|act| &act.label).chain(inherited).collect();
    named.into_iter().filter(|label| has(inherited, acts, label, path)).cloned().collect()
}

fn has(inherited: &BTreeSet<Label>, acts: &[Act], label: &Label, path: Option<&FilePath>) -> bool {
    if deciding(acts, label, path).map_or_else(|| inherited.contains(label), |act| act.given) {
        return true;
    }
    acts.iter().filter(|act| act.label == *label && act.given && act.path.is_some()).any(|part| {
        covers(path, part.path.as_ref())
            && deciding(acts, label, part.path.as_ref()).is_some_and(|act| act.given)
    })
}

/// The act that decides whether what lies at `path` has `label`.
pub(crate) fn deciding<'a>(acts: &'a [Act], label: &Label, path: Option<&FilePath>) -> Option<&'a Act> {
    let about = acts.iter().filter(|act| act.label == *label && covers(act.path.as_ref(), path));
    about.max_by_key(|act| (act.entry, act.given))
}

/// Whether all that lies at `path` lies at `above` too; nothing stands for everything.
fn covers(above: Option<&FilePath>, path: Option<&FilePath>) -> bool {
    match (above, path) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(above), Some(path)) => path.as_path().starts_with(above.as_path()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(labels: &str) -> BTreeSet<Label> {
        labels.split_whitespace().map(|label| label.parse().unwrap()).collect()
    }

    /// `+pii out/a` at entry 1, and so on.
    fn acts(lines: &[&str]) -> Vec<Act> {
        let act = |(index, line): (usize, &&str)| {
            let (word, path) = line.split_once(' ').map_or((*line, None), |(word, path)| (word, Some(path)));
            let (sign, label) = word.split_at(1);
            Act {
                label: label.parse().unwrap(),
                path: path.map(|path| path.parse().unwrap()),
                given: sign == "+",
                entry: i64::try_from(index).unwrap() + 1,
            }
        };
        lines.iter().enumerate().map(act).collect()
    }

    fn check(inherited: &str, lines: &[&str], path: &str, expected: &str) {
        let path = (!path.is_empty()).then(|| path.parse().unwrap());
        let found = labels_at(&set(inherited), &acts(lines), path.as_ref());
        assert_eq!(found, set(expected), "{inherited} {lines:?} {path:?}");
    }

    #[test]
    fn what_is_inherited_is_everywhere_until_it_is_taken_off() {
        check("pii", &[], "", "pii");
        check("pii", &[], "out/a", "pii");
        check("pii", &["-pii out/m"], "out/m", "");
        check("pii", &["-pii out/m"], "out/m/deeper", "");
        check("pii", &["-pii out/m"], "out/mm", "pii");
        check("pii", &["-pii out/m"], "out", "pii");
        check("pii", &["-pii out/m"], "", "pii");
        check("pii eu", &["-pii"], "out/m", "eu");
    }

    #[test]
    fn what_is_given_to_a_part_is_with_whatever_has_that_part() {
        check("", &["+pii out/a/b"], "out/a/b", "pii");
        check("", &["+pii out/a/b"], "out/a/b/c", "pii");
        check("", &["+pii out/a/b"], "out/a", "pii");
        check("", &["+pii out/a/b"], "", "pii");
        check("", &["+pii out/a/b"], "out/c", "");
    }

    #[test]
    fn the_last_decision_about_a_place_counts() {
        check("", &["+pii", "-pii"], "", "");
        check("", &["+pii", "-pii"], "out/a", "");
        check("pii", &["-pii", "+pii"], "out/a", "pii");
        check("pii", &["-pii out/m", "+pii"], "out/m", "pii");
        check("", &["+pii out/a", "-pii"], "", "");
        check("", &["-pii", "+pii out/a"], "", "pii");
        check("", &["-pii", "+pii out/a"], "out/b", "");
        check("", &["+pii out/a/b", "-pii out/a"], "", "");
        check("pii", &["-pii out", "+pii out/a"], "out", "pii");
    }
}
