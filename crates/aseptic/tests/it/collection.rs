//! Collections killed, beside others that import and run, and on a full disk.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::world::World;

/// A small generator with a seed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// A number from the environment, for runs that take longer.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Files of which some are in every version and some are new, and how many so that they go into packs.
fn files(world: &World, name: &str, random: &mut Random) {
    let _ = std::fs::remove_dir_all(world.path("project").join(name));
    for number in 0..50 {
        let content = if number < 25 { random.next(60) } else { random.next(1 << 40) };
        world.write(&format!("{name}/{}/{number}", number % 4), content.to_string().repeat(200));
    }
    world.write(&format!("{name}/large"), random.next(1 << 40).to_string().repeat(60_000));
}

fn add(world: &World, name: &str) -> u64 {
    let added = world.json(&["dataset", "add", name, "--name", name, "--json"]);
    added["versions"][0]["version"].as_u64().unwrap()
}

/// What holds after all that happened.
fn assert_whole(world: &World, versions: &BTreeSet<String>) {
    for version in versions {
        world.ok(&["dataset", "verify", version]);
    }
    world.ok(&["ledger", "verify"]);
    let dump = world.ok(&["catalog", "dump"]);
    world.ok(&["catalog", "rebuild"]);
    assert_eq!(world.ok(&["catalog", "dump"]), dump);
}

#[test]
fn killed_at_any_point_nothing_is_lost_and_the_next_finishes() {
    let world = World::new();
    let kills = number("ASEPTIC_TEST_KILLS", 12);
    let mut random = Random(number("ASEPTIC_TEST_SEED", 0x5eed));
    let mut kept = BTreeSet::new();
    for name in ["keep", "junk"] {
        files(&world, name, &mut random);
        add(&world, name);
    }
    kept.insert("keep@1".to_owned());
    world.ok(&["run", "--quiet", "--data", "d=keep", "--", "cp", "-r", "/data/d/1", "/out/"]);
    world.ok(&["retention", "set", "junk", "0d"]);
    let begun = Instant::now();
    world.ok(&["gc", "--now"]);
    let took = u64::try_from(begun.elapsed().as_micros()).unwrap();
    for kill in 0..kills {
        files(&world, "junk", &mut random);
        let junk = format!("junk@{}", add(&world, "junk"));
        if kill % 4 == 0 {
            files(&world, "keep", &mut random);
            kept.insert(format!("keep@{}", add(&world, "keep")));
        }
        world.ok(&["retention", "set", &junk, "0d"]);
        let mut command = world.command(&["gc", "--now", "--quiet"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(random.next(took * 5 / 4))); // Where it dies is the point.
        let _ = child.kill();
        child.wait().unwrap();
        let some = kept.iter().nth(usize::try_from(random.next(kept.len() as u64)).unwrap()).unwrap();
        world.ok(&["dataset", "verify", some]);
    }
    assert_whole(&world, &kept);
    world.ok(&["export", "latest/out", "--to", "there"]);
    world.ok(&["gc", "--now"]);
    assert_whole(&world, &kept);
    let again = world.json(&["gc", "--json"]);
    let row = &again["projects"][0];
    assert_eq!((&row["objects"], &row["views"]), (&0.into(), &0.into()), "{again:#}");
    assert_eq!(std::fs::read_dir(world.path("state/projects/default/store/tmp")).unwrap().count(), 0);
}

#[test]
fn two_that_import_run_and_collect_at_once() {
    let world = World::new();
    let until = Instant::now() + Duration::from_secs(number("ASEPTIC_TEST_SECONDS", 4));
    let kept = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for (name, seed) in [("one", 1), ("two", 2)] {
            let (world, kept) = (&world, &kept);
            scope.spawn(move || {
                let mut random = Random(number("ASEPTIC_TEST_SEED", 0x5eed) + seed);
                let mut own = Vec::new();
                while Instant::now() < until {
                    files(world, name, &mut random);
                    own.push(format!("{name}@{}", add(world, name)));
                    let data = format!("d={name}");
                    let script = "cp -r /data/d/2 /out/; echo said";
                    let run = ["run", "--quiet", "--no-code", "--data", &data, "--", "sh", "-c", script];
                    assert_eq!(world.ok(&run), "said\n");
                    if own.len() > 2 {
                        let at = usize::try_from(random.next(own.len() as u64)).unwrap();
                        world.ok(&["retention", "set", &own.swap_remove(at), "0d"]);
                    }
                    world.ok(&["gc", "--now"]);
                }
                kept.lock().unwrap().extend(own);
            });
        }
    });
    let kept = kept.into_inner().unwrap();
    assert!(kept.len() >= 2, "{kept:?}");
    world.ok(&["gc", "--now"]);
    assert_whole(&world, &kept);
    let runs = world.json(&["runs", "--json", "--limit", "10000"]);
    for (number, run) in runs["runs"].as_array().unwrap().iter().enumerate() {
        let run = run["run"].as_str().unwrap();
        assert_eq!(world.ok(&["logs", run]), "said\n");
        world.ok(&["export", &format!("{run}/out"), "--to", &format!("there-{number}")]);
    }
}

#[test]
fn on_a_full_disk_nothing_is_lost_and_space_comes_free() {
    let world = World::new();
    for number in 0..100 {
        world.write(&format!("dead/{number}"), format!("dead {number}").repeat(1000));
        world.write(&format!("kept/{number}"), format!("kept {number}").repeat(1000));
    }
    world.write("dead/large", vec![7; 3 << 20]);
    std::fs::create_dir(world.path("project/both")).unwrap();
    for name in ["dead", "kept"] {
        std::fs::rename(world.path("project").join(name), world.path("project/both").join(name)).unwrap();
    }
    // One import, so that what is dead and what is kept are in one pack; then the part that is kept alone.
    let script = r#"
        mount -t tmpfs -o size=16m tmpfs "$ASEPTIC_HOME"
        "$ASEPTIC" dataset add both --name both
        "$ASEPTIC" dataset add both/kept --name kept
        "$ASEPTIC" retention set both 0d
        dd if=/dev/zero of="$ASEPTIC_HOME/fill" bs=64k 2> /dev/null || true
        if "$ASEPTIC" gc --now; then echo "it wrote to a full disk"; exit 1; fi
        "$ASEPTIC" dataset verify kept
        "$ASEPTIC" dataset verify both
        truncate -s -512k "$ASEPTIC_HOME/fill"
        "$ASEPTIC" gc --now
        "$ASEPTIC" dataset verify kept
        "$ASEPTIC" ledger verify
        test "$(df --output=avail -B 1 "$ASEPTIC_HOME" | tail -1)" -gt 3000000
    "#;
    let aseptic = world.command::<&str>(&[]);
    std::fs::create_dir(world.path("state")).unwrap();
    let mut shell = Command::new("unshare");
    shell.args(["-Urm", "sh", "-euc", script]).env("ASEPTIC", aseptic.get_program());
    shell.envs(aseptic.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.current_dir(world.path("project")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
