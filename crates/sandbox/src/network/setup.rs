//! What the jail's first process does to have a network. Async-signal-safe, as `setup.rs`.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use aseptic_model::{JOB_ADDRESS, JOB_ADDRESS_6, NAME_SERVER};
use rustix::io::{Errno, Result};
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, netlink, sockopt};

use super::{BACKLOG, LISTENING_PORT, NAME_SERVER_PORT, NetworkEnds, Plan, REPORTS_BYTES};
use crate::sys;

/// Whether the jail has IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version6 {
    There,
    Missing,
}

impl Plan {
    /// Gives the jail its addresses and the routes to them.
    pub(crate) fn make_routes(&self) -> Result<Version6> {
        let socket = netlink_socket(None)?;
        self.v4.own_routes.carry_out(socket.as_fd())?;
        match self.v6.own_routes.carry_out(socket.as_fd()) {
            Ok(()) => Ok(Version6::There),
            // The kernel was built or started without it, or gives none to new interfaces.
            Err(Errno::OPNOTSUPP | Errno::AFNOSUPPORT | Errno::ACCESS | Errno::NODEV) => {
                Ok(Version6::Missing)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the rules; returns where the kernel reports what they refuse, if it can.
    ///
    /// Where it cannot, there is no way to what would be refused and reported.
    pub(crate) fn make_rules(&self, version6: Version6) -> Result<Option<OwnedFd>> {
        let socket = netlink_socket(Some(netlink::NETFILTER))?;
        let refused = if_supported(self.listen_to_reports())?;
        let families =
            || [Some(&self.v4), (version6 == Version6::There).then_some(&self.v6)].into_iter().flatten();
        let mut refused = match refused {
            Some(refused) => {
                let mut rules = families().map(|family| &family.reporting_rules);
                let made = rules.try_for_each(|rules| rules.carry_out(socket.as_fd()));
                if_supported(made)?.map(|()| refused)
            }
            None => None,
        };
        if refused.is_none() {
            families().try_for_each(|family| family.silent_rules.carry_out(socket.as_fd()))?;
            return Ok(None);
        }
        let socket = netlink_socket(None)?;
        let routes = families().try_for_each(|family| family.other_routes.carry_out(socket.as_fd()));
        if if_supported(routes)?.is_none() {
            refused = None;
        }
        Ok(refused)
    }

    fn listen_to_reports(&self) -> Result<OwnedFd> {
        let socket = netlink_socket(Some(netlink::NETFILTER))?;
        sockopt::set_socket_recv_buffer_size(&socket, REPORTS_BYTES)?;
        self.bind_reports.carry_out(socket.as_fd())?;
        Ok(socket)
    }
}

/// What the kernel can do, or nothing where it lacks a part of it.
fn if_supported<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT | Errno::OPNOTSUPP | Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the sockets on which the network is served.
pub(crate) fn open_sockets(version6: Version6, refused: Option<OwnedFd>) -> Result<NetworkEnds> {
    let names = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    rustix::net::bind(&names, &SocketAddr::from((NAME_SERVER, NAME_SERVER_PORT)))?;
    let connections = listener(SocketAddr::from((JOB_ADDRESS, LISTENING_PORT)))?;
    let connections_6 = match version6 {
        Version6::There => Some(listener(SocketAddr::from((JOB_ADDRESS_6, LISTENING_PORT)))?),
        Version6::Missing => None,
    };
    Ok(NetworkEnds { names, connections, connections_6, refused })
}

fn listener(address: SocketAddr) -> Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None)?;
    sys::set_transparent(socket.as_fd(), family)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn netlink_socket(protocol: Option<Protocol>) -> Result<OwnedFd> {
    socket(AddressFamily::NETLINK, SocketType::RAW, protocol)
}

fn socket(family: AddressFamily, kind: SocketType, protocol: Option<Protocol>) -> Result<OwnedFd> {
    rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, protocol)
}
