//! Whether this machine can give a run a network, remembered until it is started again.

use std::fs;
use std::path::PathBuf;

use crate::home::Home;

/// Names this start of the machine in the state directory, if a network could be made since.
const FILE: &str = "network";

/// Why a run cannot have a network here, if so. Trying takes as long as starting a program, so a success is
/// remembered; a failure is not, since somebody may do something about it.
pub(crate) fn support(home: &Home) -> Result<(), String> {
    let (path, boot) = (home.dir().join(FILE), boot());
    if boot.is_some() && fs::read_to_string(&path).ok() == boot {
        return Ok(());
    }
    aseptic_sandbox::network_support().map_err(|error| error.to_string())?;
    if let Some(boot) = boot {
        let _ = fs::write(path, boot); // Else it is tried again the next time.
    }
    Ok(())
}

/// Forgets that a network could be made: a jail could not.
pub(crate) fn forget(home: &Home) {
    let _ = fs::remove_file(home.dir().join(FILE));
}

/// Different with each start of the machine and each kernel.
fn boot() -> Option<String> {
    let read = |name: &str| fs::read_to_string(PathBuf::from("/proc/sys/kernel").join(name)).ok();
    Some(read("random/boot_id")? + &read("osrelease")?)
}
