//! The walls of a jail by name, for the record of a run: those that stand and those not built yet.

use aseptic_model::{Wall, WallState};

use crate::landlock::{Support, covers, support};

const STANDING: [(&str, &str); 14] = [
    ("user namespace", "one id and no other: the caller's, or an ordinary one for root"),
    ("mount namespace", "a root of its own; system directories and inputs read-only"),
    ("process namespace", "the job is never process 1; nothing of it outlives the run"),
    (NETWORK, "loopback only, no route out"),
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
    ("terminal", "one of the jail's own, or none; the caller's is not in it"),
];

const NETWORK: &str = "network namespace";

const NOT_BUILT: [(&str, &str); 1] = [(
    "system directories by overlay",
    "locks and file events on programs, libraries and devices of the host are seen by other runs",
)];

/// Every wall that this version has or should have, and whether it stands on this host. Those that stand
/// were all made by [`crate::prepare`]: it fails otherwise.
#[must_use]
pub fn walls() -> Vec<Wall> {
    let wall = |state| {
        move |(name, detail): (&str, &str)| Wall { name: name.into(), state, detail: Some(detail.into()) }
    };
    let landlock = match support() {
        Support::Abi(abi) => wall(WallState::Done)(("landlock", covers(abi).as_str())),
        Support::Missing(why) => wall(WallState::NotEnforced)(("landlock", why)),
    };
    let standing = STANDING.into_iter().map(wall(WallState::Done)).chain([landlock]);
    standing.chain(NOT_BUILT.into_iter().map(wall(WallState::NotEnforced))).collect()
}

/// The same for a jail with a network.
#[must_use]
pub fn walls_with_network() -> Vec<Wall> {
    let mut walls = walls();
    for wall in walls.iter_mut().filter(|wall| wall.name == NETWORK) {
        wall.detail = Some("one way out, to the gateway, for what is granted".to_owned());
    }
    walls
}

/// Walls that a jail needs and this host cannot make, with the reason: [`crate::prepare`] refuses a jail
/// that does not say it goes without them.
#[must_use]
pub fn missing_walls() -> Vec<(&'static str, &'static str)> {
    match support() {
        Support::Abi(_) => Vec::new(),
        Support::Missing(why) => vec![("landlock", why)],
    }
}
