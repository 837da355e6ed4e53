//! The mounts of a jail, made by its first process.
//!
//! **Invariant:** async-signal-safe, as `setup.rs`.

use std::cell::Cell;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use crate::compile::Step;
use crate::setup::{OPENED, write_file};
use crate::sys::{self, Scope};

pub(crate) fn carry_out(step: &Step, slots: &[Cell<RawFd>]) -> Result<()> {
    let slot = |number: usize| slots.get(number).ok_or(Errno::INVAL);
    match step {
        Step::MakeDirectory { path } => {
            ignore_existing(rustix::fs::mkdirat(CWD, path.as_c_str(), Mode::from_raw_mode(0o755)))
        }
        Step::MakeFile { path, contents } => make_file(path, contents),
        Step::MakeLink { to, path } => rustix::fs::symlinkat(to.as_c_str(), CWD, path.as_c_str()),
        Step::Clone { source, attributes, slot: number } => {
            slot(*number)?.set(clone(source, *attributes)?.into_raw_fd());
            Ok(())
        }
        Step::Open { source, slot: number } => {
            slot(*number)?.set(open_directory(source)?.into_raw_fd());
            Ok(())
        }
        Step::Overlay { lower, upper, covered, attributes, slot: number, .. } => {
            let covered = covered.as_deref().map(open_directory).transpose()?;
            let mut layers = LayerList::new();
            for layer in lower {
                layers.push(slot(*layer)?.get());
            }
            if let Some(covered) = &covered {
                layers.push(covered.as_raw_fd());
            }
            let upper = match upper {
                Some((changes, work)) => Some((slot(*changes)?.get(), slot(*work)?.get())),
                None => None,
            };
            let mount = overlay(&layers, upper)?;
            sys::mount_set(mount.as_fd(), c"", *attributes, Scope::One)?;
            slot(*number)?.set(mount.into_raw_fd());
            Ok(())
        }
        Step::Placeholder { path } => {
            let mode = Mode::from_raw_mode(0o644);
            ignore_existing(rustix::fs::mknodat(CWD, path.as_c_str(), FileType::RegularFile, mode, 0))
        }
        Step::Attach { slot: number, target } => attach(sys::borrow(slot(*number)?.get()), target),
        Step::Restrict { path, attributes } => attach(clone(path, *attributes)?, path),
        Step::Memory { size, files, target } => attach(memory_file_system(size, files, c"1777")?, target),
        Step::Terminals { target } => {
            let options = [(c"ptmxmode", c"0666"), (c"mode", c"0620"), (c"max", TERMINALS_MAX)];
            attach(special(c"devpts", &options)?, target)
        }
        Step::Processes { settings, slot: number } => {
            let processes = special(c"proc", &[(c"hidepid", c"ptraceable")])?;
            for (path, value) in settings {
                write_file(&processes, path, value)?;
            }
            slot(*number)?.set(processes.into_raw_fd());
            Ok(())
        }
        Step::Watch { directory, number } => watch(directory, *number),
    }
}

/// The host's kernel has 4096 for all; without a bound, one job could take three quarters of them.
const TERMINALS_MAX: &CStr = c"256";

fn ignore_existing(result: Result<()>) -> Result<()> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        result => result,
    }
}

fn make_file(path: &CStr, contents: &[u8]) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(0o644))?;
    let mut rest = contents;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = rest.get(written..).unwrap_or(&[]);
    }
    Ok(())
}

/// A tmpfs of at most so many bytes and files, not attached anywhere yet.
pub(crate) fn memory_file_system(size: &CStr, files: &CStr, mode: &CStr) -> Result<OwnedFd> {
    let context = rustix::mount::fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [(c"size", size), (c"nr_inodes", files), (c"mode", mode)] {
        rustix::mount::fsconfig_set_string(&context, key, value)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

pub(crate) fn attach(mount: impl AsFd, target: &CStr) -> Result<()> {
    rustix::mount::move_mount(mount, c"", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// A copy of what is mounted at `source` and below, with these attributes.
pub(crate) fn clone(source: &CStr, attributes: u64) -> Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(CWD, source, flags)?;
    sys::mount_set(tree.as_fd(), c"", attributes, Scope::Recursive)?;
    Ok(tree)
}

fn special(kind: &CStr, options: &[(&CStr, &CStr)]) -> Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(&context, *key, *value)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn open_directory(path: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

/// Layers are named by descriptor: no path is parsed twice, no length limit, nothing to escape. The
/// descriptors stay open until it is made: kernels before Linux 6.5 look at them only then.
fn overlay(lower: &LayerList, upper: Option<(RawFd, RawFd)>) -> Result<OwnedFd> {
    let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, c"lowerdir", lower.as_c_str()?)?;
    if let Some((changes, work)) = upper {
        for (key, directory) in [(c"upperdir", changes), (c"workdir", work)] {
            rustix::mount::fsconfig_set_string(&context, key, LayerList::of(directory).as_c_str()?)?;
        }
        // The layer does not outlive the run, so a sync by the job, or the one at unmount, buys nothing.
        rustix::mount::fsconfig_set_flag(&context, c"volatile")?;
    }
    rustix::mount::fsconfig_set_flag(&context, c"userxattr")?;
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn watch(directory: &CStr, number: i32) -> Result<()> {
    use rustix::fs::inotify::WatchFlags;
    let flags = WatchFlags::OPEN | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW | WatchFlags::EXCL_UNLINK;
    // The kernel numbers the watches of one descriptor from 1; a directory that is named twice would
    // get its old number, and from there on every open would be put down to the wrong directory.
    match rustix::fs::inotify::add_watch(sys::borrow(OPENED), directory, flags)? {
        given if given == number => Ok(()),
        _ => Err(Errno::EXIST),
    }
}

/// More than a snapshot ever has; the kernel's own limit is 500.
const LAYERS_MAX: usize = 8;

/// `/proc/self/fd/N` for each layer, joined by colons, built without allocating.
pub(crate) struct LayerList {
    bytes: [u8; 24 * LAYERS_MAX],
    length: usize,
}

impl LayerList {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; 24 * LAYERS_MAX], length: 0 }
    }

    pub(crate) fn of(fd: RawFd) -> Self {
        let mut list = Self::new();
        list.push(fd);
        list
    }

    pub(crate) fn push(&mut self, fd: RawFd) {
        if self.length > 0 {
            self.extend(b":");
        }
        self.extend(b"/proc/self/fd/");
        let mut digits = [0; 10];
        let mut start = digits.len();
        let mut rest = fd.unsigned_abs();
        while start == digits.len() || rest > 0 {
            start -= 1;
            digits[start] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        self.extend(&digits[start..]);
    }

    fn extend(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(slot) = self.bytes.get_mut(self.length) {
                *slot = *byte;
            }
            self.length += 1;
        }
    }

    pub(crate) fn as_c_str(&self) -> Result<&CStr> {
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_| Errno::TOOBIG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_named_by_descriptor() {
        let mut list = LayerList::new();
        list.push(5);
        list.push(1042);
        assert_eq!(list.as_c_str(), Ok(c"/proc/self/fd/5:/proc/self/fd/1042"));
    }
}
