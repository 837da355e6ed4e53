//! Processes: forks, namespaces, other processes' memory, signals.

use std::io;
use std::ptr;

use super::{check, number};

/// Forks a child that waits for its end.
pub(crate) fn fork_waiting() -> io::Result<i32> {
    // SAFETY: the process has one thread; the child only waits.
    match number(unsafe { libc::fork() }.into())? {
        0 => loop {
            // SAFETY: takes and returns nothing.
            unsafe { libc::pause() };
        },
        child => Ok(child),
    }
}

/// Forks; nothing is returned in the child.
pub(crate) fn fork() -> io::Result<Option<i32>> {
    // SAFETY: the process has one thread, so the child's copy of memory is whole.
    let child = number(unsafe { libc::fork() }.into())?;
    Ok((child != 0).then_some(child))
}

/// Ends this process without running anything else of it.
pub(crate) fn end() -> ! {
    // SAFETY: takes an integer and does not return.
    unsafe { libc::_exit(0) }
}

/// Leaves what `flags` (`CLONE_*`) names.
pub(crate) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: descriptors keep their numbers and memory stays: no flag of this crate unshares either.
    check(unsafe { libc::unshare(flags) }.into()).map(drop)
}

/// Starts a child in the namespaces `flags` by clone(2); it ends at once.
pub(crate) fn clone(flags: libc::c_int) -> io::Result<()> {
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and a stack the call is a fork. Their order differs between machines, but all
    // other arguments are zero.
    let child = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) })?;
    ended(child)
}

/// Starts a child in the namespaces `flags` by clone3(2); it ends at once.
pub(crate) fn clone3(flags: libc::c_int) -> io::Result<()> {
    // `struct clone_args`, first version: flags, pidfd, two thread ids, exit signal, stack, size, tls.
    let signal = u64::from(libc::SIGCHLD.cast_unsigned());
    let arguments: [u64; 8] = [u64::from(flags.cast_unsigned()), 0, 0, 0, signal, 0, 0, 0];
    // SAFETY: without CLONE_VM and a stack the call is a fork; the arguments outlive it.
    let child =
        check(unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) })?;
    ended(child)
}

fn ended(child: libc::c_long) -> io::Result<()> {
    if child == 0 {
        // SAFETY: ends this child without running anything of its parent's.
        unsafe { libc::_exit(0) };
    }
    let child = i32::try_from(child).map_err(io::Error::other)?;
    // SAFETY: no status is asked for.
    check(unsafe { libc::waitpid(child, ptr::null_mut(), 0) }.into()).map(drop)
}

/// Reads memory of another process.
pub(crate) fn read_memory(pid: i32, address: u64, bytes: &mut [u8]) -> io::Result<()> {
    let address = usize::try_from(address).map_err(io::Error::other)?;
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: ptr::without_provenance_mut(address), iov_len: bytes.len() };
    // SAFETY: the local vector is `bytes`; the remote one is looked up in another process.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    check(libc::c_long::try_from(read).unwrap_or(-1)).map(drop)
}

/// Attaches to a process as a debugger, and lets it go again.
pub(crate) fn trace(pid: i32, address: u64) -> io::Result<u64> {
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: neither call writes to memory of this process.
    check(unsafe { libc::ptrace(libc::PTRACE_ATTACH, pid, none, none) })?;
    let mut status = 0;
    // SAFETY: the status outlives the call.
    check(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) }.into())?;
    let address = usize::try_from(address).map_err(io::Error::other)?;
    let at = ptr::without_provenance_mut::<libc::c_void>(address);
    // SAFETY: the address is one of the other process.
    let word = unsafe { libc::ptrace(libc::PTRACE_PEEKDATA, pid, at, none) };
    // SAFETY: as above.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, none, none) };
    Ok(word.cast_unsigned())
}

/// Attaches to a process without stopping it; it is let go when this process ends.
pub(crate) fn seize(pid: i32) -> io::Result<()> {
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: the call writes to no memory of this process.
    check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, none, none) }).map(drop)
}

/// From now on the signal that asks for an end is not listened to.
pub(crate) fn ignore_end() -> io::Result<()> {
    // SAFETY: no handler of ours is installed.
    let before = unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Queues `count` signals for this process, which never takes them; returns how many were accepted.
pub(crate) fn queue_signals(count: u32) -> io::Result<u32> {
    let signal = libc::SIGRTMIN();
    // SAFETY: an all-zero set is valid memory for the calls that fill it in.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set outlives the calls.
    unsafe {
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
    }
    // SAFETY: the set outlives the call; the old one is not asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) }.into())?;
    let value = libc::sigval { sival_ptr: ptr::null_mut() };
    for accepted in 0..count {
        // SAFETY: the signal is blocked, and the call takes integers.
        if unsafe { libc::sigqueue(libc::getpid(), signal, value) } < 0 {
            return Ok(accepted);
        }
    }
    Ok(count)
}

/// Locks `length` bytes of a file for this process, as fcntl(2).
pub(crate) fn lock_range(file: &std::fs::File, length: i64) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: all-zero is a valid lock; the fields that matter are set below.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = i16::try_from(libc::F_RDLCK).map_err(io::Error::other)?;
    lock.l_len = length;
    // SAFETY: the descriptor is borrowed and the lock outlives the call.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) }.into()).map(drop)
}

/// The length of the range that another process locks in a file, if one does.
pub(crate) fn locked_range(file: &std::fs::File) -> io::Result<Option<i64>> {
    use std::os::fd::AsRawFd;
    // SAFETY: all-zero is a valid lock; the fields that matter are set below.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = i16::try_from(libc::F_WRLCK).map_err(io::Error::other)?;
    // SAFETY: the descriptor is borrowed and the kernel writes into the lock only.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) }.into())?;
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_len))
}

/// Writes `bytes` to the start of a file through a mapping of it.
pub(crate) fn write_mapped(file: &std::fs::File, bytes: &[u8]) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the kernel chooses the address; nothing of ours is replaced.
    let memory = unsafe {
        libc::mmap(ptr::null_mut(), bytes.len(), protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the caller's file is at least that long, so the first page of the mapping is there.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), memory.cast(), bytes.len()) };
    // SAFETY: the mapping was made above and is not used any more.
    check(unsafe { libc::munmap(memory, bytes.len()) }.into()).map(drop)
}
