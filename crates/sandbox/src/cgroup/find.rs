//! Where this process may make control groups, by controller.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// A controller that a jail can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controller {
    Memory,
    Cpu,
    Pids,
}

impl Controller {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Pids];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }
}

/// A version of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// A group below which a jail's own group can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) parent: PathBuf,
    pub(crate) version: Version,
    pub(crate) ready: Ready,
}

/// What has to be done before groups below a place have controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    Yes,
    /// They have to be enabled; no process is in it itself, or it is the root of all, where one may be.
    Enable,
    /// The supervisor has to leave it, and then to enable them.
    MoveAndEnable,
}

/// For each controller the place, or why there is none.
#[derive(Clone, Debug)]
pub(crate) struct Places([(Controller, Result<Place, String>); 3]);

impl Places {
    pub(crate) fn of(&self, controller: Controller) -> Result<&Place, String> {
        let found = self.0.iter().find(|(of, _)| *of == controller).map(|(_, place)| place.as_ref());
        found.unwrap_or(Err(&String::new())).map_err(String::clone)
    }

    /// A host where none may be made.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self(Controller::ALL.map(|controller| (controller, Err("not here".to_owned()))))
    }
}

/// Looks for the places. Reads some ten small files; changes nothing.
pub(crate) fn places() -> Places {
    let hierarchies = hierarchies(&text("/proc/self/cgroup"), &text("/proc/self/mountinfo"));
    let unified = hierarchies.iter().find(|hierarchy| hierarchy.version == Version::V2);
    let unified = unified.map(v2);
    Places(Controller::ALL.map(|controller| (controller, place(controller, &hierarchies, unified.as_ref()))))
}

fn place(controller: Controller, hierarchies: &[Hierarchy], v2: Option<&Unified>) -> Result<Place, String> {
    let name = controller.name();
    if let Some(Unified { place: Some(place), offered, .. }) = v2
        && offered.contains(&controller)
    {
        return Ok(place.clone());
    }
    let v1 = hierarchies.iter().find(|hierarchy| {
        hierarchy.version == Version::V1 && hierarchy.controllers.iter().any(|has| has == name)
    });
    match (v1, v2) {
        (Some(hierarchy), _) if may_write(&hierarchy.own) => {
            Ok(Place { parent: hierarchy.own.clone(), version: Version::V1, ready: Ready::Yes })
        }
        (Some(hierarchy), _) => {
            Err(format!("the control group `{}` is not this user's", hierarchy.own.display()))
        }
        (None, Some(unified)) => Err(match &unified.place {
            Some(place) => format!("`{}` has no controller `{name}`", place.parent.display()),
            None => unified.why.clone(),
        }),
        (None, None) => Err("no control groups are mounted that this process is in".to_owned()),
    }
}

/// What the hierarchy of version 2 offers.
struct Unified {
    place: Option<Place>,
    offered: Vec<Controller>,
    why: String,
}

/// The nearest group, from this process's own upwards, below which the most controllers can be had.
fn v2(hierarchy: &Hierarchy) -> Unified {
    let own = &hierarchy.own;
    let mut best =
        Unified { place: None, offered: Vec::new(), why: format!("`{}` is not delegated", own.display()) };
    let mut consider = |parent: &Path, offered: Vec<Controller>, ready| {
        if offered.len() > best.offered.len() {
            let place = Place { parent: parent.to_owned(), version: Version::V2, ready };
            best.place = Some(place);
            best.offered = offered;
        }
    };
    // Moving a process needs the right to write to the nearest group above both ends, which is this one.
    let writable = |group: &&Path| may_write(group) && may_write(&group.join("cgroup.procs"));
    let groups = own.ancestors().take_while(|group| group.starts_with(&hierarchy.mounted));
    let groups: Vec<_> = groups.take_while(writable).collect();
    for group in &groups {
        consider(group, listed(group, "cgroup.subtree_control"), Ready::Yes);
    }
    // Delegated, and not used yet by whoever it was delegated to.
    let unused = |group: &&&Path| may_write(&group.join("cgroup.subtree_control")) && is_empty(group);
    for group in groups.iter().filter(unused) {
        consider(group, listed(group, "cgroup.controllers"), Ready::Enable);
    }
    let is_root = !own.join("cgroup.type").exists();
    if may_write(own) && may_write(&own.join("cgroup.subtree_control")) && (is_root || is_alone(own)) {
        let ready = if is_root { Ready::Enable } else { Ready::MoveAndEnable };
        consider(own, listed(own, "cgroup.controllers"), ready);
    } else if best.place.is_none() && may_write(own) {
        best.why = format!("other processes are in `{}`, too", own.display());
    }
    best
}

/// Whether this process is the only one in a group.
fn is_alone(group: &Path) -> bool {
    text(group.join("cgroup.procs")).trim() == std::process::id().to_string()
}

/// Whether no process is in a group itself.
fn is_empty(group: &Path) -> bool {
    fs::read_to_string(group.join("cgroup.procs")).is_ok_and(|members| members.trim().is_empty())
}

fn listed(group: &Path, file: &str) -> Vec<Controller> {
    let names = text(group.join(file));
    let has = |controller: &Controller| names.split_whitespace().any(|name| name == controller.name());
    Controller::ALL.into_iter().filter(has).collect()
}

fn may_write(path: &Path) -> bool {
    access(path, Access::WRITE_OK).is_ok()
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Every mounted hierarchy, from its uppermost visible group.
pub(super) fn roots() -> Vec<PathBuf> {
    let mounts = text("/proc/self/mountinfo");
    mounts.lines().filter_map(Mounted::parse).map(|mounted| mounted.at).collect()
}

#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    version: Version,
    controllers: Vec<String>,
    /// Where it is mounted.
    mounted: PathBuf,
    /// The group of this process.
    own: PathBuf,
}

struct Mounted<'a> {
    version: Version,
    /// The group that is seen at the mount point.
    root: PathBuf,
    at: PathBuf,
    options: &'a str,
}

impl<'a> Mounted<'a> {
    /// Source: proc_pid_mountinfo(5).
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let version = match system.next()? {
            "cgroup" => Version::V1,
            "cgroup2" => Version::V2,
            _ => return None,
        };
        let options = system.nth(1)?;
        let mut mount = mount.split(' ').skip(3);
        let mut path = || Some(PathBuf::from(mount.next()?.replace("\\040", " ")));
        Some(Self { version, root: path()?, at: path()?, options })
    }
}

/// The hierarchies of `/proc/self/cgroup` that are mounted where this process can see its own group.
///
/// Source: cgroups(7).
fn hierarchies(memberships: &str, mountinfo: &str) -> Vec<Hierarchy> {
    let mounts: Vec<_> = mountinfo.lines().filter_map(Mounted::parse).collect();
    let parse = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, Path::new(fields.next()?));
        let controllers: Vec<_> =
            controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let version = if controllers.is_empty() { Version::V2 } else { Version::V1 };
        mounts.iter().filter(|mounted| mounted.version == version).find_map(|mounted| {
            let options: Vec<_> = mounted.options.split(',').collect();
            let same = controllers.iter().all(|name| options.contains(&name.as_str()));
            let below = path.strip_prefix(&mounted.root).ok()?;
            // `..` stands for what is outside of this process's cgroup namespace.
            let visible = !below.components().any(|part| part == std::path::Component::ParentDir);
            (same && visible).then(|| Hierarchy {
                version,
                controllers: controllers.clone(),
                mounted: mounted.at.clone(),
                own: mounted.at.join(below),
            })
        })
    };
    memberships.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:4 - cgroup cgroup rw,cpu,cpuacct\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn own_groups_are_found_in_a_hybrid_layout() {
        let found = hierarchies("4:memory:/a b/c\n2:cpu,cpuacct:/\n0::/x.scope\n", HYBRID);
        let own: Vec<_> = found.iter().map(|hierarchy| hierarchy.own.to_str().unwrap()).collect();
        let expected =
            ["/sys/fs/cgroup/memory/a b/c", "/sys/fs/cgroup/cpu,cpuacct/", "/sys/fs/cgroup/unified/x.scope"];
        assert_eq!(own, expected);
        assert_eq!(found[1].controllers, ["cpu", "cpuacct"]);
        assert_eq!(found[2].version, Version::V2);
    }

    #[test]
    fn a_container_sees_its_part_of_the_hierarchy() {
        let mounts = "35 31 0:32 /docker/7 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      36 31 0:33 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(
            hierarchies("4:memory:/docker/7/x\n", mounts)[0].own,
            Path::new("/sys/fs/cgroup/memory/x")
        );
        assert_eq!(hierarchies("4:memory:/elsewhere\n0::/../up\n", mounts), []);
    }

    /// A directory that looks like a hierarchy of version 2, for what needs no kernel.
    fn unified(own: &str, groups: &[(&str, &str, &str, &str)]) -> (tempfile::TempDir, Hierarchy) {
        let place = tempfile::tempdir().unwrap();
        for (group, controllers, enabled, members) in groups {
            let group = place.path().join(group);
            fs::create_dir_all(&group).unwrap();
            for (name, contents) in [
                ("cgroup.controllers", *controllers),
                ("cgroup.subtree_control", *enabled),
                ("cgroup.procs", *members),
                ("cgroup.type", "domain"),
            ] {
                fs::write(group.join(name), contents).unwrap();
            }
        }
        let mounted = place.path().to_owned();
        let own = mounted.join(own);
        (place, Hierarchy { version: Version::V2, controllers: Vec::new(), mounted, own })
    }

    #[test]
    fn a_process_alone_in_its_scope_can_have_every_controller() {
        let me = std::process::id().to_string();
        let (_place, hierarchy) = unified("scope", &[("scope", "cpu memory pids io", "", &me)]);
        let found = v2(&hierarchy);
        assert_eq!(found.offered, Controller::ALL);
        assert_eq!(found.place.unwrap().ready, Ready::MoveAndEnable);
    }

    #[test]
    fn a_group_above_that_has_them_enabled_is_better() {
        let me = std::process::id().to_string();
        let groups =
            [("up", "cpu memory pids", "cpu memory pids", ""), ("up/scope", "cpu memory pids", "", &me)];
        let (_place, hierarchy) = unified("up/scope", &groups);
        let place = v2(&hierarchy).place.unwrap();
        assert!(place.parent.ends_with("up") && place.ready == Ready::Yes, "{place:?}");
    }

    #[test]
    fn a_delegated_group_above_that_nobody_uses_yet_is_used() {
        let groups = [("user", "cpu memory pids", "", ""), ("user/shell", "", "", "1\n2\n")];
        let (_place, hierarchy) = unified("user/shell", &groups);
        let place = v2(&hierarchy).place.unwrap();
        assert!(place.parent.ends_with("user") && place.ready == Ready::Enable, "{place:?}");
    }

    #[test]
    fn a_shared_group_without_controllers_offers_nothing() {
        let (_place, hierarchy) = unified("scope", &[("scope", "memory pids", "", "1\n2\n")]);
        let found = v2(&hierarchy);
        assert!(found.place.is_none() && found.why.contains("other processes"), "{}", found.why);
    }
}
