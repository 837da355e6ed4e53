//! A server for small requests, each answered by one function.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

/// How often the server asks whether it should stop.
const TICK: Duration = Duration::from_millis(100);

/// Longest pause after accepting failed, as when the process has no descriptor left: a busy loop would make
/// that worse.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a client may ask of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Most bytes in the head of a request, at least 8192.
    pub head_bytes: usize,
    /// Most bytes in the body of a request; a longer one is answered with 413.
    pub body_bytes: usize,
    /// Longest wait for a head, the wait of an idle connection for its next request included.
    pub head_wait: Duration,
    /// Longest wait for a body; then the answer is 408.
    pub body_wait: Duration,
    /// Longest life of a connection, whatever it does.
    pub connection_life: Duration,
    /// Most connections at a time; others wait in the kernel's queue.
    pub connections: usize,
    /// How long requests in progress may go on after the server was told to stop.
    pub stop_wait: Duration,
}

impl Default for ServerLimits {
    /// For requests of a few kilobytes.
    fn default() -> Self {
        Self {
            head_bytes: 16 << 10,
            body_bytes: 64 << 10,
            head_wait: Duration::from_secs(10),
            body_wait: Duration::from_secs(10),
            connection_life: Duration::from_secs(300),
            connections: 64,
            stop_wait: Duration::from_secs(10),
        }
    }
}

/// One request, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method, such as `POST`.
    pub method: String,
    /// The path as it was sent, without the query; never decoded.
    pub path: String,
    /// The body, at most as long as the limit.
    pub body: Vec<u8>,
}

/// One answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code, 200 to 999; anything lower is sent as 500.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer in plain text.
    #[must_use]
    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }
}

/// Why the server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("could not listen on {address}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The kernel gave no event queue.
    #[error("could not wait for connections")]
    Wait(#[source] io::Error),
}

/// A server that listens and does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: ServerLimits,
    runtime: Runtime,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The function that answers.
type Handler = Arc<dyn Fn(Request) -> Response + Send + Sync>;

impl Server {
    /// Listens on `address`; port 0 takes a free one. Connections wait until [`Server::run`].
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn bind(address: SocketAddr, limits: ServerLimits) -> Result<Self, ServeError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(limits.connections.max(1))
            .build()
            .map_err(ServeError::Wait)?;
        let failed = |source| ServeError::Listen { address, source };
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, limits, runtime })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests with `handler`, several at a time on threads of their own, until `stop` says so.
    ///
    /// Then no connection is accepted any more, idle ones are closed, and requests in progress are answered, as
    /// long as the limit says. A handler that panics is answered for with 500.
    pub fn run(
        self,
        handler: impl Fn(Request) -> Response + Send + Sync + 'static,
        mut stop: impl FnMut() -> bool,
    ) {
        let Self { listener, limits, runtime, .. } = self;
        let handler: Handler = Arc::new(handler);
        runtime.block_on(async {
            let slots = Arc::new(Semaphore::new(limits.connections.max(1)));
            let (stopping, stopped) = watch::channel(false);
            let mut connections = JoinSet::new();
            while !stop() {
                while connections.try_join_next().is_some() {}
                let Ok(Ok(slot)) = timeout(TICK, Arc::clone(&slots).acquire_owned()).await else { continue };
                let stream = match timeout(TICK, listener.accept()).await {
                    Ok(Ok((stream, _))) => stream,
                    Ok(Err(_)) => {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                    Err(_) => continue,
                };
                let (handler, stopped) = (Arc::clone(&handler), stopped.clone());
                connections.spawn(async move {
                    let _ = timeout(limits.connection_life, converse(stream, limits, handler, stopped)).await;
                    drop(slot);
                });
            }
            drop(listener);
            let _ = stopping.send(true);
            let ended = async { while connections.join_next().await.is_some() {} };
            let _ = timeout(limits.stop_wait, ended).await;
        });
        // A handler that still runs is left to itself: nothing that it does may depend on being waited for.
        runtime.shutdown_background();
    }
}

/// One connection from its first request to its last.
async fn converse(
    stream: TcpStream,
    limits: ServerLimits,
    handler: Handler,
    mut stopped: watch::Receiver<bool>,
) {
    let service = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(send(answer(request, limits, handler).await)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_wait)
        .max_buf_size(limits.head_bytes.max(8192))
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let told = {
        let mut told = pin!(stopped.wait_for(|stopped| *stopped));
        poll_fn(|context| {
            // An error of the connection is the peer's; there is nobody to tell.
            if connection.as_mut().poll(context).is_ready() {
                return Poll::Ready(false);
            }
            told.as_mut().poll(context).map(|_| true)
        })
        .await
    };
    if told {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// The answer to one request.
async fn answer(request: hyper::Request<Incoming>, limits: ServerLimits, handler: Handler) -> Response {
    let (head, body) = request.into_parts();
    let body = match timeout(limits.body_wait, Limited::new(body, limits.body_bytes).collect()).await {
        Ok(Ok(body)) => body.to_bytes().to_vec(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Response::text(413, format!("a body has at most {} bytes\n", limits.body_bytes));
        }
        Ok(Err(_)) => return Response::text(400, "the body cannot be read\n"),
        Err(_) => return Response::text(408, "the body did not come\n"),
    };
    let is_head = head.method == Method::HEAD;
    let method = if is_head { "GET".to_owned() } else { head.method.as_str().to_owned() };
    let request = Request { method, path: head.uri.path().to_owned(), body };
    let answered = spawn_blocking(move || handler(request)).await;
    answered.unwrap_or_else(|_| Response::text(500, "the server failed\n"))
}

fn send(response: Response) -> hyper::Response<Full<Bytes>> {
    let mut sent = hyper::Response::new(Full::new(Bytes::from(response.body)));
    let status = StatusCode::from_u16(response.status).ok().filter(|status| status.as_u16() >= 200);
    *sent.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    sent.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(response.content_type));
    sent
}
