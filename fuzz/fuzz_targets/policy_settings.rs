//! Settings of a project with their links: refused with a place, or policies that can be asked.
#![no_main]

use std::collections::BTreeMap;

use aseptic_policy::{Act, Policies, PolicyDocument, Principal, Settings, check};

libfuzzer_sys::fuzz_target!(|text: &str| {
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
        let _ = policies.allows(&Principal::default(), Act::View, &project, None);
    }
});
