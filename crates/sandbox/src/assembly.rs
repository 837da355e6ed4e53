//! The order in which a jail's file system comes together.
//!
//! First everything of the host is opened. Then the new root is attached, and may hide some of it, and
//! overlays are made: kernels before Linux 6.15 take no layer of a root that is attached nowhere. Then the
//! root is entered, the host's files are out of reach, and all is put in its place.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use crate::compile::{Step, c_string};
use crate::error::PrepareError;
use crate::jail::{Access, Jail, Mount, Upper};
use crate::procfs;
use crate::tasks::TaskLimit;

const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// A tmpfs counts file contents, but not the files; a kilobyte of kernel memory each. Every file that is
/// not empty takes a page, so only the empty ones, links and directories ever feel this bound.
const BYTES_PER_FILE: u64 = 4096;
const FILES_MIN: u64 = 1024;

#[derive(Default)]
pub(crate) struct Assembly {
    pub(crate) outside: Vec<Step>,
    pub(crate) overlays: Vec<Step>,
    pub(crate) inside: Vec<Step>,
    pub(crate) slots: usize,
    /// The first slot with a read-only null device.
    pub(crate) null: Option<usize>,
    /// Directories that are there when the next inside step runs.
    directories: BTreeSet<Vec<u8>>,
}

pub(crate) fn assemble(jail: &Jail, limit: Option<(TaskLimit, u32)>) -> Result<Assembly, PrepareError> {
    let mut assembly = Assembly::default();
    // The kernel makes a procfs only where another one is to be seen whole, so this comes before the
    // host's is out of reach.
    let processes = assembly.slot();
    assembly.outside.push(Step::Processes { settings: procfs::settings(limit), slot: processes });
    for mount in &jail.mounts {
        match mount {
            Mount::Processes { target } => assembly.processes(target, processes)?,
            mount => assembly.mount(mount)?,
        }
        if !matches!(mount, Mount::Link { .. } | Mount::File { .. }) {
            assembly.hide_below(mount.target())?;
        }
    }
    for mount in &jail.mounts {
        if let Mount::Processes { target } = mount {
            assembly.cover_processes(target)?;
        }
    }
    for (number, directory) in (1..).zip(&jail.watched) {
        assembly.inside.push(Step::Watch { directory: place(directory)?, number });
    }
    Ok(assembly)
}

impl Assembly {
    fn slot(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    fn mount(&mut self, mount: &Mount) -> Result<(), PrepareError> {
        match mount {
            Mount::Directory { target } => self.directory(target)?,
            Mount::Link { target, to } => {
                self.parent(target)?;
                self.inside.push(Step::MakeLink { to: c_string(to.as_os_str())?, path: place(target)? });
            }
            Mount::File { target, contents } => {
                self.parent(target)?;
                self.inside.push(Step::MakeFile { path: place(target)?, contents: contents.clone() });
            }
            Mount::Bind { source, target, access } => {
                let metadata = source.metadata().map_err(|error| missing(source, error))?;
                if metadata.is_dir() {
                    self.directory(target)?;
                } else {
                    self.file(target)?;
                }
                self.clone(host(source)?, attributes(*access) | NODEV, target)?;
            }
            Mount::Overlay { lower, upper, target, access } => {
                let attributes = attributes(*access) | NODEV;
                self.overlay(lower, upper.as_ref(), target, attributes)?;
            }
            Mount::Memory { target, bytes } => {
                self.directory(target)?;
                let number = |number: u64| c_string(OsStr::new(&number.to_string()));
                let files = number((bytes / BYTES_PER_FILE).max(FILES_MIN))?;
                self.inside.push(Step::Memory { size: number(*bytes)?, files, target: place(target)? });
            }
            Mount::Devices { target } => self.devices(target)?,
            Mount::Device { source, target } => self.device(source, target)?,
            Mount::Processes { .. } => {} // By the caller, which knows its slot.
        }
        Ok(())
    }

    /// Mounts a part of the host on what is already at `target`.
    fn clone(&mut self, source: CString, attributes: u64, target: &Path) -> Result<(), PrepareError> {
        let slot = self.slot();
        self.outside.push(Step::Clone { source, attributes, slot });
        self.inside.push(Step::Attach { slot, target: place(target)? });
        Ok(())
    }

    /// Opens a directory of the host; returns its slot.
    fn open(&mut self, directory: &Path) -> Result<usize, PrepareError> {
        let slot = self.slot();
        self.outside.push(Step::Open { source: host(directory)?, slot });
        Ok(slot)
    }

    fn overlay(
        &mut self,
        lower: &[PathBuf],
        upper: Option<&Upper>,
        target: &Path,
        attributes: u64,
    ) -> Result<(), PrepareError> {
        let mut opened = Vec::new();
        for layer in lower {
            require_directory(layer)?;
            opened.push(self.open(layer)?);
        }
        let mut writable = None;
        let mut covered = None;
        if let Some(Upper { changes, work }) = upper {
            writable = Some((self.open(changes)?, self.open(work)?));
        } else {
            // Without an upper layer it needs a second lower one: an empty directory of the root.
            for path in ancestors(target)? {
                self.outside.push(Step::MakeDirectory { path });
            }
            covered = Some(place(target)?);
        }
        self.directory(target)?;
        let slot = self.slot();
        let names = upper.iter().map(|upper| &upper.changes).chain(lower);
        let layers = names.map(|path| path.display().to_string()).collect::<Vec<_>>().join("` on `");
        self.overlays.push(Step::Overlay {
            lower: opened,
            upper: writable,
            covered,
            attributes,
            slot,
            layers,
        });
        self.inside.push(Step::Attach { slot, target: place(target)? });
        Ok(())
    }

    fn devices(&mut self, target: &Path) -> Result<(), PrepareError> {
        for name in DEVICES {
            self.device(&Path::new("/dev").join(name), &target.join(name))?;
        }
        let terminals = target.join("pts");
        self.directory(&terminals)?;
        self.inside.push(Step::Terminals { target: place(&terminals)? });
        for (name, to) in [
            (c"ptmx", c"pts/ptmx"),
            (c"fd", c"/proc/self/fd"),
            (c"stdin", c"/proc/self/fd/0"),
            (c"stdout", c"/proc/self/fd/1"),
            (c"stderr", c"/proc/self/fd/2"),
        ] {
            let path = place(&target.join(OsStr::from_bytes(name.to_bytes())))?;
            self.inside.push(Step::MakeLink { to: to.to_owned(), path });
        }
        Ok(())
    }

    fn device(&mut self, source: &Path, target: &Path) -> Result<(), PrepareError> {
        self.file(target)?;
        // Read-only stops nobody from writing to a device, but the host's root from changing the mode of
        // the host's node.
        self.clone(host(source)?, NOSUID | NOEXEC | RDONLY, target)
    }

    fn processes(&mut self, target: &Path, slot: usize) -> Result<(), PrepareError> {
        self.directory(target)?;
        self.inside.push(Step::Attach { slot, target: place(target)? });
        Ok(())
    }

    /// The lid on procfs, so that nobody changes the settings back, or the host's.
    fn cover_processes(&mut self, target: &Path) -> Result<(), PrepareError> {
        for part in procfs::read_only() {
            let attributes = RDONLY | NOSUID | NODEV | NOEXEC;
            self.inside.push(Step::Restrict { path: place(&target.join(part))?, attributes });
        }
        for part in procfs::covered() {
            self.null.get_or_insert(self.slots);
            self.clone(c"/dev/null".to_owned(), RDONLY | NOSUID | NOEXEC, &target.join(part))?;
        }
        Ok(())
    }

    /// Makes sure that a file is at `target`, to mount on.
    fn file(&mut self, target: &Path) -> Result<(), PrepareError> {
        self.parent(target)?;
        self.inside.push(Step::Placeholder { path: place(target)? });
        Ok(())
    }

    /// Makes sure that the directory `target` and all above it are there.
    fn directory(&mut self, target: &Path) -> Result<(), PrepareError> {
        if self.directories.contains(&*relative(target)?) {
            return Ok(());
        }
        for path in ancestors(target)? {
            if self.directories.insert(path.as_bytes().to_vec()) {
                self.inside.push(Step::MakeDirectory { path });
            }
        }
        Ok(())
    }

    fn parent(&mut self, target: &Path) -> Result<(), PrepareError> {
        let parent = target.parent().filter(|parent| parent.parent().is_some());
        parent.map_or(Ok(()), |parent| self.directory(parent))
    }

    /// Forgets the directories below `target`: what has just been mounted there is on top of them.
    fn hide_below(&mut self, target: &Path) -> Result<(), PrepareError> {
        let target = [&relative(target)?, b"/".as_slice()].concat();
        self.directories.retain(|directory| !directory.starts_with(&target));
        Ok(())
    }
}

fn attributes(access: Access) -> u64 {
    match access {
        Access::Read => NOSUID | RDONLY | NOEXEC,
        Access::Execute => NOSUID | RDONLY,
        Access::Write => NOSUID,
    }
}

/// `target` and every directory above it but the root, the uppermost first, relative to the root.
fn ancestors(target: &Path) -> Result<Vec<CString>, PrepareError> {
    let path = relative(target)?;
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    slashes.chain([path.len()]).map(|end| c_string(OsStr::from_bytes(&path[..end]))).collect()
}

/// The path of `target` relative to the jail's root.
pub(crate) fn place(target: &Path) -> Result<CString, PrepareError> {
    c_string(OsStr::from_bytes(&relative(target)?))
}

/// The bytes of an absolute target without its leading slash; refuses `/` itself, `..` and `.`.
fn relative(target: &Path) -> Result<Cow<'_, [u8]>, PrepareError> {
    let bytes = target.as_os_str().as_bytes();
    let rest = bytes.strip_prefix(b"/").unwrap_or(b".");
    let mut names = rest.split(|byte| *byte == b'/');
    if names.all(|name| !name.is_empty() && name != b"." && name != b"..") {
        return Ok(Cow::Borrowed(rest)); // As nearly all are.
    }
    let mut components = target.components();
    let plain = components.next() == Some(Component::RootDir)
        && target.components().count() > 1
        && components.all(|component| matches!(component, Component::Normal(_)));
    if !plain {
        return Err(PrepareError::Description { what: format!("the path `{}`", target.display()) });
    }
    let target = target.components().collect::<PathBuf>().into_os_string().into_vec();
    Ok(Cow::Owned(target[1..].to_vec()))
}

/// A path of the host, for a process whose working directory is another one.
pub(crate) fn host(path: &Path) -> Result<CString, PrepareError> {
    let path = std::path::absolute(path).map_err(|error| missing(path, error))?;
    c_string(path.as_os_str())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(mounts: Vec<Mount>) -> Vec<String> {
        let jail = Jail {
            staging: "/".into(),
            mounts,
            watched: Vec::new(),
            hostname: String::new(),
            program: "true".into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            working_directory: "/".into(),
            ..Jail::default()
        };
        assemble(&jail, None).unwrap().inside.iter().map(Step::describe).collect()
    }

    #[test]
    fn a_directory_is_made_once_and_again_below_a_new_mount() {
        let directory = |target: &str| Mount::Directory { target: target.into() };
        let memory = Mount::Memory { target: "/a".into(), bytes: 1 };
        let steps = inside(vec![directory("/a/b"), directory("/a/b/c"), memory, directory("/a/b")]);
        let made =
            |path| steps.iter().filter(|step| **step == format!("make the directory `{path}`")).count();
        assert_eq!((made("/a"), made("/a/b"), made("/a/b/c")), (1, 2, 1));
    }

    #[test]
    fn targets_that_are_no_place_in_the_jail_are_refused() {
        for target in ["", "/", "a", "/a/../b", ".."] {
            assert!(relative(Path::new(target)).is_err(), "{target}");
        }
        for target in ["/a/./b//c/", "/a/b/c"] {
            assert_eq!(&*relative(Path::new(target)).unwrap(), b"a/b/c");
        }
    }
}
