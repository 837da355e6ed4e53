//! A granted host that also answers for a name which is not granted: fronting by SNI and by Host.
//!
//! Where the name is hidden in the way that it is written, the host of this drill finds it all the same: there
//! are servers of every kind.

mod http;
mod tls;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::direct_ip::open;
use crate::attempt::{Attempt, Family};
use crate::outside::at;
use crate::service::{self, CANARY, HELLO, NAME};
use crate::{Said, Scene};
use http::{DISGUISED, FRAMED, HTTP_2, LATER, PLAIN, TWICE, UPGRADED};

pub(super) const FAMILY: Family = Family {
    name: "fronting",
    about: "a granted host asked for a name that is not granted",
    attempts: &[
        Attempt::new("fronting-host", GATEWAY, "ask a granted host for another one in HTTP", |scene| {
            front(scene, Door::Name, http::ways(PLAIN, NAME))
        })
        .network(BY_NAME)
        .canary(),
        Attempt::new("fronting-host-literal", GATEWAY, "ask a granted address for a host in HTTP", |scene| {
            front(scene, Door::Address, http::ways(PLAIN, ADDRESS))
        })
        .network(BY_ADDRESS)
        .canary(),
        Attempt::new("fronting-host-later", GATEWAY, "ask for it in a later request", |scene| {
            front(scene, Door::Name, http::ways(LATER, NAME))
        })
        .network(BY_NAME)
        .canary(),
        Attempt::new("fronting-host-twice", GATEWAY, "ask for both at once", |scene| {
            front(scene, Door::Name, http::ways(TWICE, NAME))
        })
        .network(BY_NAME)
        .canary(),
        Attempt::new(
            "fronting-host-disguised",
            GATEWAY,
            "ask for it in a form that is not HTTP to all",
            |scene| front(scene, Door::Name, http::ways(DISGUISED, NAME)),
        )
        .network(BY_NAME)
        .canary(),
        Attempt::new(
            "fronting-host-framing",
            GATEWAY,
            "hide a request in the body of another one",
            |scene| front(scene, Door::Name, http::ways(FRAMED, NAME)),
        )
        .network(BY_NAME)
        .canary(),
        Attempt::new("fronting-upgrade", GATEWAY, "leave HTTP for something that goes on to it", |scene| {
            front(scene, Door::Name, http::ways(UPGRADED, NAME))
        })
        .network(BY_NAME)
        .canary(),
        Attempt::new("fronting-http2", GATEWAY, "ask for it in HTTP/2", |scene| {
            front(scene, Door::Name, [("with prior knowledge", http::http_2(HTTP_2))])
        })
        .network(BY_NAME)
        .canary(),
        Attempt::new("fronting-bytes", GATEWAY, "ask for it a byte at a time", |scene| {
            let ways = [("HTTP", http::plain()), ("TLS", tls::plain())];
            front(scene, Door::Name, ways.map(|(name, bytes)| (name, in_bytes(&bytes))))
        })
        .network(BY_NAME)
        .canary(),
        Attempt::new("fronting-sni", GATEWAY, "name another host in TLS", |scene| {
            front(scene, Door::Name, tls::named())
        })
        .network(BY_NAME)
        .canary(),
        Attempt::new("fronting-sni-literal", GATEWAY, "name a host in TLS to a granted address", |scene| {
            front(scene, Door::Address, tls::named())
        })
        .network(BY_ADDRESS)
        .canary(),
        Attempt::new("fronting-sni-missing", GATEWAY, "name no host in TLS", |scene| {
            front(scene, Door::Name, tls::unnamed())
        })
        .network(BY_NAME)
        .canary(),
        Attempt::new("fronting-sni-twice", GATEWAY, "name two hosts in TLS", |scene| {
            front(scene, Door::Name, tls::twice())
        })
        .network(BY_NAME)
        .canary(),
        Attempt::new("fronting-sni-pieces", GATEWAY, "name it in pieces of TLS", |scene| {
            front(scene, Door::Name, tls::pieces())
        })
        .network(BY_NAME)
        .canary(),
    ],
};

const GATEWAY: &str = "gateway";
const BY_NAME: &[&str] = &["localhost:{service}", "127.0.0.1:{service}"];
const BY_ADDRESS: &[&str] = &["127.0.0.1:{service}"];
const ADDRESS: &str = "127.0.0.1";

/// Between packets that must not become one.
const PAUSE: Duration = Duration::from_millis(1);

/// What a client does.
#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    /// Waits for the answer to what was allowed.
    Answer,
}

/// A way to ask, with its name.
type Way = (&'static str, Vec<Step>);

/// What is granted of the host.
#[derive(Clone, Copy, Debug)]
enum Door {
    Name,
    Address,
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Self::Name => NAME,
            Self::Address => ADDRESS,
        }
    }

    /// Where it is, if what is allowed is answered there.
    fn find(self, scene: &Scene) -> io::Result<SocketAddr> {
        let port = scene.host()?.service;
        let address = match self {
            Self::Name => service::address(port),
            Self::Address => at(Ipv4Addr::LOCALHOST.into(), port),
        };
        ask_hello(&mut open(address)?, self.name())?;
        Ok(address)
    }
}

/// Asks a granted host for the secret one in each of `ways`.
fn front(scene: &Scene, door: Door, ways: impl IntoIterator<Item = Way>) -> io::Result<Said> {
    match door.find(scene) {
        Ok(address) => scene.each(ways, |steps| ask(address, steps)),
        Err(error) => Said::tried(format_args!("what is granted is not reached: {error}")),
    }
}

/// Reaches what is granted, by the address.
pub(super) fn hello(scene: &Scene) -> io::Result<()> {
    Door::Address.find(scene).map(drop)
}

/// Asks the granted host for what everybody may have.
pub(super) fn ask_hello(stream: &mut TcpStream, host: &str) -> io::Result<()> {
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
    match line(stream)?.as_str() {
        HELLO => Ok(()),
        other => Err(io::Error::other(format!("it answers `{other}`"))),
    }
}

fn ask(address: SocketAddr, steps: Vec<Step>) -> io::Result<Said> {
    let mut stream = open(address)?;
    stream.set_nodelay(true)?;
    for step in steps {
        match step {
            Step::Send(bytes) => {
                stream.write_all(&bytes)?;
                thread::sleep(PAUSE);
            }
            Step::Answer => match line(&mut stream)?.as_str() {
                HELLO => {}
                other => return Said::refused(format_args!("`{other}` in place of a greeting")),
            },
        }
    }
    secret(&mut stream)
}

/// The secret, in whatever line it comes.
pub(super) fn secret(stream: &mut impl Read) -> io::Result<Said> {
    loop {
        let line = line(stream)?;
        if let Some(canary) = line.strip_prefix(CANARY) {
            return Said::reached(canary);
        }
        if line != HELLO {
            return Said::refused(line);
        }
    }
}

/// One line of an answer, without its end.
pub(super) fn line(stream: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LINE_MAX {
        stream.read_exact(&mut byte)?;
        if byte == *b"\n" {
            break;
        }
        line.extend(byte);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

const LINE_MAX: usize = 200;

fn in_bytes(bytes: &[u8]) -> Vec<Step> {
    bytes.iter().map(|byte| Step::Send(vec![*byte])).collect()
}
