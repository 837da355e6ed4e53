//! The system calls that a listener hears of, and where their targets stand.

use std::net::SocketAddr;

use libc::{c_long, sock_filter};

use crate::attempts::Action;
use crate::filter::{
    ARCHITECTURE, ARCHITECTURE_AT, ARGUMENTS, JUMP_IF_EQUAL, NUMBER, RETURN, distance, jump, load,
};

/// A system call, with the arguments in which its target stands.
pub(crate) struct Watched {
    pub(crate) call: c_long,
    pub(crate) kind: Kind,
    /// The argument that names the directory to which the path is relative, if not the working directory.
    pub(crate) directory: Option<usize>,
    /// The argument that points to the path or address.
    pub(crate) target: usize,
}

/// What a call does with its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Opens it as the flags in this argument say.
    Open(usize),
    /// Opens it as the structure says to which this argument points.
    OpenHow(usize),
    /// Makes and opens it.
    Create,
    /// Enters it.
    Enter,
    /// Changes what is there.
    Change,
    /// Gives a new thing this name.
    Make,
    /// Gives something that is there this name.
    Name,
    /// Takes the name away.
    Remove,
    Execute,
    /// Connects to the address, whose length is the argument after it.
    Connect,
    Bind,
}

/// What a call read from a process is about to do.
pub(crate) enum Call {
    Path(Intent),
    Address(SocketAddr),
}

/// What is about to happen with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    Read,
    /// Write to what is there.
    Change,
    /// Write to it, and make it if it is not there.
    Create,
    /// Make it; nothing happens if it is there.
    Make,
    /// Have it in its directory, whether or not it is there.
    Name,
    /// Remove it from its directory.
    Remove,
    Execute,
    /// Connect to the socket of this name.
    Connect,
    /// Only look at it.
    Nothing,
}

impl Intent {
    pub(crate) fn action(self) -> Action {
        match self {
            Self::Read | Self::Nothing => Action::Open,
            Self::Change | Self::Create | Self::Make | Self::Name | Self::Remove => Action::Write,
            Self::Execute => Action::Execute,
            Self::Connect => Action::Connect,
        }
    }
}

const fn at(call: c_long, kind: Kind, directory: usize, target: usize) -> Watched {
    Watched { call, kind, directory: Some(directory), target }
}

const fn here(call: c_long, kind: Kind, target: usize) -> Watched {
    Watched { call, kind, directory: None, target }
}

/// None of these is made by the jail's first process once it listens, which would wait for ever in its
/// set-up; see `init.rs`.
pub(crate) const WATCHED: &[Watched] = &[
    at(libc::SYS_openat, Kind::Open(2), 0, 1),
    at(libc::SYS_openat2, Kind::OpenHow(2), 0, 1),
    here(libc::SYS_execve, Kind::Execute, 0),
    at(libc::SYS_execveat, Kind::Execute, 0, 1),
    here(libc::SYS_connect, Kind::Connect, 1),
    here(libc::SYS_bind, Kind::Bind, 1),
    here(libc::SYS_chdir, Kind::Enter, 0),
    here(libc::SYS_truncate, Kind::Change, 0),
    at(libc::SYS_mkdirat, Kind::Make, 0, 1),
    at(libc::SYS_unlinkat, Kind::Remove, 0, 1),
    at(libc::SYS_renameat2, Kind::Name, 2, 3),
    at(libc::SYS_linkat, Kind::Name, 2, 3),
    at(libc::SYS_symlinkat, Kind::Name, 1, 2),
    at(libc::SYS_renameat, Kind::Name, 2, 3),
    #[cfg(target_arch = "x86_64")]
    here(libc::SYS_open, Kind::Open(1), 0),
    #[cfg(target_arch = "x86_64")]
    here(libc::SYS_creat, Kind::Create, 0),
    #[cfg(target_arch = "x86_64")]
    here(libc::SYS_mkdir, Kind::Make, 0),
    #[cfg(target_arch = "x86_64")]
    here(libc::SYS_rmdir, Kind::Remove, 0),
    #[cfg(target_arch = "x86_64")]
    here(libc::SYS_unlink, Kind::Remove, 0),
    #[cfg(target_arch = "x86_64")]
    here(libc::SYS_rename, Kind::Name, 1),
    #[cfg(target_arch = "x86_64")]
    here(libc::SYS_link, Kind::Name, 1),
    #[cfg(target_arch = "x86_64")]
    here(libc::SYS_symlink, Kind::Name, 1),
    SEND,
];

/// Heard of only with an address. Without one it is how everything on a connected socket is sent, also
/// what the jail's first process reports.
const SEND: Watched = here(libc::SYS_sendto, Kind::Connect, 4);

/// The filter that lets these calls wait for the listener and says nothing to others.
pub(crate) fn program() -> Vec<sock_filter> {
    let allow = sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
    let notify = sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_USER_NOTIF };
    let number = |call: c_long| u32::try_from(call).unwrap_or(u32::MAX);
    // Behind the tests stand five instructions about an address, then `allow`, then `notify`.
    let tests = WATCHED.iter().filter(|watched| watched.call != SEND.call).count();
    let mut program = vec![
        load(ARCHITECTURE_AT),
        jump(JUMP_IF_EQUAL, ARCHITECTURE, 1, 0),
        allow, // What a call of another machine means, the other filter knows.
        load(NUMBER),
    ];
    for (done, watched) in WATCHED.iter().filter(|watched| watched.call != SEND.call).enumerate() {
        program.push(jump(JUMP_IF_EQUAL, number(watched.call), distance(tests - 1 - done + 6), 0));
    }
    let address = ARGUMENTS + 8 * 4;
    program.extend([
        jump(JUMP_IF_EQUAL, number(SEND.call), 0, 4),
        load(address),
        jump(JUMP_IF_EQUAL, 0, 0, 3),
        load(address + 4),
        jump(JUMP_IF_EQUAL, 0, 0, 1),
        allow,
        notify,
    ]);
    program
}
