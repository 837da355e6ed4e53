//! What a run printed goes into the store.

use aseptic_model::{Given, Log, Logs};
use aseptic_store::{CaptureKind, CaptureRoot, Lease, Store};

use super::{End, SealError};
use crate::input::FromInput;
use crate::observer::Stream;
use crate::run_dir::RunDir;

/// What the run printed and was given, and what it used of the machine over time.
pub(super) fn capture_logs(
    store: &Store,
    lease: &Lease,
    dir: &RunDir,
    end: &End,
) -> Result<(Logs, Option<Log>), SealError> {
    let path = dir.join("logs");
    let root = CaptureRoot { name: b"logs", path: &path, kind: CaptureKind::Plain, max_bytes: None };
    let captured = store.capture(lease, &[root])?;
    let log = |name: &[u8], dropped| {
        let output = captured.outputs.iter().find(|output| output.path.file_name() == name)?;
        Some(Log { blake3: output.blake3, size: output.size, dropped })
    };
    let dropped =
        |stream| end.dropped.iter().find(|(of, _)| *of == stream).map_or(0, |(_, dropped)| *dropped);
    let stdin = match end.given {
        Some(FromInput::Typed) => Some(Given::Terminal),
        Some(FromInput::Piped { dropped }) => log(b"stdin", dropped).map(Given::Piped),
        None => log(b"stdin", 0).map(Given::Piped), // Its supervisor died.
    };
    let stdout = log(b"stdout", dropped(Stream::Stdout));
    let stderr = log(b"stderr", dropped(Stream::Stderr));
    Ok((Logs { stdout, stderr, stdin }, log(b"system", end.unsampled)))
}
