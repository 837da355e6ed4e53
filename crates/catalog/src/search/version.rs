//! Order of the versions of packages.

use std::cmp::Ordering;

/// Compares two versions as PEP 440 orders releases: numbers by value, missing ones as 0, and what comes before a
/// release (`a`, `b`, `rc`, `dev`) before it. Local parts (`+cu121`) come last. Not the whole of PEP 440: epochs are
/// numbers like others.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (parts(left), parts(right));
    for index in 0..left.len().max(right.len()) {
        let nothing = Part::Number(0);
        let order = left.get(index).unwrap_or(&nothing).cmp(right.get(index).unwrap_or(&nothing));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Whether `version` is `wanted` or begins with all of its parts: `1.26.4` is `1.26`, and `1.260` is not.
pub(super) fn starts_with(version: &str, wanted: &str) -> bool {
    match version.strip_prefix(wanted) {
        Some(rest) => {
            let goes_on = rest.starts_with(|c: char| c.is_ascii_digit());
            !(goes_on && wanted.ends_with(|c: char| c.is_ascii_digit()))
        }
        None => false,
    }
}

/// In their order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Before(String),
    Number(u64),
    After(String),
}

fn parts(version: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let class = |c: char| (c.is_ascii_digit(), c.is_ascii_alphabetic());
        let end = rest.find(|c| class(c) != class(first)).unwrap_or(rest.len());
        let (part, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if first.is_ascii_digit() {
            parts.push(Part::Number(part.parse().unwrap_or(u64::MAX)));
        } else if first.is_ascii_alphabetic() {
            let word = part.to_ascii_lowercase();
            let before = ["a", "alpha", "b", "beta", "c", "rc", "pre", "preview", "dev"];
            let is_before = before.contains(&word.as_str());
            parts.push(if is_before { Part::Before(word) } else { Part::After(word) });
        } else if part.contains('+') {
            parts.push(Part::After(String::new()));
        }
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let sorted = [
            "1.9",
            "1.25.2",
            "1.26.0rc1",
            "1.26",
            "1.26.1",
            "1.26.1+cu121",
            "1.26.4.post1",
            "2.0.dev3",
            "2.0",
        ];
        for (index, left) in sorted.iter().enumerate() {
            for right in sorted.iter().skip(index + 1) {
                assert_eq!(compare(left, right), Ordering::Less, "{left} {right}");
                assert_eq!(compare(right, left), Ordering::Greater, "{right} {left}");
            }
        }
        assert_eq!(compare("1.26", "1.26.0"), Ordering::Equal);
        assert_eq!(compare("9999999999999999999999", "1"), Ordering::Greater);
    }

    #[test]
    fn a_start_ends_at_a_part() {
        for (version, wanted, is) in [
            ("1.26.4", "1.26", true),
            ("1.26", "1.26", true),
            ("1.260", "1.26", false),
            ("1.26rc1", "1.26", true),
            ("11.26", "1.26", false),
        ] {
            assert_eq!(starts_with(version, wanted), is, "{version} {wanted}");
        }
    }
}
