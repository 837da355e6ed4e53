//! What the jail's first process does before the program may start.
//!
//! **Invariant:** async-signal-safe from the first line to the last. Nothing is allocated, locked or
//! printed: the caller may have threads, and this process has only a copy of their memory.
//! **Invariant:** the order is the security argument. What needs privilege comes first; then every
//! privilege goes; only then is the supervisor told that the jail is ready.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use crate::clock;
use crate::compile::Compiled;
use crate::handed::Handed;
use crate::landlock::Rules;
use crate::mounts::{LayerList, attach, carry_out, clone, memory_file_system};
use crate::network::{NetworkEnds, Plan, open_sockets};
use crate::sys::{self, Scope};
use crate::terminal;

/// Descriptors that the first process takes over from its parent.
pub(crate) struct Given<'a> {
    pub(crate) streams: [RawFd; 3],
    pub(crate) control: RawFd,
    pub(crate) opened: RawFd,
    pub(crate) keep: &'a [RawFd],
    /// The `tasks` files of the control groups to join.
    pub(crate) groups: &'a [OwnedFd],
}

/// Where the descriptors end up.
pub(crate) const CONTROL: RawFd = 3;
pub(crate) const OPENED: RawFd = 4;
const KEPT: RawFd = 5;

/// Steps that every jail has, in this order; those of its [`Compiled`] come around the seventh.
pub(crate) const FIXED_STEPS: [&str; 19] = [
    "arrange the descriptors of the jail",
    "map the user of the jail",
    "leave the session keyring and the host's names",
    "bring up the loopback interface",
    "make the root of the jail",
    "replace null streams",
    "attach the root of the jail",
    "enter the root of the jail",
    "make the root of the jail read-only",
    "enter the working directory",
    "close what only the set-up needed",
    "give the jail's network its addresses",
    NETWORK_RULES_STEP,
    "listen in the jail's network",
    "open a session and a terminal of the jail's own",
    "drop every privilege",
    "enforce the rules of Landlock",
    LISTEN_STEP,
    "install the system call filter",
];

/// Number of the step that comes before all others, while the descriptors are still the supervisor's.
pub(crate) const JOIN_STEP: u32 = COMPILED_STEPS_FROM - 1;

/// Its failure has an error of its own: it is a report that is missing, not a wall.
pub(crate) const LISTEN_STEP: &str = "listen to what the job attempts";

/// Its failure is about parts of the kernel that only a network needs.
pub(crate) const NETWORK_RULES_STEP: &str = "make the rules of the jail's network";

/// Number of the first compiled step in a failure.
pub(crate) const COMPILED_STEPS_FROM: u32 = 100;

/// Makes the jail around this process. On failure, the number of the step and the error.
pub(crate) fn set_up(jail: &Compiled, given: &Given<'_>) -> core::result::Result<Handed, (u32, Errno)> {
    fixed(JOIN_STEP, join_groups(given.groups))?;
    fixed(0, arrange_descriptors(given))?;
    fixed(1, map_user(jail))?;
    fixed(2, leave_names(jail))?;
    fixed(3, loopback())?;
    let root = fixed(4, make_root())?;
    let mut steps = (COMPILED_STEPS_FROM..).zip(&jail.steps);
    for (number, step) in steps.by_ref().take(jail.outside) {
        carry_out(step, &jail.slots).map_err(|error| (number, error))?;
    }
    fixed(5, replace_null_streams(jail))?;
    fixed(6, attach(&root, &jail.staging))?;
    for (number, step) in steps.by_ref().take(jail.overlays) {
        carry_out(step, &jail.slots).map_err(|error| (number, error))?;
    }
    fixed(7, enter_root(root))?;
    for (number, step) in steps {
        carry_out(step, &jail.slots).map_err(|error| (number, error))?;
    }
    // Read-only and without programs: nothing in it is meant to be either.
    let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOEXEC;
    fixed(8, sys::mount_set(CWD, c"/", attributes, Scope::One))?;
    fixed(9, rustix::process::chdir(jail.working_directory.as_c_str()))?;
    fixed(10, sys::close_from(lowest(given).cast_unsigned()))?;
    let network = jail.network.as_ref().map(network).transpose()?;
    let terminal = fixed(14, terminal::open(jail.terminal.as_ref()))?;
    fixed(15, drop_privileges(jail))?;
    fixed(16, jail.landlock.as_ref().map_or(Ok(()), Rules::enforce))?;
    // From here on this process makes no call of those that the listener hears of: nobody listens yet.
    let attempts = fixed(17, listen(jail))?;
    fixed(18, jail.filter.install())?;
    Ok(Handed { terminal, attempts, network })
}

fn fixed<T>(number: u32, result: Result<T>) -> core::result::Result<T, (u32, Errno)> {
    result.map_err(|error| (number, error))
}

/// The first number above those of all descriptors that stay.
fn lowest(given: &Given<'_>) -> RawFd {
    KEPT + RawFd::try_from(given.keep.len()).unwrap_or(0)
}

/// Into the groups of version 1, and then into a namespace of which they are the root: what this process
/// joined before is what the job sees as `/`.
fn join_groups(groups: &[OwnedFd]) -> Result<()> {
    for group in groups {
        rustix::io::write(group, b"0")?;
    }
    sys::unshare(libc::CLONE_NEWCGROUP)
}

/// Standard streams, control, watch and kept descriptors to fixed numbers; everything else is closed,
/// so that no descriptor of the supervisor or of another run reaches this jail.
fn arrange_descriptors(given: &Given<'_>) -> Result<()> {
    let lowest = lowest(given);
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
    write_file(CWD, c"/proc/self/setgroups", b"deny")?;
    write_file(CWD, c"/proc/self/uid_map", &jail.user_map)?;
    write_file(CWD, c"/proc/self/gid_map", &jail.group_map)?;
    if let Some(offsets) = &jail.clock {
        clock::enter(offsets)?;
    }
    // This process holds a copy of the supervisor's memory. Not dumpable, it cannot be traced or read
    // through /proc by the job, which has the same user id.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
}

fn leave_names(jail: &Compiled) -> Result<()> {
    match sys::new_session_keyring() {
        // A kernel without keyrings has none to leave. A container may forbid the call; then the job
        // cannot make it either, which its own filter sees to anyway.
        Ok(()) | Err(Errno::NOSYS | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    rustix::system::setdomainname(b"(none)")?;
    rustix::system::sethostname(&jail.hostname)
}

fn loopback() -> Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sys::loopback_up(socket.as_fd())
}

fn network(plan: &Plan) -> core::result::Result<NetworkEnds, (u32, Errno)> {
    let version6 = fixed(11, plan.make_routes())?;
    let refused = fixed(12, plan.make_rules(version6))?;
    fixed(13, open_sockets(version6, refused))
}

/// The new root, not attached anywhere yet: it hides nothing of the host, whose files are still needed.
fn make_root() -> Result<OwnedFd> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", private)?;
    let root = memory_file_system(c"1048576", c"4096", c"0755")?;
    rustix::process::fchdir(&root)?;
    Ok(root)
}

/// Puts a read-only `/dev/null` in the place of the host's among the standard streams. The mode of a
/// file can be changed through a descriptor of it, and to a job of root the host's node belongs.
fn replace_null_streams(jail: &Compiled) -> Result<()> {
    let mut null = None;
    for stream in 0..=2 {
        let status = rustix::fs::fstat(sys::borrow(stream))?;
        let is_null = FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice
            && (rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev)) == NULL_DEVICE;
        if is_null {
            if null.is_none() {
                null = Some(open_null(jail)?);
            }
            if let Some(null) = &null {
                sys::duplicate_to(null.as_raw_fd(), stream)?;
            }
        }
    }
    Ok(())
}

/// Opens a null device through a mount that makes it read-only: one that the jail has anyway, or else one
/// for this. The kernel takes much longer to give up a mount that was attached nowhere.
fn open_null(jail: &Compiled) -> Result<OwnedFd> {
    let open = |tree: BorrowedFd<'_>| {
        let path = LayerList::of(tree.as_raw_fd());
        rustix::fs::openat(CWD, path.as_c_str()?, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
    };
    match jail.null.and_then(|slot| jail.slots.get(slot)) {
        Some(slot) => open(sys::borrow(slot.get())),
        None => open(clone(c"/dev/null", libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID)?.as_fd()),
    }
}

const NULL_DEVICE: (u32, u32) = (1, 3);

fn enter_root(root: OwnedFd) -> Result<()> {
    drop(root); // Now, because all descriptors from here on are closed in one go later.
    rustix::process::pivot_root(c".", c".")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}

/// Signals that wait in one jail: more than any program lets wait, a small part of what a user has.
const SIGNALS_PENDING_MAX: u64 = 4_096;

pub(crate) fn lower(resource: Resource, most: u64) -> Result<()> {
    let now = rustix::process::getrlimit(resource).maximum;
    let least = Some(now.map_or(most, |now| now.min(most)));
    rustix::process::setrlimit(resource, Rlimit { current: least, maximum: least })
}

fn drop_privileges(jail: &Compiled) -> Result<()> {
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    // Queued signals are counted for all jails of a user together.
    lower(Resource::Sigpending, SIGNALS_PENDING_MAX)?;
    if let Some(tasks) = jail.tasks_resource {
        lower(Resource::Nproc, tasks)?;
    }
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

fn listen(jail: &Compiled) -> Result<Option<[OwnedFd; 2]>> {
    let Some(filter) = &jail.attempts else { return Ok(None) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, c"/", flags, Mode::empty())?;
    Ok(Some([filter.listen()?, root]))
}

pub(crate) fn write_file(directory: impl AsFd, path: &CStr, bytes: &[u8]) -> Result<()> {
    let file = rustix::fs::openat(directory, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    // Settings are taken whole or not at all: one write.
    if rustix::io::write(&file, bytes)? == bytes.len() { Ok(()) } else { Err(Errno::IO) }
}
