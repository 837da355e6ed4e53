//! Clocks of the jail's own: a time namespace that the program enters when it is executed.

use aseptic_model::Clock;
use rustix::io::Result;
use rustix::time::{ClockId, clock_gettime};

use crate::error::PrepareError;
use crate::setup::write_file;
use crate::{sys, tasks};

/// The first kernel with time namespaces.
const KERNEL_MIN: (u32, u32) = (5, 6);

/// What to write into `timens_offsets`, so that the clocks begin now.
///
/// Source: time_namespaces(7).
pub(crate) fn offsets(clock: Clock) -> core::result::Result<Option<Vec<u8>>, PrepareError> {
    if clock == Clock::Host {
        return Ok(None);
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    if tasks::kernel_version(&release) < KERNEL_MIN {
        return Err(PrepareError::Wall {
            wall: "time namespace",
            why: format!("this is Linux {release}, and it needs 5.6 or later"),
        });
    }
    let line = |name: &str, clock| format!("{name} {} 0\n", -clock_gettime(clock).tv_sec);
    Ok(Some([line("monotonic", ClockId::Monotonic), line("boottime", ClockId::Boottime)].concat().into()))
}

/// Makes the namespace for what this process executes. Async-signal-safe.
pub(crate) fn enter(offsets: &[u8]) -> Result<()> {
    sys::unshare(libc::CLONE_NEWTIME)?;
    write_file(rustix::fs::CWD, c"/proc/self/timens_offsets", offsets)
}
