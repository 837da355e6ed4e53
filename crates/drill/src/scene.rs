//! What an attempt is told: everything but the secrets it is after.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Said;

/// Environment variable with the scene as JSON.
pub const SCENE: &str = "DRILL_SCENE";
/// Environment variable of victims with their canary.
pub const SECRET: &str = "DRILL_SECRET";
/// Environment variable with device and inode of the user's terminal.
pub const TERMINAL: &str = "DRILL_TERMINAL";
/// What a victim prints before its [`Target`] when it is ready.
pub const READY: &str = "ready ";

/// Where an attempt is and what lies around it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scene {
    /// Of this attempt; on the command line of its processes, so that they can be found from outside.
    pub id: String,
    /// Where it is.
    pub ground: Ground,
    /// The places that a run has.
    pub place: Place,
    /// What lies outside of it.
    pub host: Host,
    /// Processes that hold a canary, in another run and outside of all.
    pub targets: Vec<Target>,
}

/// Where an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ground {
    /// In a sealed run.
    Sealed,
    /// Where no walls are.
    Open,
}

/// The places of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// A dataset that both runs may read.
    pub data: PathBuf,
    /// Results.
    pub out: PathBuf,
    /// Its copy of the code.
    pub work: PathBuf,
    /// Its home directory.
    pub home: PathBuf,
    /// Its `/tmp`.
    pub tmp: PathBuf,
    /// Its `/var/tmp`.
    pub var_tmp: PathBuf,
    /// Its `/dev/shm`.
    pub shm: PathBuf,
}

impl Place {
    /// The places of a sealed run.
    #[must_use]
    pub fn of_a_run() -> Self {
        Self {
            data: "/data/shared".into(),
            out: "/out".into(),
            work: "/work".into(),
            home: "/home/job".into(),
            tmp: "/tmp".into(),
            var_tmp: "/var/tmp".into(),
            shm: "/dev/shm".into(),
        }
    }
}

/// Paths of the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Host {
    /// A home directory with credentials.
    pub home: PathBuf,
    /// The code tree that the run was started from.
    pub tree: PathBuf,
    /// The state directory of aseptic.
    pub state: PathBuf,
    /// An object in its store that no run was given.
    pub object: PathBuf,
}

/// A process to attack, and what it holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Target {
    /// Name of everything that it holds under a name.
    pub name: String,
    /// Key of its System V objects.
    pub key: i32,
    /// Its process id, as it sees it itself.
    pub pid: i32,
    /// Where in its memory the canary is.
    pub address: u64,
    /// Its descriptor of a file in memory with the canary.
    pub descriptor: i32,
    /// Port of its TCP listener on 127.0.0.1.
    pub tcp: u16,
    /// Port of its TCP listener on ::1, or 0.
    pub tcp6: u16,
    /// Port of its UDP socket on 127.0.0.1.
    pub udp: u16,
    /// Port on 127.0.0.1 of its service that answers for several names.
    pub service: u16,
    /// The process id of its gateway, or 0.
    pub gateway: i32,
    /// Number of its key, or 0.
    pub keyring: i32,
    /// Its socket in the file system.
    pub socket: PathBuf,
    /// A file in its own `/tmp`.
    pub file: PathBuf,
}

impl Scene {
    /// Asks every target in turn for something; the first answer, or the last error.
    pub(crate) fn ask<T>(&self, mut what: impl FnMut(&Target) -> io::Result<T>) -> io::Result<T> {
        let mut last = io::Error::other("there is nobody to attack");
        for target in &self.targets {
            match what(target) {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Asks who stands for a host of the Internet: what a run is granted is its.
    pub(crate) fn host(&self) -> io::Result<&Target> {
        self.targets.last().ok_or_else(|| io::Error::other("there is nobody to attack"))
    }

    /// Tries every way, each with its name. Of a run, one that leads there is enough; where no walls are, each
    /// has to, or it proves nothing.
    pub(crate) fn each<T>(
        &self,
        ways: impl IntoIterator<Item = (&'static str, T)>,
        mut ask: impl FnMut(T) -> io::Result<Said>,
    ) -> io::Result<Said> {
        let mut last = Said::Refused("nothing to try".to_owned());
        for (name, way) in ways {
            let said = ask(way).unwrap_or_else(|error| Said::Refused(error.to_string()));
            last = match (self.ground, said) {
                (Ground::Sealed, Said::Refused(why)) => Said::Refused(format!("{name}: {why}")),
                (ground, Said::Reached(what)) => {
                    let reached = Said::Reached(format!("{what} ({name})"));
                    if ground == Ground::Sealed {
                        return Ok(reached);
                    }
                    reached
                }
                (Ground::Open, Said::Refused(why)) => return Said::tried(format_args!("{name}: {why}")),
                (_, said) => return Ok(said),
            };
        }
        Ok(last)
    }

    /// Every process that may be a target: those that are visible, and the numbers known from elsewhere.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let visible = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let visible = visible.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let known = self.targets.iter().flat_map(|target| [target.pid, target.gateway]);
        let mut all: Vec<i32> = known.chain(visible).filter(|pid| *pid != own && *pid > 0).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The path of `file` below `/`, to be put behind another root.
pub(crate) fn below_root(file: &Path) -> &Path {
    file.strip_prefix("/").unwrap_or(file)
}
