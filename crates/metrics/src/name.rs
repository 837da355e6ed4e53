//! Which names a pattern means.

/// Whether `pattern` means `name`: `*` is any text, `?` one character, anything else itself.
///
/// Takes time in proportion to the product of both lengths at most.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.chars(), name.chars());
    let mut again: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        match (pattern.next(), name.clone().next()) {
            (Some('*'), _) => {
                again = Some((pattern.clone(), name.clone()));
                continue;
            }
            (Some('?'), Some(_)) => {
                name.next();
                continue;
            }
            (Some(wanted), Some(found)) if wanted == found => {
                name.next();
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        // The last star takes one character more.
        let Some((after_star, from)) = &mut again else { return false };
        if from.next().is_none() {
            return false;
        }
        (pattern, name) = (after_star.clone(), from.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name) in [
            ("loss", "loss"),
            ("*", ""),
            ("*", "a/b"),
            ("train/*", "train/loss"),
            ("*loss*", "a/loss/b"),
            ("?/acc", "é/acc"),
            ("a*b*c", "aXbXbc"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("loss", "loss2"), ("loss2", "loss"), ("train/*", "test/a"), ("?", ""), ("a*b", "a"), ("", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(100), &"a".repeat(99)));
    }
}
