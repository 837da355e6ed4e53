//! What a record says of limits and of what was used.

use aseptic_model::{ByteSize, Observed, Plan, Usage, Wall, WallState, describe_ms};
use aseptic_sandbox::{Enforcement, Strength, enforceable, walls, walls_with_network};

use crate::provision::file_bytes;

/// What was used, in the words of a record.
pub(crate) fn usage(used: aseptic_sandbox::Usage) -> Usage {
    let whole = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Usage {
        cpu_user_ms: whole(used.user),
        cpu_system_ms: whole(used.system),
        memory_peak_bytes: used.memory_peak,
        read_bytes: used.read_bytes,
        written_bytes: used.written_bytes,
        source: used.source,
    }
}

/// The walls of the jail, and each limit with whether it is enforced, how well and by what. `enforced` is what
/// the jail had; a run whose supervisor died has what this host offers.
pub(crate) fn walls_of(
    plan: &Plan,
    enforced: Option<Vec<Enforcement>>,
    observed: Option<Observed>,
    has_network: bool,
) -> Vec<Wall> {
    let limits = &plan.limits;
    let enforced = enforced.unwrap_or_else(enforceable);
    let in_jail = |key: &str| enforced.iter().find(|enforcement| enforcement.limit == key).map(of_jail);
    let watched = || (WallState::Done, "soft: a watcher counts what is on disk".to_owned());
    let by_gateway = || (WallState::Done, "hard: the gateway".to_owned());
    let size = |bytes: u64| ByteSize(bytes).to_string();
    let all = [
        ("wall", limits.wall_ms.map(describe_ms), Some((WallState::Done, "hard: the supervisor".to_owned()))),
        ("processes", Some(limits.processes.to_string()), in_jail("processes")),
        ("memory", limits.memory_bytes.map(size), in_jail("memory")),
        ("cpus", limits.cpus.map(|cpus| cpus.to_string()), in_jail("cpus")),
        ("files", limits.files.map(|files| files.to_string()), in_jail("files")),
        ("scratch", limits.scratch_bytes.map(size), Some(watched())),
        ("scratch-files", limits.scratch_files.map(|files| files.to_string()), Some(watched())),
        ("outputs", limits.outputs_bytes.map(size), Some((WallState::Done, OUTPUTS.to_owned()))),
        ("connections", limits.connections.map(|count| count.to_string()), Some(by_gateway())),
        ("traffic", limits.traffic_bytes.map(size), Some(by_gateway())),
        (
            "bandwidth",
            limits.bandwidth_bytes.map(|bytes| format!("{}/s", ByteSize(bytes))),
            Some(by_gateway()),
        ),
        ("size of a file", file_bytes(limits).map(size), in_jail("file-bytes")),
    ];
    let walls_of_limits = all.into_iter().map(|(key, value, how)| {
        let (state, detail) = match (value, how) {
            (None, _) => (WallState::NotEnforced, Wall::UNASKED.to_owned()),
            (Some(value), Some((state, detail))) => (state, format!("{value}, {detail}")),
            (Some(value), None) => {
                (WallState::NotEnforced, format!("{value}, and this host cannot enforce it"))
            }
        };
        Wall { name: format!("limit: {key}"), state, detail: Some(detail) }
    });
    let walls = if has_network { walls_with_network() } else { walls() };
    walls.into_iter().chain(asked_for(plan)).chain([attempts(observed)]).chain(walls_of_limits).collect()
}

fn attempts(observed: Option<Observed>) -> Wall {
    let (state, detail) = match observed {
        Some(_) => (WallState::Done, "looked at while they wait: a report, not a wall"),
        None => (
            WallState::NotEnforced,
            "files and programs are not observed: `aseptic run --explain` looks at them",
        ),
    };
    Wall { name: Wall::ATTEMPTS.to_owned(), state, detail: Some(detail.to_owned()) }
}

/// What stands in a jail because its plan asks for it.
fn asked_for(plan: &Plan) -> Vec<Wall> {
    let wall = |name: &str, detail: String| Wall {
        name: name.to_owned(),
        state: WallState::Done,
        detail: Some(detail),
    };
    let gpus = plan
        .gpus
        .as_ref()
        .map(|gpus| wall("gpus", format!("{gpus} of the host's; its driver is part of what is trusted")));
    let ports = plan
        .ports
        .as_ref()
        .map(|ports| wall("tcp ports", format!("{} of its own loopback, by Landlock", ports.len())));
    let clock =
        (!plan.clock.is_host()).then(|| wall("time namespace", "clocks that begin with the run".to_owned()));
    [gpus, ports, clock].into_iter().flatten().collect()
}

const OUTPUTS: &str = "hard for what is kept; soft for what is on disk: a watcher counts it";

fn of_jail(enforcement: &Enforcement) -> (WallState, String) {
    let Enforcement { strength, by, because, .. } = enforcement;
    let because = because.as_ref().map(|because| format!(" ({because})")).unwrap_or_default();
    match strength {
        Strength::Hard => (WallState::Done, format!("hard: {by}{because}")),
        Strength::Soft => (WallState::Done, format!("soft: {by}{because}")),
        Strength::None => (WallState::NotEnforced, format!("not enforced: {by}{because}")),
    }
}
