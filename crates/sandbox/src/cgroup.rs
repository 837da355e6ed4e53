//! Control groups of jails: made, limited, read and removed by the supervisor.
//!
//! **Invariant:** only groups that this module made are written to, with one exception: a supervisor that
//! is alone in its own group moves into a group below it, so that the kernel lets that group have
//! controllers, and back at the end.
//! **Invariant:** a group is removed when its jail is gone; [`remove_group`] does it for a supervisor that
//! was killed.

mod find;
mod read;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags};

pub(crate) use find::{Controller, Place, Places, Ready, Version, places};
pub(crate) use read::{Memory, Processor};

/// Beginning of the name of every group of ours.
const PREFIX: &str = "aseptic-";

/// Ending of the name of the group that a supervisor moves into.
const SUPERVISOR: &str = ".supervisor";

/// Period of processor quotas, the kernel's default, in microseconds.
const PERIOD_US: u64 = 100_000;

/// How long the end of a process may take to reach its group.
const EMPTY_WAIT: Duration = Duration::from_secs(2);

/// What a group limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) memory: Option<u64>,
    pub(crate) cpus: Option<u32>,
    pub(crate) tasks: Option<u32>,
}

/// The groups of one jail, one for each hierarchy that is needed. Removed when dropped.
#[derive(Debug)]
pub(crate) struct Group {
    /// With the controllers that are used in it.
    directories: Vec<(PathBuf, Version)>,
    pub(crate) memory: Option<Memory>,
    pub(crate) processor: Option<Processor>,
    moved: Option<Moved>,
}

/// Descriptors through which a process gets into a group. Opened by the supervisor, whose right it is.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    /// The directory of the group of version 2: the kernel starts a process in it.
    pub(crate) v2: Option<OwnedFd>,
    /// The `tasks` file of each group of version 1. A thread that writes its own zero to it moves without
    /// the lock that moving a whole process takes, which costs milliseconds.
    pub(crate) v1: Vec<OwnedFd>,
}

impl Group {
    /// Makes the groups that `bounds` needs and sets their limits; nothing when it needs none. A bound whose
    /// controller has no place is the caller's mistake and an error.
    pub(crate) fn make(name: &str, bounds: Bounds, places: &Places) -> io::Result<Option<Self>> {
        let mut group = Self { directories: Vec::new(), memory: None, processor: None, moved: None };
        let wanted = [
            (Controller::Memory, bounds.memory.is_some()),
            (Controller::Cpu, bounds.cpus.is_some()),
            (Controller::Pids, bounds.tasks.is_some()),
        ];
        for (controller, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
            let place = places.of(controller).map_err(io::Error::other)?;
            let directory = group.directory(name, place)?;
            match (controller, place.version) {
                (Controller::Memory, version) => {
                    group.memory = Some(limit_memory(&directory, version, bounds.memory.unwrap_or(0))?);
                }
                (Controller::Cpu, version) => {
                    limit_processors(&directory, version, bounds.cpus.unwrap_or(1))?
                }
                (Controller::Pids, _) => {
                    // The jail's first process counts, too.
                    let tasks = u64::from(bounds.tasks.unwrap_or(0)) + 1;
                    write(&directory, "pids.max", &tasks.to_string())?;
                }
            }
            if place.version == Version::V2 {
                group.processor = Some(Processor::new(&directory));
            }
        }
        Ok((!group.directories.is_empty()).then_some(group))
    }

    /// The group below `place`, made if this is the first controller in it.
    fn directory(&mut self, name: &str, place: &Place) -> io::Result<PathBuf> {
        match place.ready {
            Ready::Yes => {}
            Ready::Enable => enable(&place.parent),
            Ready::MoveAndEnable if self.moved.is_some() => {}
            Ready::MoveAndEnable => self.moved = Some(Moved::into(&place.parent, name)?),
        }
        let directory = place.parent.join(format!("{PREFIX}{name}"));
        if !self.directories.iter().any(|(made, _)| *made == directory) {
            match fs::create_dir(&directory) {
                // A group of a killed run of the same name: nobody is in it, or it stays.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    fs::remove_dir(&directory)?;
                    fs::create_dir(&directory)?;
                }
                made => made?,
            }
            self.directories.push((directory.clone(), place.version));
        }
        Ok(directory)
    }

    pub(crate) fn doors(&self) -> io::Result<Doors> {
        let mut doors = Doors::default();
        for (directory, version) in &self.directories {
            match version {
                Version::V2 => {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    doors.v2 = Some(rustix::fs::openat(CWD, directory, flags, Mode::empty())?);
                }
                Version::V1 => {
                    let file = fs::File::options().write(true).open(directory.join("tasks"))?;
                    doors.v1.push(file.into());
                }
            }
        }
        Ok(doors)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for (directory, _) in &self.directories {
            let _ = remove(directory); // What is left is removed with the run that left it.
        }
    }
}

/// Ends what is in the group, which should be nothing, and removes it.
fn remove(directory: &Path) -> io::Result<()> {
    let deadline = Instant::now() + EMPTY_WAIT;
    let _ = write(directory, "cgroup.kill", "1"); // Version 2, from Linux 5.14.
    loop {
        match fs::remove_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
    }
}

/// Removes what is left of the control groups of the jail `name`, whose supervisor was killed: wherever
/// this process sees a group of that name. What is still in one is killed, where the kernel offers that.
///
/// Blocks until the groups are empty, two seconds at most.
///
/// # Errors
/// The host's, of the last group that could not be removed.
pub fn remove_group(name: &str) -> io::Result<()> {
    let names = [format!("{PREFIX}{name}"), format!("{PREFIX}{name}{SUPERVISOR}")];
    let mut result = Ok(());
    for root in find::roots() {
        let mut open = vec![root];
        while let Some(directory) = open.pop() {
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                if entry.file_name().to_str().is_some_and(|found| names.iter().any(|name| name == found)) {
                    if let Err(error) = remove(&entry.path()) {
                        result = Err(error);
                    }
                } else {
                    open.push(entry.path());
                }
            }
        }
    }
    result
}

fn limit_memory(directory: &Path, version: Version, bytes: u64) -> io::Result<Memory> {
    let bytes = bytes.to_string();
    match version {
        Version::V2 => {
            write(directory, "memory.max", &bytes)?;
            if_there(write(directory, "memory.swap.max", "0"))?;
            // A job that lost one process would go on with the half of it.
            if_there(write(directory, "memory.oom.group", "1"))?;
        }
        Version::V1 => {
            write(directory, "memory.limit_in_bytes", &bytes)?;
            // Memory and swap together; without swap accounting, no swap as far as the kernel can help it.
            let swap = write(directory, "memory.memsw.limit_in_bytes", &bytes);
            match swap {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if_there(write(directory, "memory.swappiness", "0"))?;
                }
                other => other?,
            }
        }
    }
    Ok(Memory::new(directory, version))
}

fn limit_processors(directory: &Path, version: Version, cpus: u32) -> io::Result<()> {
    let quota = u64::from(cpus) * PERIOD_US;
    match version {
        Version::V2 => write(directory, "cpu.max", &format!("{quota} {PERIOD_US}")),
        Version::V1 => {
            write(directory, "cpu.cfs_period_us", &PERIOD_US.to_string())?;
            match write(directory, "cpu.cfs_quota_us", &quota.to_string()) {
                // Refused where a group above has less already, which then is the limit.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput && has_less(directory, cpus) => {
                    Ok(())
                }
                other => other,
            }
        }
    }
}

/// Whether a group above of version 1 has a quota below this many processors.
fn has_less(directory: &Path, cpus: u32) -> bool {
    let number = |directory: &Path, name| -> Option<u64> {
        fs::read_to_string(directory.join(name)).ok()?.trim().parse().ok()
    };
    directory.ancestors().skip(1).any(|above| {
        let quota = number(above, "cpu.cfs_quota_us"); // Minus one, none, does not parse.
        let period = number(above, "cpu.cfs_period_us");
        quota.zip(period).is_some_and(|(quota, period)| quota < u64::from(cpus) * period)
    })
}

fn if_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Lets the children of a group have every controller that it has. Whether one is missing shows when a limit
/// is set.
fn enable(group: &Path) {
    for controller in Controller::ALL {
        let _ = write(group, "cgroup.subtree_control", &format!("+{}", controller.name()));
    }
}

/// Writes one setting; never makes a file, whatever file system this is.
fn write(directory: &Path, name: &str, value: &str) -> io::Result<()> {
    let file = fs::File::options().write(true).open(directory.join(name))?;
    rustix::io::write(&file, value.as_bytes())?;
    Ok(())
}

/// A supervisor that left its own group of version 2 for one below it, because the kernel gives the
/// children of a group controllers only when no process is in the group itself. Undone when dropped.
#[derive(Debug)]
struct Moved {
    own: PathBuf,
    below: PathBuf,
}

impl Moved {
    fn into(own: &Path, name: &str) -> io::Result<Self> {
        let below = own.join(format!("{PREFIX}{name}{SUPERVISOR}"));
        fs::create_dir(&below)?;
        let moved = Self { own: own.to_owned(), below };
        write(&moved.below, "cgroup.procs", "0")?;
        enable(own);
        Ok(moved)
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        // Another jail of this process may still need what was enabled; then the last one undoes it, or the
        // end of the scope does.
        let entries = fs::read_dir(&self.own).into_iter().flatten().flatten();
        let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        if groups.filter(|entry| entry.path() != self.below).count() > 0 {
            return;
        }
        for controller in Controller::ALL {
            let _ = write(&self.own, "cgroup.subtree_control", &format!("-{}", controller.name()));
        }
        let _ = write(&self.own, "cgroup.procs", "0");
        let _ = fs::remove_dir(&self.below); // Not `remove`, which kills what is in it.
    }
}
