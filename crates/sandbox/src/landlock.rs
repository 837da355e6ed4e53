//! The second wall around files, independent of the first: rules of Landlock for what the mounts show.
//!
//! The mount namespace decides what a job can name. Landlock decides what may be done with it, by the
//! kernel's own objects and not by path: a file that is reached in spite of the mounts, through a
//! descriptor or a bug, lies below none of the rules and cannot be opened.

use std::ffi::CString;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, Result};

use crate::assembly::place;
use crate::error::PrepareError;
use crate::jail::{Access, Jail, Landlock, Mount, Network, Ports};
use crate::network::NAME_SERVER_PORT;
use crate::sys::landlock::{self as calls, RulesetAttributes};

// Rights on files, `LANDLOCK_ACCESS_FS_*`.
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_BLOCK: u64 = 1 << 11;
const MAKE_SYM: u64 = 1 << 12;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;

/// What may be done where a job may write: all but making device nodes and controlling devices.
const CHANGE: u64 = EXECUTE
    | WRITE_FILE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_SYM
    | REFER
    | TRUNCATE;

/// Rights that a rule on something else than a directory may have.
const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

// Rights on TCP ports, `LANDLOCK_ACCESS_NET_*`.
const BIND_TCP: u64 = 1;
const CONNECT_TCP: u64 = 1 << 1;

/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET` and `LANDLOCK_SCOPE_SIGNAL`: nothing outside is reached.
const SCOPES: u64 = 1 | 1 << 1;

/// The first ABI that lets files be moved between directories; with the one before, programs break.
const ABI_MIN: u32 = 2;
const ABI_TRUNCATE: u32 = 3;
const ABI_PORTS: u32 = 4;
const ABI_DEVICES: u32 = 5;
const ABI_SCOPES: u32 = 6;

/// What this kernel has of Landlock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// The rules of this ABI can be enforced.
    Abi(u32),
    /// None, and why.
    Missing(&'static str),
}

pub(crate) fn support() -> Support {
    classify(calls::version())
}

fn classify(version: Result<u32>) -> Support {
    match version {
        Ok(abi) if abi >= ABI_MIN => Support::Abi(abi),
        Ok(_) => Support::Missing("this kernel's Landlock forbids moving files between directories"),
        Err(Errno::OPNOTSUPP) => Support::Missing("this kernel was started without Landlock"),
        Err(_) => Support::Missing("this kernel has no Landlock"),
    }
}

/// What the rules of `abi` cover, for people.
pub(crate) fn covers(abi: u32) -> String {
    let parts = [
        (ABI_MIN, "files"),
        (ABI_DEVICES, "control of devices"),
        (ABI_SCOPES, "abstract sockets"),
        (ABI_SCOPES, "signals"),
    ];
    let names = |covered: bool| -> Vec<_> {
        parts.iter().filter(|(since, _)| (abi >= *since) == covered).map(|(_, name)| *name).collect()
    };
    let missing = names(false);
    let rest = match missing.as_slice() {
        [] => String::new(),
        missing => format!("; not {}, for which this kernel is too old", missing.join(", ")),
    };
    format!("ABI {abi}: {}{rest}", names(true).join(", "))
}

/// The rules of one jail, ready to be made by its first process.
pub(crate) struct Rules {
    attributes: RulesetAttributes,
    beneath: Vec<(CString, u64)>,
    ports: Vec<(u16, u64)>,
}

/// The rules for `jail` on this kernel; none where it has no Landlock and the jail goes without.
pub(crate) fn rules(jail: &Jail) -> core::result::Result<Option<Rules>, PrepareError> {
    let missing = |wall: &'static str, why: &str| PrepareError::Wall { wall, why: why.to_owned() };
    let abi = match support() {
        Support::Abi(abi) => abi,
        Support::Missing(why) if jail.tcp_ports.is_some() => return Err(missing("tcp ports", why)),
        Support::Missing(why) => {
            return match jail.landlock {
                Landlock::Required => Err(missing("landlock", why)),
                Landlock::WhereAvailable => Ok(None),
            };
        }
    };
    if jail.tcp_ports.is_some() && abi < ABI_PORTS {
        return Err(missing("tcp ports", "this needs Linux 6.7 or later"));
    }
    let known = known_rights(abi);
    let mut beneath = vec![(c"/".to_owned(), READ_FILE | READ_DIR)];
    for mount in &jail.mounts {
        let rights = rights(mount) & known;
        if rights != 0 {
            let path = [b"/", place(mount.target())?.as_bytes()].concat();
            beneath.push((CString::new(path).unwrap_or_default(), rights));
        }
    }
    let (handled_access_net, ports) = port_rights(jail);
    let attributes = RulesetAttributes {
        handled_access_fs: known,
        handled_access_net,
        scoped: if abi >= ABI_SCOPES { SCOPES } else { 0 },
    };
    Ok(Some(Rules { attributes, beneath, ports }))
}

fn known_rights(abi: u32) -> u64 {
    let all = CHANGE | READ_FILE | READ_DIR | MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV;
    let too_new = [(ABI_TRUNCATE, TRUNCATE), (ABI_DEVICES, IOCTL_DEV)];
    too_new.into_iter().filter(|(since, _)| abi < *since).fold(all, |rights, (_, right)| rights & !right)
}

/// Rules for a process that reads what is at and below `readable`, as far as it is there, opens nothing else
/// and takes no TCP port. Or why this kernel has none.
pub(crate) fn reading(readable: &[PathBuf]) -> core::result::Result<(Rules, String), &'static str> {
    let abi = match support() {
        Support::Abi(abi) => abi,
        Support::Missing(why) => return Err(why),
    };
    let beneath = readable.iter().filter_map(|path| {
        let access = if path.metadata().ok()?.is_dir() { READ_FILE | READ_DIR } else { READ_FILE };
        Some((CString::new(path.as_os_str().as_bytes()).ok()?, access))
    });
    let attributes = RulesetAttributes {
        handled_access_fs: known_rights(abi),
        handled_access_net: if abi >= ABI_PORTS { BIND_TCP } else { 0 },
        scoped: if abi >= ABI_SCOPES { SCOPES } else { 0 },
    };
    Ok((Rules { attributes, beneath: beneath.collect(), ports: Vec::new() }, covers(abi)))
}

/// What the rules cover of ports, and what may be done with each.
fn port_rights(jail: &Jail) -> (u64, Vec<(u16, u64)>) {
    let Some(listed) = &jail.tcp_ports else { return (0, Vec::new()) };
    let listed = |access| listed.iter().map(move |port| (*port, access));
    match &jail.network {
        None => (BIND_TCP | CONNECT_TCP, listed(BIND_TCP | CONNECT_TCP).collect()),
        // No rule can be about all ports.
        Some(Network { ports: Ports::Every, .. }) => (BIND_TCP, listed(BIND_TCP).collect()),
        Some(Network { ports: Ports::These(ports), literals }) => {
            let granted = ports.iter().copied().chain(literals.iter().map(SocketAddr::port));
            let granted = granted.chain([NAME_SERVER_PORT]).map(|port| (port, CONNECT_TCP));
            (BIND_TCP | CONNECT_TCP, listed(BIND_TCP | CONNECT_TCP).chain(granted).collect())
        }
    }
}

/// What may be done with a mount beyond reading it.
fn rights(mount: &Mount) -> u64 {
    let of = |access: Access| match access {
        Access::Read => 0,
        Access::Execute => EXECUTE,
        Access::Write => CHANGE,
    };
    match mount {
        Mount::Directory { .. } | Mount::Link { .. } | Mount::File { .. } => 0,
        Mount::Bind { source, access, .. } if !source.is_dir() => of(*access) & OF_FILES,
        Mount::Bind { access, .. } | Mount::Overlay { access, .. } => of(*access),
        Mount::Memory { .. } => CHANGE,
        Mount::Devices { .. } | Mount::Device { .. } => WRITE_FILE | IOCTL_DEV,
        Mount::Processes { .. } => WRITE_FILE | TRUNCATE, // Such as the name of a thread.
    }
}

impl Rules {
    /// Makes the rules and puts this process under them. Async-signal-safe.
    pub(crate) fn enforce(&self) -> Result<()> {
        let ruleset = calls::create_ruleset(&self.attributes)?;
        for (path, access) in &self.beneath {
            let place =
                rustix::fs::openat(CWD, path.as_c_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            calls::allow_beneath(ruleset.as_fd(), place.as_fd(), *access)?;
        }
        for (port, access) in &self.ports {
            calls::allow_port(ruleset.as_fd(), *port, *access)?;
        }
        calls::restrict_self(ruleset.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_asked_only_for_what_it_knows() {
        assert_eq!(known_rights(2), (1 << 14) - 1);
        assert_eq!(known_rights(3), (1 << 15) - 1);
        assert_eq!(known_rights(4), (1 << 15) - 1);
        assert_eq!(known_rights(7), (1 << 16) - 1);
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(classify(Ok(7)), Support::Abi(7));
        for missing in [Ok(1), Err(Errno::OPNOTSUPP), Err(Errno::NOSYS)] {
            assert!(matches!(classify(missing), Support::Missing(_)));
        }
        assert_eq!(covers(7), "ABI 7: files, control of devices, abstract sockets, signals");
        assert!(covers(2).starts_with("ABI 2: files; not control of devices"));
    }

    #[test]
    fn only_where_a_job_may_write_may_it_change_anything() {
        let bind = |access| Mount::Bind { source: "/usr".into(), target: "/usr".into(), access };
        assert_eq!(rights(&bind(Access::Read)), 0);
        assert_eq!(rights(&bind(Access::Execute)), EXECUTE);
        assert_eq!(rights(&bind(Access::Write)) & (MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV), 0);
        let file = Mount::Bind { source: "/dev/null".into(), target: "/x".into(), access: Access::Write };
        assert_eq!(rights(&file) & !OF_FILES, 0);
    }
}
