//! Settings of a project with their links: refused with a place, or policies that can be asked.
#![no_main]

use std::collections::BTreeMap;

use aseptic_policy::{About, Act, Policies, PolicyDocument, Principal, Settings, check};

/// Longer files find nothing that a shorter one does not, and Cedar reads each of their links.
const BYTES_MAX: usize = 2000;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if text.len() > BYTES_MAX {
        return;
    }
    match Settings::parse(text) {
        Ok(settings) => assert!(settings.metrics_bytes <= 64 << 20),
        Err(problems) => {
            let lines = text.split('\n').count();
            assert!(
                !problems.is_empty() && problems.iter().all(|problem| (1..=lines).contains(&problem.line))
            );
        }
    }
    let own = BTreeMap::from([("policy/settings.toml".to_owned(), text.to_owned())]);
    let document = PolicyDocument::new(own);
    for problem in check(&document) {
        let rendered = problem.render(&document);
        assert!(rendered.chars().all(|c| c == '\n' || !c.is_control()), "{rendered:?}");
    }
    if let Ok(policies) = Policies::parse(document) {
        let project = "vision".parse().expect("a name");
        let _ = policies.allows(&Principal::default(), Act::View, &project, &About::default());
    }
});
