//! Walls around a process of ours that talks to whoever may be hostile, made by that process itself.
//!
//! It has no namespaces of its own, since it needs the host's network and names. What it keeps is what it has
//! open, what it may read, and connections over the network.

use std::fs;
use std::io;
use std::path::PathBuf;

use aseptic_model::{Wall, WallState};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::filter;
use crate::jail::Landlock;
use crate::landlock;
use crate::sys::{self, FilterProgram};

/// What a process leaves to itself.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// Files and directories that it may read, with all that is below; those that are not there are left out.
    /// A file is what it is now: another that takes its name cannot be read.
    pub readable: Vec<PathBuf>,
    /// What happens where the kernel has no Landlock.
    pub landlock: Landlock,
}

/// Why a process could not be confined. It may be confined in part, and should end.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// It has several threads, and the walls would stand around one of them alone.
    #[error("the process has {0} threads already")]
    Threads(usize),
    /// The kernel has no Landlock, and the process does not go without it.
    #[error("this host cannot make the wall `landlock`: {0}")]
    Landlock(&'static str),
    /// A step failed.
    #[error("could not {step}")]
    Step {
        /// The step, as a verb phrase.
        step: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Confines this process and the threads that it starts later, for good, and says which walls stand.
///
/// Files are read where the [`Confinement`] says; no other is opened, none written. No program is executed
/// and no process started; other processes are neither seen into nor signalled. No TCP port is taken, and
/// sockets are those of the internet, pairs of Unix sockets, and netlink for routes; what was open before
/// stays so.
///
/// # Errors
/// [`ConfineError`].
///
/// Source: capabilities(7), landlock(7), seccomp(2).
pub fn confine(confinement: &Confinement) -> Result<Vec<Wall>, ConfineError> {
    let threads =
        fs::read_dir("/proc/self/task").map_err(|error| failed("count its threads", error))?.count();
    if threads != 1 {
        return Err(ConfineError::Threads(threads));
    }
    let (rules, landlock) = match (landlock::reading(&confinement.readable), confinement.landlock) {
        (Ok((rules, covers)), _) => (Some(rules), wall("landlock", WallState::Done, &covers)),
        (Err(why), Landlock::Required) => return Err(ConfineError::Landlock(why)),
        (Err(why), Landlock::WhereAvailable) => (None, wall("landlock", WallState::NotEnforced, why)),
    };
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    step("forbid core dumps", rustix::process::setrlimit(Resource::Core, none))?;
    let hidden = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    step("hide its memory", hidden)?;
    step("drop every capability", drop_capabilities())?;
    step("take no new privileges", rustix::thread::set_no_new_privs(true))?;
    step("enforce the rules of Landlock", rules.map_or(Ok(()), |rules| rules.enforce()))?;
    let filter = FilterProgram::new(filter::confined_program());
    step("install the system call filter", filter.install())?;
    let done = |name, detail| wall(name, WallState::Done, detail);
    Ok(vec![
        done("capabilities", "every set empty"),
        done("no new privileges", "no program can be executed"),
        done("memory", "no other process of its user can read it, and it is never dumped"),
        landlock,
        done("system call filter", "no programs, no processes, no sockets but those of the internet"),
    ])
}

/// What the C library reads when it looks up a name, by every way that systems are set up for.
#[must_use]
pub fn resolver_paths() -> Vec<PathBuf> {
    [
        // What to ask, and whom.
        "/etc/nsswitch.conf",
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/host.conf",
        "/etc/gai.conf",
        "/etc/services",
        "/etc/protocols",
        "/etc/networks",
        "/usr/etc",
        // Where `resolv.conf` leads when something of the system keeps it up to date.
        "/run/systemd/resolve",
        "/run/NetworkManager",
        "/run/resolvconf",
        "/run/connman",
        "/var/run/netconfig",
        // Modules that do the asking, and their libraries.
        "/etc/ld.so.cache",
        "/lib",
        "/lib32",
        "/lib64",
        "/usr/lib",
        "/usr/lib32",
        "/usr/lib64",
        "/usr/local/lib",
        "/nix/store",
        "/gnu/store",
    ]
    .map(PathBuf::from)
    .into()
}

fn drop_capabilities() -> rustix::io::Result<()> {
    let mut capability = 0;
    loop {
        match sys::drop_bounding(capability) {
            Ok(true) => capability += 1,
            // Without the privilege for it, and without new ones, the bounding set gives nothing.
            Ok(false) | Err(Errno::PERM) => break,
            Err(error) => return Err(error),
        }
    }
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets)
}

fn step(step: &'static str, result: rustix::io::Result<()>) -> Result<(), ConfineError> {
    result.map_err(|error| failed(step, error.into()))
}

fn failed(step: &'static str, source: io::Error) -> ConfineError {
    ConfineError::Step { step, source }
}

fn wall(name: &str, state: WallState, detail: &str) -> Wall {
    Wall { name: name.to_owned(), state, detail: Some(detail.to_owned()) }
}
