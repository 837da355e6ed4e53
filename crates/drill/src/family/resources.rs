//! Resources of the machine, and of the user across all runs.

use std::fs::File;
use std::io::{self, Write};
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

fn fill_shared_memory(scene: &Scene) -> io::Result<Said> {
    let mut file = File::create(scene.place.shm.join("large"))?;
    let block = vec![0; 1 << 20];
    for written in 0..MEBIBYTES {
        if let Err(error) = file.write_all(&block) {
            return Said::refused(format_args!("after {written} MiB: {error}"));
        }
    }
    Said::reached(format_args!("wrote {MEBIBYTES} MiB"))
}
