//! Resources of the machine, and of the user across all runs.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::inotify;
use rustix::process::{Resource, Rlimit};

use crate::attempt::{Attempt, Family};
use crate::sys::process;
use crate::{Said, Scene};

pub(super) const FAMILY: Family = Family {
    name: "resources",
    about: "resources of the machine, and of the user across all runs",
    attempts: &[
        Attempt::new("processes", "limit of processes", "start many processes", |_| {
            for started in 0..PROCESSES {
                if let Err(error) = process::fork_waiting() {
                    return Said::refused(format_args!("after {started}: {error}"));
                }
            }
            Said::reached(format_args!("started {PROCESSES}"))
        })
        .limits(&[("processes", "32")]),
        Attempt::new("wall-clock", "limit of wall-clock time", "go on after it was asked to end", |_| {
            process::ignore_end()?;
            let start = Instant::now();
            while start.elapsed() < LONG {
                std::thread::sleep(Duration::from_millis(20));
            }
            Said::reached(format_args!("alive after {} s", LONG.as_secs()))
        })
        .limits(&[("wall", "200ms"), ("grace", "100ms")])
        .may_be_killed(),
        Attempt::new("shared-memory", "size of /dev/shm", "fill /dev/shm", fill_shared_memory)
            .limits(&[("memory", "64MiB")])
            .accept(&["memory"])
            .may_be_killed(),
        Attempt::new("memory", "limit of memory", "use more memory than it may", |_| {
            let mut held = Vec::new();
            for mebibyte in 0..MEMORY {
                let mut block = Vec::new();
                if let Err(error) = block.try_reserve_exact(1 << 20) {
                    return Said::refused(format_args!("after {mebibyte} MiB: {error}"));
                }
                block.resize(1 << 20, 1_u8); // Touched, so that the kernel has to give it.
                held.push(block);
            }
            wait();
            let bytes: usize = held.iter().map(Vec::len).sum();
            Said::reached(format_args!("held {} MiB", bytes >> 20))
        })
        .limits(&[("memory", "64MiB")])
        .may_be_killed(),
        Attempt::new("open-files", "limit of open files", "open more files than it may", |_| {
            let mut open = Vec::new();
            for count in 0..FILES {
                match File::open("/dev/null") {
                    Ok(file) => open.push(file),
                    Err(error) => return Said::refused(format_args!("after {count}: {error}")),
                }
            }
            Said::reached(format_args!("opened {}", open.len()))
        })
        .limits(&[("files", "64")]),
        Attempt::new("scratch", "limit of scratch", "write more scratch than it may", |scene| {
            fill(&scene.place.tmp)
        })
        .limits(&[("scratch", "8MiB")])
        .may_be_killed(),
        Attempt::new("scratch-files", "limit of scratch files", "make more files than it may", |scene| {
            for count in 0..SCRATCH_FILES {
                if let Err(error) = File::create(scene.place.tmp.join(count.to_string())) {
                    return Said::refused(format_args!("after {count}: {error}"));
                }
            }
            wait();
            Said::reached(format_args!("made {SCRATCH_FILES}"))
        })
        .limits(&[("scratch-files", "100")])
        .may_be_killed(),
        Attempt::new("outputs", "limit of outputs", "write more results than it may", |scene| {
            fill(&scene.place.out)
        })
        .limits(&[("outputs", "8MiB")])
        .may_be_killed(),
        Attempt::new("watches", "limit of file watches", "use up the file watches of the user", |_| {
            let mut made = Vec::new();
            for count in 0..WATCHERS {
                match inotify::init(inotify::CreateFlags::CLOEXEC) {
                    Ok(watcher) => made.push(watcher),
                    Err(error) => return Said::refused(format_args!("after {count}: {error}")),
                }
            }
            Said::reached(format_args!("made {WATCHERS}"))
        }),
        Attempt::new("signals", "limit of queued signals", "use up the signals of the user", |_| {
            match process::queue_signals(SIGNALS)? {
                SIGNALS => Said::reached(format_args!("queued {SIGNALS}")),
                fewer => Said::refused(format_args!("after {fewer}")),
            }
        }),
        Attempt::new(
            "core-dumps",
            "no core dumps",
            "allow core dumps, which leave memory on the disk",
            |_| {
                let one = 1 << 20;
                let most = rustix::process::getrlimit(Resource::Core).maximum;
                rustix::process::setrlimit(
                    Resource::Core,
                    Rlimit { current: Some(one), maximum: most.map(|most| most.max(one)) },
                )?;
                Said::reached("allowed them")
            },
        ),
    ],
};

/// More than a limit of 32 lets start on any kernel: some count to within 300.
const PROCESSES: u32 = 600;

/// Ten times as long as the limit, for a machine under load.
const LONG: Duration = Duration::from_secs(3);

/// More than a run may have, and fewer than the 128 of a user.
const WATCHERS: u32 = 24;

/// More than a run may have.
const SIGNALS: u32 = 5_000;

const MEBIBYTES: usize = 80;

const MEMORY: usize = 192;

const FILES: usize = 256;

const SCRATCH_FILES: u32 = 1_000;

/// Long enough for who looks at a run every now and then.
fn wait() {
    std::thread::sleep(LONG);
}

/// Writes more than any limit here allows, and keeps it.
fn fill(directory: &Path) -> io::Result<Said> {
    let said = write(directory)?;
    if matches!(said, Said::Reached(_)) {
        wait();
    }
    Ok(said)
}

fn fill_shared_memory(scene: &Scene) -> io::Result<Said> {
    write(&scene.place.shm)
}

fn write(directory: &Path) -> io::Result<Said> {
    let mut file = File::create(directory.join("large"))?;
    let block = vec![0; 1 << 20];
    for written in 0..MEBIBYTES {
        if let Err(error) = file.write_all(&block) {
            return Said::refused(format_args!("after {written} MiB: {error}"));
        }
    }
    Said::reached(format_args!("wrote {MEBIBYTES} MiB"))
}
