//! Archives that somebody else changed, and places where none belongs.

use std::fs;
use std::process::{Command, Stdio};

use crate::world::World;

fn archived() -> (World, String) {
    let world = World::new();
    world.write("d/x", "as it was");
    world.ok(&["dataset", "add", "d", "--name", "d"]);
    let place = world.path("place").display().to_string();
    world.ok(&["archive", "d@1", &place]);
    (world, place)
}

fn refused(world: &World, words: &[&str], exit: u8, code: &str) {
    let said = world.run(words);
    assert!(
        said.starts_with(&format!("exit: {exit}\n")) && said.contains(&format!("code: {code}")),
        "{said}"
    );
}

#[test]
fn an_archive_that_was_replaced_is_not_restored_under_any_name() {
    let (world, place) = archived();
    let (other, theirs) = archived();
    other.write("d/x", "evil");
    other.ok(&["dataset", "add", "d", "--name", "d"]);
    fs::remove_dir_all(&theirs).unwrap();
    other.ok(&["archive", "d@2", &theirs]);
    fs::remove_dir_all(&place).unwrap();
    fs::rename(&theirs, &place).unwrap();
    refused(&world, &["restore", &place], 4, "archive/other");
    refused(&world, &["restore", &place, "--as", "e"], 4, "archive/other");
    let listed = world.json(&["dataset", "list", "--json"]);
    assert_eq!(listed["versions"].as_array().unwrap().len(), 1, "{listed:#}");
}

#[test]
fn what_is_no_regular_file_is_damage_and_does_not_wait() {
    let (world, place) = archived();
    for name in ["manifest.json", "format"] {
        let file = format!("{place}/{name}");
        fs::rename(&file, world.path("kept")).unwrap();
        assert!(Command::new("mkfifo").arg(&file).stdin(Stdio::null()).status().unwrap().success());
        refused(&world, &["restore", &place], 4, "archive/damaged");
        fs::rename(world.path("kept"), &file).unwrap();
    }
    world.ok(&["restore", &place]);
}

#[test]
fn the_state_is_no_place_for_an_archive() {
    let (world, _) = archived();
    for place in ["state/projects/ghost/store", "state", "state/new/one"] {
        let place = world.path(place).display().to_string();
        refused(&world, &["archive", "d", &place], 2, "archive/url");
        refused(&world, &["restore", &place], 2, "archive/url");
    }
    world.ok(&["gc", "--now"]);
}

#[test]
fn a_collection_removes_what_killed_archives_left() {
    let (world, _) = archived();
    let left = world.path("state/archiving/1-0");
    fs::create_dir_all(left.join("store")).unwrap();
    fs::write(left.join("store/copy"), "of something").unwrap();
    fs::write(left.join("lock"), "").unwrap();
    world.ok(&["gc", "--now"]);
    assert!(!left.exists());
}
