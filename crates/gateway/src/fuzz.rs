//! What fuzzers call, in `fuzz/`: each function reads bytes of a hostile client as the gateway does, and checks
//! what must hold for any. What was read comes back, to be compared with what others read.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use httparse::{EMPTY_HEADER, Request, Status};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dns::{self, Answer, Query};
use crate::frame::{Frames, to_frame};
use crate::hello::{self, Hello};
use crate::http::{self, Expected, Guess, HEAD_BYTES_MAX, Inspector, Verdict};
use crate::{Order, Protocol, Report, packet};

/// A question that was read, and answers to it.
#[derive(Debug)]
pub struct Asked {
    /// The host, where it is one.
    pub host: Option<String>,
    /// Bytes of every kind of answer.
    pub answers: Vec<Vec<u8>>,
}

/// One message of the domain name system.
pub fn dns_message(bytes: &[u8]) -> Option<Asked> {
    let question = match dns::parse(bytes) {
        Query::Asked(question) => question,
        Query::Failed(answer) => {
            assert!(answer.len() <= 23 && dns::parse(&answer) == Query::Ignored, "{answer:x?}");
            return None;
        }
        Query::Ignored => return None,
    };
    assert!(question.name.len() <= 253 && question.name.is_ascii(), "{question:?}");
    let host = question.host.as_ref().map(ToString::to_string);
    assert!(host.as_ref().is_none_or(|host| *host == question.name), "{question:?}");
    let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].repeat(40);
    let one = addresses.get(..2).unwrap_or_default();
    let kinds = [Answer::Addresses(&addresses), Answer::Addresses(one), Answer::Empty, Answer::NoSuchName];
    let answers = kinds.into_iter().chain([Answer::Refused, Answer::ServerFailure]).map(|kind| {
        let answer = question.answer(kind, question.limit);
        assert!(answer.len() <= question.limit.into() && question.limit <= 4096, "{kind:?}");
        assert_eq!(dns::parse(&answer), Query::Ignored);
        assert_eq!(answer.get(..2), bytes.get(..2));
        let same = answer.iter().zip(bytes).skip(12).take_while(|(a, b)| a == b).count();
        assert!(same >= 5, "the question is not said back: {answer:x?}");
        answer
    });
    Some(Asked { host, answers: answers.collect() })
}

/// What the first bytes of a TLS client are.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    /// Too few to say.
    Partial,
    /// No TLS.
    NotTls,
    /// To be refused.
    Malformed,
    /// A whole message, with the name that it asks for.
    Name(Option<String>),
}

/// The first message of a TLS client.
pub fn client_hello(bytes: &[u8]) -> Named {
    for read in [hello::parse, hello::again] {
        let whole = read(bytes);
        let end = match whole {
            Hello::Client { length, .. } => length,
            _ => bytes.len(),
        };
        assert!(end <= bytes.len());
        assert!(whole != Hello::Partial || end < hello::BYTES_MAX);
        for length in [1, 5, 6, 11, end / 2, end.saturating_sub(1)] {
            let early = read(bytes.get(..length.min(end)).unwrap_or_default());
            assert!(early == Hello::Partial || early == whole, "{length}: {early:?}, then {whole:?}");
        }
    }
    match hello::parse(bytes) {
        Hello::Partial => Named::Partial,
        Hello::NotTls => Named::NotTls,
        Hello::Malformed => Named::Malformed,
        Hello::Client { name, length } => {
            let bytes = bytes.get(..length).unwrap_or_default();
            assert_eq!(hello::parse(bytes), Hello::Client { name: name.clone(), length });
            assert!(matches!(hello::again(bytes), Hello::Client { .. }));
            Named::Name(name.map(|name| name.to_string()))
        }
    }
}

/// The name that [`http_requests`] expects.
pub const HTTP_HOST: &str = "example.org";

/// All bytes of an HTTP client behind one that says how large the pieces are in which they come. What passes
/// comes back.
pub fn http_requests(bytes: &[u8]) -> &[u8] {
    let Some((size, bytes)) = bytes.split_first() else { return &[] };
    let guess = http::guess(bytes);
    for length in [1, 9, bytes.len() / 2] {
        let early = http::guess(bytes.get(..length).unwrap_or(bytes));
        assert!(early == Guess::Partial || early == guess, "{length}: {early:?}, then {guess:?}");
    }
    let (passed, end) = look(bytes, usize::from(*size).max(1));
    let whole = look(bytes, bytes.len());
    assert_eq!(whole.1, end);
    assert!(whole.0 == passed || end.is_some());
    let passed = bytes.get(..passed).unwrap_or_default();
    let begins = passed.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
    assert!(!begins || guess == Guess::Http, "{guess:?}");
    check_requests(passed);
    passed
}

/// How many bytes pass that come in pieces of this size, and how it ends if it does.
fn look(bytes: &[u8], size: usize) -> (usize, Option<Verdict>) {
    let Ok(host) = HTTP_HOST.parse() else { return (0, None) };
    let mut inspector = Inspector::new(Expected::Name(host, 80));
    let (mut passed, mut shown) = (0, 0);
    while shown < bytes.len() {
        shown = shown.saturating_add(size).min(bytes.len());
        while let Some(held) = bytes.get(passed..shown).filter(|held| !held.is_empty()) {
            match inspector.look(held) {
                Verdict::Pass(0) => break,
                Verdict::Pass(length) => passed += length,
                end => return (passed, Some(end)),
            }
        }
        assert!(passed <= shown && shown - passed < HEAD_BYTES_MAX, "too much is held back");
    }
    (passed, None)
}

/// Reads what passed once more, in the simplest way: each request asks for the one host.
fn check_requests(mut bytes: &[u8]) {
    loop {
        while let Some(rest) = bytes.strip_prefix(b"\r\n") {
            bytes = rest;
        }
        if bytes.is_empty() {
            return;
        }
        let mut headers = [EMPTY_HEADER; 256];
        let mut request = Request::new(&mut headers);
        let parsed = request.parse(bytes);
        assert!(matches!(parsed, Ok(Status::Complete(_))), "{parsed:?}: {}", bytes.escape_ascii());
        let Ok(Status::Complete(head)) = parsed else { return };
        let values = |name: &str| {
            let named = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
            named.map(|header| String::from_utf8_lossy(header.value).to_ascii_lowercase()).collect::<Vec<_>>()
        };
        let (hosts, lengths, codings) =
            (values("Host"), values("Content-Length"), values("Transfer-Encoding"));
        assert!(hosts == [HTTP_HOST] || hosts == [format!("{HTTP_HOST}:80")], "{request:?}");
        let body = bytes.get(head..).unwrap_or_default();
        let rest = match (&lengths[..], &codings[..]) {
            ([], []) => Some(body),
            ([length], []) => length.parse().ok().and_then(|length: usize| body.get(length..)),
            _ => {
                assert!(lengths.is_empty() && codings == ["chunked"], "{request:?}");
                skip_chunks(body)
            }
        };
        let Some(rest) = rest else { return };
        bytes = rest;
    }
}

/// What follows a body in chunks, if all of it is there.
fn skip_chunks(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let Ok(Status::Complete((line, size))) = httparse::parse_chunk_size(bytes) else { return None };
        bytes = bytes.get(line..)?;
        if size == 0 {
            break;
        }
        bytes = bytes.get(usize::try_from(size).ok()?..)?.strip_prefix(b"\r\n")?;
    }
    let mut headers = [EMPTY_HEADER; 256];
    match httparse::parse_headers(bytes, &mut headers) {
        Ok(Status::Complete((length, _))) => bytes.get(length..),
        _ => None,
    }
}

/// A packet that the kernel refused, of which it says nothing else. Where it was to go comes back.
pub fn refused_packet(bytes: &[u8]) -> Option<(Protocol, SocketAddr)> {
    assert!(packet::destinations(bytes).count() <= bytes.len() / 16);
    let bytes = bytes.get(..60_000).unwrap_or(bytes);
    let length = u16::try_from(bytes.len() + 4).unwrap_or(u16::MAX);
    let attribute = [&length.to_ne_bytes(), &9_u16.to_ne_bytes(), bytes].concat();
    let length = u32::from(length) + 20;
    let message = [&length.to_ne_bytes()[..], &0x400_u16.to_ne_bytes(), &[0; 14], &attribute].concat();
    let mut found = packet::destinations(&message);
    let first = found.next();
    assert!(found.next().is_none());
    first
}

/// What a gateway is handed over, and the conversation that follows, both ways. The first byte says how many
/// descriptors come with it.
pub fn handover(bytes: &[u8]) {
    let Some((count, bytes)) = bytes.split_first() else { return };
    let bytes = bytes.get(..64_000).unwrap_or(bytes); // The socket's buffer holds that.
    talk::<Order>(bytes);
    talk::<Report>(bytes);
    let Ok((here, there)) = UnixStream::pair() else { return };
    let descriptors = vec![there.as_fd(); usize::from(count % 6)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(6))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let is_sent = control.push(SendAncillaryMessage::ScmRights(&descriptors))
        && rustix::net::sendmsg(&here, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).is_ok();
    assert!(is_sent || bytes.is_empty());
    drop(here);
    if let Ok((settings, ends)) = crate::receive(&there) {
        let given = 2 + usize::from(ends.connections_6.is_some()) + usize::from(ends.refused.is_some());
        assert_eq!(given, descriptors.len());
        let text = serde_json::to_vec(&settings);
        assert!(text.is_ok_and(|text| {
            serde_json::from_slice(&text).is_ok_and(|same: crate::Settings| same == settings)
        }));
    }
}

/// Every message that can be read is written as it can be read.
fn talk<Message: Serialize + DeserializeOwned + PartialEq>(bytes: &[u8]) {
    let mut frames = Frames::default();
    let mut again = Frames::default();
    for piece in bytes.chunks(100) {
        frames.push(piece);
        while let Ok(Some(message)) = frames.next::<Message>() {
            let frame = to_frame(&message);
            again.push(&frame.unwrap_or_default());
            assert!(again.next::<Message>().is_ok_and(|same| same == Some(message)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the fuzzers begin with is read as what it is.
    #[test]
    fn seeds_are_read() {
        let seeds = |target: &str| {
            let here = std::env::var("CARGO_MANIFEST_DIR").unwrap(); // Not that of the build.
            let files = std::fs::read_dir(format!("{here}/../../fuzz/seeds/{target}")).unwrap();
            files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect::<Vec<_>>()
        };
        assert!(seeds("dns_message").iter().any(|seed| dns_message(seed).is_some()));
        assert!(seeds("client_hello").iter().any(|seed| matches!(client_hello(seed), Named::Name(Some(_)))));
        assert!(seeds("http_requests").iter().any(|seed| http_requests(seed).len() == seed.len() - 1));
        assert!(seeds("refused_packet").iter().any(|seed| refused_packet(seed).is_some()));
        seeds("handover").iter().for_each(|seed| handover(seed));
    }
}
