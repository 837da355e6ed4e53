use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::Class;
use aseptic_runner::{VerifierKey, Witness, WitnessKey, WitnessServer};
use clap::ValueHint;
use serde_json::json;

use crate::command::ledger::{read_text, write_text};
use crate::context::Context;
use crate::failure::Failure;
use crate::visible;

/// Longest request and longest list of keys that are read: more than the bounds of the parsers.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Witness ledgers of other machines
///
/// A witness remembers how far each ledger went, and cosigns a checkpoint only if it continues what it saw before.
/// Run it where the owner of the ledger has no access: its directory is its key and its memory. A copy that is
/// older than its last answer must never be used again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make the key of this witness, or print its public half
    #[command(after_help = "Examples:\n  aseptic witness key witness.example/one\n  aseptic witness key")]
    Key {
        /// Name to make a key for, such as a host name; without it, the key that is there is printed
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Answer ledgers over HTTP, until it is stopped
    ///
    /// Serves POST PREFIX/add-checkpoint, and GET PREFIX/HASH/checkpoint for the last checkpoint of a ledger, where
    /// HASH is the SHA-256 of its origin. Speaks plain HTTP: put a proxy with TLS before it. Nothing that it is sent
    /// is secret, and what it answers is signed.
    #[command(after_help = "Examples:\n  \
        aseptic witness serve --listen 127.0.0.1:8080 --log aseptic.local/ledger/…+1a2b3c4d+AXk…\n  \
        aseptic witness serve --listen [::]:8080 --log-file ./ledgers")]
    Serve {
        /// Address and port to listen on; port 0 takes a free one
        #[arg(long, value_name = "ADDRESS", value_hint = ValueHint::Other)]
        listen: SocketAddr,
        /// Path before `/add-checkpoint`
        #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
        prefix: String,
        #[command(flatten)]
        logs: Logs,
        #[command(flatten)]
        place: Place,
    },
    /// Answer one request that was carried here as a file
    #[command(after_help = "Examples:\n  \
        aseptic witness sign --log-file ./verifier --request ./to-witness --cosignature ./from-witness")]
    Sign {
        /// What `aseptic ledger witness update --request` wrote
        #[arg(long, value_name = "FILE")]
        request: PathBuf,
        /// File to write the answer to
        #[arg(long, value_name = "FILE")]
        cosignature: PathBuf,
        #[command(flatten)]
        logs: Logs,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Directory of the witness [default: `witness` in the state directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Place {
    fn dir(&self, context: &Context) -> Result<PathBuf, Failure> {
        match &self.dir {
            Some(dir) => Ok(dir.clone()),
            None => Ok(context.home_dir()?.join("witness")),
        }
    }
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Logs {
    /// Verifier key of a ledger to witness; may be given several times
    #[arg(long, value_name = "VKEY", value_hint = ValueHint::Other)]
    log: Vec<VerifierKey>,
    /// File with verifier keys, one a line, such as the file `verifier` of a ledger
    #[arg(long, value_name = "FILE")]
    log_file: Vec<PathBuf>,
}

impl Logs {
    fn keys(&self) -> Result<Vec<VerifierKey>, Failure> {
        let mut keys = self.log.clone();
        for path in &self.log_file {
            let wrong = |message: String| {
                let message = format!("`{}`: {message}", path.display());
                let help = "name a file with a verifier key in each line";
                Failure::new(Class::User, "ledger/witness-unknown", message, help)
            };
            let text = read_text(path, FILE_BYTES_MAX).map_err(wrong)?;
            for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
                keys.push(line.parse().map_err(|error: aseptic_runner::NoteError| wrong(error.to_string()))?);
            }
        }
        Ok(keys)
    }
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    match &args.action {
        Action::Key { name, place } => {
            let dir = place.dir(context)?;
            let key = match name {
                Some(name) => aseptic_runner::create_witness_key(&dir, name)?,
                None => aseptic_runner::witness_key(&dir)?,
            };
            show(context, &key)
        }
        Action::Serve { listen, prefix, logs, place } => {
            let witness = Witness::open(&place.dir(context)?, logs.keys()?)?;
            serve(context, witness, *listen, prefix)
        }
        Action::Sign { request, cosignature, logs, place } => {
            let witness = Witness::open(&place.dir(context)?, logs.keys()?)?;
            let body = read_text(request, FILE_BYTES_MAX).map_err(|error| {
                let message = format!("`{}`: {error}", request.display());
                let help = "pass what `aseptic ledger witness update --request` wrote";
                Failure::new(Class::User, "ledger/request", message, help)
            })?;
            let line = aseptic_runner::cosign_request(&witness, body.as_bytes())?;
            write_text(cosignature, &line)?;
            let (name, path) = (witness.key().name(), cosignature.display());
            if context.json() {
                let document =
                    json!({ "schema": "aseptic.witness-sign/1", "witness": name, "cosignature": line });
                context.document(&document)?;
            } else {
                context.out(format_args!("{name} cosigned; the answer is in {path}"));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn show(context: &Context, key: &WitnessKey) -> Result<ExitCode, Failure> {
    if context.json() {
        let document =
            json!({ "schema": "aseptic.witness-key/1", "name": key.name(), "key": key.to_string() });
        context.document(&document)?;
    } else {
        context.out(key);
    }
    Ok(ExitCode::SUCCESS)
}

fn serve(context: &Context, witness: Witness, listen: SocketAddr, prefix: &str) -> Result<ExitCode, Failure> {
    let interrupt = context.interrupt()?;
    let name = witness.key().name().to_owned();
    let server = WitnessServer::bind(witness, listen, prefix)?;
    let address = server.address();
    if context.json() {
        let address = address.to_string();
        context
            .document(&json!({ "schema": "aseptic.witness-serve/1", "witness": name, "address": address }))?;
    } else {
        context.out(format_args!("{name} listens on http://{address}"));
    }
    let failed = |error: &aseptic_runner::WitnessError| {
        // From a thread of the server; what cannot be written there is lost.
        let _ = writeln!(std::io::stderr().lock(), "error: {}", visible::lines(&error.to_string()));
    };
    server.run(failed, || interrupt.is_seen());
    Ok(ExitCode::SUCCESS)
}
