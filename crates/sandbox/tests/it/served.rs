//! Serves the network of a jail, as simply as can be, and keeps what came out of it.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use aseptic_sandbox::{Jail, NetworkEnds};
use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::support::{Output, prepared};

/// What came out of a jail.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Where the jail's program connected to, and from where.
    pub(crate) connections: Vec<(SocketAddr, SocketAddr)>,
    /// Names that it asked for.
    pub(crate) names: Vec<String>,
    /// What the kernel refused.
    pub(crate) refused: Vec<String>,
}

impl Seen {
    /// The refused packets, each once.
    pub(crate) fn refused(&self) -> Vec<&str> {
        self.refused.iter().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Runs a jail whose connections are greeted with their destination, and whose names all have one address.
pub(crate) fn served(jail: &Jail) -> (Output, Seen) {
    let (mut prepared, mut pipes) = prepared(jail);
    let ends = prepared.take_network().unwrap();
    assert!(prepared.take_network().is_none());
    let over = rustix::event::eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let mut running = prepared.start();
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| serve(ends, &over));
        let (printed, complained) = pipes.read_all();
        let output = Output { ended: running.wait(), printed, complained };
        rustix::io::write(&over, &1_u64.to_ne_bytes()).unwrap();
        (output, serving.join().unwrap())
    })
}

fn serve(ends: NetworkEnds, over: &OwnedFd) -> Seen {
    let NetworkEnds { names, connections, connections_6, refused } = ends;
    let names = UdpSocket::from(names);
    let listeners: Vec<_> =
        [Some(connections), connections_6].into_iter().flatten().map(TcpListener::from).collect();
    let mut seen = Seen::default();
    loop {
        let mut waiting = vec![PollFd::new(over, PollFlags::IN), PollFd::new(&names, PollFlags::IN)];
        waiting.extend(listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
        rustix::event::poll(&mut waiting, None).unwrap();
        let done = !waiting[0].revents().is_empty();
        answer(&names, &mut seen.names);
        for listener in &listeners {
            while let Ok((mut stream, from)) = listener.accept() {
                let to = stream.local_addr().unwrap();
                let _ = writeln!(stream, "{to}"); // Whoever connected may be gone.
                seen.connections.push((to, from));
            }
        }
        if done {
            seen.refused = refused.iter().flat_map(reports).collect();
            return seen;
        }
    }
}

/// Answers every question for an IPv4 address. Source: RFC 1035, section 4.1.
fn answer(socket: &UdpSocket, names: &mut Vec<String>) {
    let mut question = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut question) {
        let question = &question[..length];
        let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
        let wants_address = question[end - 4..end - 2] == [0, 1];
        names.push(String::from_utf8_lossy(&question[13..end - 5]).into_owned());
        let mut reply =
            [&question[..2], &[0x81, 0x80, 0, 1, 0, u8::from(wants_address), 0, 0, 0, 0]].concat();
        reply.extend(&question[12..end]);
        if wants_address {
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 198, 18, 0, 7]);
        }
        socket.send_to(&reply, from).unwrap();
    }
}

/// What the kernel reported, such as `tcp 192.0.2.1:80`. Source: `linux/netfilter/nfnetlink_log.h`.
pub(crate) fn reports(socket: &OwnedFd) -> Vec<String> {
    let mut bytes = [0; 4096];
    let mut reports = Vec::new();
    loop {
        match rustix::net::recv(socket, &mut bytes, RecvFlags::DONTWAIT) {
            Ok((_, length)) => reports.push(report(&bytes[..length])),
            Err(Errno::AGAIN) => return reports,
            Err(error) => panic!("{error}"),
        }
    }
}

fn report(message: &[u8]) -> String {
    let mut rest = &message[20..];
    while let [a, b, c, d, ..] = rest {
        let (length, kind) = (usize::from(u16::from_ne_bytes([*a, *b])), u16::from_ne_bytes([*c, *d]));
        if kind == 9 {
            return packet(&rest[4..length]);
        }
        rest = &rest[length.next_multiple_of(4)..];
    }
    panic!("a report without a packet: {message:?}");
}

fn packet(packet: &[u8]) -> String {
    let (protocol, to, body): (_, std::net::IpAddr, _) = if packet[0] >> 4 == 4 {
        let to: [u8; 4] = packet[16..20].try_into().unwrap();
        (packet[9], to.into(), usize::from(packet[0] & 15) * 4)
    } else {
        let to: [u8; 16] = packet[24..40].try_into().unwrap();
        (packet[6], to.into(), 40)
    };
    let port = u16::from_be_bytes([packet[body + 2], packet[body + 3]]);
    let protocol = if protocol == 6 { "tcp" } else { "udp" };
    format!("{protocol} {}", SocketAddr::new(to, port))
}
