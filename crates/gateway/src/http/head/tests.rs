use super::*;

fn name() -> Expected {
    Expected::Name("example.org".parse().unwrap(), 8080)
}

fn asked(head: &str) -> Result<After, Why> {
    judge(head.as_bytes(), &name())
}

/// What follows a good request with these headers.
fn with(headers: &str) -> Result<After, Why> {
    asked(&format!("POST / HTTP/1.1\r\nHost: example.org\r\n{headers}\r\n"))
}

fn other(host: &str) -> Result<After, Why> {
    Err(Why::HostHeader(Some(host.to_owned())))
}

#[test]
fn the_host_is_that_which_is_expected() {
    for host in ["example.org", "Example.ORG", "example.org:8080", " \texample.org\t "] {
        assert_eq!(asked(&format!("GET / HTTP/1.1\r\nhOSt:{host}\r\n\r\n")), Ok(After::Request), "{host}");
    }
    for host in [
        "example.com",
        "www.example.org",
        "example.org.",
        "example.org:80",
        "example.org:",
        "example.org:+8080",
        "example.org:8080:8080",
        "example.org,example.org",
        "example.org example.org",
        "a@example.org",
        "example.org/",
        "http://example.org",
        "[::1]",
        "192.0.2.1",
        "xample.org:8080\\",
        ".example.org",
    ] {
        assert_eq!(
            asked(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")),
            other(&host.replace('\\', "\\\\"))
        );
    }
    assert_eq!(asked("GET / HTTP/1.1\r\nHost: \u{e9}\r\n\r\n"), other("\\xc3\\xa9"));
    for none in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: \r\n\r\n"] {
        assert_eq!(asked(none), Err(Why::HostHeader(None)));
    }
    let Err(Why::HostHeader(Some(long))) =
        asked(&format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(9999)))
    else {
        panic!("a long name is another one");
    };
    assert_eq!(long.len(), 253);
}

#[test]
fn an_address_is_a_host() {
    for (address, good, bad) in [
        (
            "192.0.2.1:80",
            "192.0.2.1 192.0.2.1:80",
            "192.0.2.2 192.0.2.1:81 192.0.2.01 3221225985 [::ffff:192.0.2.1]",
        ),
        (
            "[2001:db8::1]:80",
            "[2001:db8::1] [2001:DB8:0::1]:80",
            "2001:db8::1 [2001:db8::2] [2001:db8::1]:81 [2001:db8::1 2001:db8::1] [2001:db8::1%25lo] [2001:db8::1]80",
        ),
    ] {
        let expected = Expected::Address(address.parse().unwrap());
        let ask = |host: &str| judge(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), &expected);
        for host in good.split(' ') {
            assert_eq!(ask(host), Ok(After::Request), "{host}");
        }
        for host in bad.split(' ') {
            assert_eq!(ask(host), other(host));
        }
    }
}

#[test]
fn the_target_asks_for_the_same_host() {
    let ask = |target: &str| asked(&format!("OPTIONS {target} HTTP/1.1\r\nHost: example.org\r\n\r\n"));
    for target in [
        "/",
        "/x?y=http://other/",
        "*",
        "http://example.org/",
        "HTTP://Example.org:8080?x",
        "http://example.org",
    ] {
        assert_eq!(ask(target), Ok(After::Request), "{target}");
    }
    for (target, host) in [
        ("http://other/", "other"),
        ("http://example.org@other/", "example.org@other"),
        ("http://other#example.org", "other"),
        ("http://other\\@example.org/", "other\\\\@example.org"),
        ("http://example.org:80/", "example.org:80"),
        ("http:///example.org/", ""),
    ] {
        assert_eq!(ask(target), other(host));
    }
    for target in ["example.org:8080", "https://example.org/", "http:/example.org", "x", "?x"] {
        assert_eq!(ask(target), Err(Why::Malformed), "{target}");
    }
    for method in ["CONNECT", "connect"] {
        let head = format!("{method} example.org:8080 HTTP/1.1\r\nHost: example.org:8080\r\n\r\n");
        assert_eq!(asked(&head), other("example.org:8080"));
    }
}

#[test]
fn a_body_has_one_length() {
    for (headers, after) in [
        ("", After::Request),
        ("Content-Length: 0\r\n", After::Request),
        ("content-length: 15\r\n", After::Body(15)),
        ("Content-Length: 999999999999999999\r\n", After::Body(999_999_999_999_999_999)),
        ("Transfer-Encoding: chunked\r\n", After::Chunks),
        ("TRANSFER-ENCODING:Chunked \r\n", After::Chunks),
    ] {
        assert_eq!(with(headers), Ok(after), "{headers}");
    }
    for headers in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 1 2\r\n",
        "Content-Length:\r\n",
        "Content-Length: 1000000000000000000\r\n",
        "Content_Length: 1\r\n",
        "Content-Length: 1\r\nContent_Length: 1\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer_Encoding: chunked\r\n",
        "Host: example.org\r\n",
        "Host: other\r\n",
        "Content-Length : 1\r\n",
        " Content-Length: 1\r\n",
        "X: y\r\n Content-Length: 1\r\n",
        "X: y\r\n\tContent-Length: 1\r\n",
        "X\r\n",
        ": x\r\n",
        "X\u{e9}: y\r\n",
    ] {
        assert_eq!(with(headers), Err(Why::Malformed), "{headers}");
    }
    let old = "POST / HTTP/1.0\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(asked(old), Err(Why::Malformed));
}

#[test]
fn what_is_no_request_is_refused() {
    for line in [
        "GET / HTTP/2.0",
        "GET / HTTP/1.2",
        "GET / http/1.1",
        "GET /",
        "GET  / HTTP/1.1",
        "GET / x HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "G(T / HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET HTTP/1.1",
    ] {
        assert_eq!(asked(&format!("{line}\r\nHost: example.org\r\n\r\n")), Err(Why::Malformed), "{line}");
    }
    assert_eq!(with(&"a: b\r\n".repeat(255)), Ok(After::Request));
    assert_eq!(with(&"a: b\r\n".repeat(256)), Err(Why::Malformed));
}

#[test]
fn a_web_socket_is_asked_for_in_one_way() {
    let good = "GET / HTTP/1.1\r\nHost: example.org\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\r\n";
    assert_eq!(asked(good), Ok(After::WebSocket));
    for (part, other) in [
        ("GET", "POST"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("WebSocket", "h2c"),
        ("WebSocket", "h2c, websocket"),
        ("Upgrade: W", "Upgrade: websocket\r\nUpgrade: w"),
        (", Upgrade", ""),
    ] {
        assert_eq!(asked(&good.replace(part, other)), Ok(After::Request), "{other}");
    }
    assert_eq!(asked(&good.replace("Upgrade:", "Content-Length: 1\r\nUpgrade:")), Ok(After::Body(1)));
}

#[test]
fn trailers_change_nothing() {
    assert_eq!(judge_trailers(b"X-Checksum: 1\r\nY: 2\r\n\r\n"), Ok(()));
    for bad in
        ["host: x\r\n", "Content-Length: 1\r\n", "Transfer_Encoding: chunked\r\n", "x\r\n", " x: y\r\n"]
    {
        assert_eq!(judge_trailers(format!("X: y\r\n{bad}\r\n").as_bytes()), Err(Why::Malformed), "{bad}");
    }
}
