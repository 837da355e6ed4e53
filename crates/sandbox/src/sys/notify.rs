//! System calls that wait for the supervisor's answer: seccomp_unotify(2).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use libc::{c_int, c_long, c_ulong};
use rustix::io::{Errno, Result};

use super::{FilterProgram, check};

/// One system call that waits for an answer.
pub(crate) type Notice = libc::seccomp_notif;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`, Linux 6.6.
const SYNC_WAKE_UP: c_ulong = 1;

impl FilterProgram {
    /// Puts this process and all that it starts under the filter, for good, and returns the descriptor
    /// that hears of the calls for which the filter says so.
    ///
    /// Source: seccomp_unotify(2), `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
    pub(crate) fn listen(&self) -> Result<OwnedFd> {
        let length = u16::try_from(self.0.len()).map_err(|_| Errno::TOOBIG)?;
        let program = libc::sock_fprog { len: length, filter: self.0.as_ptr().cast_mut() };
        let install = |flags: c_ulong| {
            // SAFETY: the program outlives the call, which copies and does not change it.
            check(unsafe {
                libc::syscall(
                    libc::SYS_seccomp,
                    libc::SECCOMP_SET_MODE_FILTER,
                    flags,
                    ptr::from_ref(&program),
                )
            })
        };
        // With the second flag, a signal that does not kill waits too, so that a job with a timer is not
        // interrupted over and over. Linux 5.19; before it, the call is started again.
        let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        let fd = match install(listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
            Err(Errno::INVAL) => install(listener)?,
            result => result?,
        };
        // SAFETY: the kernel has just opened this descriptor for us and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(c_int::try_from(fd).unwrap_or(-1)) })
    }
}

/// Lets whoever waits and the listener take turns on one processor, which is faster. Not in every kernel.
pub(crate) fn take_turns(listener: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: only integers are passed.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP) };
    check(c_long::from(result)).map(drop)
}

/// The next call that waits. Blocks when there is none.
pub(crate) fn receive(listener: BorrowedFd<'_>) -> Result<Notice> {
    // SAFETY: all zero bytes are a valid notification, and what the kernel wants to be given.
    let mut notice: Notice = unsafe { std::mem::zeroed() };
    // SAFETY: the number of the request has the size of the structure in it, which is ours.
    let result = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, ptr::from_mut(&mut notice))
    };
    check(c_long::from(result)).map(|_| notice)
}

/// Lets the call go on as if nobody had looked. If it does, everything read of its process until now was
/// of that process, because it waited.
pub(crate) fn let_go(listener: BorrowedFd<'_>, id: u64) -> Result<()> {
    let flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or(0);
    let mut answer = libc::seccomp_notif_resp { id, val: 0, error: 0, flags };
    // SAFETY: the answer outlives the call; the number of the request has its size in it.
    let result = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, ptr::from_mut(&mut answer))
    };
    check(c_long::from(result)).map(drop)
}

/// Copies what another process has at `address` into `buffer`, up to the first byte that it does not have.
///
/// Source: process_vm_readv(2).
pub(crate) fn read_memory(pid: u32, address: u64, buffer: &mut [u8]) -> Result<usize> {
    // What a transfer cannot do in full it does element by element, so no element crosses a page.
    let start = usize::try_from(address).map_err(|_| Errno::FAULT)?;
    let first = (PAGE - start % PAGE).min(buffer.len());
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let second = start.checked_add(first).ok_or(Errno::FAULT)?;
    let element =
        |at: usize, length| libc::iovec { iov_base: ptr::without_provenance_mut(at), iov_len: length };
    let remote = [element(start, first), element(second, buffer.len() - first)];
    let pid = c_int::try_from(pid).map_err(|_| Errno::SRCH)?;
    // SAFETY: the local element is the buffer; the remote ones are addresses of another process, which
    // the kernel checks.
    let copied = unsafe { libc::process_vm_readv(pid, &raw const local, 1, remote.as_ptr(), 2, 0) };
    check(copied as c_long).map(|copied| usize::try_from(copied).unwrap_or(0))
}

/// The size of a page, or a part of it.
const PAGE: usize = 4_096;

/// Whether this process may do what `wanted` says (`R_OK` and so on) with what `file` refers to.
///
/// Source: faccessat2(2), `AT_EMPTY_PATH`.
pub(crate) fn may(file: BorrowedFd<'_>, wanted: c_int) -> Result<()> {
    // SAFETY: the path is empty and ends in NUL; the rest are integers.
    let result = unsafe {
        libc::syscall(libc::SYS_faccessat2, file.as_raw_fd(), c"".as_ptr(), wanted, libc::AT_EMPTY_PATH)
    };
    check(result).map(drop)
}
