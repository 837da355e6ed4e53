//! Reaches hosts through an HTTP proxy (RFC 9110, section 9.3.6).

use std::io;
use std::net::{IpAddr, SocketAddr};

use aseptic_model::HostName;
use data_encoding::BASE64;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use crate::Proxy;
use crate::dial::connect;
use crate::gateway::Gateway;
use crate::grants::Target;
use crate::sockets::{discard, has_ended, if_ready, peek};

/// Most bytes of the head of a proxy's answer.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// Most header lines of it.
const HEADERS_MAX: usize = 64;

/// A proxy, and for whom it is.
#[derive(Debug)]
pub(crate) struct Via {
    host: Host,
    port: u16,
    /// The header line that says who asks, if there is one.
    authorization: String,
    except: Vec<Host>,
    except_all: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    Name(HostName),
    Address(IpAddr),
}

/// The settings name no proxy that could be one.
#[derive(Debug, thiserror::Error)]
#[error("the proxy is no host: `{0}`")]
pub struct InvalidProxy(String);

impl Via {
    /// What is neither a name nor an address in the list of exceptions excepts nothing.
    pub(crate) fn new(proxy: &Proxy) -> Result<Self, InvalidProxy> {
        let authorization = proxy.credentials.as_ref().map(|credentials| {
            format!("Proxy-Authorization: Basic {}\r\n", BASE64.encode(credentials.as_bytes()))
        });
        Ok(Self {
            host: Host::read(&proxy.host).ok_or_else(|| InvalidProxy(proxy.host.clone()))?,
            port: proxy.port,
            authorization: authorization.unwrap_or_default(),
            except: proxy.except.iter().filter_map(|entry| Host::read(entry)).collect(),
            except_all: proxy.except.iter().any(|entry| entry == "*"),
        })
    }

    /// Whether `target` is reached through it. This machine would be that of the proxy there.
    pub(crate) fn is_for(&self, target: &Target) -> bool {
        let is_here = matches!(target, Target::Address(address) if address.ip().is_loopback());
        let is_excepted = |entry: &Host| match (entry, target) {
            (Host::Name(except), Target::Name(name, _)) => name == except || name.is_below(except),
            (Host::Address(except), Target::Address(address)) => *except == address.ip(),
            (Host::Name(_), Target::Address(_)) | (Host::Address(_), Target::Name(..)) => false,
        };
        !is_here && !self.except_all && !self.except.iter().any(is_excepted)
    }

    /// A stream that leads to `target`; nothing where the proxy is not there or does not want to.
    pub(crate) async fn dial(&self, gateway: &Gateway, target: &Target) -> Option<TcpStream> {
        let addresses = match &self.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => gateway.resolver.resolve(name).await.ok()?.to_vec(),
        };
        let addresses: Vec<SocketAddr> =
            addresses.into_iter().map(|address| SocketAddr::new(address, self.port)).collect();
        let mut stream = connect(&addresses).await?;
        stream.write_all(self.request(target).as_bytes()).await.ok()?;
        read_answer(&stream).await.ok()?.then_some(stream)
    }

    fn request(&self, target: &Target) -> String {
        let host = match target {
            Target::Name(name, port) => format!("{name}:{port}"),
            Target::Address(address) => address.to_string(),
        };
        format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{}\r\n", self.authorization)
    }
}

impl Host {
    /// A name may have `.` or `*.` before it.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = inside.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let name = text.strip_prefix('*').unwrap_or(text);
        name.strip_prefix('.').unwrap_or(name).parse().ok().map(Self::Name)
    }
}

/// Reads the head of the answer and nothing behind it, which comes from the host already. Returns whether
/// the proxy agreed.
async fn read_answer(stream: &TcpStream) -> io::Result<bool> {
    let mut bytes = vec![0; HEAD_BYTES_MAX];
    loop {
        stream.ready(Interest::READABLE).await?;
        let answer = stream.try_io(Interest::READABLE, || {
            let length = peek(stream, &mut bytes)?;
            match read_head(&bytes[..length])? {
                // The same bytes are seen again, with more behind them, when these have come.
                None if length < bytes.len() && !has_ended(stream) => Err(io::ErrorKind::WouldBlock.into()),
                None => Err(io::ErrorKind::InvalidData.into()),
                Some(answer) => Ok(answer),
            }
        });
        if let Some((agreed, length)) = if_ready(answer)? {
            discard(stream, &mut bytes[..length])?;
            return Ok(agreed);
        }
    }
}

/// Whether the proxy agreed, and the length of the head; nothing where it is not all there.
fn read_head(bytes: &[u8]) -> io::Result<Option<(bool, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    match answer.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => {
            Ok(Some((answer.code.is_some_and(|code| (200..300).contains(&code)), length)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(except: &[&str]) -> Via {
        let except = except.iter().map(|entry| (*entry).to_owned()).collect();
        let credentials = Some("user:password".to_owned());
        Via::new(&Proxy { host: "proxy.example".to_owned(), port: 3128, credentials, except }).unwrap()
    }

    fn to(text: &str) -> Target {
        match text.parse() {
            Ok(address) => Target::Address(address),
            Err(_) => Target::Name(text.parse().unwrap(), 443),
        }
    }

    #[test]
    fn exceptions_are_those_of_no_proxy() {
        let via_some = via(&[
            "example.org",
            ".example.com",
            "*.example.net",
            "192.0.2.1",
            "[2001:db8::1]",
            "10.0.0.0/8",
        ]);
        for direct in [
            "example.org",
            "a.example.org",
            "a.example.com",
            "example.net",
            "192.0.2.1:443",
            "[2001:db8::1]:1",
        ] {
            assert!(!via_some.is_for(&to(direct)), "{direct}");
        }
        for through in ["notexample.org", "org", "192.0.2.2:443", "10.0.0.1:443"] {
            assert!(via_some.is_for(&to(through)), "{through}");
        }
        assert!(!via(&["*"]).is_for(&to("example.org")));
        for here in ["127.0.0.1:8080", "127.9.9.9:1", "[::1]:8080"] {
            assert!(!via(&[]).is_for(&to(here)), "{here}");
        }
    }

    #[test]
    fn it_is_asked_for_exactly_the_host() {
        let request = via(&[]).request(&to("example.org"));
        assert_eq!(
            request,
            "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\
             Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n\r\n"
        );
        let line = via(&[]).request(&to("[2001:db8::1]:80"));
        assert!(line.starts_with("CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n"));
    }

    #[test]
    fn heads_of_answers() {
        assert_eq!(read_head(b"HTTP/1.1 200 OK\r\n\r\nmore").unwrap(), Some((true, 19)));
        assert_eq!(read_head(b"HTTP/1.1 407 Who?\r\na: b\r\n\r\n").unwrap(), Some((false, 27)));
        assert_eq!(read_head(b"HTTP/1.1 200 OK\r\n").unwrap(), None);
        assert!(read_head(b"SSH-2.0-x\r\n\r\n").is_err());
    }

    #[test]
    fn a_proxy_must_be_a_host() {
        let proxy = Proxy { host: "http://p".to_owned(), port: 1, credentials: None, except: Vec::new() };
        assert_eq!(Via::new(&proxy).unwrap_err().to_string(), "the proxy is no host: `http://p`");
    }
}
