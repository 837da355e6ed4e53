//! A collection against a model of what must stay, and with every step on disk failing once.

mod world;

use std::collections::BTreeSet;
use std::fs;

use aseptic_model::Digest;
use proptest::prelude::*;

use self::world::{World, objects};
use super::GcError;
use super::fold::FILES_MAX;
use crate::disk::Disk;
use crate::disk::faults::{Fault, Faults};
use crate::error::StoreError;
use crate::tree::EntryKind;
use crate::writer::Writer;

#[derive(Clone, Debug)]
enum Op {
    /// Files by the numbers of their paths and contents.
    Import(Vec<(u8, u8)>),
    /// A file with the bytes of a directory object.
    ImportTree(usize),
    Put(u8),
    Forget(usize),
    View(usize),
    Collect,
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop::collection::vec((0..60_u8, any::<u8>()), 0..60).prop_map(Op::Import),
        1 => any::<usize>().prop_map(Op::ImportTree),
        1 => any::<u8>().prop_map(Op::Put),
        4 => any::<usize>().prop_map(Op::Forget),
        2 => any::<usize>().prop_map(Op::View),
        3 => Just(Op::Collect),
        1 => Just(Op::Reopen),
    ]
}

/// Sizes around those at which an object is stored in another way.
fn content(number: u8) -> Vec<u8> {
    let size = match number {
        0..=249 => usize::from(number) * 40,
        250..=251 => (512 << 10) - 1,
        _ => 512 << 10,
    };
    let mut bytes = vec![0; size];
    blake3::Hasher::new().update(&[number]).finalize_xof().fill(&mut bytes);
    bytes
}

fn pick<T: Clone>(from: &BTreeSet<T>, number: usize) -> Option<T> {
    from.iter().nth(number.checked_rem(from.len())?).cloned()
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn everything_live_stays_and_everything_dead_goes(ops in prop::collection::vec(op(), 1..30)) {
        let mut world = World::new();
        for op in ops {
            match op {
                Op::Import(files) => {
                    let path = |number: u8| format!("{}/{}/{number}", number % 3, number % 5);
                    let files = files.into_iter().map(|(at, number)| (path(at), content(number)));
                    world.import(&files.collect::<Vec<_>>());
                }
                Op::ImportTree(number) => {
                    if let Some(tree) = pick(&world.roots.snapshots, number) {
                        let bytes = world.store.get_bytes(&tree, 1 << 20).unwrap();
                        world.import(&[("tree".to_owned(), bytes)]);
                    }
                }
                Op::Put(number) => drop(world.put(&content(number))),
                Op::Forget(number) => {
                    if let Some(digest) = pick(&world.roots.snapshots, number) {
                        world.roots.snapshots.remove(&digest);
                    }
                    if let Some(digest) = pick(&world.roots.objects, number) {
                        world.roots.objects.remove(&digest);
                    }
                }
                Op::View(number) => {
                    if let Some(digest) = pick(&world.roots.snapshots, number) {
                        world.store.view(&digest).unwrap();
                        world.store.view_layers(&digest, "code").unwrap();
                    }
                }
                Op::Collect => {
                    let dead = world.collect().unwrap();
                    prop_assert!(dead.is_disjoint(&world.needed()));
                    world.assert_live();
                    world.assert_only_live();
                }
                Op::Reopen => world.reopen(),
            }
        }
        world.collect().unwrap();
        world.assert_live();
        world.assert_only_live();
    }
}

/// A store with everything that a collection has to do with.
fn example() -> World {
    let mut world = World::new();
    let files = |from: u8, to: u8| (from..to).map(|number| (format!("d/{number}"), content(number)));
    let dead = world.import(&files(0, 80).collect::<Vec<_>>());
    let kept = world.import(&files(40, 120).chain([("large".to_owned(), content(255))]).collect::<Vec<_>>());
    let gone = world.import(&files(150, 200).chain([("large".to_owned(), content(254))]).collect::<Vec<_>>());
    let report = world.put(b"a report");
    for number in 0..=FILES_MAX {
        world.put(format!("plan {number}").as_bytes());
    }
    for snapshot in [dead, kept] {
        world.store.view(&snapshot).unwrap();
    }
    world.roots.snapshots.remove(&dead);
    world.roots.snapshots.remove(&gone);
    world.roots.objects.remove(&report);
    world
}

fn check(fault: Fault) {
    let example = example();
    let steps = {
        let mut world = example.copy();
        world.store.disk = Disk { faults: Faults::default() };
        world.collect().unwrap();
        world.store.disk.faults.steps()
    };
    assert!(steps > 50, "{steps}");
    for step in 0..steps {
        let mut world = example.copy();
        world.store.disk = Disk { faults: Faults::at(step, fault) };
        let before = world.collect();
        world.assert_live();
        world.reopen();
        world.collect().unwrap_or_else(|error| panic!("step {step}, {before:?}: {error}"));
        world.assert_live();
        world.assert_only_live();
    }
}

#[test]
fn a_step_that_is_lost() {
    check(Fault::Lost);
}

#[test]
fn a_step_that_is_done_and_reported_as_failed() {
    check(Fault::Done);
}

#[test]
fn a_collection_has_the_store_alone() {
    let world = example();
    let lease = world.store.lease().unwrap();
    assert!(world.store.try_sweep().unwrap().is_none());
    drop(lease);
    let sweep = world.store.try_sweep().unwrap().unwrap();
    assert!(world.store.try_sweep().unwrap().is_none());
    drop(sweep);
    assert!(world.store.try_sweep().unwrap().is_some());
}

#[test]
fn when_a_tree_cannot_be_read_nothing_goes() {
    let mut world = World::new();
    let dead = world.import(&[("a".to_owned(), b"dead".to_vec())]);
    world.roots.snapshots.remove(&dead);
    let root = world.import(&[("d/e/f".to_owned(), b"live".to_vec())]);
    let before = objects(&world.dir.path().join("store"));
    let tree = match &world.store.read_tree(&root).unwrap().entries()[0].kind {
        EntryKind::Directory { digest, .. } => *digest,
        other => panic!("{other:?}"),
    };
    let object = world.dir.path().join("store/objects").join(crate::object::object_name(&tree));
    fs::remove_file(&object).unwrap();
    fs::write(&object, b"something else").unwrap();
    match world.collect() {
        Err(GcError::Unreadable { root: found, digest, source: StoreError::Corrupt { .. } }) => {
            assert_eq!((found, digest), (root, tree));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(objects(&world.dir.path().join("store")), before);
}

#[test]
fn when_an_index_is_damaged_nothing_goes() {
    let mut world = example();
    let dir = world.dir.path().join("store");
    let segment = fs::read_dir(dir.join("segments")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&segment).unwrap();
    let last = bytes.len() - 70;
    bytes[last] ^= 1;
    fs::remove_file(&segment).unwrap();
    fs::write(&segment, bytes).unwrap();
    world.reopen();
    let before = objects(&dir);
    let error = world.collect().unwrap_err();
    assert!(matches!(error, GcError::Store(StoreError::Index { .. })), "{error:?}");
    assert_eq!(objects(&dir), before);
}

#[test]
fn chunks_stay_with_what_is_made_of_them() {
    let mut world = World::new();
    let parts: Vec<Vec<u8>> = (1..=3_u8).map(|number| vec![number; 100_000]).collect();
    let whole = parts.concat();
    let [kept, dead] = [&parts[..], &parts[1..]].map(|parts| {
        let lease = world.store.lease().unwrap();
        let writer = Writer::new(&world.store, &lease);
        let chunks: Vec<(Digest, u32)> =
            parts.iter().map(|part| (writer.add_chunk(part).unwrap(), 100_000)).collect();
        let bytes = parts.concat();
        let digest = Digest::of(&bytes);
        writer.add_recipe(digest, bytes.len() as u64, &chunks).unwrap();
        writer.publish().unwrap();
        digest
    });
    world.roots.objects.insert(kept);
    let mut needs: BTreeSet<Digest> = parts.iter().map(|part| Digest::of(part)).collect();
    needs.insert(kept);
    world.needs.insert(kept, needs);
    assert_eq!(world.collect().unwrap(), BTreeSet::from([dead]));
    world.assert_live();
    world.assert_only_live();
    assert_eq!(world.store.get_bytes(&kept, 1 << 20).unwrap(), whole);
    world.roots.objects.clear();
    assert_eq!(world.collect().unwrap().len(), 5, "with the list of before");
    world.assert_only_live();
}

#[test]
fn many_small_files_of_their_own_go_into_a_pack() {
    let mut world = World::new();
    let bytes = |number: usize| number.to_le_bytes().repeat(10);
    for number in 0..FILES_MAX + 10 {
        let digest = world.put(&bytes(number));
        if number > FILES_MAX {
            world.roots.objects.remove(&digest);
        }
    }
    let dir = world.dir.path().join("store");
    assert_eq!(fs::read_dir(dir.join("packs")).unwrap().count(), 0);
    assert_eq!(world.collect().unwrap().len(), 9);
    world.assert_live();
    world.assert_only_live();
    assert_eq!(fs::read_dir(dir.join("packs")).unwrap().count(), 1);
    let loose = fs::read_dir(dir.join("objects")).unwrap();
    let loose = loose.map(|prefix| fs::read_dir(prefix.unwrap().path()).unwrap().count()).sum::<usize>();
    assert_eq!(loose, 1, "the list");
}

#[test]
fn layers_stay_while_they_may_be_mounted() {
    let mut world = World::new();
    let files = |last: &str| {
        let all = (0..40).map(|number| (number.to_string(), b"same".to_vec()));
        all.chain([("last".to_owned(), last.as_bytes().to_vec())]).collect::<Vec<_>>()
    };
    let old = world.import(&files("old"));
    let new = world.import(&files("new"));
    world.store.view_layers(&old, "code").unwrap();
    let layers = world.store.view_layers(&new, "code").unwrap();
    assert_eq!(layers.len(), 2, "one is a layer over the other");
    world.roots.snapshots.remove(&old);
    world.roots.mounted.insert(new);
    world.collect().unwrap();
    assert!(layers.iter().all(|layer| layer.is_dir()));
    world.roots.mounted.clear();
    world.collect().unwrap();
    assert!(layers.iter().all(|layer| !layer.exists()));
    world.assert_only_live();
}
