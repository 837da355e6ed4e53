//! What of a run is kept beside its outputs.

use super::{Log, RunRecord};

impl RunRecord {
    /// Every stream of the run that is kept, and the file of what it used of the machine.
    pub fn kept_logs(&self) -> impl Iterator<Item = &Log> {
        self.logs.kept().chain(self.system.as_ref())
    }
}
