//! From a [`Jail`] to the list of steps that make it, every string already in place.
//!
//! Compiling happens in the caller, where memory may be allocated and files looked at. The steps are
//! carried out by the jail's first process, where neither may happen; see `setup.rs`.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

use crate::error::PrepareError;
use crate::jail::{Access, Jail, Mount};
use crate::sys::StringArray;

/// One step. Target paths are relative: the process stands in the new root.
pub(crate) enum Step {
    MakeDirectory { path: CString, mode: u32 },
    MakeFile { path: CString, contents: Vec<u8> },
    MakeLink { to: CString, path: CString },
    Bind { source: CString, target: CString, attributes: u64 },
    Overlay { lower: Vec<CString>, upper: Option<(CString, CString)>, target: CString, attributes: u64 },
    Memory { size: CString, target: CString },
    Terminals { target: CString },
    Processes { target: CString },
    WriteSetting { path: CString, value: Vec<u8> },
    Watch { directory: CString },
}

/// A jail ready to be carried out.
pub(crate) struct Compiled {
    pub(crate) steps: Vec<(Step, String)>,
    pub(crate) staging: CString,
    pub(crate) hostname: Vec<u8>,
    pub(crate) candidates: Vec<CString>,
    pub(crate) arguments: StringArray,
    pub(crate) environment: StringArray,
    pub(crate) working_directory: CString,
    pub(crate) user_map: Vec<u8>,
    pub(crate) group_map: Vec<u8>,
}

const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Parts of procfs that are the host's: read-only, so that not even a job run by root changes them.
const PROC_READ_ONLY: [&str; 9] =
    ["sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "mtrr", "driver"];

/// Parts of procfs that tell about the host and that no library reads: covered by `/dev/null`.
const PROC_COVERED: [&str; 9] = [
    "cmdline",
    "kcore",
    "kallsyms",
    "keys",
    "key-users",
    "kpagecount",
    "timer_list",
    "sched_debug",
    "sys/kernel/random/boot_id",
];

/// Numbers that Linux keeps back when process ids wrap around (`RESERVED_PIDS`).
const RESERVED_PIDS: u32 = 300;

pub(crate) fn compile(jail: &Jail) -> Result<Compiled, PrepareError> {
    let mut compiler = Compiler { steps: Vec::new(), directories: BTreeSet::new() };
    for mount in &jail.mounts {
        compiler.mount(mount)?;
    }
    compiler.settings(jail)?;
    for directory in &jail.watched {
        let path = compiler.target(directory)?;
        compiler.push(Step::Watch { directory: path }, format!("watch `{}`", directory.display()));
    }
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
        steps: compiler.steps,
        staging: c_string(jail.staging.as_os_str())?,
        hostname: jail.hostname.clone().into_bytes(),
        candidates: candidates(jail)?,
        arguments: StringArray::new(arguments),
        environment: StringArray::new(environment),
        working_directory: c_string(jail.working_directory.as_os_str())?,
        user_map: format!("{user} {user} 1\n").into_bytes(),
        group_map: format!("{group} {group} 1\n").into_bytes(),
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

struct Compiler {
    steps: Vec<(Step, String)>,
    directories: BTreeSet<Vec<u8>>,
}

impl Compiler {
    fn push(&mut self, step: Step, description: String) {
        self.steps.push((step, description));
    }

    fn mount(&mut self, mount: &Mount) -> Result<(), PrepareError> {
        let shown = mount.target().display().to_string();
        match mount {
            Mount::Directory { target } => self.directory(target)?,
            Mount::Link { target, to } => {
                let path = self.place(target)?;
                self.push(Step::MakeLink { to: c_string(to.as_os_str())?, path }, format!("make `{shown}`"));
            }
            Mount::File { target, contents } => {
                let path = self.place(target)?;
                self.push(Step::MakeFile { path, contents: contents.clone() }, format!("make `{shown}`"));
            }
            Mount::Bind { source, target, access } => {
                let attributes = attributes(*access) | NODEV;
                self.bind(source, target, attributes, format!("mount `{shown}`"))?;
            }
            Mount::Overlay { lower, upper, target, access } => {
                self.directory(target)?;
                let mut layers = Vec::new();
                for layer in lower {
                    require_directory(layer)?;
                    layers.push(c_string(layer.as_os_str())?);
                }
                let upper = match upper {
                    None => None,
                    Some(upper) => {
                        Some((c_string(upper.changes.as_os_str())?, c_string(upper.work.as_os_str())?))
                    }
                };
                let target = self.target(target)?;
                let attributes = attributes(*access) | NODEV;
                let description = format!("mount the overlay `{shown}`");
                self.push(Step::Overlay { lower: layers, upper, target, attributes }, description);
            }
            Mount::Memory { target, bytes } => {
                self.directory(target)?;
                let target = self.target(target)?;
                let size = c_string(OsStr::new(&bytes.to_string()))?;
                self.push(Step::Memory { size, target }, format!("mount `{shown}`"));
            }
            Mount::Devices { target } => self.devices(target)?,
            Mount::Processes { target } => self.processes(target)?,
        }
        Ok(())
    }

    fn bind(
        &mut self,
        source: &Path,
        target: &Path,
        attributes: u64,
        description: String,
    ) -> Result<(), PrepareError> {
        let metadata = source.metadata().map_err(|error| missing(source, error))?;
        if metadata.is_dir() {
            self.directory(target)?;
        } else {
            let path = self.place(target)?;
            self.push(Step::MakeFile { path, contents: Vec::new() }, description.clone());
        }
        let target = self.target(target)?;
        self.push(Step::Bind { source: c_string(source.as_os_str())?, target, attributes }, description);
        Ok(())
    }

    fn devices(&mut self, target: &Path) -> Result<(), PrepareError> {
        for name in DEVICES {
            let description = format!("mount the device `/dev/{name}`");
            let attributes = NOSUID | NOEXEC;
            self.bind(&Path::new("/dev").join(name), &target.join(name), attributes, description)?;
        }
        let terminals = target.join("pts");
        self.directory(&terminals)?;
        let terminals = self.target(&terminals)?;
        self.push(Step::Terminals { target: terminals }, "make the jail's own terminals".to_owned());
        for (name, to) in [
            ("ptmx", "pts/ptmx"),
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            self.mount(&Mount::Link { target: target.join(name), to: to.into() })?;
        }
        Ok(())
    }

    fn processes(&mut self, target: &Path) -> Result<(), PrepareError> {
        self.directory(target)?;
        let path = self.target(target)?;
        self.push(Step::Processes { target: path }, "mount a procfs of the jail's own".to_owned());
        Ok(())
    }

    /// Settings of the jail's namespaces, and then the lid on procfs so that nobody changes them back.
    fn settings(&mut self, jail: &Jail) -> Result<(), PrepareError> {
        let Some(target) = jail.mounts.iter().find_map(|mount| match mount {
            Mount::Processes { target } => Some(target.clone()),
            _ => None,
        }) else {
            return Ok(());
        };
        let path = self.target(&target.join("sys/user/max_user_namespaces"))?;
        let value = b"0".to_vec();
        self.push(Step::WriteSetting { path, value }, "forbid nested user namespaces".to_owned());
        if let Some(tasks) = jail.tasks {
            let path = self.target(&target.join("sys/kernel/pid_max"))?;
            let value = tasks.saturating_add(RESERVED_PIDS + 1).to_string().into_bytes();
            self.push(Step::WriteSetting { path, value }, "limit the number of processes".to_owned());
        }
        for part in PROC_READ_ONLY {
            let shown = Path::new("/proc").join(part);
            if shown.exists() {
                let target = self.target(&target.join(part))?;
                let attributes = RDONLY | NOSUID | NODEV | NOEXEC;
                let step = Step::Bind { source: target.clone(), target, attributes };
                self.push(step, format!("make `{}` read-only", shown.display()));
            }
        }
        for part in PROC_COVERED {
            let shown = Path::new("/proc").join(part);
            if shown.exists() {
                let target = self.target(&target.join(part))?;
                let attributes = RDONLY | NOSUID | NOEXEC;
                let step = Step::Bind { source: c"/dev/null".to_owned(), target, attributes };
                self.push(step, format!("cover `{}`", shown.display()));
            }
        }
        Ok(())
    }

    /// Makes sure that the directory `target` and all above it are there.
    fn directory(&mut self, target: &Path) -> Result<(), PrepareError> {
        let path = relative(target)?;
        let mut end = 0;
        while end < path.len() {
            end = path[end + 1..].iter().position(|byte| *byte == b'/').map_or(path.len(), |at| end + 1 + at);
            let prefix = &path[..end];
            if self.directories.insert(prefix.to_vec()) {
                let path = c_string(OsStr::from_bytes(prefix))?;
                let description = format!("make the directory `/{}`", path.to_string_lossy());
                self.push(Step::MakeDirectory { path, mode: 0o755 }, description);
            }
        }
        Ok(())
    }

    /// The relative path of `target`, with its parent in place.
    fn place(&mut self, target: &Path) -> Result<CString, PrepareError> {
        if let Some(parent) = target.parent() {
            self.directory(parent)?;
        }
        self.target(target)
    }

    fn target(&self, target: &Path) -> Result<CString, PrepareError> {
        c_string(OsStr::from_bytes(&relative(target)?))
    }
}

fn attributes(access: Access) -> u64 {
    match access {
        Access::Read => NOSUID | RDONLY | NOEXEC,
        Access::Execute => NOSUID | RDONLY,
        Access::Write => NOSUID,
    }
}

/// The bytes of an absolute target without its leading slash; refuses `..` and `.`.
fn relative(target: &Path) -> Result<Vec<u8>, PrepareError> {
    let mut components = target.components();
    let plain = components.next() == Some(Component::RootDir)
        && components.all(|component| matches!(component, Component::Normal(_)));
    if !plain {
        return Err(PrepareError::Description { what: format!("the path `{}`", target.display()) });
    }
    Ok(target.components().collect::<std::path::PathBuf>().into_os_string().into_vec()[1..].to_vec())
}

fn require_directory(path: &Path) -> Result<(), PrepareError> {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(missing(path, std::io::ErrorKind::NotADirectory.into())),
        Err(error) => Err(missing(path, error)),
    }
}

fn missing(path: &Path, source: std::io::Error) -> PrepareError {
    PrepareError::Source { what: format!("`{}`", path.display()), source }
}

fn c_string(text: &OsStr) -> Result<CString, PrepareError> {
    CString::new(text.as_bytes()).map_err(|_| PrepareError::Description {
        what: format!("a NUL byte in `{}`", text.to_string_lossy().escape_debug()),
    })
}
