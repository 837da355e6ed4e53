use proptest::prelude::*;

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
const OTHER: &str = "GET / HTTP/1.1\r\nHost: other\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n";
const SOCKET: &str =
    "GET / HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";

fn inspector() -> Inspector {
    Inspector::new(Expected::Name("example.org".parse().unwrap(), 80))
}

fn post(length: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: {length}\r\n\r\n")
}

fn look(parts: &[&str]) -> Verdict {
    inspector().look(parts.concat().as_bytes())
}

fn is_other(verdict: &Verdict) -> bool {
    *verdict == Verdict::Refuse(Why::HostHeader(Some("other".to_owned())))
}

#[test]
fn every_request_is_judged() {
    let good =
        [GET, &post(5), "hello", "\r\n\r\n", CHUNKED, "5\r\nhello\r\n0a\r\n0123456789\r\n0\r\n\r\n", GET];
    assert_eq!(look(&good), Verdict::Pass(good.concat().len()));
    assert!(is_other(&look(&[&good[..], &[OTHER]].concat())));
    let trailers = [CHUNKED, "0\r\nX: y\r\nZ: z\r\n\r\n"];
    assert_eq!(look(&trailers), Verdict::Pass(trailers.concat().len()));
    assert!(is_other(&look(&[trailers[0], trailers[1], OTHER])));
}

#[test]
fn a_body_is_not_read() {
    assert_eq!(look(&[&post(OTHER.len()), OTHER]), Verdict::Pass(post(31).len() + OTHER.len()));
    assert_eq!(look(&[&post(10_000), OTHER, OTHER]), Verdict::Pass(post(10_000).len() + 2 * OTHER.len()));
    let chunk = [CHUNKED, &format!("{:x}\r\n", OTHER.len()), OTHER, "\r\n"];
    assert_eq!(look(&chunk), Verdict::Pass(chunk.concat().len()));
}

#[test]
fn no_byte_of_a_head_passes_before_it_was_judged() {
    for (before, head) in [("", OTHER), (GET, OTHER), ("\r\n", GET), (GET, "CONNECT")] {
        for length in 0..head.len() - 1 {
            assert_eq!(look(&[before, &head[..length]]), Verdict::Pass(before.len()), "{length}");
        }
    }
    let whole = [CHUNKED, "0\r\n"].concat();
    for trailers in ["x: y\r\n", "\r", "x: y\r\n\r", ""] {
        assert_eq!(look(&[&whole, trailers]), Verdict::Pass(whole.len()));
    }
}

#[test]
fn lines_end_in_one_way() {
    for head in [
        "GET / HTTP/1.1\nHost: example.org\n\n",
        "GET / HTTP/1.1\r\nHost: example.org\n\r\n",
        "GET / HTTP/1.1\r\nHost: example.org\r\n\n",
        "GET / HTTP/1.1\r\nHost: example.org\r\r\n\r\n",
        "GET / HTTP/1.1\rHost: example.org\r\r",
        "GET / HTTP/1.1\r\nHost: example.org\r\n\rX",
        "GET / HTTP/1.1\r\nHost: example.org\0\r\n\r\n",
        "GET / HTTP/1.1\r\nX: \x0b\r\nHost: example.org\r\n\r\n",
        "GET / HTTP/1.1\r\nX: \x7f",
        "\n",
        "\rX",
        "\0",
    ] {
        assert_eq!(look(&[GET, head]), Verdict::Refuse(Why::Malformed), "{head:?}");
    }
}

#[test]
fn a_chunk_has_one_length() {
    for chunk in [
        "5;x=y\r\nhello\r\n",
        "5 \r\nhello\r\n",
        " 5\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "5\nhello\r\n",
        "5\r5\r\n",
        "+5\r\nhello\r\n",
        "\r\nhello\r\n",
        "g\r\n",
        "1000000000000000",
        "5\r\nhello!\r\n",
        "5\r\nhello\n",
        "5\r\nhello\rx",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\n x\r\n\r\n",
        "0\r\n\n",
    ] {
        assert_eq!(look(&[CHUNKED, chunk]), Verdict::Refuse(Why::Malformed), "{chunk:?}");
    }
}

#[test]
fn a_head_has_a_longest_length() {
    let long = |length: usize| {
        let (start, end) = ("GET / HTTP/1.1\r\nHost: example.org\r\nX: ", "\r\n\r\n");
        [start, &"x".repeat(length - start.len() - end.len()), end].concat()
    };
    assert_eq!(look(&[&long(HEAD_BYTES_MAX)]), Verdict::Pass(HEAD_BYTES_MAX));
    assert_eq!(look(&[&long(HEAD_BYTES_MAX + 1)]), Verdict::Refuse(Why::Malformed));
    assert_eq!(look(&[&long(HEAD_BYTES_MAX + 1)[..HEAD_BYTES_MAX - 1]]), Verdict::Pass(0));
    assert_eq!(look(&[&long(HEAD_BYTES_MAX + 1)[..HEAD_BYTES_MAX]]), Verdict::Refuse(Why::Malformed));
}

#[test]
fn a_web_socket_opens_with_a_frame_alone() {
    let ask = |after: &[u8]| inspector().look(&[SOCKET.as_bytes(), after].concat());
    assert_eq!(ask(b""), Verdict::Pass(SOCKET.len()));
    for frame in
        [b"\x81\x85", b"\x82\xfe", b"\x01\x80", b"\xc1\x85", b"\x89\x80", b"\x8a\x80", b"\x88\x82", b"A\x85"]
    {
        assert_eq!(ask(&frame[..1]), Verdict::Pass(SOCKET.len()));
        let mut inspector = inspector();
        let after = [&frame[..], OTHER.as_bytes()].concat();
        let all = [SOCKET.as_bytes(), &after].concat();
        assert_eq!(inspector.look(&all), Verdict::Pass(SOCKET.len()));
        assert_eq!(inspector.look(&after), Verdict::Open);
    }
    assert_eq!(ask(GET.as_bytes()), Verdict::Pass(SOCKET.len() + GET.len()));
    assert!(is_other(&ask(OTHER.as_bytes())));
    for bytes in
        [&b"\x81\x05"[..], b"\x83\x85", b"\x80\x85", b"\x0a\x85", b"\x16\x03", b"PRI * HTTP/2.0\r\n\r\n"]
    {
        assert_eq!(ask(bytes), Verdict::Refuse(Why::Malformed), "{}", bytes.escape_ascii());
    }
}

#[test]
fn another_protocol_is_refused_when_it_comes() {
    let h2c = SOCKET.replace("websocket", "h2c");
    assert_eq!(look(&[&h2c, GET]), Verdict::Pass(h2c.len() + GET.len()));
    assert_eq!(look(&[&h2c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]), Verdict::Refuse(Why::Malformed));
    assert_eq!(look(&[&h2c, "\x01\x05"]), Verdict::Refuse(Why::Malformed));
}

/// Shows `bytes` in pieces, as a connection does: how many passed, and how it ended.
fn in_pieces(bytes: &[u8], sizes: &[usize]) -> (usize, Option<Verdict>) {
    let mut inspector = inspector();
    let (mut passed, mut shown) = (0, 0);
    let mut sizes = sizes.iter().copied().chain(std::iter::repeat(bytes.len()));
    while shown < bytes.len() {
        shown = (shown + sizes.next().unwrap_or(1)).min(bytes.len());
        match inspector.look(&bytes[passed..shown]) {
            Verdict::Pass(length) => passed += length,
            end => return (passed, Some(end)),
        }
    }
    (passed, None)
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(GET.to_owned()),
        2 => (0_usize..20).prop_map(|length| post(length) + &"x".repeat(length)),
        2 => ((1_usize..20), any::<bool>()).prop_map(|(length, trailer)| {
            let trailer = if trailer { "A: b\r\n" } else { "" };
            format!("{CHUNKED}{length:x}\r\n{}\r\n0\r\n{trailer}\r\n", "x".repeat(length))
        }),
        1 => Just(OTHER.to_owned()),
        1 => Just(SOCKET.to_owned()),
        1 => Just("\r\n".to_owned()),
        1 => "[\\x00-\\x7f]{0,3}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_change_nothing(
        pieces in prop::collection::vec(piece(), 0..6),
        sizes in prop::collection::vec(1_usize..40, 0..60),
    ) {
        let bytes = pieces.concat().into_bytes();
        let (passed, end) = in_pieces(&bytes, &sizes);
        match inspector().look(&bytes) {
            Verdict::Pass(whole) => prop_assert_eq!((whole, None), (passed, end)),
            whole => prop_assert_eq!(Some(whole), end),
        }
    }

    /// Where a request for another host stands behind good ones, nothing of it passes.
    #[test]
    fn another_host_never_passes(pieces in prop::collection::vec(piece(), 0..6)) {
        let good: String = pieces.into_iter().filter(|piece| piece.ends_with("\r\n") && piece != OTHER).collect();
        let bytes = [&good, OTHER].concat().into_bytes();
        let (passed, end) = in_pieces(&bytes, &[]);
        prop_assert!(passed <= good.len() && end.is_some_and(|end| matches!(end, Verdict::Refuse(_))));
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        inspector().look(&bytes);
        inspector().look(&[CHUNKED.as_bytes(), &bytes].concat());
        inspector().look(&[SOCKET.as_bytes(), &bytes].concat());
    }
}
