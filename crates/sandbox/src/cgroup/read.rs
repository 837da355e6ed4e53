//! What the kernel counted in a control group.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Version;

/// The memory of a group.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    directory: PathBuf,
    version: Version,
}

/// What the out-of-memory killer did in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Killed {
    /// Processes of the group that it killed, for whatever reason.
    pub(crate) processes: u64,
    /// The group was at its own limit at some time.
    pub(crate) at_limit: bool,
}

/// Twice what one processor takes from a group in advance: 64 pages of 4 KiB.
const BATCH: u64 = 512 << 10;

impl Memory {
    pub(super) fn new(directory: &Path, version: Version) -> Self {
        Self { directory: directory.to_owned(), version }
    }

    /// Nothing when the group is gone.
    pub(crate) fn killed(&self) -> Option<Killed> {
        let read = |name: &str| fs::read_to_string(self.directory.join(name)).ok();
        Some(match self.version {
            Version::V2 => {
                let events = read("memory.events")?;
                Killed { processes: field(&events, "oom_kill")?, at_limit: field(&events, "oom") > Some(0) }
            }
            Version::V1 => Killed {
                processes: field(&read("memory.oom_control")?, "oom_kill")?,
                // `memory.failcnt` counts nothing on newer kernels, and the kernel takes pages in batches.
                at_limit: self.peak()?.saturating_add(BATCH)
                    >= read("memory.limit_in_bytes")?.trim().parse().ok()?,
            },
        })
    }

    /// The most bytes at once, page cache included; Linux 5.19 for version 2.
    pub(crate) fn peak(&self) -> Option<u64> {
        let name = match self.version {
            Version::V2 => "memory.peak",
            Version::V1 => "memory.max_usage_in_bytes",
        };
        fs::read_to_string(self.directory.join(name)).ok()?.trim().parse().ok()
    }

    /// Bytes of its processes now, without the page cache.
    pub(crate) fn now(&self) -> Option<u64> {
        let stat = fs::read_to_string(self.directory.join("memory.stat")).ok()?;
        let [private, shared] = match self.version {
            Version::V2 => ["anon", "shmem"],
            Version::V1 => ["total_rss", "total_shmem"],
        };
        Some(field(&stat, private)? + field(&stat, shared).unwrap_or(0))
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }
}

/// The processor time of a group of version 2, which every one has.
#[derive(Clone, Debug)]
pub(crate) struct Processor(PathBuf);

impl Processor {
    pub(super) fn new(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// User and system time.
    pub(crate) fn times(&self) -> Option<(Duration, Duration)> {
        let stat = fs::read_to_string(self.0.join("cpu.stat")).ok()?;
        let time = |name| field(&stat, name).map(Duration::from_micros);
        Some((time("user_usec")?, time("system_usec")?))
    }
}

/// The number after `name` in lines of a name and a number each.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let events = "low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n";
        assert_eq!(
            (field(events, "oom"), field(events, "oom_kill"), field(events, "oo")),
            (Some(1), Some(3), None)
        );
    }

    #[test]
    fn both_versions_tell_the_limit_from_the_host() {
        let place = tempfile::tempdir().unwrap();
        let killed = |version| Memory::new(place.path(), version).killed();
        assert_eq!(killed(Version::V2), None, "the group is gone");
        fs::write(place.path().join("memory.events"), "max 9\noom 0\noom_kill 1\noom_group_kill 0\n")
            .unwrap();
        assert_eq!(killed(Version::V2), Some(Killed { processes: 1, at_limit: false }));
        fs::write(place.path().join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
            .unwrap();
        fs::write(place.path().join("memory.limit_in_bytes"), "67108864\n").unwrap();
        for (peak, at_limit) in [("67104768\n", true), ("33554432\n", false)] {
            fs::write(place.path().join("memory.max_usage_in_bytes"), peak).unwrap();
            assert_eq!(killed(Version::V1), Some(Killed { processes: 2, at_limit }));
        }
    }
}
