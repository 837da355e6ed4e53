//! A jail as data: what one process will see, decided before anything is created.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aseptic_model::Clock;

/// Everything that [`crate::prepare`] needs to know. Paths named `target` are paths inside the jail.
#[derive(Clone, Debug, Default)]
pub struct Jail {
    /// Name of its control groups, one path component that no other jail of the host has; empty for one
    /// that is made up. See [`crate::remove_group`].
    pub name: String,
    /// An existing directory on which the new root is put together; nothing is written into it, and
    /// what is in it can be mounted all the same.
    pub staging: PathBuf,
    /// What stands where, in this order. Missing parents of a target are made; below a mount that may be
    /// written to, they are made in what is mounted there.
    pub mounts: Vec<Mount>,
    /// Directories whose opened files [`crate::Running::opened`] reports, each below one of the mounts.
    pub watched: Vec<PathBuf>,
    /// Host name in the jail.
    pub hostname: String,
    /// The program: a path, or a name that is looked up in `PATH` of `environment`.
    pub program: OsString,
    /// Its arguments, without the program's own name.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub working_directory: PathBuf,
    /// Bounds of what it may use. Some need a control group, which then is called `aseptic-` and `name`.
    pub limits: Limits,
    /// What happens where the kernel has no Landlock.
    pub landlock: Landlock,
    /// TCP ports that may be bound and connected to; without a list, all of the jail's own network. What
    /// `network` names may be connected to all the same; with [`Ports::Every`], every port may.
    /// Refused where the kernel's Landlock knows no ports.
    pub tcp_ports: Option<Vec<u16>>,
    /// A network beyond the jail's own loopback interface.
    pub network: Option<Network>,
    /// What the program sees of the time since the machine was started.
    pub clock: Clock,
    /// A terminal of the jail's own.
    pub terminal: Option<Terminal>,
    /// Whether the supervisor sees what the program is about to open, execute or connect to.
    pub attempts: Attempts,
}

/// A network that leads to whoever has its [`crate::NetworkEnds`], and nowhere else. The addresses in it are
/// those that `aseptic-model` names, such as [`aseptic_model::NAME_SERVER`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Ports of addresses that stand for names; a connection to another port is refused and reported.
    pub ports: Ports,
    /// Other addresses and ports that connections lead out to, in place of whatever is there in the jail.
    /// Each is the address of one host, and not one of the jail's network.
    pub literals: BTreeSet<SocketAddr>,
}

/// Ports of a [`Network`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// These alone.
    These(BTreeSet<u16>),
    /// Every one.
    Every,
}

impl Default for Ports {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Network {
    pub(crate) fn has_port(&self, port: u16) -> bool {
        match &self.ports {
            Ports::These(ports) => ports.contains(&port),
            Ports::Every => true,
        }
    }

    /// The same with IPv4 addresses never written as IPv6, which the kernel does not tell apart.
    pub(crate) fn canonical(&self) -> Self {
        let plain = |literal: &SocketAddr| SocketAddr::new(literal.ip().to_canonical(), literal.port());
        Self { ports: self.ports.clone(), literals: self.literals.iter().map(plain).collect() }
    }
}

/// A terminal of the jail's own, and which standard streams it is in place of those that were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Its size at the start.
    pub size: TerminalSize,
    /// Standard input; the terminal then controls the program, which is its foreground. Without this
    /// nobody types on it, and the program gets it for writing only.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

/// The second wall around files; see `docs/threat-model.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Landlock {
    /// Without it there is no jail.
    #[default]
    Required,
    /// It stands where the kernel has it, and a jail goes without elsewhere.
    WhereAvailable,
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// What the supervisor sees of what the program tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attempts {
    /// Nothing; a program runs at full speed.
    #[default]
    Unseen,
    /// Each attempt waits until the supervisor has looked at it. A report, not a wall: another thread of
    /// the program can change a path after that.
    Seen,
}

/// Bounds of what the processes of a jail may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all of them together, in bytes.
    pub memory: Option<u64>,
    /// As much processor time as this many processors give.
    pub cpus: Option<u32>,
    /// Processes and threads alive at once, exact or to within 300. Refused where
    /// [`crate::enforces_task_limit`] says so.
    pub tasks: Option<u32>,
    /// Files that one process has open at once.
    pub files: Option<u32>,
    /// Size of a file that one process makes larger, in bytes. A process that goes on gets `SIGXFSZ`.
    pub file_bytes: Option<u64>,
}

/// One element of the jail's file system. `nosuid` everywhere; `nodev` on all but devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// An empty directory that nobody can write to, unless it is below a mount that may be.
    Directory {
        /// Where.
        target: PathBuf,
    },
    /// A symbolic link.
    Link {
        /// Where.
        target: PathBuf,
        /// What it points to, inside the jail.
        to: PathBuf,
    },
    /// A file with these bytes that nobody can write to, unless it is below a mount that may be. It
    /// replaces no other.
    File {
        /// Where.
        target: PathBuf,
        /// Its bytes; small, since they live in memory.
        contents: Vec<u8>,
    },
    /// A file or directory of the host, with everything mounted below it.
    Bind {
        /// On the host; symbolic links are followed.
        source: PathBuf,
        /// Where.
        target: PathBuf,
        /// What may be done with it.
        access: Access,
    },
    /// Directories of the host merged by an overlay of this jail alone, so that locks and file events
    /// on it reach no other jail.
    Overlay {
        /// On the host, the topmost first.
        lower: Vec<PathBuf>,
        /// Where changes go; read-only without it.
        upper: Option<Upper>,
        /// Where.
        target: PathBuf,
        /// What may be done with it.
        access: Access,
    },
    /// Files in memory that go with the jail.
    Memory {
        /// Where.
        target: PathBuf,
        /// Size bound in bytes.
        bytes: u64,
    },
    /// `null`, `zero`, `full`, `random`, `urandom`, `tty` and a terminal multiplexer of the jail's own.
    Devices {
        /// Where; usually `/dev`.
        target: PathBuf,
    },
    /// A device node of the host, for use.
    Device {
        /// On the host.
        source: PathBuf,
        /// Where.
        target: PathBuf,
    },
    /// The processes of this jail and nothing else of the host that could be changed.
    Processes {
        /// Where; usually `/proc`.
        target: PathBuf,
    },
}

/// What may be done with a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Read,
    /// Read and execute.
    Execute,
    /// Read, execute and write. What a job leaves there is as trustworthy as the job: links to anywhere,
    /// programs marked set-user-id. Keep other users out of such a directory, and follow no link in it.
    Write,
}

/// The writable part of an overlay, two directories of one file system of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upper {
    /// Takes the changes.
    pub changes: PathBuf,
    /// For the kernel; empty.
    pub work: PathBuf,
}

impl Upper {
    /// Removes `work` when no jail uses it any more. The kernel leaves directories in there that not even
    /// their owner may read, so that nothing else removes them.
    ///
    /// # Errors
    /// The host's; something of the directory may be left.
    pub fn remove_work(&self) -> io::Result<()> {
        for name in ["work", "work/incompat", "work/incompat/volatile"] {
            match fs::set_permissions(self.work.join(name), fs::Permissions::from_mode(0o700)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::remove_dir_all(&self.work)
    }
}

impl Mount {
    /// Where in the jail it stands.
    #[must_use]
    pub fn target(&self) -> &Path {
        match self {
            Self::Directory { target }
            | Self::Link { target, .. }
            | Self::File { target, .. }
            | Self::Bind { target, .. }
            | Self::Overlay { target, .. }
            | Self::Memory { target, .. }
            | Self::Device { target, .. }
            | Self::Devices { target }
            | Self::Processes { target } => target,
        }
    }
}
