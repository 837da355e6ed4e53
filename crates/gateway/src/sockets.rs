//! System calls on connections, none of which waits.

use std::io;
use std::net::{IpAddr, UdpSocket};

use aseptic_model::{JOB_ADDRESS, JOB_ADDRESS_6};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Tells whether there is nothing to do yet; that is no error here.
pub(crate) fn if_ready<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks at the bytes that came, and leaves them there. None at all means the end.
pub(crate) fn peek(stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(stream, into, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.1)
}

/// Takes the first bytes of what came away; `scratch` is as long as they are many.
pub(crate) fn discard(stream: &TcpStream, scratch: &mut [u8]) -> io::Result<()> {
    let mut left = scratch.len();
    while left > 0 {
        let flags = RecvFlags::TRUNC | RecvFlags::DONTWAIT;
        match rustix::net::recv(stream, &mut scratch[..left], flags)?.1 {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            taken => left = left.saturating_sub(taken),
        }
    }
    Ok(())
}

/// Sends as many bytes as fit.
pub(crate) fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<Option<usize>> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    if_ready(stream.try_io(Interest::WRITABLE, || Ok(rustix::net::send(stream, bytes, flags)?)))
}

/// Whether the other side has sent all that it will ever send.
pub(crate) fn has_ended(stream: &TcpStream) -> bool {
    let mut polled = [PollFd::new(stream, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Makes the end of a connection look like an error to the other side, also when this process dies. Where it
/// fails, the connection is gone already.
pub(crate) fn end_with_error(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Takes [`end_with_error`] back.
pub(crate) fn end_well(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, None);
}

/// Whether `address` is one of this machine's: it can be had as the own one, where not every address can
/// (`ip_nonlocal_bind`). So is what cannot be looked at.
pub(crate) fn is_own(address: IpAddr) -> bool {
    let nobodys: IpAddr = if address.is_ipv4() { JOB_ADDRESS.into() } else { JOB_ADDRESS_6.into() };
    can_be_had(address) != Some(false) && can_be_had(nobodys) != Some(true)
}

fn can_be_had(address: IpAddr) -> Option<bool> {
    match UdpSocket::bind((address, 0)).map_err(|error| Errno::from_io_error(&error)) {
        Ok(_) => Some(true),
        Err(Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT)) => Some(false),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_known() {
        for (address, expected) in
            [("127.0.0.1", true), ("127.1.2.3", true), ("198.18.255.255", false), ("2001:db8::ffff", false)]
        {
            assert_eq!(is_own(address.parse().unwrap()), expected, "{address}");
        }
    }
}
