//! What the jail's first process does before the program may start.
//!
//! **Invariant:** async-signal-safe from the first line to the last. Nothing is allocated, locked or
//! printed: the caller may have threads, and this process has only a copy of their memory.
//! **Invariant:** the order is the security argument. What needs privilege comes first; then every
//! privilege goes; only then is the supervisor told that the jail is ready.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use crate::compile::{Compiled, Step};
use crate::sys::{self, Scope};

/// Descriptors that the first process takes over from its parent.
pub(crate) struct Given<'a> {
    pub(crate) streams: [RawFd; 3],
    pub(crate) control: RawFd,
    pub(crate) opened: RawFd,
    pub(crate) keep: &'a [RawFd],
}

/// Where the descriptors end up.
pub(crate) const CONTROL: RawFd = 3;
const OPENED: RawFd = 4;
const KEPT: RawFd = 5;

/// Steps that every jail has, in this order; those of its [`Compiled`] come between the fifth and the rest.
pub(crate) const FIXED_STEPS: [&str; 8] = [
    "arrange the descriptors of the jail",
    "map the user of the jail",
    "leave the session keyring and the host's names",
    "bring up the loopback interface",
    "mount the root of the jail",
    "enter the root of the jail",
    "enter the working directory",
    "drop every privilege",
];

/// Number of the first compiled step in a failure.
pub(crate) const COMPILED_STEPS_FROM: u32 = 100;

/// Makes the jail around this process. On failure, the number of the step and the error.
pub(crate) fn set_up(jail: &Compiled, given: &Given<'_>) -> core::result::Result<(), (u32, Errno)> {
    fixed(0, arrange_descriptors(given))?;
    fixed(1, map_user(jail))?;
    fixed(2, leave_names(jail))?;
    fixed(3, loopback())?;
    fixed(4, mount_root(&jail.staging))?;
    for (number, (step, _)) in (COMPILED_STEPS_FROM..).zip(&jail.steps) {
        carry_out(step).map_err(|error| (number, error))?;
    }
    fixed(5, enter_root())?;
    fixed(6, rustix::process::chdir(jail.working_directory.as_c_str()))?;
    fixed(7, drop_privileges())
}

fn fixed(number: u32, result: Result<()>) -> core::result::Result<(), (u32, Errno)> {
    result.map_err(|error| (number, error))
}

/// Standard streams, control, watch and kept descriptors to fixed numbers; everything else is closed,
/// so that no descriptor of the supervisor or of another run reaches this jail.
fn arrange_descriptors(given: &Given<'_>) -> Result<()> {
    let lowest = KEPT + RawFd::try_from(given.keep.len()).unwrap_or(0);
    let mut next = 0;
    let fixed = [given.streams[0], given.streams[1], given.streams[2], given.control, given.opened];
    // First out of the way of the final numbers, then onto them.
    let mut moved = [-1; 16];
    for (slot, fd) in moved.iter_mut().zip(fixed.iter().chain(given.keep)) {
        *slot = sys::duplicate_above(*fd, lowest)?;
    }
    for fd in moved.iter().take(fixed.len() + given.keep.len()) {
        sys::duplicate_to(*fd, next)?;
        next += 1;
    }
    sys::close_from(lowest.cast_unsigned())
}

fn map_user(jail: &Compiled) -> Result<()> {
    // A thread of the supervisor that ends takes the jail with it, and so does the supervisor; the
    // control socket notices the latter too, should this come too late.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    write_file(c"/proc/self/setgroups", b"deny")?;
    write_file(c"/proc/self/uid_map", &jail.user_map)?;
    write_file(c"/proc/self/gid_map", &jail.group_map)?;
    // This process holds a copy of the supervisor's memory. Not dumpable, it cannot be traced or read
    // through /proc by the job, which has the same user id.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
}

fn leave_names(jail: &Compiled) -> Result<()> {
    match sys::new_session_keyring() {
        Ok(()) | Err(Errno::NOSYS) => {} // A kernel without keyrings has none to leave.
        Err(error) => return Err(error),
    }
    rustix::system::sethostname(&jail.hostname)
}

fn loopback() -> Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sys::loopback_up(socket.as_fd())
}

fn mount_root(staging: &CStr) -> Result<()> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", private)?;
    let root = memory_file_system(c"1048576", c"0755")?;
    attach(&root, CWD, staging)?;
    rustix::process::fchdir(&root)
}

/// A tmpfs of at most `size` bytes, not attached anywhere yet.
fn memory_file_system(size: &CStr, mode: &CStr) -> Result<OwnedFd> {
    let context = rustix::mount::fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, c"size", size)?;
    rustix::mount::fsconfig_set_string(&context, c"mode", mode)?;
    rustix::mount::fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn attach(mount: &OwnedFd, directory: impl AsFd, target: &CStr) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", directory, target, flags)
}

fn carry_out(step: &Step) -> Result<()> {
    match step {
        Step::MakeDirectory { path, mode } => {
            match rustix::fs::mkdirat(CWD, path.as_c_str(), Mode::from_raw_mode(*mode)) {
                Err(Errno::EXIST) | Ok(()) => Ok(()),
                Err(error) => Err(error),
            }
        }
        Step::MakeFile { path, contents } => make_file(path, contents),
        Step::MakeLink { to, path } => rustix::fs::symlinkat(to.as_c_str(), CWD, path.as_c_str()),
        Step::Bind { source, target, attributes } => bind(source, target, *attributes),
        Step::Overlay { lower, upper, target, attributes } => {
            let upper = upper.as_ref().map(|(changes, work)| (changes.as_c_str(), work.as_c_str()));
            overlay(lower, upper, target, *attributes)
        }
        Step::Memory { size, target } => attach(&memory_file_system(size, c"1777")?, CWD, target),
        Step::Terminals { target } => {
            special(c"devpts", &[(c"ptmxmode", c"0666"), (c"mode", c"0620")], target)
        }
        Step::Processes { target } => special(c"proc", &[(c"hidepid", c"ptraceable")], target),
        Step::WriteSetting { path, value } => write_file(path, value),
        Step::Watch { directory } => watch(directory),
    }
}

fn make_file(path: &CStr, contents: &[u8]) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(0o644))?;
    write_all(&file, contents)
}

fn bind(source: &CStr, target: &CStr, attributes: u64) -> Result<()> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(CWD, source, flags)?;
    sys::mount_set(tree.as_fd(), attributes, Scope::Recursive)?;
    attach(&tree, CWD, target)
}

fn special(kind: &CStr, options: &[(&CStr, &CStr)], target: &CStr) -> Result<()> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(&context, *key, *value)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    attach(&mount, CWD, target)
}

/// Layers are named by descriptor: no path is parsed twice, no length limit, nothing to escape.
fn overlay(
    lower: &[std::ffi::CString],
    upper: Option<(&CStr, &CStr)>,
    target: &CStr,
    attributes: u64,
) -> Result<()> {
    let open = |path: &CStr| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, path, flags, Mode::empty())
    };
    let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let mut held: [Option<OwnedFd>; LAYERS_MAX] = [const { None }; LAYERS_MAX];
    let mut option = LayerList::new();
    // An overlay without an upper layer needs two lower ones: the empty directory that it covers.
    let covered = upper.is_none().then_some(target);
    let layers = lower.iter().map(std::ffi::CString::as_c_str).chain(covered);
    for (count, layer) in layers.enumerate() {
        let slot = held.get_mut(count).ok_or(Errno::TOOBIG)?;
        option.push(slot.insert(open(layer)?).as_raw_fd());
    }
    rustix::mount::fsconfig_set_string(&context, c"lowerdir", option.as_c_str()?)?;
    if let Some((changes, work)) = upper {
        for (key, path) in [(c"upperdir", changes), (c"workdir", work)] {
            let directory = open(path)?;
            let mut option = LayerList::new();
            option.push(directory.as_raw_fd());
            rustix::mount::fsconfig_set_string(&context, key, option.as_c_str()?)?;
        }
        // The layer does not outlive the run, so a sync by the job, or the one at unmount, buys nothing.
        rustix::mount::fsconfig_set_flag(&context, c"volatile")?;
    }
    rustix::mount::fsconfig_set_flag(&context, c"userxattr")?;
    rustix::mount::fsconfig_create(&context)?;
    let none = MountAttrFlags::empty();
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, none)?;
    sys::mount_set(mount.as_fd(), attributes, Scope::One)?;
    attach(&mount, CWD, target)
}

/// More than a snapshot ever has; the kernel's own limit is 500.
const LAYERS_MAX: usize = 8;

/// `/proc/self/fd/N` for each layer, joined by colons, built without allocating.
struct LayerList {
    bytes: [u8; 24 * LAYERS_MAX],
    length: usize,
}

impl LayerList {
    const fn new() -> Self {
        Self { bytes: [0; 24 * LAYERS_MAX], length: 0 }
    }

    fn push(&mut self, fd: RawFd) {
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

    fn as_c_str(&self) -> Result<&CStr> {
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_| Errno::TOOBIG)
    }
}

fn watch(directory: &CStr) -> Result<()> {
    use rustix::fs::inotify::WatchFlags;
    let flags = WatchFlags::OPEN | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW | WatchFlags::EXCL_UNLINK;
    rustix::fs::inotify::add_watch(sys::borrow(OPENED), directory, flags).map(drop)
}

fn enter_root() -> Result<()> {
    rustix::process::pivot_root(c".", c".")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")?;
    let root = rustix::fs::openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOEXEC;
    sys::mount_set(root.as_fd(), attributes, Scope::One)
}

fn drop_privileges() -> Result<()> {
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    rustix::thread::set_capabilities_secure_bits(bits)?;
    let mut capability = 0;
    while sys::drop_bounding(capability)? {
        capability += 1;
    }
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    )?;
    rustix::thread::set_no_new_privs(true)
}

fn write_file(path: &CStr, bytes: &[u8]) -> Result<()> {
    let file = rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    // Settings are taken whole or not at all: one write.
    if rustix::io::write(&file, bytes)? == bytes.len() { Ok(()) } else { Err(Errno::IO) }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::write(file, bytes)?;
        bytes = bytes.get(written..).unwrap_or(&[]);
    }
    Ok(())
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
