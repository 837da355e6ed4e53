//! Archives that somebody made or changed to do harm, and places that are none.

use std::fs;
use std::path::{Path, PathBuf};

use aseptic_model::{Digest, to_canonical};

use crate::world::World;

/// A world with a small dataset, and the text of a place beside it.
fn world() -> (World, String) {
    let world = World::new();
    world.write("rows/1.csv", "1\n");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    let to = world.path("place").to_str().unwrap().to_owned();
    (world, to)
}

fn in_other_ledger(world: &World, arguments: &[&str]) -> String {
    let output = world.command(arguments).env("ASEPTIC_HOME", world.path("other")).output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    format!("{}{}", output.status.code().unwrap(), String::from_utf8(both).unwrap())
}

#[test]
fn an_archive_that_was_replaced_is_refused_whatever_it_says_it_is() {
    let (world, to) = world();
    world.ok(&["archive", "digits", &to]);
    fs::remove_dir_all(&to).unwrap();
    world.write("rows/1.csv", "poisoned\n");
    in_other_ledger(&world, &["dataset", "add", "rows", "--name", "digits"]);
    let archived = in_other_ledger(&world, &["archive", "digits", &to]);
    let manifest = archived.split("manifest ").nth(1).unwrap().trim();
    for arguments in [&["restore", &to][..], &["restore", &to, "--as", "copy"]] {
        let refused = world.run(arguments);
        assert!(refused.starts_with("exit: 4") && refused.contains("archive/other"), "{refused}");
    }
    assert!(!world.ok(&["dataset", "list"]).contains("copy"));
    let restored = world.ok(&["restore", &to, "--as", "copy", "--manifest", manifest]);
    assert!(restored.starts_with("restored copy@1"), "{restored}");
}

#[test]
fn what_is_no_regular_file_is_damage_and_nobody_waits_for_it() {
    let (world, to) = world();
    world.ok(&["archive", "digits", &to]);
    for file in files(Path::new(&to)) {
        let name = file.strip_prefix(&to).unwrap().to_str().unwrap();
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let fifo = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
        assert!(fifo.success());
        let refused = world.run(&["restore", &to]);
        assert!(refused.starts_with("exit: 4") && refused.contains("archive/damaged"), "{name}: {refused}");
        assert!(refused.contains(name) && refused.contains("no regular file"), "{name}: {refused}");
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
    }
    world.ok(&["restore", &to]);
}

/// Every file of an archive.
fn files(place: &Path) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![place.to_owned()]);
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { left.push(path) } else { found.push(path) }
        }
    }
    found
}

#[test]
fn a_place_is_apart_from_the_state_directory() {
    let (world, _) = world();
    std::os::unix::fs::symlink(world.path("state"), world.path("link")).unwrap();
    for place in ["state", "state/archiving/x", "state/projects/digits/y", "link/x", ""] {
        let to = world.path(place);
        let to = to.to_str().unwrap();
        for refused in [world.run(&["archive", "digits", to]), world.run(&["restore", to])] {
            assert!(refused.contains("archive/url") && refused.contains("apart"), "{place}: {refused}");
        }
    }
    world.ok(&["gc", "--now"]);
}

#[test]
fn what_a_killed_transfer_left_goes_with_a_collection() {
    let (world, _) = world();
    let left = world.path("state/archiving/1-0");
    fs::create_dir_all(left.join("store")).unwrap();
    fs::write(left.join("lock"), "").unwrap();
    fs::write(left.join("store/copy"), "copy").unwrap();
    // This one lives: its lock is held.
    let alive = world.path("state/archiving/2-0");
    fs::create_dir_all(&alive).unwrap();
    let lock = fs::File::create(alive.join("lock")).unwrap();
    lock.lock().unwrap();
    world.ok(&["gc"]);
    assert!(left.exists(), "nothing was asked to be deleted");
    world.ok(&["gc", "--now"]);
    assert!(!left.exists() && alive.exists());
}

/// Changes bytes of a file of an archive, and its list so that it says the same.
fn rewrite(to: &str, file: &Path, bytes: &[u8]) {
    fs::write(file, bytes).unwrap();
    let list = Path::new(to).join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&list).unwrap()).unwrap();
    let name = file.strip_prefix(to).unwrap().to_str().unwrap();
    let sum = serde_json::json!({ "blake3": Digest::of(bytes), "bytes": bytes.len() });
    manifest["contents"][name] = sum;
    fs::write(&list, to_canonical(&manifest).unwrap()).unwrap();
}

#[test]
fn an_archive_that_is_no_whole_store_is_damage_of_the_archive() {
    let (world, to) = world();
    for number in 0..60 {
        let text: String = (0..40 * number).map(|line| format!("{number},{line}\n")).collect();
        world.write(&format!("rows/{number}.csv"), text);
    }
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    world.ok(&["archive", "digits", &to]);
    let mut seen = 0;
    for file in files(Path::new(&to)) {
        let name = file.strip_prefix(&to).unwrap().to_str().unwrap();
        if !name.starts_with("packs/") && !name.starts_with("segments/") {
            continue;
        }
        let bytes = fs::read(&file).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2..][..64].iter_mut().for_each(|byte| *byte ^= 0x55);
        // Every object has a size that nobody could hold.
        let mut lying = bytes.clone();
        if name.starts_with("segments/") {
            let entries =
                52 + 16 * usize::try_from(u32::from_le_bytes(bytes[40..44].try_into().unwrap())).unwrap();
            for entry in lying[entries..].chunks_exact_mut(64) {
                entry[48..56].copy_from_slice(&(1_u64 << 40).to_le_bytes());
            }
        }
        for changed in [&bytes[..bytes.len() / 2], b"", &flipped, &lying] {
            if changed == bytes {
                continue;
            }
            rewrite(&to, &file, changed);
            let refused = in_other_ledger(&world, &["restore", &to]);
            assert!(refused.starts_with('4') && refused.contains("archive/damaged"), "{name}: {refused}");
            seen += 1;
        }
        rewrite(&to, &file, &bytes);
    }
    assert!(seen >= 7, "{seen}");
    assert!(in_other_ledger(&world, &["dataset", "list"]).contains("No datasets"));
    assert!(in_other_ledger(&world, &["restore", &to]).starts_with('0'));
}

#[test]
fn links_out_of_the_tree_are_refused_as_in_an_import() {
    let (world, to) = world();
    // The outputs of a run may have them, and a dataset may not: so the list calls the run a dataset.
    world.ok(&["run", "--no-code", "--", "sh", "-c", "ln -s ../../etc/passwd /out/x"]);
    let archived = world.json(&["archive", "run:latest", &to, "--json"]);
    assert_eq!(archived["new"], true);
    let list = Path::new(&to).join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&list).unwrap()).unwrap();
    manifest["object"] = "digits@7".into();
    fs::write(&list, to_canonical(&manifest).unwrap()).unwrap();
    for arguments in [&["restore", &to][..], &["restore", &to, "--as", "copy"]] {
        let refused = in_other_ledger(&world, arguments);
        assert!(refused.starts_with('2') && refused.contains("store/link-outside"), "{refused}");
        assert!(refused.contains("`out/x` points to `../../etc/passwd`"), "{refused}");
    }
    assert!(in_other_ledger(&world, &["dataset", "list"]).contains("No datasets"));
}

#[test]
fn several_that_archive_the_same_at_once_are_told_to_do_it_again() {
    let (world, to) = world();
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let (world, to) = (&world, &to);
        let all: Vec<_> =
            (0..4).map(|_| scope.spawn(move || world.run(&["archive", "digits", to]))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for output in outputs.iter().filter(|output| output.contains("archive/occupied")) {
        assert!(output.contains("run the command again"), "{output}");
    }
    let checked = world.ok(&["archive", "digits", &to]);
    assert!(checked.starts_with("checked digits@1"), "{checked}: {outputs:?}");
}
