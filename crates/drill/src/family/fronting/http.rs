//! Requests of HTTP for the secret host, in every form that some server takes.
//!
//! Source: RFC 9112, section 2.2 (leading lines, bare line feeds), 3.2 (forms of a target), 5.1 and 5.2 (white
//! space in fields), 6 (framing of bodies); RFC 9113, section 3.3.

use super::{Step, Way};
use crate::service::SECRET_NAME;

/// What is sent, where `{own}` is the granted host, `{secret}` the other one, and `>` alone waits for an answer.
type Form = (&'static str, &'static [&'static str]);

/// A request that is allowed.
const ALLOWED: &str = "GET / HTTP/1.1\r\nHost: {own}\r\n\r\n";
const SECRET: &str = "GET / HTTP/1.1\r\nHost: {secret}\r\n\r\n";
const WAIT: &str = ">";

pub(super) const PLAIN: &[Form] = &[
    ("a request", &[SECRET]),
    ("with a port", &["GET / HTTP/1.1\r\nHost: {secret}:443\r\n\r\n"]),
    ("with a user", &["GET / HTTP/1.1\r\nHost: {own}@{secret}\r\n\r\n"]),
    ("the root of it", &["GET / HTTP/1.1\r\nHost: {secret}.\r\n\r\n"]),
    ("below it", &["GET / HTTP/1.1\r\nHost: {own}.{secret}\r\n\r\n"]),
    ("in capitals", &["GET / HTTP/1.1\r\nHOST: SECRET.EXAMPLE\r\n\r\n"]),
    ("as the target", &["GET http://{secret}/ HTTP/1.1\r\nHost: {own}\r\n\r\n"]),
    ("as the target of version 1.0", &["GET http://{secret}/ HTTP/1.0\r\n\r\n"]),
    ("to a proxy", &["CONNECT {secret}:443 HTTP/1.1\r\nHost: {own}\r\n\r\n"]),
    ("version 1.0", &["GET / HTTP/1.0\r\nHost: {secret}\r\n\r\n"]),
    ("another method", &["PROPFIND / HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("a method of its own", &["X-DRILL / HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
];

pub(super) const LATER: &[Form] = &[
    ("after an answer", &[ALLOWED, WAIT, SECRET]),
    ("the third", &[ALLOWED, WAIT, ALLOWED, WAIT, SECRET]),
    ("at once", &["GET / HTTP/1.1\r\nHost: {own}\r\n\r\nGET / HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    (
        "after a body",
        &[
            "POST / HTTP/1.1\r\nHost: {own}\r\nContent-Length: 4\r\n\r\nbodyGET / HTTP/1.1\r\nHost: {secret}\r\n\r\n",
        ],
    ),
    (
        "after a body in chunks",
        &[
            "POST / HTTP/1.1\r\nHost: {own}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: {secret}\r\n\r\n",
        ],
    ),
    (
        "after a trailer",
        &[
            "POST / HTTP/1.1\r\nHost: {own}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: {secret}\r\n\r\n",
        ],
    ),
    ("after an empty line", &[ALLOWED, WAIT, "\r\n", SECRET]),
    ("in two packets", &[ALLOWED, WAIT, "GET / HTTP/1.1\r\nHost: secr", "et.example\r\n\r\n"]),
];

pub(super) const TWICE: &[Form] = &[
    ("the granted one first", &["GET / HTTP/1.1\r\nHost: {own}\r\nHost: {secret}\r\n\r\n"]),
    ("the secret one first", &["GET / HTTP/1.1\r\nHost: {secret}\r\nHost: {own}\r\n\r\n"]),
    ("in one line", &["GET / HTTP/1.1\r\nHost: {own}, {secret}\r\n\r\n"]),
    ("in one line with a space", &["GET / HTTP/1.1\r\nHost: {own} {secret}\r\n\r\n"]),
    ("in capitals", &["GET / HTTP/1.1\r\nHost: {own}\r\nHOST: {secret}\r\n\r\n"]),
    ("the target secret", &["GET http://{secret}/ HTTP/1.1\r\nHost: {own}\r\n\r\n"]),
    ("the target granted", &["GET http://{own}/ HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("far below", &["GET / HTTP/1.1\r\nHost: {own}\r\nX: 1\r\nY: 2\r\nZ: 3\r\nHost: {secret}\r\n\r\n"]),
];

pub(super) const DISGUISED: &[Form] = &[
    ("after an empty line", &["\r\nGET / HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("after line feeds", &["\n\n\nGET / HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("after a space", &[" GET / HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("after a tab", &["\tGET / HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("after a vertical tab", &["\x0bGET / HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("after a separator", &["\x1cGET / HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("after a space of Latin 1", &["\u{a0}GET / HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("after a line break of Latin 1", &["\u{85}GET / HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("vertical tabs", &["GET\x0b/\x0bHTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("form feeds", &["GET\x0c/\x0cHTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("separators", &["GET\x1f/\x1fHTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("spaces of Latin 1", &["GET\u{a0}/\u{a0}HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("a form feed in the target", &["GET /\x0c HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("lines that end with a line feed", &["GET / HTTP/1.1\nHost: {secret}\n\n\r\n\r\n"]),
    ("a line feed before the name", &["GET / HTTP/1.1\r\nHost: {own}\r\nX: 1\nHost: {secret}\r\n\r\n"]),
    ("a carriage return before it", &["GET / HTTP/1.1\r\nHost: {own}\r\nX: 1\rHost: {secret}\r\n\r\n"]),
    ("a folded line", &["GET / HTTP/1.1\r\nHost: {own}\r\nHost:\r\n {secret}\r\n\r\n"]),
    ("a folded first line", &["GET / HTTP/1.1\r\nX: 1\r\n Host: {secret}\r\nHost: {own}\r\n\r\n"]),
    ("a space before the colon", &["GET / HTTP/1.1\r\nHost : {secret}\r\nHost: {own}\r\n\r\n"]),
    ("a tab before the colon", &["GET / HTTP/1.1\r\nHost\t: {secret}\r\nHost: {own}\r\n\r\n"]),
    ("a zero byte", &["GET / HTTP/1.1\r\nHost: {own}\0{secret}\r\n\r\n"]),
    ("two spaces", &["GET  /  HTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("a tab", &["GET\t/\tHTTP/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("a small method", &["get / http/1.1\r\nHost: {secret}\r\n\r\n"]),
    ("no version", &["GET http://{secret}/\r\n\r\n"]),
    ("a version of the future", &["GET / HTTP/1.9\r\nHost: {secret}\r\n\r\n"]),
];

pub(super) const FRAMED: &[Form] = &[
    (
        "length and chunks",
        &[
            "POST / HTTP/1.1\r\nHost: {own}\r\nContent-Length: 200\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            SECRET,
        ],
    ),
    (
        "chunks and length",
        &[
            "POST / HTTP/1.1\r\nHost: {own}\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n46\r\n",
            SECRET,
        ],
    ),
    (
        "two lengths",
        &["POST / HTTP/1.1\r\nHost: {own}\r\nContent-Length: 200\r\nContent-Length: 0\r\n\r\n", SECRET],
    ),
    ("a list of lengths", &["POST / HTTP/1.1\r\nHost: {own}\r\nContent-Length: 0, 200\r\n\r\n", SECRET]),
    ("a length with a sign", &["POST / HTTP/1.1\r\nHost: {own}\r\nContent-Length: +200\r\n\r\n", SECRET]),
    ("a length with a space", &["POST / HTTP/1.1\r\nHost: {own}\r\nContent-Length : 200\r\n\r\n", SECRET]),
    ("a length in hex", &["POST / HTTP/1.1\r\nHost: {own}\r\nContent-Length: 0xc8\r\n\r\n", SECRET]),
    (
        "a length that is too large",
        &["POST / HTTP/1.1\r\nHost: {own}\r\nContent-Length: 18446744073709551616\r\n\r\n", SECRET],
    ),
    ("another encoding", &["POST / HTTP/1.1\r\nHost: {own}\r\nTransfer-Encoding: xchunked\r\n\r\n", SECRET]),
    (
        "chunks not last",
        &["POST / HTTP/1.1\r\nHost: {own}\r\nTransfer-Encoding: chunked, identity\r\n\r\n", SECRET],
    ),
    (
        "chunks with another line",
        &[
            "POST / HTTP/1.1\r\nHost: {own}\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 200\r\n\r\n",
            SECRET,
        ],
    ),
    (
        "a chunk of no size",
        &["POST / HTTP/1.1\r\nHost: {own}\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", SECRET],
    ),
    (
        "a chunk of a negative size",
        &["POST / HTTP/1.1\r\nHost: {own}\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", SECRET],
    ),
    (
        "a chunk that is too large",
        &[
            "POST / HTTP/1.1\r\nHost: {own}\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
            SECRET,
        ],
    ),
    (
        "an extension with a line feed",
        &["POST / HTTP/1.1\r\nHost: {own}\r\nTransfer-Encoding: chunked\r\n\r\n46;x\n0\r\n\r\n", SECRET],
    ),
    (
        "a chunk that does not end",
        &["POST / HTTP/1.1\r\nHost: {own}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody0\r\n\r\n", SECRET],
    ),
];

pub(super) const UPGRADED: &[Form] = &[
    (
        "to HTTP/2",
        &[
            "GET / HTTP/1.1\r\nHost: {own}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
            WAIT,
            SECRET,
        ],
    ),
    (
        "to another protocol",
        &[
            "GET / HTTP/1.1\r\nHost: {own}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            WAIT,
            SECRET,
        ],
    ),
    ("through a proxy", &["CONNECT {own}:443 HTTP/1.1\r\nHost: {own}:443\r\n\r\n", WAIT, SECRET]),
];

/// Frames of HTTP/2 after its opening: settings, and a request with names that are not compressed.
pub(super) const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub(super) fn ways(forms: &[Form], own: &str) -> Vec<Way> {
    let step = |text: &&str| match *text {
        WAIT => Step::Answer,
        text => Step::Send(latin_1(&text.replace("{own}", own).replace("{secret}", SECRET_NAME))),
    };
    forms.iter().map(|(name, texts)| (*name, texts.iter().map(step).collect())).collect()
}

/// A byte for each character, as servers read them.
fn latin_1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()
}

pub(super) fn plain() -> Vec<u8> {
    SECRET.replace("{secret}", SECRET_NAME).into_bytes()
}

/// A request of HTTP/2 with the secret host as `:authority`.
///
/// Source: RFC 9113, section 4.1 and 6.2; RFC 7541, section 6.
pub(super) fn http_2(opening: &[u8]) -> Vec<Step> {
    const METHOD_GET: u8 = 0x82;
    const PATH_ROOT: u8 = 0x84;
    const SCHEME_HTTP: u8 = 0x86;
    const AUTHORITY: u8 = 0x01; // Its value follows, and is not to be remembered.
    let length = u8::try_from(SECRET_NAME.len()).unwrap_or(0);
    let block =
        [&[METHOD_GET, SCHEME_HTTP, PATH_ROOT, AUTHORITY, length][..], SECRET_NAME.as_bytes()].concat();
    let length = u8::try_from(block.len()).unwrap_or(0);
    let frame = [&[0, 0, length, 1, 5, 0, 0, 0, 1][..], &block].concat();
    vec![Step::Send([opening, &frame].concat())]
}
