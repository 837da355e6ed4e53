//! System calls of the attempts that `rustix` does not have, or not in a safe form.
//!
//! One call each, with a safe signature. Attempts and victims are processes of their own with one job, so
//! nothing here has to be async-signal-safe.
#![expect(unsafe_code, reason = "attempts need raw system calls; the rest of this crate has none")]

pub(crate) mod ipc;
pub(crate) mod kernel;
pub(crate) mod net;
pub(crate) mod process;

use std::io;

/// The value of a call, or the error that it left in `errno`.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A value of the kernel as a descriptor or process id.
fn number(result: libc::c_long) -> io::Result<i32> {
    i32::try_from(check(result)?).map_err(io::Error::other)
}
