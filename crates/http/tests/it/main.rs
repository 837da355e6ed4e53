//! The server and the client, against each other and against peers that misbehave.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use aseptic_http::{
    Answer, Client, ClientError, ClientLimits, Outgoing, Request, Response, Server, ServerLimits,
};

struct Running {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(limits: ServerLimits, handler: impl Fn(Request) -> Response + Send + Sync + 'static) -> Self {
        let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), limits).unwrap();
        let (address, stop) = (server.address(), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || server.run(handler, || told.load(Ordering::Relaxed)));
        Self { address, stop, thread: Some(thread) }
    }

    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let url = format!("http://{}{path}", self.address);
        let client = Client::new(ClientLimits::default(), None).unwrap();
        client.send(&Outgoing { method, url: &url, headers: &[], body }).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn echo(request: Request) -> Response {
    let Request { method, path, body } = request;
    Response::text(200, [format!("{method} {path} ").into_bytes(), body].concat())
}

fn quick() -> ServerLimits {
    ServerLimits {
        body_bytes: 1000,
        head_wait: Duration::from_millis(200),
        body_wait: Duration::from_millis(200),
        ..ServerLimits::default()
    }
}

#[test]
fn requests_are_answered() {
    let server = Running::start(ServerLimits::default(), echo);
    let answer = server.ask("POST", "/a%2Fb?query", b"body");
    let expected = Answer {
        status: 200,
        content_type: Some("text/plain; charset=utf-8".to_owned()),
        body: b"POST /a%2Fb body".to_vec(),
    };
    assert_eq!(answer, expected);
    assert_eq!(server.ask("GET", "/", b"").body, b"GET / ");
}

#[test]
fn what_is_too_long_or_too_slow_is_refused() {
    let server = Running::start(quick(), echo);
    assert_eq!(server.ask("POST", "/", &[b'x'; 1000]).status, 200);
    assert_eq!(server.ask("POST", "/", &[b'x'; 1001]).status, 413);
    let head = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'x'; 40_000], b"\r\n\r\n"].concat();
    assert!(server.raw(&head).starts_with("HTTP/1.1 431"));
    assert!(
        server.raw(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx").starts_with("HTTP/1.1 408")
    );
    let slow_head = server.raw(b"POST / HTT");
    assert!(slow_head.is_empty() || slow_head.starts_with("HTTP/1.1 408"), "{slow_head}");
    assert!(server.raw(b"\x00\xff nothing of this is HTTP\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert_eq!(server.ask("GET", "/", b"").status, 200, "others are served");
}

#[test]
fn a_handler_that_panics_ends_one_request() {
    let server = Running::start(ServerLimits::default(), |request| match request.path.as_str() {
        "/panic" => std::panic::resume_unwind(Box::new("on purpose")),
        _ => Response::text(999, ""),
    });
    assert_eq!(server.ask("GET", "/panic", b"").status, 500);
    assert_eq!(server.ask("GET", "/other", b"").status, 999);
}

#[test]
fn connections_beyond_the_limit_wait() {
    let limits =
        ServerLimits { connections: 2, head_wait: Duration::from_millis(300), ..ServerLimits::default() };
    let (most, now) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (most_seen, active) = (Arc::clone(&most), Arc::clone(&now));
    let server = Running::start(limits, move |_| {
        most_seen.fetch_max(active.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::yield_now();
        active.fetch_sub(1, Ordering::SeqCst);
        Response::text(200, "")
    });
    // Two that say nothing hold all places until they are thrown out.
    let idle = [TcpStream::connect(server.address).unwrap(), TcpStream::connect(server.address).unwrap()];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(server.ask("GET", "/", b"").status, 200));
        }
    });
    drop(idle);
    assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
}

#[test]
fn a_stop_lets_requests_end() {
    let (entered, enter) = std::sync::mpsc::channel();
    let (leave, left) = std::sync::mpsc::channel::<()>();
    let left = std::sync::Mutex::new(left);
    let server = Running::start(ServerLimits::default(), move |_| {
        entered.send(()).unwrap();
        left.lock().unwrap().recv().unwrap();
        Response::text(200, "done")
    });
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| server.ask("GET", "/", b"").body);
        enter.recv().unwrap();
        server.stop.store(true, Ordering::Relaxed);
        while TcpStream::connect(server.address).is_ok() {} // Until it no longer listens.
        leave.send(()).unwrap();
        assert_eq!(asked.join().unwrap(), b"done");
    });
}

/// A server that reads a request's head and answers with these bytes, once.
fn says(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://user:secret@{}/path?token=secret", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head);
        let _ = stream.write_all(&bytes);
    });
    url
}

fn sent(url: &str) -> Result<Answer, ClientError> {
    let limits =
        ClientLimits { body_bytes: 100, whole_wait: Duration::from_secs(2), ..ClientLimits::default() };
    Client::new(limits, None).unwrap().send(&Outgoing {
        method: "GET",
        url,
        headers: &[("x", "secret")],
        body: b"",
    })
}

#[test]
fn the_client_is_bounded_and_tells_no_secret() {
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'x'; 101]].concat();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cases = [
        says(endless),
        says(b"nothing\r\n\r\n".to_vec()),
        says(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nx".to_vec()),
        format!("http://user:secret@{closed}/?secret"),
        "ftp://user:secret@127.0.0.1/".to_owned(),
        "secret".to_owned(),
    ];
    for url in cases {
        let error = sent(&url).unwrap_err();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn a_redirect_is_an_answer() {
    let url =
        says(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec());
    assert_eq!(sent(&url).unwrap().status, 302);
}
