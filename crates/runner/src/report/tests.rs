use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{Decision, Digest, Entry, Event, Outcome, ProjectName, Reason, RunId, Timestamp};

use super::document::DrillLine;
use super::tally::{RUNS_MAX, Tally};
use super::*;
use crate::home::Home;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn project() -> ProjectName {
    "vision".parse().unwrap()
}

fn run(number: u64) -> RunId {
    RunId::from_random(number)
}

fn at(day: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_764_000_000_000 + day * DAY_MS).unwrap()
}

fn entry(day: i64, event: Event) -> Entry {
    Entry::new(at(day), "user:ada".to_owned(), project(), event)
}

fn reason(rule: &str, element: &str, outcome: Outcome) -> Reason {
    Reason {
        outcome,
        rule: rule.to_owned(),
        element: element.to_owned(),
        message: "no".to_owned(),
        advice: "another one".to_owned(),
        ..Reason::default()
    }
}

fn decided(number: u64, reasons: Vec<Reason>, requests: Option<Digest>) -> Event {
    Event::RunDecided {
        run: run(number),
        plan: Digest::of(b"plan"),
        decision: Decision::of(reasons),
        policy: Some(Digest::of(b"policy")),
        requests,
    }
}

fn reached(number: u64, grants: impl IntoIterator<Item = String>) -> Event {
    let grants = grants.into_iter().map(|grant| (grant.parse().unwrap(), 2)).collect();
    Event::RunReached { run: run(number), grants, unlisted: 0 }
}

fn drill() -> Event {
    Event::DrillCompleted { held: 9, breached: 0, broken: 1, report: Digest::of(b"report") }
}

/// The tally of these events, a day after another.
fn tally(events: Vec<Event>, since: Option<Timestamp>) -> Tally {
    let mut tally = Tally::default();
    for (index, event) in events.into_iter().enumerate() {
        let entry = entry(i64::try_from(index).unwrap(), event);
        tally.add(index as u64, Some(&entry), &project(), since);
    }
    tally
}

#[test]
fn decisions_are_counted_with_the_entries_that_say_so() {
    let twice = vec![
        reason("input/quarantined", "data.d", Outcome::Deny),
        reason("input/quarantined", "data.d", Outcome::Deny),
        reason("holdout/budget", "data.h", Outcome::NeedsApproval),
    ];
    let events = vec![
        decided(1, Vec::new(), None),
        decided(2, twice, None),
        decided(3, vec![reason("holdout/budget", "data.h", Outcome::NeedsApproval)], None),
    ];
    let all = tally(events.clone(), None);
    assert_eq!(all.decisions["allow"], Span { count: 1, first: 0, last: 0 });
    assert_eq!(all.decisions["deny"], Span { count: 1, first: 1, last: 1 });
    assert_eq!(all.with_policy, Span { count: 3, first: 0, last: 2 });
    assert_eq!(all.with_requests.count, 0);
    let key = |rule: &str, element: &str, outcome| (rule.to_owned(), element.to_owned(), outcome);
    assert_eq!(all.denied.known[&key("input/quarantined", "data.d", Outcome::Deny)].count, 1);
    let budget = all.denied.known[&key("holdout/budget", "data.h", Outcome::NeedsApproval)];
    assert_eq!(budget, Span { count: 2, first: 1, last: 2 });
    let later = tally(events, Some(at(2)));
    assert_eq!(later.decisions.keys().collect::<Vec<_>>(), [&"needs-approval"]);
    assert_eq!(later.kind("run.decided"), Span { count: 1, first: 2, last: 2 });
}

/// A job that makes up names for ever costs no more memory, and the report says that there were more.
#[test]
fn however_much_there_is_memory_is_bounded() {
    let mut tally = Tally::default();
    for number in 0..60 {
        let grants = (0..100).map(|one| format!("host-{number}-{one}.example.org:443"));
        tally.add(number, Some(&entry(0, reached(number, grants))), &project(), None);
    }
    assert_eq!(tally.reached.known.len(), 4_096);
    assert_eq!(tally.reached.more, 6_000 - 4_096);
    let runs = RUNS_MAX as u64 + 10;
    for number in 0..runs {
        tally.add(60 + number, Some(&entry(0, decided(number, Vec::new(), None))), &project(), None);
    }
    assert_eq!((tally.asked.len(), tally.not_kept), (RUNS_MAX, 10));
    assert_eq!(tally.asked.back().unwrap().run, run(runs - 1));
}

#[test]
fn entries_of_others_and_of_other_versions() {
    let mut tally = Tally::default();
    let mut other = entry(0, drill());
    other.project = "other".parse().unwrap();
    tally.add(0, Some(&other), &project(), None);
    assert!(!tally.has_project && tally.drills.count == 0);
    assert_eq!(tally.last_entry, Some(at(0)), "the time of the ledger is that of all");
    // Who signs is the business of every project.
    let mut key = entry(1, Event::WitnessPolicy { policy: String::new() });
    key.project = "other".parse().unwrap();
    tally.add(1, Some(&key), &project(), None);
    assert_eq!(tally.kind("witness.policy").count, 1);
    tally.add(2, None, &project(), None);
    assert_eq!(tally.not_understood, Span { count: 1, first: 2, last: 2 });
}

#[test]
fn a_drill_is_overdue_at_the_last_entry_and_not_today() {
    let days = i64::from(DRILL_DAYS);
    let overdue = |day: i64| {
        let mut tally = Tally::default();
        tally.add(0, Some(&entry(0, drill())), &project(), None);
        tally.add(1, Some(&entry(day, decided(1, Vec::new(), None))), &project(), None);
        summary::drills(&tally)
    };
    assert!(!overdue(days).overdue);
    assert!(overdue(days + 1).overdue);
    let last = DrillLine { time: at(0), held: 9, breached: 0, broken: 1, report: Digest::of(b"report") };
    assert_eq!(overdue(1).last, Some(last));
    assert!(summary::drills(&tally(vec![decided(1, Vec::new(), None)], None)).overdue, "there never was one");
}

/// Puts a question into the store, as a decision does.
fn asked(home: &Home, question: &serde_json::Value) -> Digest {
    let store = home.store(&project()).unwrap();
    let lease = store.lease().unwrap();
    let bytes = serde_json::to_vec(question).unwrap();
    store.put_bytes(&lease, &bytes).unwrap();
    Digest::of(&bytes)
}

fn connect(value: &str, wildcard: bool) -> serde_json::Value {
    serde_json::json!({ "action": "Connect", "value": value, "context": { "wildcard": wildcard } })
}

fn report_of(home: &mut Home) -> ProjectReport {
    project_report(home, &project(), None, &mut |_, _| true).unwrap()
}

#[test]
fn risk_is_what_the_questions_say_and_what_cannot_be_read_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = Home::open(&dir.path().join("state")).unwrap();
    let low = asked(&home, &serde_json::json!({ "risk": { "score": 5, "inputs": [] }, "requests": [] }));
    let high = serde_json::json!({
        "risk": { "score": 40, "inputs": [{ "fact": "wildcards", "value": "*.example.org:443", "points": 40 }] },
        "requests": [connect("*.example.org:443", true), connect("used.example.org:443", false)],
    });
    let high = asked(&home, &high);
    let strange = asked(&home, &serde_json::json!({ "risk": [[]], "requests": { "action": 7 } }));
    let events = vec![
        decided(1, Vec::new(), Some(low)),
        decided(2, Vec::new(), Some(high)),
        decided(3, Vec::new(), Some(strange)),
        decided(4, Vec::new(), Some(Digest::of(b"gone"))),
        decided(5, Vec::new(), None),
        reached(2, ["used.example.org:443".to_owned()]),
    ];
    for event in events {
        home.record(&project(), vec![event]).unwrap();
    }
    let report = report_of(&mut home);
    let risk = &report.risk;
    assert_eq!((risk.looked_into, risk.unreadable, risk.scored), (3, 2, 2));
    let highest: Vec<_> = risk.highest.listed.iter().map(|line| (line.score, line.entry)).collect();
    assert_eq!(highest, [(40, 1), (5, 0)]);
    assert_eq!(risk.highest.listed[0].inputs, ["wildcards (40): *.example.org:443"]);
    let findings: Vec<_> = risk.findings.listed.iter().map(|one| (one.code, one.subject.as_str())).collect();
    assert_eq!(findings, [("unused-grant", "*.example.org:443"), ("wildcard", "*.example.org:443")]);
    assert!(report.not_verified.iter().any(|one| one.starts_with("the risk of 2 runs")), "{report:?}");
    assert_eq!(report, report_of(&mut home), "one position, one report");
    assert_eq!(report.position.entries, 6);
    home.record(&project(), vec![drill()]).unwrap();
    assert_ne!(report.position.root, report_of(&mut home).position.root);
}

#[test]
fn it_ends_when_it_is_asked_to_and_knows_no_stranger() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = Home::open(&dir.path().join("state")).unwrap();
    let empty = project_report(&mut home, &project(), None, &mut |_, _| true).unwrap_err();
    assert_eq!(empty.diagnosis().code, "report/empty");
    home.record(&project(), vec![drill()]).unwrap();
    let stopped = project_report(&mut home, &project(), None, &mut |_, _| false).unwrap_err();
    assert_eq!(stopped.diagnosis().code, "report/interrupted");
}

/// Everything in a report that somebody may have chosen.
fn hostile(text: &str) -> ProjectReport {
    let line = DeniedLine {
        rule: text.to_owned(),
        element: text.to_owned(),
        outcome: "deny",
        entries: Span::default(),
    };
    let finding =
        FindingLine { code: "wildcard", subject: text.to_owned(), message: "", entries: Span::default() };
    let risk = RiskLine {
        run: run(1),
        experiment: None,
        status: None,
        score: 1,
        inputs: vec![text.to_owned()],
        entry: 0,
    };
    let act = ActLine { act: text.to_owned(), actor: text.to_owned(), entries: Span::default() };
    let summary = Summary {
        denied: Listed { listed: vec![line], unlisted: 0 },
        attempts: BTreeMap::from([(text.to_owned(), 1)]),
        acts_denied: Listed { listed: vec![act], unlisted: 0 },
        roles: Some(BTreeMap::from([(text.to_owned(), BTreeSet::from([text.to_owned()]))])),
        witnesses: Witnesses { named: vec![text.to_owned()], witnessed: None },
        ..Summary::default()
    };
    let mut report = ProjectReport {
        schema: PROJECT_REPORT_SCHEMA,
        version: "0",
        project: project(),
        position: LedgerPosition {
            ledger: text.to_owned(),
            entries: 0,
            root: text.to_owned(),
            key: text.to_owned(),
            last_entry: None,
        },
        since: None,
        verified: vec![text.to_owned()],
        not_verified: Vec::new(),
        summary,
        risk: RiskAssessment {
            highest: Listed { listed: vec![risk], unlisted: 0 },
            findings: Listed { listed: vec![finding], unlisted: 0 },
            ..RiskAssessment::default()
        },
        controls: Vec::new(),
    };
    report.controls = controls::controls(&report, &Tally::default());
    report
}

const HOSTILE: [&str; 8] = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"' onmouseover='x",
    "a | b\n\n# heading\n\n| c | d |",
    "[here](https://example.org) ![x](y) <https://example.org>",
    "`code` **bold** _x_ ~~y~~ $z$ &amp; &#60;",
    "www.example.org mail@example.org https://example.org",
    "\u{202e}gnp.exe\u{1b}[31m\0",
];

#[test]
fn hostile_text_is_nothing_but_text() {
    let plain = html(&hostile("x"));
    let tags = |page: &str| page.matches('<').count();
    for text in HOSTILE {
        let page = html(&hostile(text));
        assert_eq!(tags(&page), tags(&plain), "no tag more: {text}");
        assert!(!page.contains("<script") && !page.contains("<img"), "{text}");
        let lines = markdown(&hostile("x")).lines().count();
        let page = markdown(&hostile(text));
        assert_eq!(page.lines().count(), lines, "no line more: {text}");
        assert!(!page.contains(['<', '>', '\u{1b}', '\0', '\u{202e}']), "{text}");
        let links = ["https://", "www.", "mail@", "!["];
        assert!(
            !links.iter().any(|link| page.contains(link)) && !page.replace("\\]", "").contains("]("),
            "{page}"
        );
    }
}

proptest::proptest! {
    /// In a table every cell stays in its column, whatever is in it.
    #[test]
    fn a_cell_of_markdown_is_one_cell(text in "\\PC{0,40}") {
        let escaped = markdown::escape(&text);
        let mut open = false; // Whether the character before escapes this one.
        for character in escaped.chars() {
            let is_mark = matches!(character, '|' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '!' | '$');
            proptest::prop_assert!(!is_mark || open, "{escaped}");
            proptest::prop_assert!(!matches!(character, '<' | '>' | '\n' | '\r'));
            open = character == '\\' && !open;
        }
        proptest::prop_assert!(!open, "the last character escapes what follows: {escaped}");
    }
}

/// No claim of the page is larger than what it knows.
#[test]
fn it_never_says_that_anything_is_met() {
    let text = markdown(&hostile("x")).to_lowercase();
    for word in ["complian", "complies", "certified", "conforms", "guarantee"] {
        assert!(!text.contains(word), "{word}");
    }
    assert!(text.contains("helps with") && text.contains("no assessment"));
    assert_eq!(hostile("x").controls.len(), 16);
}
