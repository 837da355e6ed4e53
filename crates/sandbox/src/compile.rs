//! From a [`Jail`] to the list of steps that make it, every string already in place.
//!
//! Compiling happens in the caller, where memory may be allocated and files looked at. The steps are
//! carried out by the jail's first process, where neither may happen; see `setup.rs`.

use std::cell::Cell;
use std::ffi::{CString, OsStr};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;

use rustix::process::Resource;
use rustix::thread::CpuSet;

use crate::assembly::{assemble, host};
use crate::clock;
use crate::error::PrepareError;
use crate::filter;
use crate::jail::{Attempts, Jail};
use crate::landlock::{self, Rules};
use crate::layout::job_ids;
use crate::limits::Enforcing;
use crate::network;
use crate::sys::{FilterProgram, Stack, StringArray};
use crate::tasks::TaskLimit;
use crate::terminal::OwnTerminal;
use crate::watched;

/// One step.
///
/// Paths named `source`, `lower` and `upper` are the host's and are opened before the jail's root is
/// entered. All others are relative to that root; those of an `Attach` and after it are resolved when
/// the host's files cannot be reached any more, so a symbolic link in an input leads nowhere.
pub(crate) enum Step {
    MakeDirectory {
        path: CString,
    },
    MakeFile {
        path: CString,
        contents: Vec<u8>,
    },
    MakeLink {
        to: CString,
        path: CString,
    },
    /// Copies a mount of the host into a slot.
    Clone {
        source: CString,
        attributes: u64,
        slot: usize,
    },
    /// Opens a directory of the host in a slot.
    Open {
        source: CString,
        slot: usize,
    },
    /// Makes an overlay of opened directories in a slot; `covered` is an empty directory of the new root.
    Overlay {
        lower: Vec<usize>,
        upper: Option<(usize, usize)>,
        covered: Option<CString>,
        attributes: u64,
        slot: usize,
        layers: String,
    },
    /// Makes an empty file to mount on, if nothing is there.
    Placeholder {
        path: CString,
    },
    /// Puts what a slot holds where it belongs.
    Attach {
        slot: usize,
        target: CString,
    },
    /// Sets attributes on one part of a mount by mounting it over itself.
    Restrict {
        path: CString,
        attributes: u64,
    },
    Memory {
        size: CString,
        files: CString,
        target: CString,
    },
    Terminals {
        target: CString,
    },
    /// Makes a procfs in a slot, through which these settings are written at once.
    Processes {
        settings: Vec<(CString, Vec<u8>)>,
        slot: usize,
    },
    /// The watch must get this number.
    Watch {
        directory: CString,
        number: i32,
    },
}

impl Step {
    /// What it does, as a verb phrase.
    pub(crate) fn describe(&self) -> String {
        let shown = |path: &CString| path.to_string_lossy().into_owned();
        match self {
            Self::MakeDirectory { path } => format!("make the directory `/{}`", shown(path)),
            Self::MakeFile { path, .. } | Self::MakeLink { path, .. } | Self::Placeholder { path } => {
                format!("make `/{}`", shown(path))
            }
            Self::Clone { source, .. } | Self::Open { source, .. } => {
                format!("open `{}` to mount it", shown(source))
            }
            Self::Overlay { layers, .. } => format!("make an overlay of `{layers}`"),
            Self::Attach { target, .. } | Self::Memory { target, .. } => {
                format!("mount `/{}`", shown(target))
            }
            Self::Restrict { path, .. } => format!("make `/{}` read-only", shown(path)),
            Self::Terminals { .. } => "make terminals of the jail's own".to_owned(),
            Self::Processes { .. } => "forbid nested namespaces in a procfs of the jail's own".to_owned(),
            Self::Watch { directory, .. } => format!("watch `/{}`", shown(directory)),
        }
    }
}

/// A jail ready to be carried out.
pub(crate) struct Compiled {
    pub(crate) steps: Vec<Step>,
    /// How many of them come before the new root is attached.
    pub(crate) outside: usize,
    /// How many more come before it is entered.
    pub(crate) overlays: usize,
    /// Descriptors of what was opened outside and is attached inside. Written by the jail's first
    /// process, in its own copy of this memory.
    pub(crate) slots: Vec<Cell<RawFd>>,
    pub(crate) staging: CString,
    pub(crate) hostname: Vec<u8>,
    pub(crate) program: Program,
    pub(crate) working_directory: CString,
    pub(crate) user_map: Vec<u8>,
    pub(crate) group_map: Vec<u8>,
    pub(crate) filter: FilterProgram,
    pub(crate) landlock: Option<Rules>,
    pub(crate) network: Option<network::Plan>,
    /// What its own clocks begin with.
    pub(crate) clock: Option<Vec<u8>>,
    /// A slot with a read-only null device that is attached later.
    pub(crate) null: Option<usize>,
    /// The filter that lets attempts wait for the supervisor, if it wants to see them.
    pub(crate) attempts: Option<FilterProgram>,
    pub(crate) terminal: Option<OwnTerminal>,
    /// The `RLIMIT_NPROC` of the job, where that is what limits its tasks.
    pub(crate) tasks_resource: Option<u64>,
}

/// What the job executes.
pub(crate) struct Program {
    pub(crate) candidates: Vec<CString>,
    pub(crate) arguments: StringArray,
    pub(crate) environment: StringArray,
    /// Its limits as one process, and the processors that it starts on.
    pub(crate) resources: Vec<(Resource, u64)>,
    pub(crate) affinity: Option<CpuSet>,
    /// Whether its standard input is the terminal that controls it.
    pub(crate) foreground: bool,
    /// Where the job runs until it executes its program.
    pub(crate) stack: Stack,
}

pub(crate) fn compile(jail: &Jail, enforcing: &Enforcing) -> Result<Compiled, PrepareError> {
    let assembly = assemble(jail, enforcing.tasks)?;
    let (inside_user, inside_group) = job_ids();
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let mut arguments = vec![c_string(&jail.program)?];
    for argument in &jail.arguments {
        arguments.push(c_string(argument)?);
    }
    let mut environment = Vec::new();
    for (name, value) in &jail.environment {
        let bytes = [name.as_bytes(), b"=", value.as_bytes()].concat();
        environment.push(c_string(OsStr::from_bytes(&bytes))?);
    }
    Ok(Compiled {
        outside: assembly.outside.len(),
        overlays: assembly.overlays.len(),
        steps: assembly.outside.into_iter().chain(assembly.overlays).chain(assembly.inside).collect(),
        slots: vec![Cell::new(-1); assembly.slots],
        staging: host(&jail.staging)?,
        hostname: jail.hostname.clone().into_bytes(),
        program: Program {
            candidates: candidates(jail)?,
            arguments: StringArray::new(arguments),
            environment: StringArray::new(environment),
            resources: enforcing.resources.clone(),
            affinity: enforcing.affinity,
            foreground: jail.terminal.is_some_and(|terminal| terminal.stdin),
            stack: Stack::new(),
        },
        working_directory: c_string(jail.working_directory.as_os_str())?,
        user_map: format!("{inside_user} {user} 1\n").into_bytes(),
        group_map: format!("{inside_group} {group} 1\n").into_bytes(),
        filter: FilterProgram::new(filter::program()),
        landlock: landlock::rules(jail)?,
        network: jail.network.as_ref().map(network::Plan::of).transpose()?,
        clock: clock::offsets(jail.clock)?,
        null: assembly.null,
        attempts: (jail.attempts == Attempts::Seen).then(|| FilterProgram::new(watched::program())),
        terminal: OwnTerminal::of(jail)?,
        tasks_resource: match enforcing.tasks {
            Some((TaskLimit::Resource, tasks)) => Some(u64::from(tasks) + 1), // The first process counts.
            _ => None,
        },
    })
}

/// The paths to try for the program, as execvp(3) does.
fn candidates(jail: &Jail) -> Result<Vec<CString>, PrepareError> {
    if jail.program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(&jail.program)?]);
    }
    let path = jail.environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value);
    let directories = path.map(|path| std::env::split_paths(path).collect()).unwrap_or_else(Vec::new);
    directories.iter().map(|directory| c_string(directory.join(&jail.program).as_os_str())).collect()
}

pub(crate) fn c_string(text: &OsStr) -> Result<CString, PrepareError> {
    CString::new(text.as_bytes()).map_err(|_| PrepareError::Description {
        what: format!("a NUL byte in `{}`", text.to_string_lossy().escape_debug()),
    })
}
