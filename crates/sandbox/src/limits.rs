//! What bounds each limit of a jail on this host: by the kernel and for all processes together where a
//! control group can be had, otherwise by what there is, and it says so.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use rustix::process::Resource;
use rustix::thread::CpuSet;

use crate::cgroup::{Bounds, Controller, Places, Version, places};
use crate::error::PrepareError;
use crate::jail::Limits;
use crate::tasks::{self, RESERVED_PIDS, TaskLimit};

/// A number of tasks below which being exact to within [`RESERVED_PIDS`] is not good enough: it would be
/// more than a tenth.
const EXACT_BELOW: u32 = RESERVED_PIDS * 10;

/// How well a limit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// The kernel does not let a job go over it.
    Hard,
    /// A job that tries can go over it, for a while or a little.
    Soft,
    /// Nothing on this host enforces it.
    None,
}

/// What enforces one limit on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enforcement {
    /// The limit, by its key in the spec: `memory`, `cpus`, `processes`, `files` or `file-bytes`.
    pub limit: &'static str,
    /// How well.
    pub strength: Strength,
    /// By what, or why by nothing.
    pub by: String,
    /// Why not by something stronger, if there is something.
    pub because: Option<String>,
}

/// What enforces each limit of a jail here, whether or not a jail asks for it.
///
/// Reads some ten small files; changes nothing.
#[must_use]
pub fn enforceable() -> Vec<Enforcement> {
    // Any numbers: the mechanism depends on whether a limit is set, and on small numbers of tasks.
    let limits = Limits {
        memory: Some(1 << 30),
        cpus: Some(1),
        tasks: None,
        files: Some(64),
        file_bytes: Some(1 << 30),
    };
    let places = places();
    let mut all = Enforcing::choose(&limits, &places).all;
    all.push(match choose_tasks(1, true, &places) {
        Ok((_, _, enforcement)) => enforcement,
        Err(_) => {
            let by = tasks::NEEDED.to_owned();
            let because = places.of(Controller::Pids).err();
            Enforcement { limit: "processes", strength: Strength::None, by, because }
        }
    });
    all
}

/// Whether [`Limits::tasks`] can be enforced here: Linux 6.14, or 5.14 for a caller who is not root, or a
/// control group. Where it cannot, [`crate::prepare`] refuses a jail that asks for it.
#[must_use]
pub fn enforces_task_limit() -> bool {
    tasks::mechanism().is_some() || places().of(Controller::Pids).is_ok()
}

/// The mechanisms chosen for one jail.
#[derive(Debug, Default)]
pub(crate) struct Enforcing {
    /// What goes into control groups.
    pub(crate) bounds: Bounds,
    /// Limits of each process of the job, set right before it executes its program.
    pub(crate) resources: Vec<(Resource, u64)>,
    /// The processors that the job starts on.
    pub(crate) affinity: Option<CpuSet>,
    /// What bounds the tasks of the jail besides a control group.
    pub(crate) tasks: Option<(TaskLimit, u32)>,
    /// The bytes that a watcher has to add up to, where no control group does.
    pub(crate) watched_memory: Option<u64>,
    /// The same in words.
    pub(crate) all: Vec<Enforcement>,
}

impl Enforcing {
    /// The mechanisms for `limits`, and where control groups are to be made. A jail without a limit that
    /// needs one does not even look for them.
    pub(crate) fn of(limits: &Limits) -> Result<(Self, Option<Places>), PrepareError> {
        let grouped = limits.memory.is_some() || limits.cpus.is_some();
        let exact = limits.tasks.is_some_and(|tasks| tasks < EXACT_BELOW || tasks::mechanism().is_none());
        let places = (grouped || exact).then(places);
        let mut enforcing = match &places {
            Some(places) => Self::choose(limits, places),
            None => Self::choose_alone(limits),
        };
        if let Some(tasks) = limits.tasks {
            let (besides, group, enforcement) = match &places {
                Some(places) => choose_tasks(tasks, exact, places)?,
                None => choose_tasks_alone(tasks)?,
            };
            enforcing.tasks = besides;
            enforcing.bounds.tasks = group;
            enforcing.all.push(enforcement);
        }
        let places = places.filter(|_| enforcing.bounds != Bounds::default());
        Ok((enforcing, places))
    }

    /// All but the tasks.
    fn choose(limits: &Limits, places: &Places) -> Self {
        let mut this = Self::choose_alone(limits);
        if let Some(memory) = limits.memory {
            this.memory(memory, places);
        }
        if let Some(cpus) = limits.cpus {
            this.cpus(cpus, places);
        }
        this
    }

    /// Those that never need a control group.
    fn choose_alone(limits: &Limits) -> Self {
        let mut this = Self::default();
        if let Some(files) = limits.files {
            this.resources.push((Resource::Nofile, files.into()));
            this.add("files", Strength::Hard, "RLIMIT_NOFILE, for each process", None);
        }
        if let Some(bytes) = limits.file_bytes {
            this.resources.push((Resource::Fsize, bytes));
            this.add("file-bytes", Strength::Hard, "RLIMIT_FSIZE, for each file", None);
        }
        this
    }

    fn add(&mut self, limit: &'static str, strength: Strength, by: &str, because: Option<String>) {
        self.all.push(Enforcement { limit, strength, by: by.to_owned(), because });
    }

    fn memory(&mut self, bytes: u64, places: &Places) {
        match places.of(Controller::Memory) {
            Ok(place) => {
                self.bounds.memory = Some(bytes);
                self.add("memory", Strength::Hard, by_group(place.version), None);
            }
            Err(because) => {
                self.resources.push((Resource::Data, bytes));
                self.watched_memory = Some(bytes);
                let by = "RLIMIT_DATA for each process, and a watcher that adds all of them up";
                self.add("memory", Strength::Soft, by, Some(because));
            }
        }
    }

    fn cpus(&mut self, cpus: u32, places: &Places) {
        let available = available();
        match places.of(Controller::Cpu) {
            Ok(place) => {
                self.bounds.cpus = Some(cpus);
                self.add("cpus", Strength::Hard, by_group(place.version), None);
            }
            Err(_) if available.len() <= usize::try_from(cpus).unwrap_or(usize::MAX) => {
                self.add("cpus", Strength::Hard, "this process may use no more processors", None);
            }
            Err(because) => {
                let random = RandomState::new().build_hasher().finish();
                self.affinity = Some(spread(&available, cpus, random));
                let by = "processor affinity, which the job can change";
                self.add("cpus", Strength::Soft, by, Some(because));
            }
        }
    }
}

fn by_group(version: Version) -> &'static str {
    match version {
        Version::V1 => "control group, version 1",
        Version::V2 => "control group, version 2",
    }
}

type Tasks = (Option<(TaskLimit, u32)>, Option<u32>, Enforcement);

fn choose_tasks(tasks: u32, exact: bool, places: &Places) -> Result<Tasks, PrepareError> {
    match places.of(Controller::Pids) {
        // A group of version 2 is made once for all controllers.
        Ok(place) if exact || (place.version == Version::V2) => {
            let by = by_group(place.version).to_owned();
            let enforcement = Enforcement { limit: "processes", strength: Strength::Hard, by, because: None };
            // The numbers of the jail's own namespace stay bounded, too, as a second wall.
            Ok((tasks::mechanism().map(|mechanism| (mechanism, tasks)), Some(tasks), enforcement))
        }
        _ => choose_tasks_alone(tasks),
    }
}

fn choose_tasks_alone(tasks: u32) -> Result<Tasks, PrepareError> {
    let mechanism = tasks::mechanism().ok_or_else(tasks::not_enforced)?;
    let by = match mechanism {
        TaskLimit::Namespace => "the kernel's process ids, exact to within 300",
        TaskLimit::Resource => "RLIMIT_NPROC of the jail's own namespace",
    };
    let enforcement =
        Enforcement { limit: "processes", strength: Strength::Hard, by: by.to_owned(), because: None };
    Ok((Some((mechanism, tasks)), None, enforcement))
}

/// The numbers of the processors that this process may use.
fn available() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None).unwrap_or_default();
    (0..CpuSet::MAX_CPU).filter(|number| set.is_set(*number)).collect()
}

/// `cpus` of them at equal distances, so that they share caches and cores as little as possible, from a
/// random first one, so that jails at the same time do not all meet on the same.
fn spread(available: &[usize], cpus: u32, random: u64) -> CpuSet {
    let mut set = CpuSet::new();
    let all = available.len().max(1) as u64;
    for number in 0..u64::from(cpus) {
        let at = (random % all + number * all / u64::from(cpus)) % all;
        if let Some(processor) = usize::try_from(at).ok().and_then(|at| available.get(at)) {
            set.set(*processor);
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_spread_and_never_doubled() {
        let available: Vec<_> = (10..18).collect();
        for random in 0..20 {
            let set = spread(&available, 3, random);
            assert_eq!(set.count(), 3, "{random}");
            assert!(available.iter().filter(|number| set.is_set(**number)).count() == 3);
        }
        let half = spread(&available, 4, 0);
        assert!([10, 12, 14, 16].iter().all(|number| half.is_set(*number)));
    }

    #[test]
    fn without_control_groups_limits_are_soft_and_say_why() {
        let limits = Limits { memory: Some(1 << 20), files: Some(9), ..Limits::default() };
        let enforcing = Enforcing::choose(&limits, &Places::nowhere());
        assert_eq!(enforcing.bounds, Bounds::default());
        assert_eq!(enforcing.watched_memory, Some(1 << 20));
        let memory = enforcing.all.iter().find(|one| one.limit == "memory").unwrap();
        assert_eq!((memory.strength, memory.because.as_deref()), (Strength::Soft, Some("not here")));
        assert_eq!(enforcing.all.iter().find(|one| one.limit == "files").unwrap().strength, Strength::Hard);
    }

    #[test]
    fn a_jail_without_limits_needs_nothing() {
        let (enforcing, places) =
            Enforcing::of(&Limits { file_bytes: Some(1), ..Limits::default() }).unwrap();
        assert!(places.is_none() && enforcing.bounds == Bounds::default() && enforcing.affinity.is_none());
    }
}
