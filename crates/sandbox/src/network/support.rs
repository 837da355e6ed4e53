//! Whether this host can give a jail a network.

use std::fs::File;
use std::os::fd::OwnedFd;

use crate::error::PrepareError;
use crate::jail::{Jail, Landlock, Network};
use crate::run::{Streams, prepare};

/// What this host's kernel has for the network of a jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkSupport {
    /// Whether jails have IPv6.
    pub version6: bool,
    /// Whether refused packets are reported.
    pub reports: bool,
}

/// Tries whether a jail can have a network, by making the smallest one.
///
/// Blocks for some milliseconds. Must be called from a thread that goes on until then.
///
/// # Errors
/// Why it cannot: [`PrepareError::Step`] where the kernel lacks something for the network, or as for any jail.
pub fn network_support() -> Result<NetworkSupport, PrepareError> {
    let null = || {
        let null = File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
        null.map_err(|source| PrepareError::Source { what: "`/dev/null`".to_owned(), source })
    };
    let streams = Streams { stdin: null()?, stdout: null()?, stderr: null()? };
    let jail = Jail {
        staging: std::env::temp_dir(),
        hostname: "aseptic".to_owned(),
        program: "/".into(),
        working_directory: "/".into(),
        landlock: Landlock::WhereAvailable,
        network: Some(Network::default()),
        ..Jail::default()
    };
    let ends = prepare(&jail, streams, &[])?.take_network().ok_or(PrepareError::Vanished)?;
    Ok(NetworkSupport { version6: ends.connections_6.is_some(), reports: ends.refused.is_some() })
}
