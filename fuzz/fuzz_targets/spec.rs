//! Specs: refused with a place that is in the text and words that a terminal can show, or what a plan can name.
#![no_main]

use aseptic_model::Diagnose;
use aseptic_model::spec::{Place, Spec};

fn is_in(text: &str, place: Place) -> bool {
    let line = text.split('\n').nth(place.line.wrapping_sub(1));
    line.is_some_and(|line| (1..=line.chars().count() + 1).contains(&place.column))
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match Spec::parse(bytes) {
        Ok(spec) => {
            let text = std::str::from_utf8(bytes).expect("it was parsed");
            assert_eq!(Spec::parse(bytes).as_ref(), Ok(&spec), "the same text is the same spec");
            for experiment in spec.experiments.values() {
                assert!(experiment.command.first().is_some_and(|program| !program.is_empty()));
                assert!(experiment.places.contains_key("run"));
                for name in experiment.data.keys() {
                    assert!(experiment.places.contains_key(&format!("data.{name}")));
                }
                for grant in &experiment.network {
                    assert!(experiment.places.contains_key(&format!("network.{grant}")));
                }
                for label in &experiment.labels {
                    assert!(experiment.places.contains_key(&format!("labels.{label}")));
                }
                assert!(
                    experiment.places.values().all(|place| is_in(text, *place)),
                    "{:?}",
                    experiment.places
                );
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.chars().count() < 8000 && !message.chars().any(char::is_control), "{message:?}");
            assert!(!error.diagnosis().help.is_empty());
            let text = String::from_utf8_lossy(bytes);
            if let Some(at) = error.at() {
                assert!(is_in(&text, Place { line: at.line, column: at.column }), "{at:?}");
            }
        }
    }
});
