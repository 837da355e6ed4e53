//! Quarantine: what must not be used any more, nor what came of it.
//!
//! A few objects are named in the ledger; what they reach is found out at each question, from the lineage that there
//! is then. So a run that ends later is reached as well, and lifting restores exactly what was before.
//!
//! **Invariant:** a plan is decided, and what it decides is written, while no file is being put in quarantine; so a
//! run has its place in the list of the file, or the decision knows of it.

mod add;
mod places;
mod reach;

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

pub use add::{
    Added, Handled, Preview, PreviewedRun, QuarantineError, Running, add, lift, list, preview, show,
};
pub(crate) use add::{current_reach, named, record_and_handle, union};
pub use aseptic_policy::InQuarantine;
pub use reach::Marks;
pub(crate) use reach::{of_plan, since_decided};

use crate::home::{Home, HomeError, io_error};

/// How long a plan may take to be decided.
const DECIDED_WITHIN: Duration = Duration::from_secs(30);

/// Nobody puts something in quarantine, or policies in force, as long as this lives; others may decide plans.
pub(crate) fn hold_still(home: &Home) -> Result<File, HomeError> {
    let (file, path) = open(home)?;
    loop {
        match rustix::fs::flock(&file, FlockOperation::LockShared) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(|()| file).map_err(|error| io_error("lock", &path, error.into())),
        }
    }
}

/// Nobody decides a plan as long as this lives.
pub(crate) fn alone(home: &Home) -> Result<File, QuarantineError> {
    let (file, path) = open(home)?;
    let began = Instant::now();
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            // One that is stopped in the middle of it would be waited for without end.
            Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < DECIDED_WITHIN => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(QuarantineError::Busy),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io_error("lock", &path, error.into()).into()),
        }
    }
}

fn open(home: &Home) -> Result<(File, PathBuf), HomeError> {
    let path = home.dir().join("quarantine.lock");
    let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    Ok((file.map_err(|source| io_error("open", &path, source))?, path))
}
