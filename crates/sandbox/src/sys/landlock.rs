//! The three system calls of Landlock. Source: landlock(7) and `linux/landlock.h`.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::io::Result;

use super::check;

/// `struct landlock_ruleset_attr` as of ABI 6. An older kernel takes it as long as what it does not know
/// is zero.
#[repr(C)]
pub(crate) struct RulesetAttributes {
    pub(crate) handled_access_fs: u64,
    pub(crate) handled_access_net: u64,
    pub(crate) scoped: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: i32,
}

/// `struct landlock_net_port_attr`.
#[repr(C)]
struct NetPort {
    allowed_access: u64,
    port: u64,
}

const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;
const RULE_NET_PORT: u32 = 2;

/// The ABI of this kernel.
///
/// `ENOSYS`: built without Landlock. `EOPNOTSUPP`: not enabled when it booted.
pub(crate) fn version() -> Result<u32> {
    let none = ptr::null::<RulesetAttributes>();
    // SAFETY: asked for its version, the kernel reads no attributes.
    let version = check(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, CREATE_RULESET_VERSION)
    })?;
    Ok(u32::try_from(version).unwrap_or(0))
}

pub(crate) fn create_ruleset(attributes: &RulesetAttributes) -> Result<OwnedFd> {
    // SAFETY: the attributes outlive the call.
    let fd = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::from_ref(attributes),
            size_of::<RulesetAttributes>(),
            0_u32,
        )
    })?;
    // SAFETY: the kernel has just opened this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).unwrap_or(-1)) })
}

/// Allows `access` on what is at and below `parent`.
pub(crate) fn allow_beneath(ruleset: BorrowedFd<'_>, parent: BorrowedFd<'_>, access: u64) -> Result<()> {
    let rule = PathBeneath { allowed_access: access, parent_fd: parent.as_raw_fd() };
    // SAFETY: the rule outlives the call, and the descriptor in it is borrowed, so it is open.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            RULE_PATH_BENEATH,
            ptr::from_ref(&rule),
            0_u32,
        )
    })
    .map(drop)
}

/// Allows `access` on a TCP port.
pub(crate) fn allow_port(ruleset: BorrowedFd<'_>, port: u16, access: u64) -> Result<()> {
    let rule = NetPort { allowed_access: access, port: u64::from(port) };
    // SAFETY: the rule outlives the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            RULE_NET_PORT,
            ptr::from_ref(&rule),
            0_u32,
        )
    })
    .map(drop)
}

/// Puts this process and all that it starts under the rules, for good.
pub(crate) fn restrict_self(ruleset: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the descriptor is borrowed, so it stays open; the other argument is an integer.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) }).map(drop)
}
