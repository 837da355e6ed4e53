//! What is known of replays.

use aseptic_model::{Digest, ProjectName, RunId, Verdict};
use serde::Serialize;

use crate::column::get;
use crate::{Catalog, CatalogError};

/// A replay that came to its end, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// The replay.
    pub run: RunId,
    /// The run that it repeats.
    pub replays: RunId,
    /// What came of it.
    pub verdict: Verdict,
    /// Digest of the comparison, which is in the store.
    pub report: Digest,
}

impl Catalog {
    /// The replays of a run, and what came of the run if it is one itself; the oldest first.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn replays(&self, project: &ProjectName, run: &RunId) -> Result<Vec<Replay>, CatalogError> {
        let sql = "SELECT * FROM replay WHERE project = ?1 AND (replays = ?2 OR run = ?2) ORDER BY entry";
        self.rows(sql, [project.as_str(), run.as_str()], |row| {
            Ok(Replay {
                run: get(row, "run")?,
                replays: get(row, "replays")?,
                verdict: get(row, "verdict")?,
                report: get(row, "report")?,
            })
        })
    }
}
