//! Labels that follow from what is said about a dataset: its role, and its licence.

use std::collections::BTreeSet;

use aseptic_model::{Label, Metadata};
use spdx::{Expression, ParseMode};

use crate::holdout::HOLDOUT;

/// The label of data that earns nobody money, as its licence wants.
const NON_COMMERCIAL: &str = "non-commercial";

/// The label of data of which nothing may be made, as its licence wants.
const NO_DERIVATIVES: &str = "no-derivatives";

/// The labels that statements give. Taking one off a version is an act of its own, with a reason.
pub(super) fn labels(said: &Metadata) -> BTreeSet<Label> {
    let value =
        |key: &str| said.iter().find(|(known, _)| known.as_str() == key).map(|(_, value)| value.as_str());
    let mut labels = Vec::new();
    if value("role").is_some_and(is_holdout) {
        labels.push(HOLDOUT);
    }
    let licence = ["licence", "license"].into_iter().filter_map(value);
    for licence in licence {
        labels.extend(restricts(licence, is_non_commercial).then_some(NON_COMMERCIAL));
        labels.extend(restricts(licence, is_no_derivatives).then_some(NO_DERIVATIVES));
    }
    labels.into_iter().filter_map(|label| label.parse().ok()).collect()
}

fn is_holdout(role: &str) -> bool {
    matches!(role.trim().to_ascii_lowercase().as_str(), "holdout" | "hold-out")
}

/// Whether every way to keep to a licence is restricted in this way. A text that is no SPDX expression is looked at word
/// by word: what it means nobody can say, and what is not restricted can be said to be so by taking the label off.
fn restricts(licence: &str, by: fn(&[String]) -> bool) -> bool {
    match Expression::parse_mode(licence, ParseMode::LAX) {
        Ok(expression) => !expression.evaluate(|requirement| !by(&words(&requirement.license.to_string()))),
        Err(_) => by(&words(licence)),
    }
}

/// The words of a licence or its SPDX identifier, in small letters.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect()
}

fn is_non_commercial(words: &[String]) -> bool {
    has(words, &["nc", "noncommercial"]) || follows(words, "non", "commercial")
}

fn is_no_derivatives(words: &[String]) -> bool {
    has(words, &["nd", "noderivatives", "noderivs", "noderivates"])
        || ["derivatives", "derivs", "derivative"].into_iter().any(|word| follows(words, "no", word))
}

fn has(words: &[String], any: &[&str]) -> bool {
    words.iter().any(|word| any.contains(&word.as_str()))
}

fn follows(words: &[String], first: &str, second: &str) -> bool {
    words.windows(2).any(|pair| matches!(pair, [one, other] if one == first && other == second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(key: &str, value: &str) -> Vec<String> {
        let said = Metadata::from([(key.parse().unwrap(), value.parse().unwrap())]);
        labels(&said).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_role_of_holdout_is_a_label() {
        for (role, expected) in
            [("holdout", &["holdout"][..]), ("Hold-Out", &["holdout"]), ("train", &[]), ("no holdout", &[])]
        {
            assert_eq!(labelled("role", role), expected, "{role}");
        }
        assert!(labelled("note", "holdout").is_empty());
    }

    #[test]
    fn a_licence_that_restricts_is_a_label() {
        let both = &["no-derivatives", "non-commercial"][..];
        for (licence, expected) in [
            ("CC-BY-4.0", &[][..]),
            ("MIT", &[]),
            ("CC-BY-NC-4.0", &["non-commercial"]),
            ("CC-BY-NC-SA-3.0", &["non-commercial"]),
            ("CC-BY-ND-4.0", &["no-derivatives"]),
            ("CC-BY-NC-ND-4.0", both),
            ("cc-by-nc-nd-4.0", both),
            ("PolyForm-Noncommercial-1.0.0", &["non-commercial"]),
            ("CC-BY-NC-4.0 OR MIT", &[]),
            ("CC-BY-NC-4.0 AND MIT", &["non-commercial"]),
            ("CC-BY-NC-4.0 OR CC-BY-ND-4.0", &[]),
            ("LicenseRef-ours-NC", &["non-commercial"]),
            ("Creative Commons Attribution Non Commercial 4.0", &["non-commercial"]),
            ("CC BY-NC-ND, see the page", both),
            ("for research, non-commercial use only", &["non-commercial"]),
            ("ours; no derivatives", &["no-derivatives"]),
            ("commercial", &[]),
        ] {
            assert_eq!(labelled("licence", licence), expected, "{licence}");
        }
    }
}
