//! What the jail says to an attempt on a path, found out from outside.
//!
//! The path is resolved below the jail's root, so no link of the job leads out of it, and nothing is
//! opened: only looked at.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, StatVfsMountFlags};
use rustix::io::{Errno, Result};

use crate::attempts::Verdict;
use crate::sys::notify::may;
use crate::watched::Intent;

/// Where the kernel answers for whoever asks, so that the supervisor would hear about itself.
const PERSONAL: [&[u8]; 3] = [b"/proc/", b"/dev/fd/", b"/dev/std"];

/// What the jail with this root says to `intent` on the absolute path `raw`.
pub(crate) fn judge(root: &OwnedFd, raw: &[u8], intent: Intent) -> Verdict {
    if PERSONAL.iter().any(|personal| raw.starts_with(personal)) {
        return Verdict::Allowed;
    }
    match intent {
        // All of it is the system's and made for everyone, so it is enough that it is there: most of what
        // a program opens is here, and it waits.
        Intent::Read if raw.starts_with(b"/usr/") => verdict(look(root, raw, OFlags::empty()).map(drop)),
        Intent::Nothing => verdict(look(root, raw, OFlags::empty()).map(drop)),
        Intent::Read => verdict(check(root, raw, OFlags::empty(), libc::R_OK)),
        Intent::Connect => verdict(check(root, raw, OFlags::empty(), libc::W_OK)),
        Intent::Execute => verdict(check(root, raw, OFlags::empty(), libc::X_OK)),
        Intent::Change => verdict(check(root, raw, OFlags::empty(), libc::W_OK)),
        Intent::Create => match check(root, raw, OFlags::empty(), libc::W_OK) {
            Err(Errno::NOENT) => verdict(check_parent(root, raw)),
            result => verdict(result),
        },
        Intent::Make => match look(root, raw, OFlags::NOFOLLOW) {
            Ok(_) => Verdict::Allowed, // It says that this exists, read-only or not.
            Err(_) => verdict(check_parent(root, raw)),
        },
        Intent::Name => verdict(check_parent(root, raw)),
        Intent::Remove => match look(root, raw, OFlags::NOFOLLOW) {
            Ok(_) => verdict(check_parent(root, raw)),
            Err(_) => Verdict::Allowed, // What is not there needs no removing.
        },
    }
}

fn verdict(result: Result<()>) -> Verdict {
    match result {
        Err(Errno::NOENT | Errno::NOTDIR) => Verdict::Missing,
        Err(Errno::ROFS) => Verdict::ReadOnly,
        Err(Errno::ACCESS | Errno::PERM) => Verdict::Forbidden,
        Ok(()) | Err(_) => Verdict::Allowed,
    }
}

fn check_parent(root: &OwnedFd, raw: &[u8]) -> Result<()> {
    let name_at = raw.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let parent = raw.get(..name_at).and_then(|path| path.iter().rposition(|byte| *byte == b'/'));
    let parent = raw.get(..parent.unwrap_or(0)).filter(|path| !path.is_empty()).unwrap_or(b"/");
    check(root, parent, OFlags::DIRECTORY, libc::W_OK | libc::X_OK)
}

fn look(root: &OwnedFd, raw: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, raw, flags, Mode::empty(), resolve)
}

/// Whether the job may do what `wanted` says with what is at `raw`.
fn check(root: &OwnedFd, raw: &[u8], flags: OFlags, wanted: i32) -> Result<()> {
    let file = look(root, raw, flags)?;
    match permission(&file, wanted) {
        // Some calls say the one and some the other; that no mode could allow it is the better reason.
        Err(Errno::ACCESS) if wanted & libc::W_OK != 0 && is_read_only(&file) => Err(Errno::ROFS),
        result => result,
    }
}

fn permission(file: &OwnedFd, wanted: i32) -> Result<()> {
    may(file.as_fd(), wanted)?;
    // A supervisor of root may do everything; its job, of the same user without a privilege, may not.
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let status = rustix::fs::fstat(file)?;
    let shift = match (status.st_uid, status.st_gid) {
        (0, _) => 6,
        (_, 0) => 3,
        _ => 0,
    };
    let has = (status.st_mode >> shift) & wanted.cast_unsigned();
    if has == wanted.cast_unsigned() { Ok(()) } else { Err(Errno::ACCESS) }
}

fn is_read_only(file: &OwnedFd) -> bool {
    rustix::fs::fstatvfs(file).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY))
}
