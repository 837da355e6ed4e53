//! System calls of a jail's network.

use std::ffi::{c_char, c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use rustix::io::Result;
use rustix::net::AddressFamily;

use super::check;

/// With the type that the C library at hand has for requests.
const SIOCSIFFLAGS: libc::Ioctl = 0x8914;

/// Sets the loopback interface of this network namespace up.
///
/// Source: netdevice(7), `SIOCSIFFLAGS`.
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: all zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0);
    // SAFETY: the request is a valid `ifreq` that outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCSIFFLAGS, ptr::from_ref(&request)) };
    check(c_long::from(result)).map(drop)
}

/// Lets a listening socket take connections to any address that rules lead to it.
///
/// Source: ip(7), `IP_TRANSPARENT`.
pub(crate) fn set_transparent(socket: BorrowedFd<'_>, family: AddressFamily) -> Result<()> {
    let (level, name) = if family == AddressFamily::INET6 {
        (libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT)
    } else {
        (libc::IPPROTO_IP, libc::IP_TRANSPARENT)
    };
    let on: c_int = 1;
    let length = libc::socklen_t::try_from(size_of::<c_int>()).unwrap_or(0);
    // SAFETY: the value is a number of the given length that outlives the call.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, ptr::from_ref(&on).cast(), length) };
    check(c_long::from(result)).map(drop)
}
