//! System calls that `rustix` does not have: one call each, safe signature, borrowed descriptors.
//!
//! Everything here is async-signal-safe: no allocation, no lock, no C library state. The code between
//! `clone3` and `execve` depends on that, because other threads of the caller may hold any lock.
#![expect(unsafe_code, reason = "the one module of the workspace that makes raw system calls")]

pub(crate) mod landlock;
mod network;
pub(crate) mod notify;
mod process;

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use rustix::io::{Errno, Result};

pub(crate) use network::{loopback_up, set_transparent};
pub(crate) use process::{Forked, Used, fork_into, signal_all, unshare, wait_with_usage};

fn check(result: c_long) -> Result<c_long> {
    if result >= 0 {
        return Ok(result);
    }
    // SAFETY: the C library always gives a valid pointer to this thread's error number.
    Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() }))
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets attributes (`MOUNT_ATTR_*`) on the mount at `path`, seen from the directory `fd`, or on `fd`
/// itself if `path` is empty.
///
/// Source: mount_setattr(2).
pub(crate) fn mount_set(fd: BorrowedFd<'_>, path: &CStr, set: u64, scope: Scope) -> Result<()> {
    let attributes = MountAttributes { set, clear: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH
        | match scope {
            Scope::One => 0,
            Scope::Recursive => libc::AT_RECURSIVE,
        };
    // SAFETY: the path ends in NUL and the attributes outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            path.as_ptr(),
            flags,
            ptr::from_ref(&attributes),
            size_of::<MountAttributes>(),
        )
    };
    check(result).map(drop)
}

/// How far [`mount_set`] reaches.
#[derive(Clone, Copy)]
pub(crate) enum Scope {
    One,
    Recursive,
}

/// Blocks every signal and opens a descriptor that reads `SIGCHLD`.
///
/// Source: signalfd(2), sigprocmask(2).
pub(crate) fn signals_to_descriptor() -> Result<RawFd> {
    // SAFETY: both sets are valid for the calls that initialise and read them.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        check(c_long::from(libc::sigprocmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut())))?;
        let mut child: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut child);
        libc::sigaddset(&raw mut child, libc::SIGCHLD);
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        let fd = check(c_long::from(libc::signalfd(-1, &raw const child, flags)))?;
        Ok(RawFd::try_from(fd).unwrap_or(-1))
    }
}

/// Blocks every signal of this thread and returns what was blocked before.
pub(crate) fn block_signals() -> Result<libc::sigset_t> {
    // SAFETY: both sets are valid for the call; `before` is filled by it.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        check(c_long::from(libc::sigprocmask(libc::SIG_SETMASK, &raw const all, &raw mut before)))?;
        Ok(before)
    }
}

/// Restores what [`block_signals`] returned.
pub(crate) fn restore_signals(before: &libc::sigset_t) -> Result<()> {
    // SAFETY: the set was filled by the kernel; the old set is not asked for.
    check(c_long::from(unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, ptr::from_ref(before), ptr::null_mut())
    }))
    .map(drop)
}

/// Gives every signal its default action, as a program expects at its start.
///
/// Asks the kernel itself: the C library refuses two signals, which may be ignored all the same.
/// Source: sigaction(2).
pub(crate) fn default_signals() {
    let default = [0_u64; 4]; // As large as any `struct sigaction` of the kernel, `SIG_DFL`, no flags.
    for signal in 1..=64 {
        // SAFETY: a default action has no handler that could run; KILL and STOP are refused, which
        // changes nothing. The old action is not asked for.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null_mut::<u64>(), 8_usize)
        };
    }
}

/// Unblocks every signal.
pub(crate) fn unblock_signals() {
    // SAFETY: an empty set is valid; the old one is not asked for.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Makes `number` another descriptor of what `fd` refers to; closed on exec if above 2.
pub(crate) fn duplicate_to(fd: RawFd, number: RawFd) -> Result<()> {
    let flags = if number > 2 { libc::O_CLOEXEC } else { 0 };
    // SAFETY: only integers are passed; closing what `number` was is what the caller wants.
    check(c_long::from(unsafe { libc::dup3(fd, number, flags) })).map(drop)
}

/// A new descriptor, numbered `lowest` or above, of what `fd` refers to.
pub(crate) fn duplicate_above(fd: RawFd, lowest: RawFd) -> Result<RawFd> {
    // SAFETY: only integers are passed.
    let new = check(c_long::from(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest) }))?;
    Ok(RawFd::try_from(new).unwrap_or(-1))
}

/// Closes every descriptor numbered `lowest` or above.
///
/// Source: close_range(2).
pub(crate) fn close_from(lowest: c_uint) -> Result<()> {
    // SAFETY: only called by a forked child, which owns its copy of the table.
    check(unsafe { libc::syscall(libc::SYS_close_range, lowest, c_uint::MAX, 0) }).map(drop)
}

/// A borrowed descriptor of this number, for code that has just arranged its own table.
pub(crate) fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the callers are the jail's first process and its job, which put the descriptor there
    // themselves and keep it open until they end.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Leaves the session keyring of the caller for a new, empty one.
///
/// Source: keyctl(2), `KEYCTL_JOIN_SESSION_KEYRING`.
pub(crate) fn new_session_keyring() -> Result<()> {
    let name = ptr::null::<c_char>();
    // SAFETY: a null name asks for an anonymous keyring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name) }).map(drop)
}

/// Drops one capability from the bounding set; false when there is no capability of this number.
///
/// Source: capabilities(7), prctl(2).
pub(crate) fn drop_bounding(capability: u32) -> Result<bool> {
    // SAFETY: only integers are passed.
    let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) };
    match check(c_long::from(result)) {
        Ok(_) => Ok(true),
        Err(Errno::INVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Pointers to C strings, ending in null, as execve(2) wants them.
pub(crate) struct StringArray {
    pointers: Vec<*const c_char>,
    _strings: Vec<std::ffi::CString>,
}

impl StringArray {
    pub(crate) fn new(strings: Vec<std::ffi::CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _strings: strings }
    }
}

/// Replaces this program; returns only when that failed.
///
/// Source: execve(2).
pub(crate) fn execute(program: &CStr, arguments: &StringArray, environment: &StringArray) -> Errno {
    // SAFETY: both arrays end in null and their strings live as long as they do; a heap buffer does
    // not move with its `CString`.
    unsafe { libc::execve(program.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr()) };
    check(-1).err().unwrap_or(Errno::INVAL)
}

/// A stack for [`spawn`].
pub(crate) struct Stack(Box<MaybeUninit<UnsafeCell<[u8; STACK_BYTES]>>>);

/// Enough for a few system calls, many times over; untouched pages cost nothing.
const STACK_BYTES: usize = 32 * 1024;

impl Stack {
    pub(crate) fn new() -> Self {
        Self(Box::new_uninit())
    }
}

/// Whether a process that [`spawn`] starts has this one's memory or a copy of it.
#[derive(Clone, Copy)]
pub(crate) enum Memory {
    /// Nothing is copied, which a fork would do only for the copy to be thrown away.
    Shared,
    /// What a time namespace needs before Linux 6.2.
    Copied,
}

/// Starts a process that runs `run`, and waits until it has executed a program or ended.
///
/// Source: clone(2), `CLONE_VFORK`.
pub(crate) fn spawn<T>(stack: &Stack, memory: Memory, run: fn(&T) -> !, argument: &T) -> Result<i32> {
    struct Call<'a, T> {
        run: fn(&T) -> !,
        argument: &'a T,
    }
    extern "C" fn enter<T>(call: *mut c_void) -> c_int {
        // SAFETY: the pointer is to the `call` below, and `spawn` is waiting.
        let call = unsafe { &*call.cast::<Call<'_, T>>() };
        (call.run)(call.argument)
    }
    let call = Call { run, argument };
    // SAFETY: one past the end of the stack's own memory.
    let end = unsafe { stack.0.as_ptr().add(1) };
    let top = end.map_addr(|end| end & !15); // As both architectures want it.
    // SAFETY: the stack is the new process's alone until it ends or executes a program, and this
    // function does not return before that; `run` never returns.
    let pid = unsafe {
        libc::clone(
            enter::<T>,
            top.cast_mut().cast(),
            libc::CLONE_VFORK
                | libc::SIGCHLD
                | match memory {
                    Memory::Shared => libc::CLONE_VM,
                    Memory::Copied => 0,
                },
            ptr::from_ref(&call).cast_mut().cast(),
        )
    };
    check(c_long::from(pid)).map(|_| pid)
}

/// A filter of system calls, ready to be installed.
pub(crate) struct FilterProgram(Vec<libc::sock_filter>);

impl FilterProgram {
    pub(crate) fn new(program: Vec<libc::sock_filter>) -> Self {
        Self(program)
    }

    /// Puts this process and all that it starts under the filter, for good.
    ///
    /// Source: seccomp(2).
    pub(crate) fn install(&self) -> Result<()> {
        let length = u16::try_from(self.0.len()).map_err(|_| Errno::TOOBIG)?;
        let program = libc::sock_fprog { len: length, filter: self.0.as_ptr().cast_mut() };
        // SAFETY: the program outlives the call, which copies and does not change it.
        let result = unsafe {
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, ptr::from_ref(&program), 0, 0)
        };
        check(c_long::from(result)).map(drop)
    }
}

/// Ends this process at once: no destructors, no flushing of buffers that belong to the parent.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: ends the process; nothing runs afterwards.
    unsafe { libc::_exit(code) }
}

/// Closes the three standard streams but `kept`.
pub(crate) fn close_streams(kept: Option<RawFd>) {
    for stream in (0..=2).filter(|stream| Some(*stream) != kept) {
        // SAFETY: only called by the jail's first process, which does not use them.
        unsafe { libc::close(stream) };
    }
}
