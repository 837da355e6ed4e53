//! Another key for the ledger, and verifying from a kept checkpoint on.

use std::fs;

use crate::world::World;

/// A ledger with an entry, and its checkpoint kept as `kept` in the project.
fn world() -> World {
    let world = World::new();
    world.write("data/a", "1");
    world.ok(&["dataset", "add", "data", "--name", "digits"]);
    fs::copy(world.path("state/ledger/checkpoint"), world.path("project/kept")).unwrap();
    world
}

#[test]
fn a_ledger_is_handed_over_and_still_proven_from_its_first_key() {
    let world = world();
    let before = fs::read_to_string(world.path("state/ledger/verifier")).unwrap();
    let rotated = world.json(&["ledger", "rotate-key", "--reason", "the laptop was stolen", "--json"]);
    let after = fs::read_to_string(world.path("state/ledger/verifier")).unwrap();
    assert_eq!(rotated["schema"], "aseptic.ledger-rotate-key/1");
    let name = |key: &str| rotated[key].as_str().unwrap().to_owned() + "\n";
    assert_eq!((before.clone(), after.clone()), (name("before"), name("before") + &name("after")));

    world.ok(&["dataset", "label", "digits", "secret"]);
    let verified = world.json(&["ledger", "verify", "--checkpoint", "kept", "--json"]);
    assert_eq!(verified["keys"].as_array().unwrap().len(), 2);
    let text = world.ok(&["ledger", "verify", "--checkpoint", "kept"]);
    assert!(text.contains("led to it by 1 handover"), "{text}");
    let shown = world.ok(&["ledger", "show"]);
    assert!(shown.contains("ledger.key-rotated"), "{shown}");

    // The key before opens nothing any more.
    let key = world.path("state/ledger/key");
    let seed = fs::read_to_string(&key).unwrap();
    let id = after.lines().nth(1).unwrap().split('+').nth(1).unwrap();
    assert!(seed.contains(id) && !world.path("state/ledger/key.next").exists());
}

#[test]
fn what_came_after_a_checkpoint_is_verified() {
    let world = world();
    world.ok(&["dataset", "label", "digits", "secret"]);
    world.ok(&["ledger", "verify", "--since", "kept"]);
    let verified = world.json(&["ledger", "verify", "--since", "kept", "--json"]);
    assert_eq!((&verified["entries"], &verified["kept_checkpoint_entries"]), (&2.into(), &1.into()));
    assert!(verified["not_proven"].as_str().unwrap().contains("without --since"));

    // A twin: a checkpoint of another ledger is refused.
    let other = self::world();
    fs::copy(other.path("project/kept"), world.path("project/other")).unwrap();
    let refused = world.run(&["ledger", "verify", "--since", "other"]);
    assert!(refused.contains("exit: 4") && refused.contains("ledger/key"), "{refused}");
}
