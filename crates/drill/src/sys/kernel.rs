//! Large parts of the kernel, each touched as lightly as shows that it can be reached.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::{check, number};

/// Opens a directory by a handle instead of a path. Only directories can be opened so without privilege
/// over the whole machine, and only since Linux 6.6.
///
/// Source: `open_by_handle_at(2)`.
pub(crate) fn open_by_handle(directory: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        handle: [u8; 128],
    }
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    let mut handle = Handle { bytes: 128, kind: 0, handle: [0; 128] };
    let mut mount = 0_i32;
    let to = &raw mut handle;
    // SAFETY: the path is a C string; the handle says how long it is.
    check(unsafe {
        libc::syscall(libc::SYS_name_to_handle_at, libc::AT_FDCWD, path.as_ptr(), to, &raw mut mount, 0)
    })?;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the kernel filled the handle in; the descriptor is borrowed.
    let opened =
        number(unsafe { libc::syscall(libc::SYS_open_by_handle_at, directory.as_raw_fd(), to, flags) })?;
    // SAFETY: the kernel just made this descriptor, and nobody else has its number.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

/// Asks bpf(2) for something that it refuses by itself: attributes that are too long.
pub(crate) fn bpf() -> io::Error {
    let attributes = [0_u64; 16];
    // SAFETY: more bytes than any attributes have are refused before they are read.
    let result = unsafe { libc::syscall(libc::SYS_bpf, 0, attributes.as_ptr(), 1_usize << 20) };
    check(result).map_or_else(|error| error, |_| io::Error::other("accepted"))
}

/// Asks `perf_event_open(2)` for something that it refuses by itself: an unknown flag.
pub(crate) fn perf() -> io::Error {
    let attributes = [0_u64; 16];
    // SAFETY: an unknown flag is refused before anything is read.
    let result =
        unsafe { libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 1_usize << 30) };
    check(result).map_or_else(|error| error, |_| io::Error::other("accepted"))
}

/// A descriptor for page faults of this process.
pub(crate) fn userfault() -> io::Result<OwnedFd> {
    const UFFD_USER_MODE_ONLY: libc::c_int = 1;
    // SAFETY: the call takes an integer.
    let made =
        number(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | UFFD_USER_MODE_ONLY) })?;
    // SAFETY: the kernel just made this descriptor, and nobody else has its number.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// A ring for asynchronous system calls.
pub(crate) fn io_uring() -> io::Result<OwnedFd> {
    let mut parameters = [0_u64; 15]; // `struct io_uring_params`: 120 bytes, filled in by the kernel.
    // SAFETY: the parameters are as large as the kernel's.
    let made = number(unsafe { libc::syscall(libc::SYS_io_uring_setup, 2, parameters.as_mut_ptr()) })?;
    // SAFETY: the kernel just made this descriptor, and nobody else has its number.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// Makes a mount writable again.
///
/// Source: `mount_setattr(2)`.
pub(crate) fn clear_read_only(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    // `struct mount_attr`: set, clear, propagation, user namespace.
    let attributes: [u64; 4] = [0, libc::MOUNT_ATTR_RDONLY, 0, 0];
    let (at, size) = (attributes.as_ptr(), size_of_val(&attributes));
    // SAFETY: a C string and four numbers which outlive the call.
    check(unsafe { libc::syscall(libc::SYS_mount_setattr, libc::AT_FDCWD, path.as_ptr(), 0, at, size) })
        .map(drop)
}

/// Types a byte on a terminal as if its user did.
pub(crate) fn type_on(terminal: impl AsFd, byte: u8) -> io::Result<()> {
    let terminal = terminal.as_fd().as_raw_fd();
    // SAFETY: the kernel reads one byte, which outlives the call.
    check(unsafe { libc::ioctl(terminal, libc::TIOCSTI, &raw const byte) }.into()).map(drop)
}

/// Asks for something of a virtual console; on another terminal its driver says that it is none.
pub(crate) fn console(terminal: impl AsFd) -> io::Result<()> {
    const TIOCLINUX: libc::Ioctl = 0x541c;
    const SHIFT_STATE: u8 = 6; // Writes one byte back and changes nothing.
    let mut byte = SHIFT_STATE;
    // SAFETY: the kernel reads and writes one byte.
    check(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), TIOCLINUX, &raw mut byte) }.into()).map(drop)
}
