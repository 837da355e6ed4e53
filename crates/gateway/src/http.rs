//! Plain HTTP of a client: the host that each request asks for.
//!
//! A hostile client wants that the gateway and the server read different requests. So a request that servers
//! could read in two ways is refused, also where some standard lets it pass: a body with two lengths, lines that
//! do not end in CR LF, a header that goes on in the next line, a second `Host`. `CONNECT` is refused.
//!
//! A request may ask for another protocol (`Upgrade`), and the gateway does not see what the server answers.
//! - WebSocket: what comes next must be the first frame of a client or another request. A frame cannot be taken for
//!   a request, since its second byte is none of any method; to servers for which that is white space it must not
//!   go on as one, either. So the server either speaks WebSocket with this client from there on, or ends. All that
//!   follows passes.
//! - Anything else: what comes next must still be a request. Servers that stay with HTTP/1 are fine, and the
//!   first bytes of HTTP/2 or TLS are refused.
//!
//! **Invariant:** pure, and bounded: no more than [`HEAD_BYTES_MAX`] are ever held back.
//! **Absent on purpose:** HTTP/2 without TLS, whose requests are not read; bodies; other headers than those that
//! say where a request goes and where it ends, such as `X-Forwarded-Host`.
//!
//! Source: RFC 9110, RFC 9112, RFC 6455 section 5.

mod guess;
mod head;
mod inspector;

pub(crate) use guess::{Guess, guess, names_version};
pub(crate) use head::Expected;
pub(crate) use inspector::{Inspector, Verdict};

/// Most bytes of the head of a request, which is its first line and its headers. Servers allow from 8 KiB to 1 MiB.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;
