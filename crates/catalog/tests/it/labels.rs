//! Labels flow: what is kept of them is what a plain reading of all entries gives, whenever and however often they are
//! applied.

mod story;

use aseptic_catalog::Catalog;
use aseptic_model::*;
use proptest::prelude::*;

use crate::server::{Spot, cases, named, on_postgresql};
use crate::world::{Job, artifact, dataset, project};
use story::{FILES, LABELS, NAMES, PLACES, Step, Story, What, place, set};

fn some_labels() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(LABELS.to_vec(), 0..3)
}

fn step() -> impl Strategy<Value = Step> {
    let file = proptest::option::of(0..FILES.len());
    let from = proptest::option::of((0..20_usize, file));
    let import = (0..NAMES.len(), some_labels(), from).prop_map(|(name, labels, from)| Step::Import {
        name,
        labels,
        from,
    });
    let inputs = proptest::collection::vec((0..20_usize, 0..PLACES.len()), 0..=3);
    let ghost = proptest::option::weighted(0.1, (0..NAMES.len(), some_labels()));
    let sealed = prop_oneof![4 => Just(Vec::new()), 1 => some_labels()];
    let run = (inputs, some_labels(), sealed, ghost).prop_map(|(inputs, own, sealed, ghost)| Step::Run {
        inputs,
        own,
        sealed,
        ghost,
    });
    let label = (0..20_usize, 0..PLACES.len(), some_labels(), some_labels())
        .prop_map(|(node, at, added, removed)| Step::Label { node, at, added, removed });
    prop_oneof![2 => import, 3 => run, 4 => label]
}

#[test]
fn labels_are_what_a_plain_reading_gives() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(96)) };
    proptest!(config, |(steps in proptest::collection::vec(step(), 1..20), cut in 0..60_usize)| {
        let mut story = Story::default();
        for step in &steps {
            story.tell(step);
        }
        let (_spot, catalog) = story.world.catalog();
        story.check(&catalog);
        // In portions, as commands apply them, it is the same.
        let mut portions = Catalog::in_memory().unwrap();
        let (all, cut) = (story.world.entries.len(), cut.min(story.world.entries.len()));
        story.world.apply_some(&mut portions, 0..cut).unwrap();
        for at in cut..all {
            story.world.apply_some(&mut portions, at..at + 1).unwrap();
        }
        assert_eq!(portions.dump().unwrap(), catalog.dump().unwrap());
    });
}

/// A dataset, a run of it that leaves a metric and a model, a run of each, and a version made of what the last left.
fn chain() -> Story {
    let mut story = Story::default();
    story.import("scans", &["pii"], None); // 0
    story.run(&[(0, 0)], &[], &[], None); // 1
    story.run(&[(1, 2)], &[], &[], None); // 2: had out/a
    story.run(&[(1, 4)], &[], &[], None); // 3: had out/m/x
    story.import("scores", &[], Some((3, None))); // 4
    story
}

fn has(story: &Story, catalog: &Catalog) -> Vec<usize> {
    story.check(catalog);
    (0..story.nodes.len()).filter(|node| story.has(*node, "", &"pii".parse().unwrap())).collect()
}

#[test]
fn a_change_reaches_what_came_of_it_at_once() {
    let mut story = chain();
    let (_spot, mut catalog) = story.world.catalog();
    assert_eq!(has(&story, &catalog), [0, 1, 2, 3, 4]);
    let mut then = |story: &mut Story, node, at, added: &[&'static str], removed: &[&'static str]| {
        story.label(node, at, added, removed);
        story.world.apply(&mut catalog).unwrap();
        has(story, &catalog)
    };
    assert_eq!(then(&mut story, 1, "out/m", &[], &["pii"]), [0, 1, 2], "one output is free of it");
    assert_eq!(then(&mut story, 0, "", &[], &["pii"]), [0; 0]);
    assert_eq!(then(&mut story, 0, "", &["pii"], &[]), [0, 1, 2], "what was decided stays decided");
    assert_eq!(then(&mut story, 1, "", &["pii"], &[]), [0, 1, 2, 3, 4], "until it is given again");
    assert_eq!(then(&mut story, 0, "", &[], &["pii"]), [1, 2, 3, 4], "another way keeps it");
}

#[test]
fn where_labels_came_from() {
    let mut story = chain();
    story.label(1, "out/a", &[], &["pii"]);
    story.label(1, "out/m/x", &["secret"], &[]);
    let (_spot, catalog) = story.world.catalog();
    let object = |node: usize| match &story.nodes[node].what {
        What::Version(name, version) => Object::Dataset { name: name.clone(), version: Some(*version) },
        What::Run(run) => Object::Run(run.clone()),
    };
    let part = |node: usize, at: &str| match &story.nodes[node].what {
        What::Run(run) => Object::Artifact { run: run.clone(), path: place(at).unwrap() },
        What::Version(..) => unreachable!(),
    };
    let found = catalog.label_sources(&project(), &object(4)).unwrap().unwrap();
    assert_eq!(found.labels, set(&["pii", "secret"]));
    let sources: Vec<_> =
        found.sources.iter().map(|source| (source.label.as_str(), &source.object, &source.path)).collect();
    assert_eq!(
        sources,
        [
            ("pii", &object(0), &vec![part(1, "out/m/x"), object(3)]),
            ("secret", &part(1, "out/m/x"), &vec![object(3)]),
        ]
    );
    assert_eq!((found.sources[0].event.as_str(), found.sources[0].entry), ("dataset.added", 0));
    assert!(found.taken_off.is_empty() && !found.truncated);
    let found = catalog.label_sources(&project(), &object(2)).unwrap().unwrap();
    assert!(found.labels.is_empty());
    let taken: Vec<_> = found.taken_off.iter().map(|off| (&off.object, off.reason.as_deref())).collect();
    assert_eq!(taken, [(&part(1, "out/a"), Some("because"))]);
    let run = object(1);
    let reached = catalog.came_of(&project(), &run).unwrap();
    let counts = catalog.labelled_among(&reached, &set(&["pii", "eu"])).unwrap();
    let counts: Vec<_> =
        counts.iter().map(|(label, count)| (label.as_str(), count.runs, count.versions)).collect();
    assert_eq!(counts, [("eu", 0, 0), ("pii", 1, 1)]);
    let unknown = Object::Run("zzzzzzzzzzzz".parse().unwrap());
    assert_eq!(catalog.label_sources(&project(), &unknown).unwrap(), None);
}

#[test]
fn a_change_reaches_thousands() {
    let count = usize::try_from(cases(3_000)).unwrap();
    let mut story = Story::default();
    story.import("scans", &["pii"], None);
    // Each has something of one long before and of one shortly before: what is looked at together depends on both.
    let mut runs: Vec<RunId> = Vec::new();
    for number in 0..count {
        let from = if number < 10 { dataset("scans", 1) } else { artifact(&runs[number / 10], None) };
        let mut inputs = vec![("d", from)];
        if number % 7 > 0 {
            inputs.push(("e", artifact(&runs[number - 1], Some("out/a"))));
        }
        let run = story.world.plan(&Job { inputs, ..Job::default() });
        runs.push(run);
    }
    let spot = Spot::new();
    let mut catalog = spot.open();
    story.world.apply(&mut catalog).unwrap();
    let mut change = |added: &[&'static str], removed: &[&'static str]| {
        story.label(0, "", added, removed);
        story.world.apply(&mut catalog).unwrap();
        let reached = catalog.came_of(&project(), &"dataset:scans@1".parse().unwrap()).unwrap();
        let counts = catalog.labelled_among(&reached, &set(&["pii", "secret"])).unwrap();
        counts.values().map(|count| count.runs).collect::<Vec<_>>()
    };
    assert_eq!(change(&["secret"], &[]), [count, count]);
    assert_eq!(change(&[], &["pii"]), [0, count]);
    assert_eq!(change(&["pii"], &["secret"]), [count, 0], "one comes and one goes");
}

#[test]
fn the_same_on_postgresql() {
    let tests = named![
        labels_are_what_a_plain_reading_gives,
        a_change_reaches_what_came_of_it_at_once,
        where_labels_came_from,
        a_change_reaches_thousands,
    ];
    on_postgresql(include_str!("labels.rs"), tests, &[]);
}
