//! Processes: made in new namespaces and a control group, waited for with what they used.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use rustix::io::Result;

use super::check;

/// Which side of a [`fork_into`] this is.
pub(crate) enum Forked {
    Child,
    Parent { pid: i32, pidfd: OwnedFd },
}

/// `struct clone_args` of clone3(2), its third version.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Forks into the new namespaces that `namespaces` names (`CLONE_NEW*`), in the control group of version 2
/// whose directory `group` is, if there is one.
///
/// The child has a copy of memory, as after fork(2), and may only make async-signal-safe calls.
///
/// Source: clone3(2).
pub(crate) fn fork_into(namespaces: c_int, group: Option<BorrowedFd<'_>>) -> Result<Forked> {
    let mut pidfd: c_int = -1;
    let in_group = if group.is_some() { CLONE_INTO_CGROUP } else { 0 };
    let arguments = CloneArguments {
        flags: u64::from((namespaces | libc::CLONE_PIDFD).cast_unsigned()) | in_group,
        pidfd: ptr::from_mut(&mut pidfd) as u64,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        cgroup: group.map_or(0, |group| u64::from(group.as_raw_fd().cast_unsigned())),
        ..CloneArguments::default()
    };
    // SAFETY: without CLONE_VM the child works on its own copy of this stack; the arguments and
    // `pidfd` outlive the call.
    let pid = check(unsafe {
        libc::syscall(libc::SYS_clone3, ptr::from_ref(&arguments), size_of::<CloneArguments>())
    })?;
    if pid == 0 {
        return Ok(Forked::Child);
    }
    // SAFETY: the kernel has just opened this descriptor for us and nobody else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Forked::Parent { pid: i32::try_from(pid).unwrap_or(-1), pidfd })
}

/// Linux 5.7. The value of `linux/sched.h`, which has no room in the type that libc gives it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Leaves namespaces for new ones.
///
/// Source: unshare(2).
pub(crate) fn unshare(namespaces: c_int) -> Result<()> {
    // SAFETY: only integers are passed; the namespaces that are left are not those of memory or files.
    check(unsafe { libc::unshare(namespaces) }.into()).map(drop)
}

/// Sends a signal to every other process of this pid namespace. It reaches all that there are, and what
/// they have just started.
///
/// Source: kill(2).
pub(crate) fn signal_all(signal: c_int) -> Result<()> {
    // SAFETY: only integers are passed.
    check(unsafe { libc::kill(-1, signal) }.into()).map(drop)
}

/// What a process and those of its descendants that were waited for used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    /// Resident memory of the largest of them.
    pub(crate) largest_bytes: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
}

/// Waits for the end of a child and says what it used. The C library's waitid(2) does not, the kernel's does.
pub(crate) fn wait_with_usage(child: BorrowedFd<'_>) -> Result<Used> {
    // SAFETY: all zero bytes are a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let information = ptr::null_mut::<libc::siginfo_t>();
    // SAFETY: the kernel writes no information and one whole `rusage`, which outlives the call.
    let waited = unsafe {
        libc::syscall(
            libc::SYS_waitid,
            libc::P_PIDFD,
            child.as_raw_fd(),
            information,
            libc::WEXITED,
            ptr::from_mut(&mut usage),
        )
    };
    check(waited)?;
    let time = |time: libc::timeval| {
        let micros = u64::try_from(time.tv_usec).unwrap_or(0);
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0)) + Duration::from_micros(micros)
    };
    let times = |number: i64, unit| u64::try_from(number).unwrap_or(0).saturating_mul(unit);
    Ok(Used {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        largest_bytes: times(usage.ru_maxrss, 1024),
        read_bytes: times(usage.ru_inblock, BLOCK),
        written_bytes: times(usage.ru_oublock, BLOCK),
    })
}

/// Unit of the block counts of getrusage(2), whatever the file system has.
const BLOCK: u64 = 512;
