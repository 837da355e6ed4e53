//! Whether a connection begins with a request.

/// Most bytes that are looked at.
const LINE_BYTES_MAX: usize = 8 << 10;

/// First bytes of HTTP/2 where both sides know that they speak it (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guess {
    /// Too few to say.
    Partial,
    /// HTTP/1, or what a server could take for it.
    Http,
    /// HTTP/2.
    Http2,
    /// Something else.
    Other,
}

/// What a connection is that begins with these bytes. Generous, since what is HTTP is read strictly.
///
/// There is no answer yet for a protocol whose first line begins with a word and is not complete.
pub(crate) fn guess(bytes: &[u8]) -> Guess {
    let start = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
    let bytes = bytes.get(start..).unwrap_or_default(); // Servers pass over empty lines, some over more.
    let is_end = |byte: &u8| *byte == b'\n' || (byte.is_ascii_control() && !is_space(*byte));
    let end = bytes.iter().position(is_end);
    let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    let method = line.iter().take_while(|byte| is_token(**byte)).count();
    let (method, rest) = line.split_at(method);
    match (rest.first().copied().map(is_space), end) {
        (None, None) if line.is_empty() && start >= LINE_BYTES_MAX => Guess::Http, // There is no end of them.
        (None, None) if start + line.len() < LINE_BYTES_MAX => Guess::Partial,
        (Some(true), None) if line.len() < LINE_BYTES_MAX => Guess::Partial,
        (Some(true), None) => Guess::Http, // No other protocol has a line as long as that.
        (Some(true), Some(_)) if line.strip_suffix(b"\r") == Some(PREFACE) => Guess::Http2,
        (Some(true), Some(_)) if is_request(method, rest) => Guess::Http,
        _ => Guess::Other,
    }
}

/// Whether the first line of these bytes names a version of HTTP, as a server may read it that takes any method;
/// nothing while the line is not whole. Some pass over empty lines before it.
pub(crate) fn names_version(bytes: &[u8]) -> Option<bool> {
    let start = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
    let bytes = bytes.get(start..).unwrap_or_default();
    let looked_at = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
    let line = looked_at.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.len() == looked_at.len() && looked_at.len() < LINE_BYTES_MAX {
        return None;
    }
    Some(line.windows(6).any(|part| is_space(part[0]) && part[1..].eq_ignore_ascii_case(b"HTTP/")))
}

/// Whether a line that begins with `method` is that of a request: of any version from 1.0 on, or of the one
/// before, which had none.
fn is_request(method: &[u8], rest: &[u8]) -> bool {
    let words = rest.split(|byte| is_space(*byte)).filter(|word| !word.is_empty());
    let is_version = |word: &[u8]| word.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"HTTP/"));
    let is_target = |word: &[u8]| word.starts_with(b"/") || word.windows(3).any(|part| part == b"://");
    let is_old = method == b"GET" && words.clone().count() == 1 && words.clone().all(is_target);
    is_old || words.clone().any(is_version)
}

/// White space as generous servers have it: that of Latin 1 in Python, whose own server takes it all.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | 0x1c..=b' ' | 0x85 | 0xa0)
}

/// Whether a method may have this byte (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_are_recognised() {
        for line in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\r\n\n\rPOST /x?y=z HTTP/1.0\n",
            b"M-SEARCH * HTTP/1.1\r\n",
            b"connect\texample.org:443  http/9\r\n",
            b"GET /old\r\n",
            b"GET http://example.org/\n",
            b"PRI * HTTP/2.0x\r\n",
            b"GET / HTTP/1.1\rHost: example.org\r\n",
            b"GET / HTTP/1.1\x00",
            b" GET / HTTP/1.1\r\n",
            b"\x0b\x1c\x85\xa0GET / HTTP/1.1\r\n",
            b"GET\x0c/\x1fHTTP/1.1\r\n",
            b"GET\xa0/\x85HTTP/1.1\r\n",
            b"GET\r/\rHTTP/1.1\r\n",
            b"G\xffT / HTTP/1.1\r\n",
        ] {
            let expected = if line.starts_with(b"G\xff") { Guess::Other } else { Guess::Http };
            assert_eq!(guess(line), expected, "{}", line.escape_ascii());
        }
        assert_eq!(guess(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Guess::Http2);
    }

    #[test]
    fn other_protocols_are_others_at_once() {
        for bytes in [
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            b"EHLO example.org\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"GET key\r\n",
            b"CONNECT {\"verbose\":false}\r\n",
            b"OPTIONS rtsp://example.org/ RTSP/1.0\r\n",
            b"003egit-upload-pack /project.git\0host=example.org\0",
            b"<?xml version='1.0'?><stream:stream to='example.org'>",
            b"{\"jsonrpc\": \"2.0\"",
            b"70:CONTENT_LENGTH",
            b"AMQP\x00\x00\x09\x01",
            b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
            b":\x01\x00\x00",
            b" get key\r\n",
            b"\xa0\x00\x00\x00",
            b"\xff",
        ] {
            assert_eq!(guess(bytes), Guess::Other, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_request_with_any_method_is_recognised_when_its_line_is_whole() {
        assert_eq!(names_version(b"\x01GET / HTT"), None);
        assert_eq!(names_version(b"\x01GET / HTTP/1.1\r\n"), Some(true));
        assert_eq!(names_version(b"\r\n\n\x01GET / HTTP/1.1\r\n"), Some(true));
        assert_eq!(names_version(b"SSH-2.0-HTTP/\r\nGET / HTTP/1.1\r\n"), Some(false));
        assert_eq!(names_version(&[b'a'; LINE_BYTES_MAX]), Some(false));
    }

    #[test]
    fn a_line_has_a_longest_length() {
        for start in [&b""[..], b"\r\n", b"GET /", b"PRI * HTTP/2."] {
            assert_eq!(guess(start), Guess::Partial, "{}", start.escape_ascii());
        }
        let long = |start: &[u8], byte: u8| guess(&[start, &vec![byte; LINE_BYTES_MAX]].concat());
        assert_eq!(long(b"GET /", b'a'), Guess::Http);
        assert_eq!(long(b"", b'\n'), Guess::Http);
        assert_eq!(long(b"", b'a'), Guess::Other);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn more_bytes_never_change_what_was_decided(text in "[A-Z]{0,3}[ /a\r\n\t\\x00\\x0b\\x1f:]{0,4}(HTTP/1.1)?[\r\n]{0,2}.{0,4}") {
            let whole = guess(text.as_bytes());
            for length in 0..text.len() {
                let early = guess(&text.as_bytes()[..length]);
                prop_assert!(early == Guess::Partial || early == whole, "{} of {:?}", length, text);
            }
        }
    }
}
