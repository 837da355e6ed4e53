//! What a plan is made of, where it runs, and who wants it.

use aseptic_policy::Role;

use super::{Row, allowed, denied};
use crate::world::trains;

pub(super) fn not_trusted() -> Vec<Row> {
    vec![
        denied(
            "uses a version in quarantine",
            trains().quarantined("data.train", "dataset:digits-train@3", &[]),
            &[
                "data.train (input/quarantined): name another version; `aseptic quarantine show dataset:digits-train@3 --project digits` says who put it there and why",
            ],
        ),
        denied(
            "uses what came of one, two runs away",
            trains().quarantined("data.train", "dataset:raw@1", &[1, 2]),
            &[
                "data.train (input/quarantined): name another version; `aseptic quarantine show dataset:raw@1 --project digits` says who put it there and why",
            ],
        ),
        denied(
            "has code that came of one",
            trains().quarantined("code", "dataset:raw@1", &[1]),
            &[
                "code (input/quarantined): change the code; `aseptic quarantine show dataset:raw@1 --project digits` says who put it there and why",
            ],
        ),
        denied(
            "has a package in quarantine",
            trains().quarantined("environment.numpy", "package:numpy@2.0.0", &[]),
            &[
                "environment.numpy (input/quarantined): use an environment without it; `aseptic quarantine show package:numpy@2.0.0 --project digits` says who put it there and why",
            ],
        ),
        denied(
            "runs on a host in quarantine",
            trains().quarantined("host", "host:node7", &[]),
            &[
                "host (input/quarantined): use another host; `aseptic quarantine show host:node7 --project digits` says who put it there and why",
            ],
        ),
        denied(
            "is decided by policies in quarantine",
            trains().quarantined("policy", "dataset:raw@1", &[]),
            &[
                "policy (input/quarantined): use other policies; `aseptic quarantine show dataset:raw@1 --project digits` says who put it there and why",
            ],
        ),
        denied(
            "names a version that is gone from the store",
            trains().without_objects(),
            &[
                "data.train (input/missing): import `digits-train` again, or name a version that the store has",
            ],
        ),
    ]
}

pub(super) fn pinned() -> Vec<Row> {
    let code = || trains().unpinned("code", "2 files are not as in commit 51ef4ee");
    let environment = || trains().unpinned("environment", "3 packages have no exact version");
    vec![
        allowed(
            "has code that no commit has",
            code(),
            &["the code is not pinned: 2 files are not as in commit 51ef4ee"],
        ),
        denied(
            "has code that no commit has, in strict mode",
            code().strict(),
            &["code (pinned/code): commit it, so that a commit has exactly this code, and plan again"],
        ),
        allowed(
            "has an environment without exact versions",
            environment(),
            &["`/home/ada/digits/.venv` is not pinned: 3 packages have no exact version"],
        ),
        denied(
            "has an environment without exact versions, in strict mode",
            environment().strict(),
            &[
                "environment (pinned/environment): install it from a lock file that names exact versions and digests",
            ],
        ),
    ]
}

pub(super) fn not_enforced() -> Vec<Row> {
    let old = || trains().without_landlock();
    vec![
        denied(
            "runs where a wall cannot be made",
            old(),
            &[
                "walls.landlock (wall/not-enforced): use another host, or add `landlock` to `accept` to run without it",
            ],
        ),
        allowed("accepts that", old().accepts("landlock"), &["this run goes without the wall `landlock`"]),
        denied(
            "accepts that with personal data",
            old().accepts("landlock").labelled("pii"),
            &["walls.landlock (wall/sensitive): use a host that has the wall, or data without that label"],
        ),
        denied(
            "has a limit that nothing enforces here",
            trains().without_limit("cpus"),
            &["limits.cpus (limit/not-enforced): remove it, or add `cpus` to `accept` to run without it"],
        ),
        allowed(
            "accepts that, too",
            trains().without_limit("cpus").accepts("cpus"),
            &["this run goes without the limit `cpus`"],
        ),
        denied(
            "accepts what nobody knows",
            trains().accepts("memroy"),
            &[
                "accept.memroy (accept/unknown): remove it, or name one of `cpus`, `landlock`, `memory`, `scratch`",
            ],
        ),
        denied(
            "wants a GPU that is not there",
            trains().gpus("7").without_gpu(),
            &[
                "gpus (gpu/unavailable): remove `gpus`, name one that is there, or ask who administers this machine for access",
            ],
        ),
    ]
}

pub(super) fn people() -> Vec<Row> {
    vec![
        denied(
            "has a format of a later version",
            trains().of_format("aseptic.plan/9"),
            &["run (plan/format): make the plan again with this version, or use the version that made it"],
        ),
        denied(
            "is wanted by somebody who may only look",
            trains().wanted_by(Role::Viewer),
            &[
                "run (policy/default-deny)",
                "code (policy/default-deny)",
                "data.train (policy/default-deny)",
                "environment (policy/default-deny)",
                "outputs (policy/default-deny)",
            ],
        ),
        allowed("is wanted by the owner of the state", trains().wanted_by(Role::Owner), &[]),
    ]
}
