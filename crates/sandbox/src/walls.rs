//! The walls of a jail by name, for the record of a run: those that stand and those not built yet.

use aseptic_model::{Wall, WallState};

const STANDING: [(&str, &str); 13] = [
    ("user namespace", "the caller's own id and no other"),
    ("mount namespace", "a root of its own; system directories and inputs read-only"),
    ("process namespace", "the job is never process 1; nothing of it outlives the run"),
    ("network namespace", "loopback only, no route out"),
    ("ipc namespace", "own System V and POSIX IPC objects"),
    ("uts namespace", "own host name"),
    ("cgroup namespace", "own cgroup root"),
    ("inputs by overlay", "locks and file events reach no other run"),
    ("capabilities", "every set empty, bounding set included"),
    ("no new privileges", "set-user-id programs give nothing"),
    ("nested user namespaces", "forbidden"),
    (
        "system call filter",
        "what namespaces leave open: kernel keys, io_uring, BPF, the host's log, sockets of other families",
    ),
    ("procfs", "the host's settings read-only, its identifiers covered, the supervisor invisible"),
];

const NOT_BUILT: [(&str, &str); 3] = [
    (
        "system directories by overlay",
        "locks and file events on programs, libraries and devices of the host are seen by other runs",
    ),
    ("landlock", "this version has none: the mount namespace alone guards files"),
    ("denied files", "this version does not observe which paths a job was denied"),
];

/// Every wall that this version has or should have. Those that stand were all made by
/// [`crate::prepare`]: it fails otherwise.
#[must_use]
pub fn walls() -> Vec<Wall> {
    let wall = |state| {
        move |(name, detail): (&str, &str)| Wall { name: name.into(), state, detail: Some(detail.into()) }
    };
    let standing = STANDING.into_iter().map(wall(WallState::Done));
    standing.chain(NOT_BUILT.into_iter().map(wall(WallState::NotEnforced))).collect()
}
