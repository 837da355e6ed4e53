//! Being a witness for the ledgers of others, over HTTP or by file.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use aseptic_http::{Request, Response, Server, ServerLimits};
use aseptic_ledger::{ADD_CHECKPOINT_BYTES_MAX, Refused, Witness, WitnessError};

use super::WitnessingError;

/// A witness that listens and does not answer yet.
#[derive(Debug)]
pub struct WitnessServer {
    server: Server,
    witness: Witness,
    prefix: String,
}

impl WitnessServer {
    /// Listens on `address`. `prefix` is the path before `/add-checkpoint`, such as `/witness`; it may be empty.
    ///
    /// # Errors
    /// [`WitnessingError::Serve`].
    pub fn bind(witness: Witness, address: SocketAddr, prefix: &str) -> Result<Self, WitnessingError> {
        let limits = ServerLimits { body_bytes: ADD_CHECKPOINT_BYTES_MAX, ..ServerLimits::default() };
        let server = Server::bind(address, limits)?;
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        Ok(Self { server, witness, prefix })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Answers until `stop` says so. `failed` is told, on whatever thread, what the witness itself could not do.
    pub fn run(self, failed: impl Fn(&WitnessError) + Send + Sync + 'static, stop: impl FnMut() -> bool) {
        let Self { server, witness, prefix } = self;
        let handler = move |request: Request| {
            answer(&witness, &prefix, &request).unwrap_or_else(|error| {
                failed(&error);
                Response::text(500, "the witness failed; it cosigned nothing\n")
            })
        };
        server.run(handler, stop);
    }
}

/// The answer to one request; an error is of the witness, not of who asks.
fn answer(witness: &Witness, prefix: &str, request: &Request) -> Result<Response, WitnessError> {
    let not_found = || Response::text(404, "there is nothing here\n");
    let Some(path) = request.path.strip_prefix(prefix).and_then(|path| path.strip_prefix('/')) else {
        return Ok(not_found());
    };
    if path == "add-checkpoint" {
        if request.method != "POST" {
            return Ok(Response::text(405, "use POST\n"));
        }
        return match cosign_request(witness, &request.body) {
            Ok(line) => Ok(Response::text(200, line)),
            Err(WitnessError::Refused(refused)) => Ok(refusal(&refused)),
            Err(error) => Err(error),
        };
    }
    let Some(hash) = path.strip_suffix("/checkpoint") else { return Ok(not_found()) };
    if request.method != "GET" {
        return Ok(Response::text(405, "use GET\n"));
    }
    let checkpoint = witness.checkpoint(hash)?;
    Ok(checkpoint.map_or_else(not_found, |checkpoint| Response::text(200, checkpoint.to_string())))
}

fn refusal(refused: &Refused) -> Response {
    if let Refused::Conflict { size } = refused {
        let body = format!("{size}\n").into_bytes();
        return Response { status: refused.status(), content_type: "text/x.tlog.size", body };
    }
    let mut body = refused.to_string();
    let mut source = std::error::Error::source(refused);
    while let Some(cause) = source {
        body = format!("{body}: {cause}");
        source = cause.source();
    }
    Response::text(refused.status(), body + "\n")
}

/// Answers one `add-checkpoint` by the clock of this machine: the cosignature as a line.
///
/// # Errors
/// As [`Witness::add_checkpoint`].
pub fn cosign_request(witness: &Witness, body: &[u8]) -> Result<String, WitnessError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // A cosignature has a time, and 0 stands for none.
    witness.add_checkpoint(body, now.as_secs().max(1))
}
