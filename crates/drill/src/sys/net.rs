//! Sockets of any family, and addresses of the loopback interface.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::{check, number};

/// A socket.
pub(crate) fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes integers.
    let made = number(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) }.into())?;
    // SAFETY: the kernel just made this descriptor, and nobody else has its number.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// Sets an option of a socket, as setsockopt(2).
pub(crate) fn set_option(socket: impl AsFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel reads `length` bytes of the value, which outlives the call.
    check(unsafe { libc::setsockopt(socket, level, name, value.as_ptr().cast(), length) }.into()).map(drop)
}

/// Switches the loopback interface on.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut request = request("lo");
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP).map_err(io::Error::other)?;
    // SAFETY: the request names an interface and outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }.into()).map(drop)
}

/// Gives the loopback interface another address, as its alias of that number.
pub(crate) fn add_address(alias: usize, address: Ipv4Addr) -> io::Result<()> {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut request = request(&format!("lo:{alias}"));
    let [a, b, c, d] = address.octets();
    let mut data = [0; 14];
    data[2..6].copy_from_slice(&[a, b, c, d].map(libc::c_char::from_ne_bytes_of));
    let family = libc::sa_family_t::try_from(libc::AF_INET).map_err(io::Error::other)?;
    request.ifr_ifru.ifru_addr = libc::sockaddr { sa_family: family, sa_data: data };
    // SAFETY: the request holds an address and outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFADDR, &raw const request) }.into()).map(drop)
}

/// Adds a way to every address, over the loopback interface.
///
/// Source: `struct rtentry` of route(7).
pub(crate) fn add_route() -> io::Result<()> {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut name = *b"lo\0";
    // SAFETY: all-zero is a valid request; the fields that matter are set below.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    let family = libc::sa_family_t::try_from(libc::AF_INET).map_err(io::Error::other)?;
    for address in [&mut route.rt_dst, &mut route.rt_genmask] {
        address.sa_family = family;
    }
    route.rt_flags = libc::RTF_UP;
    route.rt_metric = 77; // Beside whatever is there.
    route.rt_dev = name.as_mut_ptr().cast();
    // SAFETY: the request and the name in it outlive the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT, &raw const route) }.into()).map(drop)
}

/// Gives the loopback interface another address.
pub(crate) fn add_address_6(address: Ipv6Addr) -> io::Result<()> {
    #[repr(C)]
    struct Request {
        address: [u8; 16],
        prefix: u32,
        interface: i32,
    }
    let socket = socket(libc::AF_INET6, libc::SOCK_DGRAM, 0)?;
    let request = Request { address: address.octets(), prefix: 128, interface: 1 };
    // SAFETY: `struct in6_ifreq`, which outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFADDR, &raw const request) }.into()).map(drop)
}

fn request(name: &str) -> libc::ifreq {
    // SAFETY: all-zero is a valid request without a name.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes_of(from);
    }
    request
}

/// A byte as C's `char`, which has a sign on some machines.
trait FromByte {
    fn from_ne_bytes_of(byte: u8) -> Self;
}

impl FromByte for i8 {
    fn from_ne_bytes_of(byte: u8) -> Self {
        byte.cast_signed()
    }
}

impl FromByte for u8 {
    fn from_ne_bytes_of(byte: u8) -> Self {
        byte
    }
}
