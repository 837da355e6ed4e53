use proptest::prelude::*;

use super::*;
use crate::dns::Answer;

/// A message with this header behind the id 7, and what follows.
fn message(flags: u16, counts: [u16; 4], rest: &[&[u8]]) -> Vec<u8> {
    let header = [7, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes);
    header.chain(rest.concat()).collect()
}

const ADDRESS: &[u8] = b"\x00\x01\x00\x01";
const EDNS: &[u8] = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00";

fn ask(name: &[u8]) -> Vec<u8> {
    message(0x0100, [1, 0, 0, 0], &[name, ADDRESS])
}

fn question(message: &[u8]) -> Question {
    match parse(message) {
        Query::Asked(question) => question,
        other => panic!("{other:?}"),
    }
}

/// The code of the error that is answered.
fn code(message: &[u8]) -> u8 {
    match parse(message) {
        Query::Failed(answer) => {
            assert_eq!(answer[..2], message[..2]);
            assert_eq!(answer[2] & 0x80, 0x80);
            let more = if answer.len() > 12 { answer[17] << 4 } else { 0 };
            answer[3] & 15 | more
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_question_is_read() {
    let asked = question(&ask(b"\x03wWw\x07Example\x03org\x00"));
    assert_eq!(asked.host, "www.example.org".parse().ok());
    assert_eq!((asked.name.as_str(), asked.record, asked.limit), ("www.example.org", Record::A, 512));

    let long = question(&message(0x0120, [1, 0, 0, 1], &[b"\x01a\x00\x00\x1c\x00\x01", EDNS]));
    assert_eq!((long.name.as_str(), long.record, long.limit), ("a", Record::Aaaa, 1232));
    let text = question(&message(0, [1, 0, 0, 0], &[b"\x01a\x00\x00\x10\x00\x01"]));
    assert_eq!(text.record, Record::Other(16));
}

#[test]
fn the_limit_of_a_client_has_bounds() {
    for (payload, limit) in [(0, 512), (511, 512), (513, 513), (4096, 4096), (65535, 4096)] {
        let edns = [b"\x00\x00\x29", &u16::to_be_bytes(payload)[..], b"\x00\x00\x00\x00\x00\x03abc"].concat();
        assert_eq!(question(&message(0, [1, 0, 0, 1], &[b"\x01a\x00", ADDRESS, &edns])).limit, limit);
    }
}

#[test]
fn a_name_that_is_no_host_is_escaped() {
    for (name, text) in [
        (&b"\x00"[..], "."),
        (b"\x03a.b\x03org\x00", "a\\.b.org"),
        (b"\x01\\\x00", "\\\\"),
        (b"\x04a\x00\xffZ\x03org\x00", "a\\000\\255z.org"),
        (b"\x01*\x03org\x00", "*.org"),
        (b"\x01 \x00", "\\032"),
        (b"\x09127.0.0.1\x00", "127\\.0\\.0\\.1"),
        (b"\x03127\x010\x010\x011\x00", "127.0.0.1"),
        (b"\x01-\x00", "-"),
    ] {
        let asked = question(&ask(name));
        assert_eq!((asked.name.as_str(), asked.host), (text, None));
    }
    let part = [&[63][..], &[0xff; 63]].concat();
    let asked = question(&ask(&[&part[..], &part, &part, b"\x00"].concat()));
    assert!(asked.name.len() <= 253 && asked.name.ends_with("..."), "{}", asked.name);
}

#[test]
fn the_longest_name_is_a_host() {
    let part = [&[63][..], &[b'a'; 63]].concat();
    let longest = [&part[..], &part, &part, &[61], &[b'b'; 61], &[0]].concat();
    assert_eq!(longest.len(), 255);
    assert_eq!(question(&ask(&longest)).host.unwrap().as_str().len(), 253);
    let longer = [&part[..], &part, &part, &[62], &[b'b'; 62], &[0]].concat();
    assert_eq!(code(&ask(&longer)), 1);
}

#[test]
fn what_is_no_question_is_not_answered() {
    let mut answer = ask(b"\x01a\x00");
    answer[2] |= 0x80;
    assert_eq!(parse(&answer), Query::Ignored);
    assert_eq!(parse(&answer[..12]), Query::Ignored);
    for length in 0..12 {
        assert_eq!(parse(&ask(b"\x01a\x00")[..length]), Query::Ignored);
    }
    let asked = question(&ask(b"\x01a\x00"));
    assert_eq!(parse(&asked.answer(Answer::Refused, 512)), Query::Ignored);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let one = [1, 0, 0, 0];
    for (what, message, expected) in [
        ("an update", message(5 << 11, one, &[b"\x01a\x00", ADDRESS]), 4),
        ("no question", message(0, [0, 0, 0, 0], &[]), 1),
        ("two questions", message(0, [2, 0, 0, 0], &[b"\x01a\x00", ADDRESS, b"\x01a\x00", ADDRESS]), 1),
        ("an answer that is not there", message(0, [1, 1, 0, 0], &[b"\x01a\x00", ADDRESS]), 1),
        ("a pointer", ask(b"\xc0\x0c"), 1),
        ("a pointer behind a part", ask(b"\x01a\xc0\x0c"), 1),
        ("a kind of part that never was", ask(b"\x40a\x00"), 1),
        ("a name that ends early", message(0, one, &[b"\x05a"]), 1),
        ("no class", message(0, one, &[b"\x01a\x00\x00\x01"]), 1),
        ("more at the end", message(0, one, &[b"\x01a\x00", ADDRESS, b"x"]), 1),
        ("class CH", message(0, one, &[b"\x01a\x00\x00\x01\x00\x03"]), 5),
        ("two records of EDNS", message(0, [1, 0, 0, 2], &[b"\x01a\x00", ADDRESS, EDNS, EDNS]), 1),
        ("EDNS of another name", message(0, [1, 0, 0, 1], &[b"\x01a\x00", ADDRESS, b"\x01", EDNS]), 1),
        ("EDNS that is not there", message(0, [1, 0, 0, 1], &[b"\x01a\x00", ADDRESS]), 1),
        ("EDNS that is too short", message(0, [1, 0, 0, 1], &[b"\x01a\x00", ADDRESS, &EDNS[..10]]), 1),
        (
            "EDNS of a later version",
            message(0, [1, 0, 0, 1], &[b"\x01a\x00", ADDRESS, b"\0\0\x29\x04\xd0\0\x01\0\0\0\0"]),
            16,
        ),
    ] {
        assert_eq!(code(&message), expected, "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        parse(&bytes);
    }

    /// The header of a question before any bytes, so that the rest of the parser is reached.
    #[test]
    fn any_question_has_short_names(bytes in prop::collection::vec(any::<u8>(), 0..300), edns in 0_u16..2) {
        if let Query::Asked(asked) = parse(&message(0, [1, 0, 0, edns], &[&bytes])) {
            prop_assert!(asked.name.len() <= 253 && asked.name.is_ascii());
            prop_assert!(asked.host.is_none_or(|host| host.as_str() == asked.name));
        }
    }

    #[test]
    fn a_host_is_read_back(parts in prop::collection::vec("[a-zA-Z0-9_]{1,63}", 1..4), last in "[a-zA-Z]{1,20}") {
        let parts = [&parts[..], &[last]].concat();
        let sent: Vec<u8> = parts
            .iter()
            .flat_map(|part| [&[u8::try_from(part.len()).unwrap()], part.as_bytes()].concat())
            .chain([0])
            .collect();
        let asked = question(&ask(&sent));
        prop_assert_eq!(asked.host, Some(parts.join(".").parse().unwrap()));
    }
}
