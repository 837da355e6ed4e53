//! Names that documents of several formats share.

use std::fmt::Write as _;

use aseptic_model::{Digest, ProjectName, RunId, RunRecord};

/// Who wrote a document: the program and its version.
pub(crate) const TOOL: &str = "aseptic";
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Where the program comes from.
pub(crate) const HOME_PAGE: &str = env!("CARGO_PKG_REPOSITORY");

/// A UUID for a run, the same each time: version 8 of the BLAKE3 of `PROJECT/RUN`.
///
/// Source: RFC 9562 section 5.8.
pub(crate) fn uuid(project: &ProjectName, run: &RunId) -> String {
    let digest = Digest::of(format!("{project}/{run}").as_bytes());
    let mut text = String::with_capacity(36);
    for (at, byte) in digest.as_bytes().iter().take(16).enumerate() {
        let byte = match at {
            6 => byte & 0x0f | 0x80,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        let _ = write!(text, "{}{byte:02x}", if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" });
    }
    text
}

/// The name of what a run did: its experiment, or its program.
pub(crate) fn job_name(record: &RunRecord) -> String {
    match &record.experiment {
        Some(experiment) => experiment.to_string(),
        None => record.command.first().cloned().unwrap_or_else(|| record.run.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_one_uuid() {
        let (a, b) = ("digits".parse().unwrap(), "other".parse().unwrap());
        let run: RunId = "7jmg7qmxnc0m".parse().unwrap();
        let first = uuid(&a, &run);
        assert_eq!(first, uuid(&a, &run));
        assert_ne!(first, uuid(&b, &run));
        let parts: Vec<_> = first.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&first[14..15], "8");
        assert!("89ab".contains(&first[19..20]));
    }
}
