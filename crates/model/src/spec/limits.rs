//! Limits by their keys in a spec and on the command line.

use super::shown;
use crate::{ByteSize, Limits, parse_duration};

pub(super) const LIMIT_KEYS: [&str; 12] = [
    "wall",
    "grace",
    "processes",
    "memory",
    "cpus",
    "files",
    "scratch",
    "scratch-files",
    "outputs",
    "connections",
    "traffic",
    "bandwidth",
];

/// Open files without which no program starts: its streams, itself, its libraries one by one.
const FILES_MIN: u32 = 8;

/// Bytes per second with which a connection is still made before its client gives up.
const BANDWIDTH_MIN: u64 = 1024;

/// Sets one limit from its text form, as in `limits = { wall = "1h" }` and `--limit wall=1h`.
///
/// # Errors
/// A sentence for the user: the key is unknown or the value has the wrong form.
pub fn set_limit(limits: &mut Limits, key: &str, text: &str) -> Result<(), String> {
    let duration_ms = || {
        let duration = parse_duration(text).map_err(|error| error.to_string())?;
        u64::try_from(duration.as_millis()).map_err(|error| error.to_string())
    };
    let bytes = || text.parse::<ByteSize>().map(|size| size.0).map_err(|error| error.to_string());
    let count = || {
        let number = text.parse::<u32>().ok().filter(|number| *number > 0);
        number.ok_or_else(|| format!("`{text}` is not a number from 1"))
    };
    match key {
        "wall" => limits.wall_ms = Some(duration_ms()?),
        "grace" => limits.grace_ms = duration_ms()?,
        "processes" => limits.processes = count()?,
        "memory" => limits.memory_bytes = Some(bytes()?),
        "cpus" => limits.cpus = Some(count()?),
        "scratch" => limits.scratch_bytes = Some(bytes()?),
        "scratch-files" => limits.scratch_files = Some(count()?.into()),
        "outputs" => limits.outputs_bytes = Some(bytes()?),
        "connections" => limits.connections = Some(count()?),
        "traffic" => limits.traffic_bytes = Some(bytes()?),
        "bandwidth" => {
            let least = |bytes: &u64| *bytes >= BANDWIDTH_MIN;
            let message = || format!("`{text}` per second is too slow for any answer; from {BANDWIDTH_MIN}");
            limits.bandwidth_bytes = Some(Some(bytes()?).filter(least).ok_or_else(message)?);
        }
        "files" => {
            let files = count()?;
            if files < FILES_MIN {
                return Err(format!("`{text}` open files are too few for any program; from {FILES_MIN}"));
            }
            limits.files = Some(files);
        }
        _ => return Err(format!("`{}` is not a limit; there are {}", shown(key), LIMIT_KEYS.join(", "))),
    }
    Ok(())
}
