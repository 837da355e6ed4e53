//! The probe on a host that can make jails, as the other tests prove.

use aseptic_sandbox::probe;

use crate::support::Place;

#[test]
fn everything_works_where_the_tests_run_and_nothing_is_left() {
    let place = Place::new();
    let scratch = place.directory("scratch");
    let findings = probe(&scratch);
    let broken: Vec<_> = findings.iter().filter(|finding| !finding.works && finding.needed).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(findings[0].detail.starts_with("Linux "), "{findings:?}");
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
}

#[test]
fn a_place_without_overlays_is_named_with_its_fix() {
    let findings = probe("/proc".as_ref());
    for name in ["overlay, read-only", "overlay, copy-on-write", "file watches"] {
        let finding = findings.iter().find(|finding| finding.mechanism == name).unwrap();
        assert!(!finding.works && finding.fix.is_some(), "{finding:?}");
    }
    let blocked = findings.iter().filter(|finding| !finding.works && finding.needed).count();
    assert_eq!(blocked, 3);
}
