//! What a package says about its licence, as an SPDX expression where it is one or is known to mean one.
//!
//! Sources: the core metadata specification of Python packages, fields `License-Expression`, `License` and
//! `Classifier`; the classifiers of the index; the licence list of SPDX.

use aseptic_model::Licence;
use spdx::{Expression, ParseMode};

/// Longest text about a licence that is kept: some packages put the whole licence there.
const TEXT_CHARACTERS_MAX: usize = 200;

/// Identifiers that SPDX has renamed are still in its list.
const MODE: ParseMode = ParseMode { allow_deprecated: true, ..ParseMode::STRICT };

/// Phrases that mean one licence, in lower case.
const MEANT: [(&str, &str); 26] = [
    ("2-clause bsd", "BSD-2-Clause"),
    ("3-clause bsd", "BSD-3-Clause"),
    ("apache 2", "Apache-2.0"),
    ("apache 2.0", "Apache-2.0"),
    ("apache license 2.0", "Apache-2.0"),
    ("apache license, version 2.0", "Apache-2.0"),
    ("apache software license 2.0", "Apache-2.0"),
    ("apache-2", "Apache-2.0"),
    ("bsd 2-clause", "BSD-2-Clause"),
    ("bsd 2-clause license", "BSD-2-Clause"),
    ("bsd 3-clause", "BSD-3-Clause"),
    ("bsd 3-clause license", "BSD-3-Clause"),
    ("bsd-3", "BSD-3-Clause"),
    ("isc license", "ISC"),
    ("mit license", "MIT"),
    ("modified bsd", "BSD-3-Clause"),
    ("mozilla public license 2.0", "MPL-2.0"),
    ("mpl 2.0", "MPL-2.0"),
    ("mpl2", "MPL-2.0"),
    ("new bsd", "BSD-3-Clause"),
    ("psf license", "PSF-2.0"),
    ("simplified bsd", "BSD-2-Clause"),
    ("the mit license", "MIT"),
    ("the mit license (mit)", "MIT"),
    ("unlicense", "Unlicense"),
    ("zlib license", "Zlib"),
];

/// Classifiers that mean one licence, after `License :: OSI Approved ::`. `BSD License` is not among them: there
/// are several.
const CLASSIFIED: [(&str, &str); 16] = [
    ("Apache Software License", "Apache-2.0"),
    ("Boost Software License 1.0 (BSL-1.0)", "BSL-1.0"),
    ("GNU Affero General Public License v3", "AGPL-3.0-only"),
    ("GNU Affero General Public License v3 or later (AGPLv3+)", "AGPL-3.0-or-later"),
    ("GNU General Public License v2 (GPLv2)", "GPL-2.0-only"),
    ("GNU General Public License v2 or later (GPLv2+)", "GPL-2.0-or-later"),
    ("GNU General Public License v3 (GPLv3)", "GPL-3.0-only"),
    ("GNU General Public License v3 or later (GPLv3+)", "GPL-3.0-or-later"),
    ("GNU Lesser General Public License v3 (LGPLv3)", "LGPL-3.0-only"),
    ("GNU Lesser General Public License v3 or later (LGPLv3+)", "LGPL-3.0-or-later"),
    ("ISC License (ISCL)", "ISC"),
    ("MIT License", "MIT"),
    ("MIT No Attribution License (MIT-0)", "MIT-0"),
    ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
    ("The Unlicense (Unlicense)", "Unlicense"),
    ("zlib/libpng License", "Zlib"),
];

/// The licence that the fields of a package say; nothing where they say none.
pub(super) fn licence(
    expression: Option<&str>,
    text: Option<&str>,
    classifiers: &[String],
) -> Option<Licence> {
    if let Some(expression) = expression.and_then(said) {
        let known = parsed(&expression);
        let text = known.is_none().then_some(expression);
        return Some(Licence { expression: known, text });
    }
    let text = text.and_then(said);
    if let Some(known) = text.as_deref().and_then(|text| parsed(text).or_else(|| meant(text))) {
        let text = text.filter(|text| *text != known);
        return Some(Licence { expression: Some(known), text });
    }
    let names: Vec<_> = classifiers.iter().filter_map(|line| classified(line)).collect();
    let known = match names.as_slice() {
        [one] => CLASSIFIED.iter().find(|(name, _)| name == one).map(|(_, known)| (*known).to_owned()),
        _ => None, // Several may mean all of them or one of them.
    };
    let text = text.or_else(|| (!names.is_empty() && known.is_none()).then(|| names.join("; ")));
    let text = text.and_then(|text| said(&text));
    (known.is_some() || text.is_some()).then_some(Licence { expression: known, text })
}

/// The first line, to a bound; nothing where it says nothing.
fn said(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let nothing = ["unknown", "none", "n/a"].iter().any(|word| line.eq_ignore_ascii_case(word));
    (!nothing).then(|| line.chars().take(TEXT_CHARACTERS_MAX).collect())
}

fn parsed(text: &str) -> Option<String> {
    Expression::parse_mode(text, MODE).is_ok().then(|| text.to_owned())
}

fn meant(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    MEANT.iter().find(|(phrase, _)| *phrase == lower).map(|(_, known)| (*known).to_owned())
}

/// The last part of a classifier about a licence.
fn classified(line: &str) -> Option<&str> {
    let rest = line.trim().strip_prefix("License :: ")?;
    let name = rest.rsplit(" :: ").next()?.trim();
    (name != "OSI Approved" && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expression: &str, text: &str, classifiers: &[&str]) -> Option<(Option<String>, Option<String>)> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let classifiers: Vec<_> = classifiers.iter().map(|line| (*line).to_owned()).collect();
        let licence = licence(given(expression).as_deref(), given(text).as_deref(), &classifiers)?;
        Some((licence.expression, licence.text))
    }

    #[test]
    fn what_fields_mean() {
        let known = |text: &str| Some((Some(text.to_owned()), None));
        let both = |known: &str, text: &str| Some((Some(known.to_owned()), Some(text.to_owned())));
        let unknown = |text: &str| Some((None, Some(text.to_owned())));
        assert_eq!(of("MIT OR Apache-2.0", "ignored", &[]), known("MIT OR Apache-2.0"));
        assert_eq!(of("Whatever-1.0", "", &[]), unknown("Whatever-1.0"));
        assert_eq!(of("", "BSD-3-Clause", &[]), known("BSD-3-Clause"));
        assert_eq!(of("", "GPL-3.0", &[]), known("GPL-3.0"));
        assert_eq!(of("", "Apache License 2.0", &[]), both("Apache-2.0", "Apache License 2.0"));
        assert_eq!(of("", "Dual License", &[]), unknown("Dual License"));
        assert_eq!(of("", "", &["License :: OSI Approved :: MIT License"]), known("MIT"));
        assert_eq!(of("", "", &["License :: OSI Approved :: BSD License"]), unknown("BSD License"));
        assert_eq!(of("", "BSD", &["License :: OSI Approved :: BSD License"]), unknown("BSD"));
        let two =
            ["License :: OSI Approved :: MIT License", "License :: OSI Approved :: Apache Software License"];
        assert_eq!(of("", "", &two), unknown("MIT License; Apache Software License"));
        assert_eq!(of("", "UNKNOWN", &["Topic :: Scientific"]), None);
        assert_eq!(of("", "Copyright (c) 2001\n\nAll rights", &[]), unknown("Copyright (c) 2001"));
        assert_eq!(of(&"(".repeat(100_000), "", &[]), unknown(&"(".repeat(TEXT_CHARACTERS_MAX)));
    }

    #[test]
    fn every_phrase_means_a_licence_of_spdx() {
        for (_, known) in MEANT.iter().chain(&CLASSIFIED) {
            assert!(Expression::parse(known).is_ok(), "{known}");
        }
    }
}
