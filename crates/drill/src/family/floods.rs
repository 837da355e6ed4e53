//! More than a run may have of the network, and more than its gateway should bear, beside another run that is
//! served meanwhile.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::direct_ip::open;
use super::fronting::{ask_hello, hello, line, secret};
use crate::attempt::{Attempt, Family};
use crate::dns;
use crate::outside::{DATAGRAM_PORT, NAME_SERVER, PORT, PUBLIC, at};
use crate::service::{MUCH, PROBE, SERVED};
use crate::{Said, Scene};

pub(super) const FAMILY: Family = Family {
    name: "floods",
    about: "more of the network than a run may have, and than its gateway should bear",
    attempts: &[
        Attempt::new(
            "many-connections",
            "limit of connections",
            "have more connections than it may",
            |scene| {
                let mut held = Vec::new();
                for count in 0..CONNECTIONS {
                    let mut stream = open(host(scene)?)?;
                    match ask_hello(&mut stream, ADDRESS) {
                        Ok(()) => held.push(stream),
                        Err(error) if count == 0 => {
                            return Said::tried(format_args!("not even one: {error}"));
                        }
                        Err(error) => return Said::refused(format_args!("after {count}: {error}")),
                    }
                }
                Said::reached(format_args!("{} at once", held.len()))
            },
        )
        .network(GRANT)
        .limits(&[("connections", "8")]),
        Attempt::new(
            "much-traffic",
            "limit of traffic",
            "send more than it may, by several connections",
            |scene| send(scene, None),
        )
        .network(GRANT)
        .limits(&[("traffic", "128KiB")]),
        Attempt::new("fast-traffic", "limit of bandwidth", "send faster than it may", |scene| {
            send(scene, Some(SOON))
        })
        .network(GRANT)
        .limits(&[("bandwidth", "64KiB")]),
        Attempt::new(
            "half-messages",
            GATEWAY,
            "begin many connections with half of what is looked at",
            |scene| beside(scene, half_messages),
        )
        .network(GRANT)
        .canary(),
        Attempt::new(
            "unread-answers",
            GATEWAY,
            "ask for much by many connections, and read none of it",
            |scene| beside(scene, unread_answers),
        )
        .network(GRANT)
        .canary(),
        Attempt::new("broken-questions", GATEWAY, "send the name server what it cannot read", |scene| {
            beside(scene, broken_questions)
        })
        .network(GRANT)
        .canary(),
    ],
};

const GATEWAY: &str = "one gateway per run";
const GRANT: &[&str] = &["127.0.0.1:{service}"];
const ADDRESS: &str = "127.0.0.1";

const CONNECTIONS: usize = 32;

/// Of a message, and how many.
const MESSAGE_BYTES: usize = 64 << 10;
const MESSAGES: usize = 4;

/// Time for what takes no time without a limit, and four seconds with it.
const SOON: Duration = Duration::from_secs(1);

/// Connections, and datagrams, of a flood.
const HALVES: usize = 300;
const QUESTIONS: usize = 2_000;
/// More than the pipes of a gateway.
const UNREAD: usize = 140;

fn host(scene: &Scene) -> io::Result<SocketAddr> {
    Ok(at(Ipv4Addr::LOCALHOST.into(), scene.host()?.service))
}

/// Sends [`MESSAGES`], each by a connection of its own, and waits for each answer.
fn send(scene: &Scene, within: Option<Duration>) -> io::Result<Said> {
    if let Err(error) = hello(scene) {
        return Said::tried(format_args!("what is granted is not reached: {error}"));
    }
    let mut message = vec![0; MESSAGE_BYTES]; // The beginning of neither TLS nor HTTP.
    message.extend(b"\r\n\r\n");
    let start = Instant::now();
    for count in 0..MESSAGES {
        let mut stream = open(host(scene)?)?;
        if let Some(within) = within {
            let left = within.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
            stream.set_write_timeout(Some(left))?;
            stream.set_read_timeout(Some(left))?;
        }
        if let Err(error) = stream.write_all(&message).and_then(|()| line(&mut stream)) {
            return Said::refused(format_args!("after {count} of {MESSAGES}: {error}"));
        }
    }
    match within {
        Some(within) if start.elapsed() > within => Said::refused("it took too long"),
        _ => Said::reached(format_args!("sent {} KiB", (MESSAGES * MESSAGE_BYTES) >> 10)),
    }
}

/// Lets a flood stand, and asks the host whether another run is served meanwhile; the host gives the canary if
/// it is not.
fn beside<Held>(scene: &Scene, flood: fn(&Scene) -> io::Result<Held>) -> io::Result<Said> {
    let mut asking = open(host(scene)?)?;
    asking.set_read_timeout(None)?; // The host knows how long to wait.
    if let Err(error) = ask_hello(&mut asking, ADDRESS) {
        return Said::tried(format_args!("what is granted is not reached: {error}"));
    }
    let held = flood(scene)?;
    asking.write_all(format!("{PROBE}HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n").as_bytes())?;
    let said = match secret(&mut asking) {
        Ok(Said::Refused(answer)) if answer == SERVED => Said::refused("another run is served"),
        Ok(Said::Refused(answer)) => Said::tried(answer),
        Err(error) => Said::tried(format_args!("the own gateway serves no more: {error}")),
        said => said,
    };
    drop(held);
    said
}

/// Begins TLS and HTTP, and stops in the middle.
fn half_messages(scene: &Scene) -> io::Result<Vec<TcpStream>> {
    let beginnings: [&[u8]; 4] =
        [b"\x16\x03\x01\x3f\xff\x01", b"\x16", b"GET / HT", b"POST / HTTP/1.1\r\nHost:"];
    let mut held = Vec::new();
    for beginning in beginnings.into_iter().cycle().take(HALVES) {
        // The next ones may be refused, which is no matter here.
        let Ok(mut stream) = open(host(scene)?) else { break };
        let _ = stream.write_all(beginning);
        held.push(stream);
    }
    Ok(held)
}

/// Asks for what fills every buffer on its way.
fn unread_answers(scene: &Scene) -> io::Result<Vec<TcpStream>> {
    let request = format!("{MUCH}HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n");
    let mut held = Vec::new();
    for _ in 0..UNREAD {
        // The next ones may be refused, which is no matter here.
        let Ok(mut stream) = open(host(scene)?) else { break };
        let _ = stream.write_all(request.as_bytes());
        held.push(stream);
    }
    Ok(held)
}

/// Datagrams and messages that are no questions, names that are too long, and packets to where no way leads.
fn broken_questions(scene: &Scene) -> io::Result<Vec<TcpStream>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let question = dns::question(&format!("{}.drill.invalid", scene.id), dns::A);
    let loops = [&question[..12], &[0xc0, 12, 0, 1, 0, 1]].concat();
    let many = [&question[..4], &[0xff; 8], &question[12..]].concat();
    for count in 0..QUESTIONS {
        let cut = &question[..count % question.len()];
        for bytes in [cut, &loops, &many, &[0xff; 600]] {
            let _ = socket.send_to(bytes, at(NAME_SERVER, 53)); // There may be no room for more.
        }
        let _ = socket.send_to(b"?", at(PUBLIC, DATAGRAM_PORT)); // No way leads there.
    }
    for _ in 0..QUESTIONS / 10 {
        let _ = open(at(PUBLIC, PORT));
    }
    let mut held = Vec::new();
    for _ in 0..HALVES {
        let Ok(mut stream) = open(at(NAME_SERVER, 53)) else { break };
        let _ = stream.write_all(&[0xff, 0xff, 0, 1]);
        held.push(stream);
    }
    Ok(held)
}
