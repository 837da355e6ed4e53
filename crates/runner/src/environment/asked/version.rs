//! Whether two versions are the same, as far as that matters here.
//!
//! Source: PEP 440, "Version comparison" and "Local version identifiers".

/// An exact version, or the start of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exact {
    text: String,
    prefix: bool,
}

impl Exact {
    pub(super) fn whole(text: &str) -> Self {
        Self { text: text.to_owned(), prefix: false }
    }

    /// Every version that starts so, as conda's `=1.26` means.
    pub(super) fn prefix(text: &str) -> Self {
        Self { text: text.to_owned(), prefix: true }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `version` is what is asked for.
    pub(super) fn is(&self, version: &str) -> bool {
        let (wanted, there) = (parts(&self.text), parts(version));
        if self.prefix && there.0.len() >= wanted.0.len() {
            return there.0.starts_with(&wanted.0);
        }
        // A local part, such as `+cpu`, counts where it is asked for.
        stripped(&wanted.0) == stripped(&there.0) && (wanted.1.is_none() || wanted.1 == there.1)
    }
}

/// Release and local part. Numbers lose their leading zeros, words their case.
fn parts(version: &str) -> (Vec<String>, Option<String>) {
    let lower = version.trim().trim_start_matches(['v', 'V']).to_lowercase();
    let (public, local) = lower
        .split_once('+')
        .map_or((lower.as_str(), None), |(public, local)| (public, Some(local.replace(['-', '_'], "."))));
    let plain = |part: &str| {
        let number = part.bytes().all(|byte| byte.is_ascii_digit());
        let short = part.trim_start_matches('0');
        if number && short.is_empty() {
            "0".to_owned()
        } else if number {
            short.to_owned()
        } else {
            part.to_owned()
        }
    };
    (public.split(['.', '-', '_']).map(plain).collect(), local)
}

/// Without zeros at the end: `1.0` is `1`.
fn stripped(parts: &[String]) -> &[String] {
    let end = parts.iter().rposition(|part| part != "0").map_or(0, |last| last + 1);
    parts.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Exact;

    #[test]
    fn the_same_version_in_other_words() {
        for (wanted, there) in [
            ("1.0", "1.0.0"),
            ("2.4.1", "2.4.1+cpu"),
            ("1.0RC1", "1.0rc1"),
            ("2024.01.02", "2024.1.2"),
            ("v1.2", "1.2"),
        ] {
            assert!(Exact::whole(wanted).is(there), "{wanted} {there}");
        }
        for (wanted, there) in [("1.0", "1.0.1"), ("2.4.1+cu121", "2.4.1+cpu"), ("1.10", "1.1"), ("", "1")] {
            assert!(!Exact::whole(wanted).is(there), "{wanted} {there}");
        }
        assert!(Exact::prefix("1.26").is("1.26.4") && !Exact::prefix("1.2").is("1.26.4"));
    }
}
