//! What a comparison promises.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::tree::{Snapshot, Tree, TreeEntry};
use crate::writer::Writer;

/// A tree as a test thinks of it. Files have the digest of nothing that is stored: no file is ever read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File { content: u8, executable: bool },
    Link(u8),
    Directory(BTreeMap<u8, Node>),
}

const NAMES: std::ops::Range<u8> = b'a'..b'e';

fn any_directory() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        4 => (0..6_u8, any::<bool>()).prop_map(|(content, executable)| Node::File { content, executable }),
        1 => (1..3_u8).prop_map(Node::Link),
    ];
    let inner = leaf.prop_recursive(3, 24, 4, |node| {
        prop::collection::btree_map(NAMES, node, 0..4).prop_map(Node::Directory)
    });
    prop::collection::btree_map(NAMES, inner, 0..4).prop_map(Node::Directory)
}

/// Adds a node and says what names it.
fn add(writer: &Writer<'_>, node: &Node) -> EntryKind {
    match node {
        Node::File { content, executable } => EntryKind::File {
            size: u64::from(*content),
            digest: Digest::of(&vec![b'x'; usize::from(*content)]),
            executable: *executable,
        },
        Node::Link(target) => EntryKind::Symlink { target: vec![*target] },
        Node::Directory(entries) => {
            let entry = |(name, node): (&u8, &Node)| TreeEntry { name: vec![*name], kind: add(writer, node) };
            let tree = Tree::new(entries.iter().map(entry).collect()).unwrap();
            let digest = writer.add_bytes(&tree.encode()).unwrap();
            EntryKind::Directory { files: tree.files(), bytes: tree.bytes(), digest }
        }
    }
}

fn root(store: &Store, node: &Node) -> Snapshot {
    let lease = store.lease().unwrap();
    let writer = Writer::new(store, &lease);
    let kind = add(&writer, node);
    writer.publish().unwrap();
    match kind {
        EntryKind::Directory { files, bytes, digest } => Snapshot { digest, files, bytes },
        other => panic!("{other:?}"),
    }
}

fn new_store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    (dir, store)
}

/// The entries that hold the last name of a path.
fn parent<'t>(tree: &'t mut Node, path: &FilePath) -> (&'t mut BTreeMap<u8, Node>, u8) {
    let names: Vec<u8> = path.components().map(|name| name[0]).collect();
    let (last, above) = names.split_last().unwrap();
    let mut at = tree;
    for name in above {
        let Node::Directory(entries) = at else { panic!("{path} is not below a directory") };
        at = entries.get_mut(name).unwrap();
    }
    let Node::Directory(entries) = at else { panic!("{path} is not in a directory") };
    (entries, *last)
}

fn is_empty_or_leaf(node: &Node) -> bool {
    !matches!(node, Node::Directory(entries) if !entries.is_empty())
}

fn node_of(kind: &EntryKind) -> Node {
    match kind {
        EntryKind::File { size, executable, .. } => {
            Node::File { content: u8::try_from(*size).unwrap(), executable: *executable }
        }
        EntryKind::Symlink { target } => Node::Link(target[0]),
        EntryKind::Directory { .. } => Node::Directory(BTreeMap::new()),
    }
}

/// Carries out the changes: first what goes, the deepest first, then what comes.
fn apply(original: &Node, changes: &[Change]) -> Node {
    let mut tree = original.clone();
    let mut gone: Vec<_> = changes
        .iter()
        .filter_map(|change| match &change.kind {
            ChangeKind::Removed(_) => Some((&change.path, false)),
            ChangeKind::Renamed { from, .. } => Some((from, true)),
            ChangeKind::Added(_) | ChangeKind::Changed { .. } => None,
        })
        .collect();
    gone.sort();
    for (path, renamed) in gone.into_iter().rev() {
        let (entries, name) = parent(&mut tree, path);
        let node = entries.remove(&name).unwrap();
        assert!(renamed || is_empty_or_leaf(&node), "{path} was not empty");
    }
    for change in changes {
        let node = match &change.kind {
            ChangeKind::Removed(_) => continue,
            ChangeKind::Added(entry) => node_of(entry),
            ChangeKind::Changed { before, after } => {
                let (entries, name) = parent(&mut tree, &change.path);
                assert!(
                    is_empty_or_leaf(&entries[&name]) && node_of(before) == without_content(&entries[&name])
                );
                node_of(after)
            }
            ChangeKind::Renamed { from, entry } => {
                let names: Vec<u8> = from.components().map(|name| name[0]).collect();
                match (find(original, &names).unwrap(), node_of(entry)) {
                    (Node::Directory(entries), Node::Directory(_)) => Node::Directory(entries.clone()),
                    (_, moved) => moved,
                }
            }
        };
        let (entries, name) = parent(&mut tree, &change.path);
        let had = entries.insert(name, node);
        assert_eq!(had.is_some(), matches!(change.kind, ChangeKind::Changed { .. }), "{change:?}");
    }
    tree
}

fn without_content(node: &Node) -> Node {
    if let Node::Directory(_) = node { Node::Directory(BTreeMap::new()) } else { node.clone() }
}

fn find<'t>(tree: &'t Node, names: &[u8]) -> Option<&'t Node> {
    names.iter().try_fold(tree, |at, name| match at {
        Node::Directory(entries) => entries.get(name),
        _ => None,
    })
}

#[test]
fn the_changes_make_one_of_the_other() {
    let (_dir, store) = new_store();
    let config = ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() };
    let trees = (any_directory(), any_directory());
    let checked = TestRunner::new(config).run(&trees, |(old, new)| {
        let (before, after) = (root(&store, &old), root(&store, &new));
        for renames_max in [0, RENAMES_MAX] {
            let found = store.compare_within(&before.digest, &after.digest, usize::MAX, renames_max).unwrap();
            prop_assert_eq!(apply(&old, &found.changes), new.clone(), "{:?}", found.changes);
            prop_assert!(!found.more && found.changes.is_sorted_by(|a, b| in_order(a, b).is_lt()));
            prop_assert_eq!(found.changes.is_empty(), before == after);
            let Totals { added, removed, changed_before, changed_after, .. } = found.totals;
            prop_assert_eq!(before.files + added.files, after.files + removed.files);
            let bytes = [
                before.bytes + added.bytes + changed_after.bytes,
                after.bytes + removed.bytes + changed_before.bytes,
            ];
            prop_assert_eq!(bytes[0], bytes[1]);
            let few = store.compare_within(&before.digest, &after.digest, 2, renames_max).unwrap();
            prop_assert_eq!(few.totals, found.totals);
            prop_assert_eq!(&few.changes[..], &found.changes[..found.changes.len().min(2)]);
            prop_assert_eq!(few.more, found.changes.len() > 2);
        }
        Ok(())
    });
    checked.unwrap();
}

fn directory<const N: usize>(entries: [(u8, Node); N]) -> Node {
    Node::Directory(BTreeMap::from(entries))
}

const fn file(content: u8) -> Node {
    Node::File { content, executable: false }
}

/// Removes every object below the root that is not named.
fn keep_only(dir: &tempfile::TempDir, kept: &[Digest]) {
    for prefix in std::fs::read_dir(dir.path().join("store/objects")).unwrap() {
        for object in std::fs::read_dir(prefix.unwrap().path()).unwrap() {
            let object = object.unwrap();
            if !kept.iter().any(|kept| object.file_name() == *kept.to_string()) {
                std::fs::remove_file(object.path()).unwrap();
            }
        }
    }
}

#[test]
fn equal_snapshots_cost_one_read() {
    let (dir, store) = new_store();
    let tree = root(&store, &directory([(b'a', directory([(b'x', file(1))])), (b'b', file(2))]));
    keep_only(&dir, &[tree.digest]);
    let found = store.compare(&tree.digest, &tree.digest, 10).unwrap();
    assert_eq!(found, Comparison { renames: true, ..Comparison::default() });
}

#[test]
fn equal_and_renamed_directories_are_not_read() {
    let (dir, store) = new_store();
    let same = directory([(b'x', directory([(b'y', file(3))]))]);
    let moved = directory([(b'x', file(4)), (b'y', file(5))]);
    let old = root(&store, &directory([(b'a', same.clone()), (b'b', moved.clone()), (b'c', file(1))]));
    let new = root(&store, &directory([(b'a', same), (b'c', file(2)), (b'd', moved)]));
    keep_only(&dir, &[old.digest, new.digest]);
    let found = store.compare(&old.digest, &new.digest, 10).unwrap();
    let paths: Vec<_> = found.changes.iter().map(|change| change.path.to_string()).collect();
    assert_eq!(paths, ["c", "d"]);
    assert!(matches!(&found.changes[1].kind, ChangeKind::Renamed { from, .. } if from.as_bytes() == b"b"));
    assert_eq!(found.totals.renamed, Amount { files: 2, bytes: 9 });
}

#[test]
fn empty_files_are_not_renamed() {
    let (_dir, store) = new_store();
    let old = root(&store, &directory([(b'a', file(0)), (b'b', file(1))]));
    let new = root(&store, &directory([(b'c', file(0)), (b'd', file(1))]));
    let Totals { added, removed, renamed, .. } = store.compare(&old.digest, &new.digest, 10).unwrap().totals;
    assert_eq!([added.files, removed.files, renamed.files], [1, 1, 1]);
}
