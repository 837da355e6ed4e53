//! A service that answers for several names, as those behind one address of the Internet do: one is granted,
//! and who asks it for the secret one gets the canary, in whatever form the name comes.
//!
//! It also knows another client, another run, and can say whether that is still served.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::dns::{self, Over};
use crate::outside::{NAME_SERVER, STANDS_FOR_A_NAME, at};

/// The name that runs may be granted.
pub(crate) const NAME: &str = "localhost";
/// The name that no run is granted.
pub(crate) const SECRET_NAME: &str = "secret.example";
/// Something in the first bytes of a client that names nobody, and takes whatever is served then.
pub(crate) const NO_NAME: &str = "for-clients-without-a-name";

/// What comes before the canary.
pub(crate) const CANARY: &str = "the secret is ";
/// The answer to all else.
pub(crate) const HELLO: &str = "hello";
/// The answer to [`PROBE`] when the other client is served.
pub(crate) const SERVED: &str = "it is served";
/// The same when there is none.
pub(crate) const NOBODY: &str = "there is nobody else";

/// Whoever asks this is the other client, and is told when it should show that it is served.
const WAIT: &str = "GET /wait ";
/// How it does that.
const SHOW: &str = "GET /show ";
/// Asks for that.
pub(crate) const PROBE: &str = "GET /probe ";

/// Asks for more than is on its way at once.
pub(crate) const MUCH: &str = "GET /much ";
const MUCH_BYTES: usize = 512 << 10;

/// Of what a client has sent, so much is looked at.
const KEPT_BYTES: usize = 2 << 10;

/// How long the other client may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same where one server at a time serves everybody: who is not served at once is not served at all.
const SHORT_PATIENCE: Duration = Duration::from_millis(300);

/// How clients are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// Each by itself.
    Each,
    /// One after another, until its first words are whole and much is sent: as a gateway for all runs would
    /// that is careless.
    OneAfterAnother,
}

#[derive(Debug)]
struct Service {
    canary: &'static [u8; 16],
    patience: Duration,
    other: Mutex<Other>,
    shown: Condvar,
}

#[derive(Debug, Default)]
struct Other {
    waiting: Option<TcpStream>,
    shown: u64,
}

/// Serves from now on.
pub(crate) fn serve(listener: TcpListener, care: Care, canary: &'static [u8; 16]) {
    let patience = if care == Care::Each { PATIENCE } else { SHORT_PATIENCE };
    let service = Service { canary, patience, other: Mutex::default(), shown: Condvar::new() };
    let service = Arc::new(service);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if care == Care::OneAfterAnother && wants_much(&client) {
                let _ = service.serve(client); // Whoever is gone is not served.
                continue;
            }
            let service = service.clone();
            thread::spawn(move || service.serve(client)); // Whoever is gone is not served.
        }
    });
}

/// Waits for the first line, or for all of the first record of TLS; whether that asks for much.
fn wants_much(client: &TcpStream) -> bool {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = client.peek(&mut bytes) {
        let seen = &bytes[..length];
        let is_whole = if is_tls(seen) { is_whole_tls(seen) } else { seen.contains(&b'\n') || length > 1024 };
        if is_whole {
            return seen.starts_with(MUCH.as_bytes());
        }
        thread::sleep(Duration::from_millis(1));
    }
    false
}

impl Service {
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let mut seen = Vec::new();
        let mut buffer = [0; 16 << 10];
        loop {
            let length = client.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            seen.extend(&buffer[..length]);
            let answer = if asks_for_the_secret(&seen) {
                self.secret()
            } else if is_whole(&seen) {
                self.answer(&seen, &client)?
            } else {
                let surplus = seen.len().saturating_sub(KEPT_BYTES);
                seen.drain(..surplus);
                continue;
            };
            seen.clear();
            if !answer.is_empty() {
                client.write_all(format!("{answer}\n").as_bytes())?;
            }
        }
    }

    fn answer(&self, request: &[u8], client: &TcpStream) -> io::Result<String> {
        if request.starts_with(MUCH.as_bytes()) {
            (&*client).write_all(&vec![b'.'; MUCH_BYTES])?;
            return Ok(String::new());
        }
        let mut other = self.other.lock().unwrap_or_else(PoisonError::into_inner);
        if request.starts_with(WAIT.as_bytes()) {
            (&*client).write_all(format!("{HELLO}\n").as_bytes())?;
            other.waiting = Some(client.try_clone()?);
            return Ok(String::new());
        }
        if request.starts_with(SHOW.as_bytes()) {
            other.shown += 1;
            self.shown.notify_all();
        }
        if !request.starts_with(PROBE.as_bytes()) {
            return Ok(HELLO.to_owned());
        }
        let before = other.shown;
        let Some(waiting) = &other.waiting else { return Ok(NOBODY.to_owned()) };
        // A client that is gone does not show itself either.
        let _ = (&*waiting).write_all(b"show yourself\n");
        let shown = self.shown.wait_timeout_while(other, self.patience, |other| other.shown == before);
        let (other, _) = shown.unwrap_or_else(PoisonError::into_inner);
        Ok(if other.shown == before { self.secret() } else { SERVED.to_owned() })
    }

    fn secret(&self) -> String {
        format!("{CANARY}{}", String::from_utf8_lossy(self.canary))
    }
}

/// Whether a server could take these bytes for a question to the secret host.
fn asks_for_the_secret(bytes: &[u8]) -> bool {
    let messages = if is_tls(bytes) { messages(bytes) } else { bytes.to_vec() };
    let holds =
        |name: &str| messages.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name.as_bytes()));
    holds(SECRET_NAME) || holds(NO_NAME)
}

/// Whether nothing more is to be waited for.
fn is_whole(bytes: &[u8]) -> bool {
    if is_tls(bytes) { is_whole_tls(bytes) } else { bytes.ends_with(b"\r\n\r\n") }
}

/// Whether a record of TLS is first: an alert or a part of the handshake.
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=22, 3, ..])
}

fn is_whole_tls(bytes: &[u8]) -> bool {
    records(bytes).last().is_some_and(|(_, record)| record.is_ok())
}

/// The handshake in records of TLS.
fn messages(bytes: &[u8]) -> Vec<u8> {
    let handshake = records(bytes).filter(|(kind, _)| *kind == 22);
    handshake.flat_map(|(_, record)| record.unwrap_or_else(|part| part).to_vec()).collect()
}

/// The records with their types; the last as an error where a part of it is missing.
fn records(mut bytes: &[u8]) -> impl Iterator<Item = (u8, Result<&[u8], &[u8]>)> {
    std::iter::from_fn(move || {
        let (&kind, rest) = bytes.split_first()?;
        let Some((header, rest)) = rest.split_at_checked(4) else {
            bytes = &[];
            return Some((kind, Err(bytes)));
        };
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        match rest.split_at_checked(length) {
            Some((record, rest)) => {
                bytes = rest;
                Some((kind, Ok(record)))
            }
            None => {
                bytes = &[];
                Some((kind, Err(rest)))
            }
        }
    })
}

/// As the other client: waits at port `port` of [`NAME`], and shows itself as often as it is asked to.
pub(crate) fn be_the_other(port: u16) -> io::Result<()> {
    let mut waiting = TcpStream::connect(address(port))?;
    say(&mut waiting, WAIT)?;
    let mut byte = [0; 64];
    waiting.read_exact(&mut byte[..HELLO.len() + 1])?;
    thread::spawn(move || {
        while let Ok(1..) = waiting.read(&mut byte) {
            let _ = show(port); // Who is not served cannot do more.
        }
    });
    Ok(())
}

/// Asks for the name, both ways, and then the service.
fn show(port: u16) -> io::Result<()> {
    for over in [Over::Udp, Over::Tcp] {
        dns::ask(NAME_SERVER, over, NAME, dns::A)?;
    }
    let mut stream = TcpStream::connect(address(port))?;
    say(&mut stream, SHOW)?;
    stream.read_exact(&mut [0; HELLO.len()])
}

fn say(stream: &mut TcpStream, what: &str) -> io::Result<()> {
    stream.write_all(format!("{what}HTTP/1.1\r\nHost: {NAME}\r\n\r\n").as_bytes())
}

/// The service by its granted name: a name server answers for `localhost` itself, so what is granted under
/// that name is reached by the address that stands for it.
pub(crate) fn address(port: u16) -> SocketAddr {
    at(STANDS_FOR_A_NAME, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_name_is_found_in_pieces_of_tls() {
        let records = [&[22, 3, 1, 0, 6][..], b"secret", &[22, 3, 1, 0, 8], b".example"].concat();
        assert!(asks_for_the_secret(&records) && is_whole_tls(&records));
        assert!(!asks_for_the_secret(&records[..20]) && !is_whole_tls(&records[..20]));
        assert!(!is_whole_tls(&records[..3]));
        assert!(asks_for_the_secret(b"GET / HTTP/1.1\r\nHost: SECRET.example\r\n"));
        assert!(!asks_for_the_secret(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    }
}
