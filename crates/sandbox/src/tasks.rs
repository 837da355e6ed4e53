//! What bounds the number of processes and threads of a jail on this kernel.

use std::io;

use crate::error::PrepareError;

/// What the kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskLimit {
    /// `pid_max` of the jail's own pid namespace, exact to within [`RESERVED_PIDS`].
    ///
    /// Before Linux 6.14 the same file is the host's: a jail of root would have changed it there.
    /// Source: pid_namespaces(7), Linux commit 7863dcc72d0f ("pid: allow pid_max to be set per pid
    /// namespace").
    Namespace,
    /// `RLIMIT_NPROC`, which counts per user namespace since Linux 5.14, but never for root.
    ///
    /// Source: getrlimit(2), user_namespaces(7).
    Resource,
}

/// Numbers that Linux keeps back when process ids wrap around (`RESERVED_PIDS`).
pub(crate) const RESERVED_PIDS: u32 = 300;

/// What a limit needs where no control group can be had.
pub(crate) const NEEDED: &str =
    "this needs Linux 6.14, or 5.14 for a user who is not root, or a control group";

pub(crate) fn mechanism() -> Option<TaskLimit> {
    choose(
        kernel_version(&rustix::system::uname().release().to_string_lossy()),
        rustix::process::getuid().is_root(),
    )
}

pub(crate) fn not_enforced() -> PrepareError {
    PrepareError::Step {
        step: format!("limit the number of processes: {NEEDED}"),
        source: io::ErrorKind::Unsupported.into(),
    }
}

fn choose(version: (u32, u32), root: bool) -> Option<TaskLimit> {
    match version {
        (6, 14..) | (7.., _) => Some(TaskLimit::Namespace),
        (5, 14..) | (6, _) if !root => Some(TaskLimit::Resource),
        _ => None,
    }
}

/// Major and minor version of a release such as `6.18.44-generic`; zeros for one that is not understood.
pub(crate) fn kernel_version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    (next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(kernel_version("6.18.44-generic"), (6, 18));
        assert_eq!(kernel_version("6.9-rc1"), (6, 9));
        assert_eq!(kernel_version("something"), (0, 0));
    }

    #[test]
    fn a_kernel_with_one_pid_max_for_all_is_never_written_to() {
        assert_eq!(choose((6, 14), true), Some(TaskLimit::Namespace));
        assert_eq!(choose((6, 13), true), None);
        assert_eq!(choose((6, 13), false), Some(TaskLimit::Resource));
        assert_eq!(choose((5, 13), false), None);
        assert_eq!(choose((0, 0), false), None);
    }
}
