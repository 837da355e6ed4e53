use std::process::Command;

use proptest::prelude::*;

use super::*;

/// Bytes behind their number, which is `N` bytes.
fn counted<const N: usize>(content: &[u8]) -> Vec<u8> {
    [&content.len().to_be_bytes()[8 - N..], content].concat()
}

fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|part| [&[22, 3, 1], &counted::<2>(part)[..]].concat()).collect()
}

fn server_name(names: &[(u8, &[u8])]) -> Vec<u8> {
    let list: Vec<u8> =
        names.iter().flat_map(|(kind, name)| [&[*kind], &counted::<2>(name)[..]].concat()).collect();
    extension(0, &counted::<2>(&list))
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes(), &counted::<2>(content)[..]].concat()
}

fn message(extensions: &[u8]) -> Vec<u8> {
    whole(3, &[8; 32], b"\x13\x01", b"\0", extensions)
}

fn whole(major: u8, session: &[u8], suites: &[u8], compressions: &[u8], extensions: &[u8]) -> Vec<u8> {
    let lists = [counted::<1>(session), counted::<2>(suites), counted::<1>(compressions)].concat();
    [&[1], &counted::<3>(&[&[major, 3], &[7; 32][..], &lists, extensions].concat())[..]].concat()
}

fn named(name: &[u8]) -> Vec<u8> {
    message(&counted::<2>(
        &[extension(0x2a2a, b""), server_name(&[(0, name)]), extension(43, b"\x02\x03\x04")].concat(),
    ))
}

fn client(name: &str, length: usize) -> Hello {
    Hello::Client { name: Some(name.parse().unwrap()), length }
}

#[test]
fn the_name_is_read_from_any_records() {
    let message = named(b"Example.org");
    for size in [1, 2, 3, 5, 40, 16384] {
        let bytes = records(&message, size);
        assert_eq!(parse(&bytes), client("example.org", bytes.len()));
        assert_eq!(
            parse(&[&bytes[..], b"\x17\x03\x03\0\x05early"].concat()),
            client("example.org", bytes.len())
        );
        assert_eq!(again(&bytes), client("example.org", bytes.len()));
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]), Hello::Partial, "{length} of {}", bytes.len());
            assert_eq!(again(&bytes[..length]), Hello::Partial, "{length} of {}", bytes.len());
        }
    }
}

#[test]
fn a_client_may_name_no_host() {
    for extensions in [&b""[..], b"\0\0", &counted::<2>(&extension(43, b"\x02\x03\x04"))] {
        let bytes = records(&message(extensions), 99);
        assert_eq!(parse(&bytes), Hello::Client { name: None, length: bytes.len() });
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let good = named(b"a.example");
    let one = server_name(&[(0, b"a.example")]);
    let extensions = |parts: &[&[u8]]| message(&counted::<2>(&parts.concat()));
    for (what, message) in [
        ("two extensions", extensions(&[&one, &server_name(&[(0, b"b.example")])])),
        ("the same one twice", extensions(&[&one, &one])),
        ("two names", extensions(&[&server_name(&[(0, b"a.example"), (0, b"b.example")])])),
        ("a name of another kind", extensions(&[&server_name(&[(1, b"a.example")])])),
        ("another kind first", extensions(&[&server_name(&[(1, b"x"), (0, b"a.example")])])),
        ("no name", extensions(&[&server_name(&[])])),
        ("an empty extension", extensions(&[&extension(0, b"")])),
        ("bytes behind the names", extensions(&[&extension(0, b"\0\x04\0\0\x01ax")])),
        ("an extension that is cut", extensions(&[&one, b"\0\x2b\0\x09\x01"])),
        ("bytes behind the extensions", message(&[&counted::<2>(&one)[..], b"x"].concat())),
        ("bytes behind the message", [&good[..], b"\0"].concat()),
        ("another message behind", [&good[..], &good].concat()),
        ("an odd number of cipher bytes", whole(3, b"", b"\x13\x01\x13", b"\0", b"")),
        ("no cipher", whole(3, b"", b"", b"\0", b"")),
        ("no compression", whole(3, b"", b"\x13\x01", b"", b"")),
        ("a long session", whole(3, &[0; 33], b"\x13\x01", b"\0", b"")),
        ("version 2", whole(2, b"", b"\x13\x01", b"\0", b"")),
    ] {
        assert_eq!(parse(&records(&message, 16384)), Hello::Malformed, "{what}");
    }
    for name in [
        &b"a.example."[..],
        b"a.example\0",
        b"a.example\0.b.example",
        b"",
        b".",
        b"a..b",
        b" a.example",
        b"a.example:443",
        b"192.0.2.1",
        b"[2001:db8::1]",
        b"b\xc3\xbccher.example",
        b"\xff",
        b"*.example",
        &[b'a'; 300],
    ] {
        assert_eq!(parse(&records(&named(name), 16384)), Hello::Malformed, "{}", name.escape_ascii());
    }
}

#[test]
fn what_a_server_could_pass_over_is_refused() {
    let good = records(&named(b"a.example"), 16384);
    for (what, before) in [
        ("an empty record", &b"\x16\x03\x01\0\0"[..]),
        ("a warning", b"\x15\x03\x01\0\x02\x01\x00"),
        ("the record for middleboxes", b"\x14\x03\x03\0\x01\x01"),
        ("a heartbeat", b"\x18\x03\x01\0\x13\x01\0\0"),
    ] {
        assert_eq!(parse(&[before, &good].concat()), Hello::Malformed, "{what}");
    }
    let split = records(&named(b"a.example"), 50);
    let (first, second) = split.split_at(55);
    for (what, between) in [
        ("an empty record", &b"\x16\x03\x01\0\0"[..]),
        ("a warning", b"\x15\x03\x01\0\x02\x01\x00"),
        ("a version of its own", b"\x16\x02\x01\0\x01\x01"),
    ] {
        assert_eq!(parse(&[first, between, second].concat()), Hello::Malformed, "{what}");
    }
    let mut other_version = good;
    other_version[1] = 2;
    assert_eq!(parse(&other_version), Hello::Malformed);
    for ssl_2 in [&b"\x80\x2e\x01\x00\x02"[..], b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10"] {
        assert_eq!(parse(ssl_2), Hello::Malformed);
    }
}

#[test]
fn too_long_is_refused_and_never_awaited() {
    for message in [b"\x01\x02\0\0\x03\x03", b"\x01\0\x40\0\x03\x03"] {
        let bytes = records(&[&message[..], &[0; 20_000]].concat(), 1000);
        assert_eq!(parse(&bytes[..BYTES_MAX - 1]), Hello::Partial);
        assert_eq!(parse(&bytes[..BYTES_MAX]), Hello::Malformed);
    }
}

#[test]
fn other_protocols_are_not_tls() {
    for bytes in [
        &b"GET / HTTP/1.1"[..],
        b"SSH-2.0-OpenSSH",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f", // PostgreSQL asks for TLS.
        b"\x16\x01\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00", // MongoDB: 278 bytes, request 7.
        b"\x16\x03\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00",
        b"\x15\x03\x00\x00\x02\x00",
        b"\x17\x03\x03\x00\x05early",
        b"\x16\x10",
        b"\x80\x00\x00",
        b"\x80\x00\x01\x01",
    ] {
        assert_eq!(parse(bytes), Hello::NotTls, "{}", bytes.escape_ascii());
    }
    assert_eq!(parse(b""), Hello::Partial);
}

#[test]
fn a_second_message_is_found() {
    let good = records(&named(b"b.example"), 16384);
    for before in [
        &b"\x14\x03\x03\0\x01\x01"[..],
        b"\x15\x03\x03\0\x02\x01\x5a",
        b"\x14\x03\x03\0\x01\x01\x15\x03\x03\0\x02\x01\0",
    ] {
        let bytes = [before, &good].concat();
        assert_eq!(again(&bytes), client("b.example", bytes.len()));
        for length in 0..bytes.len() {
            assert_eq!(again(&bytes[..length]), Hello::Partial, "{length}");
        }
    }
    assert_eq!(again(b"\x16\x03\x03\0\0"), Hello::Malformed);
    assert_eq!(again(&records(&named(b"b.example."), 16384)), Hello::Malformed);
    assert_eq!(again(&b"\x14\x03\x03\0\x01\x01".repeat(2800)), Hello::Malformed);
    for bytes in [
        &b"\x17\x03\x03\0\x05early"[..],
        b"\x14\x03\x03\0\x01\x01\x17",
        b"\x16\x03\x03\0\x46\x10\0\0\x42\x41", // The keys of TLS 1.2.
        b"\x14\x03\x03\0\x01\x01\x16\x03\x03\0\x28\0\0\0\0\0\0\0\0\x01", // Encrypted.
        b"\x14\x03\x03\0\x01\x01\x16\x03\x03\0\x28\x01\0\0\0\0\0\0\0\x01",
        b"\x15\x03\x03\0\x02\x02\x28",
        b"\x16\x02",
        b"GET",
    ] {
        assert_eq!(again(bytes), Hello::NotTls, "{}", bytes.escape_ascii());
    }
}

/// What OpenSSL says is read, in each version that it speaks.
#[test]
fn a_real_client_is_read() {
    let program = "
import ssl
for least, most in ((ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2), (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3),
                    (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)):
    for name in ('www.Example.org', None, '192.0.2.1'):
        context = ssl.create_default_context()
        context.minimum_version, context.maximum_version = least, most
        context.check_hostname = False
        context.set_alpn_protocols(['h2', 'http/1.1'])
        sent = ssl.MemoryBIO()
        try:
            context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name).do_handshake()
        except ssl.SSLWantReadError:
            print(sent.read().hex(), 'www.example.org' if name and name[0] == 'w' else '')
";
    let output = Command::new("python3").args(["-c", program]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), 9);
    for line in lines.lines() {
        let (bytes, name) = line.split_once(' ').unwrap();
        let bytes: Vec<u8> = (0..bytes.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&bytes[at..at + 2], 16).unwrap())
            .collect();
        assert_eq!(parse(&bytes), Hello::Client { name: name.parse().ok(), length: bytes.len() });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..600), kind in 20_u8..25) {
        parse(&bytes);
        again(&bytes);
        let bytes = [&[kind, 3, 1, 2, 0, 1, 0], &bytes[..]].concat();
        parse(&bytes);
        again(&bytes);
    }

    /// One changed byte gives the same name or another one or none, and what was decided stays decided.
    #[test]
    fn more_bytes_never_change_what_was_decided(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), size in 1_usize..200, cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = records(&named(b"host.example"), size);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let early = parse(&bytes[..cut.index(bytes.len())]);
        if early != Hello::Partial {
            prop_assert_eq!(early, parse(&bytes));
        }
    }
}
