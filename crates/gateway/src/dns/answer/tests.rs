use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::dns::{Query, parse};

fn question(kind: u8, edns: &[u8]) -> Question {
    let additional = u8::from(!edns.is_empty());
    let header = [0xab, 0xcd, 0x01, 0x10, 0, 1, 0, 0, 0, 0, 0, additional];
    let asked = [b"\x02eX\x03Org\x00\x00", &[kind][..], b"\x00\x01"].concat();
    match parse(&[&header, &asked[..], edns].concat()) {
        Query::Asked(question) => question,
        other => panic!("{other:?}"),
    }
}

const EDNS: &[u8] = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00";
const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfda5, 0xe971, 0xc000, 0, 0, 0, 0, 1));

#[test]
fn an_address_is_answered() {
    let answer = question(1, &[]).answer(Answer::Addresses(&[V4, V6]), 512);
    let header = b"\xab\xcd\x81\x90\x00\x01\x00\x01\x00\x00\x00\x00";
    let asked = b"\x02eX\x03Org\x00\x00\x01\x00\x01";
    let record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc6\x12\x00\x01";
    assert_eq!(answer, [&header[..], asked, record].concat());

    let answer = question(28, EDNS).answer(Answer::Addresses(&[V4, V6]), 512);
    assert_eq!(answer[4..12], [0, 1, 0, 1, 0, 0, 0, 1]);
    assert!(answer.ends_with(b"\x01\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00"), "{answer:x?}");
}

#[test]
fn nothing_can_be_kept_for_a_while() {
    let authority = [
        &b"\x00\x00\x06\x00\x01\x00\x00\x00\x0a\x00\x16\x00\x00\x00\x00\x00\x01"[..],
        b"\x00\x00\x01\x2c\x00\x00\x01\x2c\x00\x00\x01\x2c\x00\x00\x00\x0a",
    ]
    .concat();
    for (answer, code) in [(Answer::Empty, 0), (Answer::Addresses(&[V6]), 0), (Answer::NoSuchName, 3)] {
        let bytes = question(1, &[]).answer(answer, 512);
        assert_eq!(bytes[2..12], [0x81, 0x90 | code, 0, 1, 0, 0, 0, 1, 0, 0]);
        assert!(bytes.ends_with(&authority));
    }
    for (answer, code) in [(Answer::Refused, 5), (Answer::ServerFailure, 2)] {
        let bytes = question(1, &[]).answer(answer, 512);
        assert_eq!(bytes[2..12], [0x81, 0x90 | code, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
}

#[test]
fn too_much_is_cut() {
    let many = [V4; 100];
    let asked = question(1, EDNS);
    let cut = asked.answer(Answer::Addresses(&many), asked.limit);
    assert_eq!(cut[2..12], [0x83, 0x90, 0, 1, 0, 0, 0, 0, 0, 1]);
    assert!(cut.len() < 512);
    let whole = asked.answer(Answer::Addresses(&many), u16::MAX);
    assert_eq!(whole[2..12], [0x81, 0x90, 0, 1, 0, 100, 0, 0, 0, 1]);
    let cut = asked.answer(Answer::Addresses(&[V4; 70_000]), u16::MAX);
    assert_eq!(cut[2..12], [0x83, 0x90, 0, 1, 0, 0, 0, 0, 0, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The longest question leaves room for every answer but one with many addresses.
    #[test]
    fn an_answer_keeps_the_limit(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..64), 0..4),
        kind in any::<u16>(),
        count in 0_usize..40,
        limit in 512_u16..,
    ) {
        let mut message = vec![0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        for part in parts {
            message.push(u8::try_from(part.len()).unwrap());
            message.extend(part);
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        let asked_end = message.len() + 2;
        message.extend([0, 1]);
        message.extend(EDNS);
        let Query::Asked(asked) = parse(&message) else { return Ok(()) }; // The name is too long.
        let addresses = [V4, V6].repeat(count);
        for answer in [Answer::Addresses(&addresses), Answer::Empty, Answer::NoSuchName, Answer::Refused] {
            let bytes = asked.answer(answer, limit);
            prop_assert!(bytes.len() <= limit.into());
            prop_assert_eq!(&bytes[12..asked_end], &message[12..asked_end]);
            prop_assert_eq!(&bytes[..2], &message[..2]);
        }
    }
}
