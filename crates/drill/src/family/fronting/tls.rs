//! First messages of TLS that name the secret host, in every form that some server takes.
//!
//! Source: RFC 8446, section 4.1.2 and 5.1; RFC 6066, section 3.

use super::{Step, Way};
use crate::service::{NAME, NO_NAME, SECRET_NAME};

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const CHANGE_CIPHER_SPEC: u8 = 20;
const TLS_1_0: [u8; 2] = [3, 1];
const SERVER_NAME: u16 = 0;

/// One that names the secret host, in one record.
pub(super) fn plain() -> Vec<u8> {
    record(HANDSHAKE, TLS_1_0, &hello(&[server_name(&[SECRET_NAME])], b""))
}

/// Names that are not the granted one.
pub(super) fn named() -> Vec<Way> {
    let with_version = |version| record(HANDSHAKE, version, &hello(&[server_name(&[SECRET_NAME])], b""));
    let with_name = |name: &str| record(HANDSHAKE, TLS_1_0, &hello(&[server_name(&[name])], b""));
    [
        ("a name", plain()),
        ("in capitals", with_name("SECRET.EXAMPLE")),
        ("the root of it", with_name("secret.example.")),
        ("below it", with_name(&format!("{NAME}.{SECRET_NAME}"))),
        ("with a zero byte", with_name(&format!("{NAME}\0.{SECRET_NAME}"))),
        ("version 3.0", with_version([3, 0])),
        ("version 1.2", with_version([3, 3])),
        ("a version of the future", with_version([3, 9])),
    ]
    .map(sent_at_once)
    .to_vec()
}

/// No name: the server takes whom it likes.
pub(super) fn unnamed() -> Vec<Way> {
    let message = |extensions: &[Vec<u8>]| record(HANDSHAKE, TLS_1_0, &hello(extensions, NO_NAME.as_bytes()));
    [
        ("no extension for it", message(&[])),
        ("an empty list", message(&[extension(SERVER_NAME, &[0, 0])])),
        ("an empty extension", message(&[extension(SERVER_NAME, &[])])),
        ("an empty name", message(&[server_name(&[""])])),
        ("a name of another kind", message(&[extension(SERVER_NAME, &[0, 6, 1, 0, 3, b'a', b'.', b'b'])])),
        ("an address", message(&[server_name(&["127.0.0.1"])])),
    ]
    .map(sent_at_once)
    .to_vec()
}

/// The granted name, and the secret one.
pub(super) fn twice() -> Vec<Way> {
    let message = |extensions: &[Vec<u8>]| record(HANDSHAKE, TLS_1_0, &hello(extensions, b""));
    let granted = message(&[server_name(&[NAME])]);
    [
        ("in one list", message(&[server_name(&[NAME, SECRET_NAME])])),
        ("in one list, the secret one first", message(&[server_name(&[SECRET_NAME, NAME])])),
        ("in two extensions", message(&[server_name(&[NAME]), server_name(&[SECRET_NAME])])),
        ("in two, the secret one first", message(&[server_name(&[SECRET_NAME]), server_name(&[NAME])])),
        ("in two messages", [granted.clone(), plain()].concat()),
        ("after a warning", [granted, record(ALERT, TLS_1_0, &[1, 90]), plain()].concat()),
    ]
    .map(sent_at_once)
    .to_vec()
}

/// Other records around or within the message, or in other packets.
pub(super) fn pieces() -> Vec<Way> {
    let message = hello(&[server_name(&[SECRET_NAME])], b"");
    let cut = |size| -> Vec<u8> {
        message.chunks(size).flat_map(|part| record(HANDSHAKE, TLS_1_0, part)).collect()
    };
    let (first, rest) = message.split_at(message.len() - 8);
    let parts = |parts: &[Vec<u8>]| parts.iter().cloned().map(Step::Send).collect::<Vec<_>>();
    let part = |part| record(HANDSHAKE, TLS_1_0, part);
    let second = |other: Vec<u8>| {
        let granted = record(HANDSHAKE, TLS_1_0, &hello(&[server_name(&[NAME])], b""));
        vec![Step::Send(granted), Step::Answer, Step::Send(other)]
    };
    let mut ways = [
        ("records of one byte", cut(1)),
        ("records of forty bytes", cut(40)),
        ("after a warning", [record(ALERT, TLS_1_0, &[1, 90]), plain()].concat()),
        ("after an empty record", [record(HANDSHAKE, TLS_1_0, &[]), plain()].concat()),
        ("after a change of ciphers", [record(CHANGE_CIPHER_SPEC, TLS_1_0, &[1]), plain()].concat()),
    ]
    .map(sent_at_once)
    .to_vec();
    ways.push(("records in two packets", parts(&[part(first), part(rest)])));
    ways.push(("a second message", second(plain())));
    ways
}

fn sent_at_once((name, bytes): (&'static str, Vec<u8>)) -> Way {
    (name, vec![Step::Send(bytes)])
}

fn record(kind: u8, version: [u8; 2], bytes: &[u8]) -> Vec<u8> {
    [&[kind], &version[..], &length_2(bytes), bytes].concat()
}

/// The first message of a client: version 1.2 for those that are old, and 1.3 in an extension.
fn hello(extensions: &[Vec<u8>], session: &[u8]) -> Vec<u8> {
    const CLIENT_HELLO: u8 = 1;
    const RANDOM: [u8; 32] = [0x5a; 32];
    const CIPHERS: [u8; 6] = [0, 4, 0x13, 1, 0x13, 2];
    const NO_COMPRESSION: [u8; 2] = [1, 0];
    let more = [
        extension(43, &[2, 3, 4]),          // Versions: 1.3.
        extension(10, &[0, 2, 0, 0x1d]),    // Groups: X25519.
        extension(13, &[0, 4, 4, 3, 8, 4]), // Signatures.
        extension(51, &[&[0, 36, 0, 0x1d, 0, 32][..], &[0x5a; 32]].concat()), // A key share.
    ];
    let extensions = [extensions, &more].concat().concat();
    let session_length = [u8::try_from(session.len()).unwrap_or(0)];
    let body = [
        &[3, 3][..],
        &RANDOM,
        &session_length,
        session,
        &CIPHERS,
        &NO_COMPRESSION,
        &length_2(&extensions),
        &extensions,
    ]
    .concat();
    let [_, a, b, c] = u32::try_from(body.len()).unwrap_or(0).to_be_bytes();
    [&[CLIENT_HELLO, a, b, c], body.as_slice()].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &length_2(data), data].concat()
}

fn server_name(names: &[&str]) -> Vec<u8> {
    const HOST_NAME: u8 = 0;
    let list = names
        .iter()
        .flat_map(|name| [&[HOST_NAME], &length_2(name.as_bytes())[..], name.as_bytes()].concat());
    let list: Vec<u8> = list.collect();
    extension(SERVER_NAME, &[&length_2(&list)[..], &list].concat())
}

fn length_2(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes()
}
