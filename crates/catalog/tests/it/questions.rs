//! Questions about datasets, runs and lineage.

use std::collections::BTreeMap;

use aseptic_catalog::{Catalog, Node, ResolveError, RunFilter};
use aseptic_model::{Diagnose, Event, Outcome, Reason, RunId, Status};

use crate::server::{named, on_postgresql};
use crate::world::{Job, World, artifact, digest, outputs_of, path, project};

fn named(experiment: &'static str) -> Job {
    Job { experiment: Some(experiment), ..Job::default() }
}

fn resolve(catalog: &Catalog, reference: &str) -> Result<RunId, ResolveError> {
    catalog.resolve_run(&project(), &reference.parse().unwrap())
}

#[test]
fn datasets_and_their_versions() {
    let mut world = World::default();
    for (name, version) in [("digits", 1), ("faces", 1), ("digits", 2), ("digits", 10)] {
        world.import(name, version);
    }
    world.push(Event::QuarantineAdded {
        object: aseptic_model::Object::Snapshot(digest("digits@1")),
        reason: Some("leaked".to_owned()),
        runs: 0,
        reached: None,
    });
    let (_directory, catalog) = world.catalog();
    let digits = "digits".parse().unwrap();
    let get = |version| catalog.dataset_version(&project(), &digits, version).unwrap();
    let second = get(Some(2)).unwrap();
    assert_eq!((second.snapshot, second.bytes, second.files), (digest("digits@2"), 20, 3));
    assert_eq!((second.actor.as_str(), second.added), ("user:ada", world.entries[2].1.time));
    assert_eq!(second.labels.len(), 1);
    assert_eq!(get(None).unwrap().version, 10);
    assert_eq!(get(Some(3)), None);
    let names = |list: Vec<aseptic_catalog::DatasetVersion>| -> Vec<String> {
        list.iter().map(|dataset| format!("{}@{}", dataset.name, dataset.version)).collect()
    };
    assert_eq!(names(catalog.datasets(&project()).unwrap()), ["digits@10", "faces@1"]);
    assert_eq!(names(catalog.versions(&project(), &digits).unwrap()), ["digits@10", "digits@2", "digits@1"]);
    assert_eq!(catalog.datasets(&"other".parse().unwrap()).unwrap(), []);
    let quarantined = catalog.quarantines(&project()).unwrap();
    assert_eq!(quarantined.len(), 1);
    assert_eq!(quarantined[0].object, aseptic_model::Object::Snapshot(digest("digits@1")));
    assert_eq!(quarantined[0].reason.as_deref(), Some("leaked"));
}

#[test]
fn a_run_through_its_life() {
    let mut world = World::default();
    let job = Job { experiment: Some("train"), ..Job::default() };
    let run = world.plan(&job);
    let row = |world: &World| {
        let (_directory, catalog) = world.catalog();
        catalog.run(&project(), &run).unwrap().unwrap()
    };
    let planned = row(&world);
    assert_eq!((planned.status, planned.started, planned.decision), (None, None, None));
    assert_eq!((planned.code, planned.git_commit.as_deref()), (Some(digest("code")), Some("c0ffee")));
    assert_eq!(planned.params["lr"], serde_json::json!(0.1));
    world.decide(&run, Vec::new());
    world.push(Event::RunStarted { run: run.clone(), mounted: BTreeMap::new(), host: None });
    let started = row(&world);
    assert_eq!(started.decision.unwrap().outcome, Outcome::Allow);
    assert_eq!((started.status, started.started), (None, Some(world.entries[2].1.time)));
    world.seal(&run, &job, Status::Failed);
    let sealed = row(&world);
    assert_eq!((sealed.status, sealed.duration_ms), (Some(Status::Failed), Some(60_250.5)));
    assert_eq!(sealed.outputs, Some(outputs_of(&run)));
    assert_eq!(sealed.ended.unwrap().to_string(), "2025-11-24T16:01:00.500Z");
    assert_eq!((sealed.labels.len(), sealed.unreadable), (1, None));
}

#[test]
fn a_denied_run_has_ended_with_its_reasons() {
    let mut world = World::default();
    let run = world.plan(&Job::default());
    let reason = Reason {
        rule: "input/missing".to_owned(),
        element: "code".to_owned(),
        message: "absent".to_owned(),
        advice: "plan again".to_owned(),
        ..Reason::default()
    };
    world.decide(&run, vec![reason.clone()]);
    for sealed in [false, true] {
        if sealed {
            world.seal(&run, &Job::default(), Status::Denied);
        }
        let (_directory, catalog) = world.catalog();
        let row = catalog.run(&project(), &run).unwrap().unwrap();
        assert_eq!(row.status, Some(Status::Denied));
        assert_eq!(row.decision.unwrap().reasons, std::slice::from_ref(&reason));
        assert_eq!((row.ended.is_some(), row.record.is_some()), (true, sealed));
    }
}

#[test]
fn runs_are_listed_newest_first() {
    let mut world = World::default();
    let first = world.run(&named("train"), Status::Succeeded);
    let second = world.run(&named("train"), Status::Failed);
    let third = world.run(&named("test"), Status::Failed);
    let fourth = world.plan(&Job::default());
    let (_directory, catalog) = world.catalog();
    let list = |experiment: Option<&str>, status, limit| -> Vec<RunId> {
        let filter = RunFilter { experiment: experiment.map(|name| name.parse().unwrap()), status };
        catalog.runs(&project(), limit, &filter).unwrap().into_iter().map(|run| run.run).collect()
    };
    assert_eq!(list(None, None, 9), [&fourth, &third, &second, &first].map(Clone::clone));
    assert_eq!(list(None, None, 2), [fourth, third.clone()]);
    assert_eq!(list(Some("train"), None, 9), [second.clone(), first]);
    assert_eq!(list(Some("train"), Some(Status::Failed), 9), std::slice::from_ref(&second));
    assert_eq!(list(None, Some(Status::Failed), 9), [third, second]);
    assert_eq!(list(Some("none"), None, 9), []);
}

#[test]
fn references_to_runs() {
    let mut world = World::default();
    let (_directory, empty) = world.catalog();
    assert!(matches!(resolve(&empty, "latest"), Err(ResolveError::NoRuns)));
    assert!(matches!(resolve(&empty, "train"), Err(ResolveError::NoRuns)));

    let good = world.run(&named("train"), Status::Succeeded);
    let last = world.run(&named("train"), Status::Failed);
    let untried = world.plan(&named("test"));
    let (_directory, catalog) = world.catalog();
    assert_eq!(resolve(&catalog, good.as_str()).unwrap(), good);
    assert_eq!(resolve(&catalog, &last.as_str()[..4]).unwrap(), last);
    assert_eq!(resolve(&catalog, "latest").unwrap(), untried);
    assert_eq!(resolve(&catalog, "train").unwrap(), good);
    let error = resolve(&catalog, "test").unwrap_err();
    assert_eq!(error.to_string(), "no run of the experiment `test` has succeeded");
    for unknown in ["trian", &good.as_str()[..3], "zzzzzzzzzzzz"] {
        let error = resolve(&catalog, unknown).unwrap_err();
        assert_eq!(error.to_string(), format!("`{unknown}` is no run of this project"));
        let help = error.diagnosis().help;
        assert!(help.ends_with("such as `test`, `train`, or the name of a run"), "{help}");
    }
}

#[test]
fn the_start_of_several_ids_names_none_of_them() {
    let mut world = World::default();
    let template = world.plan(&named("abcd"));
    let Event::RunPlanned { plan, .. } = world.entries[0].1.event.clone() else { unreachable!() };
    for number in 0..7 {
        world.push(Event::RunPlanned {
            run: format!("beef0000000{number}").parse().unwrap(),
            experiment: None,
            plan,
            code: None,
            inputs: BTreeMap::new(),
            git_commit: None,
            replays: None,
        });
    }
    let (_directory, catalog) = world.catalog();
    let error = resolve(&catalog, "beef").unwrap_err();
    let ResolveError::Ambiguous { candidates, more, .. } = &error else { panic!("{error}") };
    assert_eq!((candidates.len(), *more), (5, true));
    assert!(error.to_string().starts_with("`beef` is the start of several run ids: `beef00000000`, "));
    assert!(error.to_string().ends_with("`beef00000004`, …"));
    assert_eq!(resolve(&catalog, "beef00000006").unwrap().as_str(), "beef00000006");

    let shadow = &template.as_str()[..4];
    world.push(Event::RunPlanned {
        run: "000000000007".parse().unwrap(),
        experiment: Some(shadow.parse().unwrap()),
        plan,
        code: None,
        inputs: BTreeMap::new(),
        git_commit: None,
        replays: None,
    });
    let (_directory, catalog) = world.catalog();
    let error = resolve(&catalog, shadow).unwrap_err();
    assert!(matches!(error, ResolveError::NoneSucceeded(_)), "the experiment comes first: {error}");
}

#[test]
fn producers_of_files_directories_and_trees() {
    let hostile = path(b"out/a\nb\xff");
    let mut world = World::default();
    world.import("digits", 1);
    let job = Job { outputs: vec![hostile.clone()], ..Job::default() };
    let run = world.run(&job, Status::Succeeded);
    let part = artifact(&run, Some("out"));
    world.plan(&Job { inputs: vec![("part", part.clone())], ..Job::default() });
    let (_directory, catalog) = world.catalog();
    let file = aseptic_model::Digest::of(&[run.as_str().as_bytes(), b"/out/a\nb\xff"].concat());
    let left = |path, digest| Node::Artifact { run: run.clone(), path, digest };
    for (digest, node) in [
        (file, left(Some(hostile), file)),
        (part.snapshot, left(Some(path(b"out")), part.snapshot)),
        (outputs_of(&run), left(None, outputs_of(&run))),
        (
            digest("digits@1"),
            Node::Dataset { name: "digits".parse().unwrap(), version: 1, digest: digest("digits@1") },
        ),
    ] {
        assert_eq!(catalog.producers(&project(), &digest).unwrap(), [node]);
    }
    assert_eq!(catalog.producers(&project(), &digest("nothing")).unwrap(), []);
}

#[test]
fn the_same_on_postgresql() {
    let tests = named![
        datasets_and_their_versions,
        a_run_through_its_life,
        a_denied_run_has_ended_with_its_reasons,
        runs_are_listed_newest_first,
        references_to_runs,
        the_start_of_several_ids_names_none_of_them,
        producers_of_files_directories_and_trees,
    ];
    on_postgresql(include_str!("questions.rs"), tests, &[]);
}
