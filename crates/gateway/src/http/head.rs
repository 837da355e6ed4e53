//! The head of one request: which host it asks for, and what follows it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use aseptic_model::HostName;
use httparse::{EMPTY_HEADER, Header, Request, Status};

use crate::Why;

/// Most headers of a request. Servers allow about a hundred.
const HEADERS_MAX: usize = 256;
/// Most digits of a length, so that no server reads it as another number.
const LENGTH_DIGITS_MAX: usize = 18;
/// Most bytes of what is said about a refused request.
const SHOWN_BYTES_MAX: usize = 253;

/// Headers that say where a request goes, and where it ends.
const KNOWN: [&str; 3] = ["Host", "Content-Length", "Transfer-Encoding"];

/// Whom requests may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// This name, with this port or none.
    Name(HostName, u16),
    /// This address, with its port or none.
    Address(SocketAddr),
}

/// What follows the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Another head.
    Request,
    /// A body of so many bytes, which is not zero.
    Body(u64),
    /// A body in chunks.
    Chunks,
    /// The frames of a WebSocket, if the server wants that.
    WebSocket,
}

/// Reads a whole head, whose lines end in CR LF and have no other control bytes but tabs.
///
/// # Errors
/// Why it must not be passed on.
pub(super) fn judge(head: &[u8], expected: &Expected) -> Result<After, Why> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    let (Ok(Status::Complete(length)), Some(method), Some(target), Some(version)) =
        (request.parse(head), request.method, request.path, request.version)
    else {
        return Err(Why::Malformed);
    };
    if length != head.len() {
        return Err(Why::Malformed);
    }
    if method.eq_ignore_ascii_case("CONNECT") {
        return Err(Why::HostHeader(Some(shown(target.as_bytes()))));
    }
    check_target(target, expected)?;
    match only(request.headers, "Host")? {
        Some(host) if expected.is(host) => {}
        Some(host) if !host.is_empty() => return Err(Why::HostHeader(Some(shown(host)))),
        _ => return Err(Why::HostHeader(None)),
    }
    let after = framing(request.headers, version)?;
    let is_web_socket = after == After::Request && is_web_socket(request.headers, method, version);
    Ok(if is_web_socket { After::WebSocket } else { after })
}

/// Reads the headers behind the last chunk, which must not change what was read before.
pub(super) fn judge_trailers(section: &[u8]) -> Result<(), Why> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    match httparse::parse_headers(section, &mut headers) {
        Ok(Status::Complete((length, headers))) if length == section.len() => {
            let is_known = |header: &Header<'_>| KNOWN.iter().any(|name| is_like(header.name, name));
            if headers.iter().any(is_known) { Err(Why::Malformed) } else { Ok(()) }
        }
        _ => Err(Why::Malformed),
    }
}

/// Whether some server could take one name for the other: some do not tell `-` and `_` apart.
fn is_like(name: &str, known: &str) -> bool {
    let alike = |(a, b): (u8, u8)| a.eq_ignore_ascii_case(&b) || (a, b) == (b'_', b'-');
    name.len() == known.len() && name.bytes().zip(known.bytes()).all(alike)
}

/// The value of a header that a request has at most once, in its own spelling.
fn only<'a>(headers: &[Header<'a>], known: &str) -> Result<Option<&'a [u8]>, Why> {
    let mut found = headers.iter().filter(|header| is_like(header.name, known));
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some(header), None) if header.name.eq_ignore_ascii_case(known) => Ok(Some(header.value)),
        _ => Err(Why::Malformed),
    }
}

/// Where the request ends.
///
/// Source: RFC 9112, section 6.
fn framing(headers: &[Header<'_>], version: u8) -> Result<After, Why> {
    match (only(headers, "Transfer-Encoding")?, only(headers, "Content-Length")?) {
        (None, None) => Ok(After::Request),
        (Some(coding), None) if version == 1 && coding.eq_ignore_ascii_case(b"chunked") => Ok(After::Chunks),
        (None, Some(length)) => match digits(length, LENGTH_DIGITS_MAX).ok_or(Why::Malformed)? {
            0 => Ok(After::Request),
            length => Ok(After::Body(length)),
        },
        _ => Err(Why::Malformed),
    }
}

/// Whether a client asks for a WebSocket and nothing else, in the one way there is.
///
/// Source: RFC 6455, section 4.1.
fn is_web_socket(headers: &[Header<'_>], method: &str, version: u8) -> bool {
    let has_word = |header: &Header<'_>| {
        let mut words = header.value.split(|byte| *byte == b',');
        header.name.eq_ignore_ascii_case("Connection")
            && words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    };
    let upgrade = only(headers, "Upgrade").ok().flatten();
    (method, version) == ("GET", 1)
        && upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        && headers.iter().any(has_word)
}

/// Checks what is asked for: a path, everything (`*`), or both host and path, as proxies get it.
///
/// Source: RFC 9112, section 3.2.
fn check_target(target: &str, expected: &Expected) -> Result<(), Why> {
    if target.starts_with('/') || target == "*" {
        return Ok(());
    }
    let scheme = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let rest = scheme.and(target.get(7..)).ok_or(Why::Malformed)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if expected.is(authority.as_bytes()) {
        return Ok(());
    }
    Err(Why::HostHeader(Some(shown(authority.as_bytes()))))
}

impl Expected {
    /// Whether `authority`, a host with a port or without one, is this. A final dot, which some servers take
    /// for another name, is none of it.
    fn is(&self, authority: &[u8]) -> bool {
        let Ok(authority) = str::from_utf8(authority) else { return false };
        let (host, port) = match (authority.rsplit_once(':'), authority.ends_with(']')) {
            (Some((host, port)), false) => (host, Some(port)),
            _ => (authority, None),
        };
        let (is_host, own) = match self {
            Self::Name(name, port) => (!host.ends_with('.') && host.parse().as_ref() == Ok(name), *port),
            Self::Address(SocketAddr::V4(own)) => {
                (host.parse::<Ipv4Addr>().as_ref() == Ok(own.ip()), own.port())
            }
            Self::Address(SocketAddr::V6(own)) => {
                let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                (inside.is_some_and(|inside| inside.parse::<Ipv6Addr>().as_ref() == Ok(own.ip())), own.port())
            }
        };
        is_host && port.is_none_or(|port| digits(port.as_bytes(), 5) == Some(own.into()))
    }
}

/// A number of at most so many digits and nothing else.
fn digits(text: &[u8], most: usize) -> Option<u64> {
    let is_right = !text.is_empty() && text.len() <= most && text.iter().all(u8::is_ascii_digit);
    str::from_utf8(text).ok().filter(|_| is_right)?.parse().ok()
}

/// Text of a client for people, without bytes that a terminal would obey.
fn shown(text: &[u8]) -> String {
    let mut shown = text.escape_ascii().to_string();
    shown.truncate(SHOWN_BYTES_MAX); // It is ASCII.
    shown
}

#[cfg(test)]
mod tests;
