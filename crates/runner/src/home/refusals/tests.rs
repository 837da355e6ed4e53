use aseptic_model::{Decision, Outcome};
use proptest::prelude::*;

use super::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000 + ms).unwrap()
}

fn nothing() -> Counted {
    Counted { format: FORMAT.to_owned(), users: BTreeMap::new() }
}

fn project(name: &str) -> ProjectName {
    name.parse().unwrap()
}

fn refusals(events: Vec<(ProjectName, Event)>) -> Vec<(ProjectName, Refusals)> {
    let refusals = |(project, event)| match event {
        Event::ActDenials(refusals) => (project, refusals),
        event => panic!("{event:?}"),
    };
    events.into_iter().map(refusals).collect()
}

#[test]
fn the_same_refusal_has_one_entry_in_an_hour_and_then_a_count() {
    let (mut counted, p) = (nothing(), project("p"));
    let mut kept = |ms| counted.take("user:eve", "same", (&p, "View"), at(ms));
    assert_eq!((kept(0), kept(1), kept(HOUR_MS - 1)), (Kept::Entry, Kept::Count, Kept::Count));
    assert!(counted.take_over(at(HOUR_MS - 1)).is_empty());
    let over = refusals(counted.take_over(at(HOUR_MS)));
    let [(_, written)] = over.as_slice() else { panic!("{over:?}") };
    assert_eq!((written.since, written.until, written.count()), (at(0), at(HOUR_MS - 1), 2));
    assert_eq!(counted.take("user:eve", "same", (&p, "View"), at(HOUR_MS)), Kept::Entry, "a new hour");
    assert!(counted.take_over(at(2 * HOUR_MS)).is_empty(), "there is nothing to say of it");
    assert!(counted.users.is_empty());
}

#[test]
fn a_clock_that_goes_back_ends_the_hour() {
    let (mut counted, p) = (nothing(), project("p"));
    for _ in 0..3 {
        counted.take("user:eve", "same", (&p, "View"), at(0));
    }
    assert_eq!(refusals(counted.take_over(at(-1)))[0].1.count(), 2);
}

#[test]
fn one_user_does_not_use_up_the_entries_of_another() {
    let (mut counted, p) = (nothing(), project("p"));
    for number in 0..2 * ENTRIES_MAX {
        counted.take("user:eve", &number.to_string(), (&p, "View"), at(0));
    }
    assert_eq!(counted.take("user:mallory", "0", (&p, "View"), at(0)), Kept::Entry);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is refused, each refusal has an entry or is counted, and there are few entries.
    #[test]
    fn every_refusal_is_an_entry_or_counted(
        wanted in prop::collection::vec((0..3_usize, 0..200_u32, 0..90_u32, 0..4_u8), 0..2_000),
    ) {
        let mut counted = nothing();
        let (mut entries, mut events) = ([0_usize; 3], 0);
        for (user, what, project, act) in &wanted {
            let (place, act) = (format!("p{project}").parse().unwrap(), format!("Act{act}"));
            let what = format!("{what} {project} {act}");
            match counted.take(&format!("user:{user}"), &what, (&place, &act), at(0)) {
                Kept::Entry => entries[*user] += 1,
                Kept::Count => {}
            }
        }
        prop_assert!(entries.iter().all(|count| *count <= ENTRIES_MAX));
        prop_assert!(to_canonical(&counted).unwrap().len() < 20_000, "the file is small");
        let mut sum = entries.iter().sum::<usize>() as u64;
        for (_, refusals) in refusals(counted.take_over(at(HOUR_MS))) {
            sum += refusals.count();
            events += 1;
        }
        prop_assert_eq!(sum, wanted.len() as u64);
        prop_assert!(events <= 3 * TOLD_APART_MAX);
    }
}

#[test]
fn many_users_are_written_before_their_hour_is_over() {
    let (mut counted, p) = (nothing(), project("p"));
    for user in 0..USERS_MAX {
        for _ in 0..2 {
            counted.take(&format!("user:{user}"), "same", (&p, "View"), at(0));
        }
    }
    assert_eq!(counted.take_over(at(1)).len(), USERS_MAX);
    assert!(counted.users.is_empty());
}

fn denied(object: &str) -> Event {
    let decision = Decision { outcome: Outcome::Deny, reasons: Vec::new(), unlisted: 0 };
    Event::ActDenied {
        act: "View".to_owned(),
        object: Some(object.to_owned()),
        labels: BTreeSet::new(),
        unlisted_labels: None,
        policy: Digest::of(b"policy"),
        decision,
    }
}

fn open(dir: &Path) -> Home {
    Home::open(&dir.join("state")).unwrap()
}

fn kinds(home: &Home) -> Vec<(&'static str, u64)> {
    let count = |event: &Event| match event {
        Event::ActDenials(refusals) => refusals.count(),
        _ => 1,
    };
    let entries = crate::record::entries(&home.ledger_dir(), aseptic_ledger::Position::START).unwrap();
    entries
        .map(|entry| entry.unwrap().entry.unwrap().event)
        .map(|event| (event.kind(), count(&event)))
        .collect()
}

/// Processes that are refused at once, and one that was killed while it wrote.
#[test]
fn refusals_of_many_processes_are_counted_together() {
    let dir = tempfile::tempdir().unwrap();
    let p = project("p");
    open(dir.path()).refused(&p, denied("run:1")).unwrap();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..5 {
                    open(dir.path()).refused(&project("p"), denied("run:1")).unwrap();
                }
            });
        }
    });
    let home = open(dir.path());
    fs::write(home.refusals().with_extension("new"), "{\"format\":").unwrap();
    home.record_refusals().unwrap();
    assert_eq!(kinds(&home), [("act.denied", 1)], "the hour goes on");
    let text = fs::read_to_string(home.refusals()).unwrap();
    let mut counted: Counted = serde_json::from_str(&text).unwrap();
    for hour in counted.users.values_mut() {
        hour.since = at(0);
    }
    counted.write(&home.refusals()).unwrap();
    home.record_refusals().unwrap();
    assert_eq!(kinds(&home), [("act.denied", 1), ("act.denials", 20)]);
    assert!(!home.refusals().exists());
    home.record_refusals().unwrap();
    assert_eq!(kinds(&home).len(), 2, "once");

    // Whoever is killed between the ledger and the file leaves it as it was: the count is there twice, as the same one.
    counted.write(&home.refusals()).unwrap();
    home.record_refusals().unwrap();
    let entries = crate::record::entries(&home.ledger_dir(), aseptic_ledger::Position::START).unwrap();
    let written = entries.map(|entry| entry.unwrap().entry.unwrap().event).filter_map(|event| match event {
        Event::ActDenials(refusals) => Some(refusals),
        _ => None,
    });
    let [first, second] = written.collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(first, second);
}

#[test]
fn a_file_that_was_cut_off_makes_refusals_entries_again() {
    let dir = tempfile::tempdir().unwrap();
    let home = open(dir.path());
    for text in ["", "{", "{\"format\":\"aseptic.refusals/9\",\"users\":{}}"] {
        fs::write(home.refusals(), text).unwrap();
        home.record_refusals().unwrap();
        home.refused(&project("p"), denied("run:1")).unwrap();
        home.refused(&project("p"), denied("run:1")).unwrap();
    }
    assert_eq!(kinds(&home), [("act.denied", 1); 3]);
}
