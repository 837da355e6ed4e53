//! Inputs by overlay: no jail notices another one, and opened files are known.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aseptic_sandbox::{Access, Ended, Jail, Mount, Open, Opened, Running, Upper};

use crate::support::{Pipes, Place, With, prepared, python, run, shell};

/// How a jail gets the directory `data`.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Bind,
    Overlay,
}

fn given(jail: Jail, data: &Path, by: By) -> Jail {
    match by {
        By::Bind => jail.bind(data, "/data", Access::Read),
        By::Overlay => jail.overlay(data, "/data"),
    }
}

fn held(script: &str, data: &Path, by: By) -> (Running, Pipes) {
    let (prepared, mut pipes) = prepared(&given(python(script), data, by));
    let running = prepared.start();
    assert_eq!(pipes.read_line(), "ready");
    (running, pipes)
}

#[test]
fn a_lock_of_one_jail_is_not_seen_by_another() {
    let place = Place::new();
    place.file("data/file", "text");
    let lock = "import fcntl, sys
file = open('/data/file')
fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print('ready', flush=True)
sys.stdin.read()";
    for (by, other) in [(By::Bind, Ended::Exited(1)), (By::Overlay, Ended::Exited(0))] {
        let (mut first, mut pipes) = held(lock, &place.path("data"), by);
        let second = run(&given(python(lock), &place.path("data"), by));
        assert_eq!(second.ended, other, "{second:?}");
        pipes.read_all();
        assert_eq!(first.wait(), Ended::Exited(0));
    }
}

#[test]
fn what_one_jail_opens_is_not_seen_by_another() {
    let place = Place::new();
    place.file("data/file", "text");
    // Watches until the input ends, then says what it saw.
    let watch = "import ctypes, os, select, sys
libc = ctypes.CDLL(None)
watch = libc.inotify_init1(os.O_NONBLOCK)
assert libc.inotify_add_watch(watch, b'/data', 0x20) == 1
print('ready', flush=True)
sys.stdin.read()
print('saw' if select.select([watch], [], [], 0)[0] else 'nothing', flush=True)";
    for (by, seen) in [(By::Bind, "saw"), (By::Overlay, "nothing")] {
        let (mut first, mut pipes) = held(watch, &place.path("data"), by);
        run(&given(shell("cat /data/file"), &place.path("data"), by)).assert(Ended::Exited(0), "text");
        assert_eq!(pipes.read_all().0.trim_end(), seen);
        assert_eq!(first.wait(), Ended::Exited(0));
    }
}

#[test]
fn layers_are_merged_the_topmost_first() {
    let place = Place::new();
    place.file("new/file", "new");
    place.file("old/file", "old");
    place.file("old/other", "other");
    let mount = Mount::Overlay {
        lower: vec![place.path("new"), place.path("old")],
        upper: None,
        target: "/data".into(),
        access: Access::Read,
    };
    run(&shell("cat /data/file /data/other").with(mount)).assert(Ended::Exited(0), "newother");
}

#[test]
fn changes_go_to_the_upper_layer_and_nowhere_else() {
    use std::os::unix::fs::FileTypeExt;
    let place = Place::new();
    let data = place.directory("data");
    for name in ["changed", "removed", "kept"] {
        place.file(&format!("data/{name}"), "as it was");
    }
    let script = "cd /data; echo more >> changed; rm removed; echo new > new; mkdir -p sub/dir; cat kept; ls";
    let Upper { changes, work } = place.upper();
    let upper = Upper { changes: changes.clone(), work };
    run(&shell(script).writable_overlay(&data, upper, "/data"))
        .assert(Ended::Exited(0), "as it waschanged\nkept\nnew\nsub");
    let mut names: Vec<_> =
        std::fs::read_dir(&changes).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["changed", "new", "removed", "sub"]);
    let removed = std::fs::symlink_metadata(changes.join("removed")).unwrap();
    assert!(removed.file_type().is_char_device(), "no whiteout");
    assert_eq!(std::fs::read_to_string(changes.join("changed")).unwrap(), "as it wasmore\n");
    for name in ["changed", "removed", "kept"] {
        assert_eq!(std::fs::read_to_string(data.join(name)).unwrap(), "as it was", "{name}");
    }
}

fn drain(opened: &mut Opened) -> Vec<(usize, Vec<u8>)> {
    let mut found = Vec::new();
    let result = opened.drain(|open| match open {
        Open::File { directory, name } => found.push((directory, name.to_vec())),
        Open::Lost => found.push((usize::MAX, b"lost".to_vec())),
    });
    result.unwrap();
    found.sort();
    found.dedup();
    found
}

#[test]
fn exactly_the_files_that_this_jail_opened_are_reported() {
    let place = Place::new();
    let strange = OsStr::from_bytes(b"a\nname \xff'");
    for path in ["data/one", "data/two", "data/sub/three"] {
        place.file(path, "text");
    }
    std::fs::write(place.path("data").join(strange), "text").unwrap();
    let script =
        "cat /data/one /data/a* /data/sub/three >/tmp/all; stat /data/two >/tmp/all; ls /data >/tmp/all";
    let mut jail = shell(script).overlay(&place.path("data"), "/data");
    jail.watched = vec!["/data".into(), "/data/sub".into()];
    let (prepared, mut pipes) = prepared(&jail);
    // Others open the same files: another jail, and the host.
    run(&shell("cat /data/two").overlay(&place.path("data"), "/data")).assert(Ended::Exited(0), "text");
    std::fs::read(place.path("data/two")).unwrap();
    let mut running = prepared.start();
    pipes.read_all();
    assert_eq!(running.wait(), Ended::Exited(0));
    let expected = vec![(0, strange.as_bytes().to_vec()), (0, b"one".to_vec()), (1, b"three".to_vec())];
    assert_eq!(drain(&mut running.opened), expected);
}

#[test]
fn a_directory_that_is_watched_twice_is_an_error() {
    let place = Place::new();
    let mut jail = shell("true").overlay(&place.directory("data"), "/data");
    jail.watched = vec!["/data".into(), "/data".into()];
    let error = aseptic_sandbox::prepare(&jail, crate::support::pipes().0, &[]).unwrap_err();
    assert_eq!(crate::support::explain(&error), "could not watch `/data`: File exists (os error 17)");
}

#[test]
fn an_overflow_is_reported_as_lost() {
    let place = Place::new();
    place.file("data/one", "text");
    place.file("data/two", "text");
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: u32 = limit.trim().parse().unwrap();
    // Two names in turn: the kernel merges an event with an equal one before it.
    let script = format!(
        "import os
for _ in range({limit} // 2 + 100):
    for name in '/data/one', '/data/two': os.close(os.open(name, os.O_RDONLY))"
    );
    let mut jail = python(&script).overlay(&place.path("data"), "/data");
    jail.watched = vec!["/data".into()];
    let (prepared, _pipes) = prepared(&jail);
    let mut running = prepared.start();
    assert_eq!(running.wait(), Ended::Exited(0));
    let found = drain(&mut running.opened);
    assert_eq!(found.last(), Some(&(usize::MAX, b"lost".to_vec())));
}

#[test]
fn a_jail_that_watches_nothing_has_opened_nothing() {
    let (prepared, mut pipes) = prepared(&shell("true"));
    let mut running = prepared.start();
    pipes.read_all();
    running.wait();
    assert_eq!(drain(&mut running.opened), vec![]);
}
