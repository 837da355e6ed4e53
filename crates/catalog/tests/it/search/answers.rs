//! Answers of searches beside a filter in memory, and their pages.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_catalog::{Catalog, Cell, Cursor, Field, Question, Search, SearchFailed, Sort};
use aseptic_model::*;
use proptest::prelude::*;

use super::generate::{self, Made, made};
use super::naive::{Known, holds};
use crate::server::{Spot, cases, named, on_postgresql};
use crate::world::{self, Job, World, dataset, outputs_of, project};

fn now() -> Timestamp {
    Timestamp::from_unix_ms(1_764_000_000_015).unwrap()
}

fn question(search: Option<Search>, sort: &str) -> Question {
    Question { project: project(), search, sort: sort.parse().unwrap() }
}

/// Records a run that was made so.
fn push(world: &mut World, made: &Made) -> Known {
    let inputs: Vec<_> =
        made.inputs.iter().map(|(name, (data, version))| (*name, dataset(data, *version))).collect();
    let job = Job { experiment: made.experiment, inputs, outputs: Vec::new() };
    let python = (!made.packages.is_empty()).then(|| Python {
        prefix: "/env".to_owned(),
        base_prefix: "/usr".to_owned(),
        version: "3.11.7".to_owned(),
        interpreter: world::digest("python"),
        packages: made
            .packages
            .iter()
            .map(|(name, version)| Package {
                name: (*name).to_owned(),
                version: (*version).to_owned(),
                record: None,
            })
            .collect(),
    });
    let mut plan = world::plan(&job);
    plan.params = made.params.clone();
    plan.environment.python = python.clone();
    let labels: BTreeSet<Label> = made.labels.iter().map(|label| label.parse().unwrap()).collect();
    let digest = world.put(&plan);
    let run = world.id();
    world.push(Event::RunPlanned {
        run: run.clone(),
        experiment: plan.experiment.clone(),
        plan: digest,
        code: plan.code.as_ref().map(|code| code.snapshot),
        inputs: plan.inputs.iter().map(|(name, input)| (name.clone(), input.snapshot)).collect(),
        git_commit: None,
        replays: None,
    });
    let planned = world.entries.last().unwrap().1.time.as_unix_ms();
    if made.name.is_some() || made.note.is_some() || !made.tags.is_empty() {
        world.push(Event::RunDescribed {
            run: run.clone(),
            name: made.name.map(|name| name.parse().unwrap()),
            added: made.tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            removed: BTreeSet::new(),
            note: made.note.map(str::to_owned),
        });
    }
    let mut ended = None;
    if let Some(status) = made.status {
        let mut record = world::record(&run, &job, status);
        record.params = made.params.clone();
        record.environment.python = python;
        record.exit_code = made.exit_code;
        record.duration_ms = made.duration;
        record.lineage.complete = made.complete;
        let read: BTreeSet<_> = made.read.iter().map(|path| world::path(path.as_bytes())).collect();
        record.lineage.read = record.inputs.keys().map(|name| (name.clone(), read.clone())).collect();
        ended = Some(record.ended.as_unix_ms());
        let series = made.metrics.iter().map(|(name, (last, min, max, last_step))| {
            let summary = MetricSummary {
                count: 1,
                not_finite: 0,
                last: *last,
                min: Some(*min),
                max: Some(*max),
                last_step: *last_step,
                shape: vec![],
            };
            (name.clone(), summary)
        });
        record.metrics = Some(Metrics {
            file: world::path(b"m"),
            lines: 1,
            unreadable: 0,
            unread_bytes: 0,
            series: series.collect(),
        });
        let record = world.put(&record);
        let outputs = outputs_of(&run);
        world.push(Event::RunSealed { run: run.clone(), status, record, outputs, labels, attestation: None });
    }
    let mut made = made.clone();
    if made.status.is_none() {
        made.labels.clear(); // They come with the seal.
    }
    Known {
        plan: digest.to_string(),
        code: world::digest("code").to_string(),
        outputs: made.status.map(|_| outputs_of(&run).to_string()),
        run: run.to_string(),
        made,
        planned,
        ended,
    }
}

/// The ids of every page, one after the other.
fn pages(catalog: &Catalog, question: &Question, limit: usize, mut between: impl FnMut()) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = catalog.search(question, &[], cursor.as_ref(), limit, now()).unwrap();
        assert!(page.runs.len() <= limit);
        ids.extend(page.runs.iter().map(|found| found.run.run.to_string()));
        let Some(next) = page.next else { return ids };
        cursor = Some(next.to_string().parse().unwrap());
        between();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: cases(48), ..ProptestConfig::default() })]

    /// Every search finds what a filter in memory finds, in every order, whatever the size of the pages.
    #[test]
    fn a_search_finds_what_a_filter_finds(
        runs in prop::collection::vec(made(), 1..24),
        searches in prop::collection::vec(generate::search(false), 12),
        limit in 1..5_usize,
    ) {
        let mut world = World::default();
        let known: Vec<_> = runs.iter().map(|made| push(&mut world, made)).collect();
        let (_directory, catalog) = world.catalog();
        for search in searches {
            let wanted: Vec<_> =
                known.iter().rev().filter(|run| holds(&search, run, now())).map(|run| run.run.clone()).collect();
            let newest = question(Some(search.clone()), "planned");
            prop_assert_eq!(&pages(&catalog, &newest, limit, || ()), &wanted, "{}", search);
            prop_assert_eq!(catalog.count(&newest, now()).unwrap(), wanted.len() as u64, "{}", search);
            for sort in ["planned:asc", "metric.a:asc", "metric.a.max", "param.a", "duration", "name:asc", "experiment"] {
                let sorted = question(Some(search.clone()), sort);
                let ids = pages(&catalog, &sorted, limit, || ());
                let once: BTreeSet<_> = ids.iter().cloned().collect();
                prop_assert_eq!(once.len(), ids.len(), "each once: {} {}", sort, search);
                prop_assert_eq!(once, wanted.iter().cloned().collect(), "{} {}", sort, search);
            }
        }
    }

    /// Sorting without a search: by value, those without one last.
    #[test]
    fn an_order_is_that_of_the_values(runs in prop::collection::vec(made(), 1..24), limit in 1..5_usize) {
        let mut world = World::default();
        let known: Vec<_> = runs.iter().map(|made| push(&mut world, made)).collect();
        let value = |id: &String| {
            let run = known.iter().find(|run| run.run == *id).unwrap();
            run.made.metrics.get("a").filter(|_| run.made.status.is_some()).and_then(|metric| metric.0)
        };
        let (_directory, catalog) = world.catalog();
        for (sort, sign) in [("metric.a:asc", 1.0), ("metric.a", -1.0)] {
            let ids = pages(&catalog, &question(None, sort), limit, || ());
            prop_assert_eq!(ids.len(), known.len());
            let keys: Vec<_> = ids.iter().map(|id| value(id).map_or(f64::INFINITY, |value| sign * value)).collect();
            prop_assert!(keys.is_sorted(), "{:?}", keys);
        }
    }
}

fn simple(name: &'static str) -> Made {
    Made {
        experiment: Some("train"),
        metrics: BTreeMap::new(),
        params: BTreeMap::new(),
        inputs: BTreeMap::new(),
        packages: Vec::new(),
        status: Some(Status::Succeeded),
        complete: true,
        read: Vec::new(),
        name: Some(name),
        note: None,
        tags: Vec::new(),
        labels: Vec::new(),
        exit_code: Some(0),
        duration: 1.0,
    }
}

/// Runs that are planned while somebody turns pages come before the first page, and none is shown twice or left out.
#[test]
fn pages_join_while_runs_are_added() {
    let mut world = World::default();
    let first: Vec<_> = (0..300).map(|_| push(&mut world, &simple("old")).run).collect();
    let spot = Spot::new();
    let mut writer = spot.open();
    world.apply(&mut writer).unwrap();
    let reader = spot.open();
    for text in ["name = old", "not name = new", "experiment = train and status = succeeded"] {
        let asked = question(Some(text.parse().unwrap()), "planned");
        let ids = pages(&reader, &asked, 7, || {
            push(&mut world, &simple("new"));
            world.apply(&mut writer).unwrap();
        });
        let old: Vec<_> = ids.iter().filter(|id| first.contains(id)).cloned().collect();
        assert_eq!(old, first.iter().rev().cloned().collect::<Vec<_>>(), "{text}");
    }
}

/// More runs than one page looks at: the page says where to go on, and the pages together are the answer.
#[test]
fn a_page_that_would_cost_too_much_ends_early() {
    let mut world = World::default();
    let mut runs = Vec::new();
    for index in 0..24_000 {
        let run = world.id();
        runs.push(run.clone());
        let (experiment, code, inputs) = (None, None, BTreeMap::new());
        let (git_commit, replays, plan) = (None, None, world::digest("gone"));
        world.push(Event::RunPlanned {
            run: run.clone(),
            experiment,
            plan,
            code,
            inputs,
            git_commit,
            replays,
        });
        // Two tags that half of the runs have each, and none has both; the oldest alone has a name.
        let tag: Tag = if index % 2 == 0 { "even" } else { "odd" }.parse().unwrap();
        let name = (index == 0).then(|| "oldest".parse().unwrap());
        world.push(Event::RunDescribed {
            run,
            name,
            added: [tag].into(),
            removed: BTreeSet::new(),
            note: None,
        });
    }
    let (_directory, catalog) = world.catalog();
    let none = question(
        Some(
            "tag:even and tag:odd and not name and not note and not has host and not has code"
                .parse()
                .unwrap(),
        ),
        "planned",
    );
    let page = catalog.search(&none, &[], None, 5, now()).unwrap();
    assert!(page.runs.is_empty() && page.next.is_some() && page.examined <= 10_000, "{}", page.examined);
    assert_eq!(pages(&catalog, &none, 5, || ()), Vec::<String>::new());
    let oldest =
        question(Some("tag:even and name ~ old and not note and not has host".parse().unwrap()), "planned");
    assert_eq!(pages(&catalog, &oldest, 5, || ()), vec![runs[0].to_string()]);
    let every = question(Some("not note".parse().unwrap()), "planned:asc");
    let wanted: Vec<_> = runs.iter().map(ToString::to_string).collect();
    assert_eq!(pages(&catalog, &every, 999, || ()), wanted);
}

#[test]
fn a_cursor_belongs_to_its_question() {
    let mut world = World::default();
    for _ in 0..5 {
        push(&mut world, &simple("a"));
    }
    let (_directory, catalog) = world.catalog();
    let asked = question(Some("name = a".parse().unwrap()), "duration");
    let next = catalog.search(&asked, &[], None, 2, now()).unwrap().next.unwrap();
    let text = next.to_string();
    assert_eq!(text.parse::<Cursor>().unwrap(), next);
    for other in
        [question(Some("name = b".parse().unwrap()), "duration"), question(asked.search.clone(), "planned")]
    {
        let error = catalog.search(&other, &[], Some(&next), 2, now()).unwrap_err();
        assert!(matches!(error, SearchFailed::Cursor(_)), "{error}");
    }
    let mut project = asked.clone();
    project.project = "other".parse().unwrap();
    assert!(catalog.search(&project, &[], Some(&next), 2, now()).is_err());
    for bad in ["", "x", &text[1..], &text[..text.len() - 1], &format!("{text}a"), &text.to_uppercase()] {
        assert!(bad.parse::<Cursor>().is_err(), "{bad}");
    }
    // Any change is noticed, or is a place from which a search can go on.
    for index in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[index] = if changed[index] == b'a' { b'b' } else { b'a' };
        if let Ok(cursor) = String::from_utf8(changed).unwrap().parse::<Cursor>() {
            let _ = catalog.search(&asked, &[], Some(&cursor), 2, now());
        }
    }
}

#[test]
fn columns_are_the_values_of_the_run() {
    let mut world = World::default();
    let mut made = simple("a");
    made.metrics.insert("loss".to_owned(), (Some(0.5), 0.25, 1.0, Some(7)));
    made.params.insert("lr".to_owned(), 0.1.into());
    made.params.insert("optimizer".to_owned(), "adam".into());
    made.inputs.insert("train", ("digits", 2));
    made.packages.push(("numpy", "1.26.4"));
    push(&mut world, &made);
    let (_directory, catalog) = world.catalog();
    let columns: Vec<Field> = [
        "metric.loss",
        "metric.loss.step",
        "param.lr",
        "param.optimizer",
        "data.train",
        "package.numpy",
        "status",
        "metric.x",
    ]
    .iter()
    .map(|text| text.parse().unwrap())
    .collect();
    let page = catalog.search(&question(None, "planned"), &columns, None, 5, now()).unwrap();
    let text = |text: &str| Some(Cell::Text(text.to_owned()));
    let number = |number| Some(Cell::Number(number));
    assert_eq!(
        page.runs[0].cells,
        [
            number(0.5),
            number(7.0),
            number(0.1),
            text("adam"),
            text("digits@2"),
            text("1.26.4"),
            text("succeeded"),
            None
        ]
    );
    assert!(page.next.is_none());
    let _ = Sort::default();
}

#[test]
fn the_same_on_postgresql() {
    let tests = named![
        a_search_finds_what_a_filter_finds,
        an_order_is_that_of_the_values,
        pages_join_while_runs_are_added,
        a_cursor_belongs_to_its_question,
        columns_are_the_values_of_the_run,
    ];
    // So many runs take minutes to apply there, and what ends a page is the same.
    on_postgresql(include_str!("answers.rs"), tests, &["a_page_that_would_cost_too_much_ends_early"]);
}
