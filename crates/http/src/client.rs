//! A client that sends one request and takes one bounded answer.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Method, Proxy};
use tokio::runtime::Runtime;
use url::Url;

/// How long the client waits, and for how much.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Longest wait for a connection, TLS included.
    pub connect_wait: Duration,
    /// Longest time for everything, from the name's lookup to the last byte of the answer.
    pub whole_wait: Duration,
    /// Most bytes in the body of an answer; a longer one is an error.
    pub body_bytes: usize,
}

impl Default for ClientLimits {
    /// For answers of a few kilobytes.
    fn default() -> Self {
        Self {
            connect_wait: Duration::from_secs(10),
            whole_wait: Duration::from_secs(30),
            body_bytes: 64 << 10,
        }
    }
}

/// A proxy on the way to every host.
#[derive(Clone, Copy, Debug)]
pub struct SiteProxy<'a> {
    /// Its URL; may hold credentials.
    pub url: &'a str,
    /// Hosts that are reached without it, as in the variable `NO_PROXY`; may be empty.
    pub except: &'a str,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The method: `GET` or `POST`.
    pub method: &'a str,
    /// Where to, `http` or `https`.
    pub url: &'a str,
    /// Header fields beside those that HTTP itself needs. A value is secret: no error shows it.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body; empty for none.
    pub body: &'a [u8],
}

/// One answer, whole, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code; a redirect is not followed.
    pub status: u16,
    /// The field `Content-Type`, if it is text.
    pub content_type: Option<String>,
    /// The body, at most as long as the limit.
    pub body: Vec<u8>,
}

/// Why there is no answer. Shows no query, no credentials and no header of the request.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL, a header or the proxy cannot be used.
    #[error("{what} cannot be used")]
    Request {
        /// Which part.
        what: &'static str,
    },
    /// The client cannot work on this machine.
    #[error("could not prepare to send requests")]
    Local(#[source] io::Error),
    /// No answer came in time, or none that is HTTP.
    #[error("`{host}` did not answer")]
    Answer {
        /// Host and port that were asked.
        host: String,
        /// Why, in words.
        #[source]
        source: Reason,
    },
    /// The answer is longer than the caller takes.
    #[error("`{host}` answered with more than {limit} bytes")]
    TooLong {
        /// Host and port that were asked.
        host: String,
        /// The limit in bytes.
        limit: usize,
    },
}

/// The innermost cause that the client gave, in words.
#[derive(Debug)]
pub struct Reason(String);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}

impl Reason {
    /// The innermost cause: the outer ones repeat the URL.
    fn of(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self("no answer came in time".to_owned());
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        match cause.downcast_ref::<reqwest::Error>() {
            Some(_) => Self("the request failed".to_owned()),
            None => Self(cause.to_string()),
        }
    }
}

/// A client; holds no connection between requests that its peer wants closed.
pub struct Client {
    client: reqwest::Client,
    runtime: Runtime,
    limits: ClientLimits,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that trusts the certificates that this machine trusts, and sends everything through `proxy` if
    /// there is one.
    ///
    /// # Errors
    /// [`ClientError::Request`] for a proxy that cannot be used, [`ClientError::Local`].
    pub fn new(limits: ClientLimits, proxy: Option<SiteProxy<'_>>) -> Result<Self, ClientError> {
        // One stack for TLS in the whole program; it may have been chosen before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("aseptic/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .connect_timeout(limits.connect_wait)
            .timeout(limits.whole_wait)
            .no_proxy();
        if let Some(SiteProxy { url, except }) = proxy {
            let all = Proxy::all(url).map_err(|_| ClientError::Request { what: "the proxy" })?;
            builder = builder.proxy(all.no_proxy(reqwest::NoProxy::from_string(except)));
        }
        let client = builder.build().map_err(|error| {
            let words =
                error.source().map_or_else(|| "the settings do not fit".to_owned(), ToString::to_string);
            ClientError::Local(io::Error::other(words))
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { client, runtime: runtime.map_err(ClientError::Local)?, limits })
    }

    /// Sends one request and waits for the whole answer.
    ///
    /// # Errors
    /// [`ClientError`]. An answer with any status is no error.
    pub fn send(&self, request: &Outgoing<'_>) -> Result<Answer, ClientError> {
        let url = Url::parse(request.url).map_err(|_| ClientError::Request { what: "the URL" })?;
        let host = match (url.scheme(), url.host_str(), url.port_or_known_default()) {
            ("http" | "https", Some(host), Some(port)) => format!("{host}:{port}"),
            _ => return Err(ClientError::Request { what: "the URL" }),
        };
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| ClientError::Request { what: "the method" })?;
        let mut built = self.client.request(method, url);
        for (name, value) in request.headers {
            built = built.header(*name, *value);
        }
        if !request.body.is_empty() {
            built = built.body(request.body.to_vec());
        }
        let built = built.build().map_err(|_| ClientError::Request { what: "a header" })?;
        self.runtime.block_on(self.exchange(built, &host))
    }

    async fn exchange(&self, request: reqwest::Request, host: &str) -> Result<Answer, ClientError> {
        let failed =
            |error: reqwest::Error| ClientError::Answer { host: host.to_owned(), source: Reason::of(&error) };
        let mut response = self.client.execute(request).await.map_err(failed)?;
        let status = response.status().as_u16();
        let content_type = response.headers().get(reqwest::header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > self.limits.body_bytes {
                return Err(ClientError::TooLong { host: host.to_owned(), limit: self.limits.body_bytes });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, content_type, body })
    }
}
