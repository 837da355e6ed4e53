//! The metrics of a run that goes on, as they come.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use aseptic_metrics::Reader;
use aseptic_model::{ProjectName, RunId, RunRef};

use super::{MetricsError, MetricsOf, TakePoint, leaves_at_the_end, open, pass};
use crate::home::Home;
use crate::results::{not_sealed, seen};

/// The file of a run that goes on, and how far it was read.
#[derive(Debug)]
pub struct FollowedMetrics {
    /// The run.
    pub run: RunId,
    of: MetricsOf,
    run_dir: PathBuf,
    file: Option<File>,
    reader: Reader,
}

/// Begins to follow a run that goes on; nothing for one that is sealed.
///
/// # Errors
/// [`MetricsError::Run`].
pub fn follow_metrics(
    home: &Home,
    project: &ProjectName,
    run: &RunRef,
    of: MetricsOf,
) -> Result<Option<FollowedMetrics>, MetricsError> {
    let summary = seen(home, project, run)?;
    if summary.record.is_some() {
        return Ok(None);
    }
    if summary.status.is_some() || of == MetricsOf::Job && leaves_at_the_end(home, project, &summary)? {
        return Err(not_sealed(&summary, "metrics").into());
    }
    let run_dir = home.run_dir(project, &summary.run);
    Ok(Some(FollowedMetrics { run: summary.run, of, run_dir, file: None, reader: Reader::new() }))
}

impl FollowedMetrics {
    /// Shows what has come since the last call. False when the run is over and everything was shown.
    ///
    /// A file that the job replaced or cut begins again.
    ///
    /// # Errors
    /// [`MetricsError`].
    pub fn more(&mut self, take: &mut TakePoint<'_>) -> Result<bool, MetricsError> {
        // Before the file is read: what it has when the directory is gone is all of it. Our descriptor reads it
        // on then.
        let over = !self.run_dir.exists();
        self.look()?;
        if let Some(file) = &mut self.file {
            pass(&mut self.reader, take, |reader, take| {
                reader.read(file, take)?;
                if over { reader.finish(take) } else { Ok(()) }
            })?;
        }
        Ok(!over)
    }

    /// Whether there was anything to read.
    #[must_use]
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Opens the file when it comes, and again when it is another.
    fn look(&mut self) -> Result<(), MetricsError> {
        if let Some(file) = &mut self.file {
            let known = file.metadata().ok();
            if known.is_some_and(|known| known.size() < self.reader.read_bytes()) {
                self.reader = Reader::new();
                let _ = file.seek(SeekFrom::Start(0)); // A regular file can.
            }
        }
        let Some(found) = open(&self.run_dir, self.of)? else { return Ok(()) };
        let identity = |file: &File| file.metadata().map(|known| (known.dev(), known.ino())).ok();
        if self.file.as_ref().and_then(identity) != identity(&found) {
            self.file = Some(found);
            self.reader = Reader::new();
        }
        Ok(())
    }
}
