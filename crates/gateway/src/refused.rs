//! Hears which packets of a job the kernel refused.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::yield_now;

use crate::gateway::Gateway;
use crate::grants::Target;
use crate::{Why, Wish, packet};

/// Bytes of the kernel's longest message of this kind, which may hold several packets.
const MESSAGE_BYTES: usize = 64 << 10;

/// Most messages that are read at the end; the kernel holds fewer.
const DRAINED_MAX: usize = 10_000;

/// The netlink socket on which the kernel reports. It is registered as the kind of socket that tokio knows and
/// that is nearest to it; nothing but whether it is readable depends on that.
#[derive(Debug)]
pub(crate) struct Source(UdpSocket);

impl Source {
    pub(crate) fn new(end: OwnedFd) -> io::Result<Self> {
        let socket = std::net::UdpSocket::from(end);
        socket.set_nonblocking(true)?;
        Ok(Self(UdpSocket::from_std(socket)?))
    }

    /// Records what was reported already.
    pub(crate) fn drain(&self, gateway: &Gateway) {
        let mut bytes = vec![0; MESSAGE_BYTES];
        for _ in 0..DRAINED_MAX {
            match rustix::net::recv(&self.0, &mut *bytes, RecvFlags::DONTWAIT) {
                Ok((length, _)) => record(gateway, &bytes[..length]),
                Err(Errno::NOBUFS) => gateway.seen.lose(),
                Err(_) => return,
            }
        }
        gateway.seen.lose();
    }

    async fn next(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let receive = || Ok(rustix::net::recv(&self.0, &mut *bytes, RecvFlags::DONTWAIT)?.0);
        self.0.async_io(Interest::READABLE, receive).await
    }
}

/// Records what the kernel refuses, for as long as it is not dropped.
pub(crate) async fn listen(gateway: Rc<Gateway>, source: Rc<Source>) {
    let mut bytes = vec![0; MESSAGE_BYTES];
    loop {
        match source.next(&mut bytes).await {
            Ok(length) => record(&gateway, &bytes[..length]),
            // More came than there was room for, and some of it is lost.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => gateway.seen.lose(),
            Err(_) => {
                gateway.seen.lose();
                return;
            }
        }
        yield_now().await; // A job that floods it must not keep its connections waiting.
    }
}

fn record(gateway: &Gateway, message: &[u8]) {
    for (protocol, to) in packet::destinations(message) {
        let wish = match gateway.target(to) {
            Target::Name(name, port) => Wish::Host(protocol, name.to_string(), port),
            Target::Address(address) => Wish::Address(protocol, address),
        };
        gateway.seen.deny(wish, Why::NotGranted);
    }
}
