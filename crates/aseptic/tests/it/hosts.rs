//! Hosts that have less than this one: what is refused there, and what a user is told.

use std::ffi::OsString;
use std::process::{Command, Output};

use serde_json::Value;

use crate::world::World;

/// Makes system calls fail for what it executes: `ERRNO NUMBER…`, then `--` and the command.
const WITHOUT_CALLS: &str = r"
import ctypes, os, struct, sys
at = sys.argv.index('--')
error, numbers = int(sys.argv[1]), [int(number) for number in sys.argv[2:at]]
step = lambda code, jt, jf, k: struct.pack('HBBI', code, jt, jf, k)
program = step(0x20, 0, 0, 0)
for number in numbers:
    program += step(0x15, 0, 1, number) + step(6, 0, 0, 0x50000 | error)
program += step(6, 0, 0, 0x7fff0000)
program = ctypes.create_string_buffer(program)
libc = ctypes.CDLL(None)
filter = ctypes.create_string_buffer(struct.pack('HL', len(program) // 8, ctypes.addressof(program)))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filter, 0, 0) == 0
os.execvp(sys.argv[at + 1], sys.argv[at + 1:])
";

/// Makes netlink sockets for the packet filter fail for what it executes, as in a kernel without one.
const WITHOUT_NETFILTER: &str = r"
import ctypes, os, platform, struct, sys
number = 41 if platform.machine() == 'x86_64' else 198
step = lambda code, jt, jf, k: struct.pack('HBBI', code, jt, jf, k)
program = step(0x20, 0, 0, 0) + step(0x15, 0, 5, number) + step(0x20, 0, 0, 16) + step(0x15, 0, 3, 16)
program += step(0x20, 0, 0, 32) + step(0x15, 0, 1, 12) + step(6, 0, 0, 0x50000 | 93) + step(6, 0, 0, 0x7fff0000)
program = ctypes.create_string_buffer(program)
libc = ctypes.CDLL(None)
filter = ctypes.create_string_buffer(struct.pack('HL', len(program) // 8, ctypes.addressof(program)))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filter, 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])
";

/// A host that has less than this one.
#[derive(Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Host {
    WithoutLandlock,
    WithoutPacketFilter,
}

impl Host {
    /// What `world` prints on it.
    pub(crate) fn output(self, world: &World, arguments: &[&str]) -> Output {
        match self {
            Self::WithoutLandlock => {
                without_calls(world, libc_errno::ENOSYS, LANDLOCK_CREATE_RULESET, arguments)
            }
            Self::WithoutPacketFilter => {
                under(world, &["/usr/bin/python3", "-S", "-c", WITHOUT_NETFILTER], arguments)
            }
        }
    }
}

const CLONE3: &str = "435";
const LANDLOCK_CREATE_RULESET: &str = "444";

/// The command of `world`, started by `prefix`.
fn under(world: &World, prefix: &[&str], arguments: &[&str]) -> Output {
    let plain = world.command(arguments);
    let mut command = Command::new(prefix[0]);
    command.args(&prefix[1..]).arg(plain.get_program()).args(plain.get_args()).env_clear();
    command.current_dir(plain.get_current_dir().unwrap());
    let variables: Vec<(OsString, OsString)> =
        plain.get_envs().filter_map(|(name, value)| Some((name.into(), value?.into()))).collect();
    command.envs(variables).output().unwrap()
}

fn without_calls(world: &World, error: i32, call: &str, arguments: &[&str]) -> Output {
    let error = error.to_string();
    under(world, &["/usr/bin/python3", "-S", "-c", WITHOUT_CALLS, &error, call, "--"], arguments)
}

/// Each finding that does not work although a run needs it, with its fix.
fn blocked(output: &Output) -> Vec<(String, String)> {
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["works"] == false && finding["needed"] == true)
        .map(|finding| {
            (text(&finding["mechanism"]), format!("{}; {}", text(&finding["detail"]), text(&finding["fix"])))
        })
        .collect()
}

#[track_caller]
fn assert_blocked(output: &Output, mechanism: &str, words: &str) {
    let blocked = blocked(output);
    let found = blocked.iter().find(|(name, _)| name == mechanism);
    assert!(found.is_some_and(|(_, text)| text.contains(words)), "{mechanism}: {blocked:#?}");
}

#[track_caller]
fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    for words in words {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(output.stdout.is_empty(), "the job ran");
}

#[test]
fn without_landlock_a_run_is_denied_unless_the_plan_accepts_it() {
    let world = World::new();
    let run = |arguments: &[&str]| {
        let arguments = [&["run"], arguments, &["--", "echo", "ran"]].concat();
        without_calls(&world, libc_errno::ENOSYS, LANDLOCK_CREATE_RULESET, &arguments)
    };
    assert_refused(
        &run(&[]),
        126,
        &["wall/not-enforced", "walls.landlock", "no Landlock", "`landlock` to `accept`"],
    );
    let accepted = run(&["--accept", "landlock"]);
    assert_eq!(String::from_utf8_lossy(&accepted.stdout), "ran\n", "{accepted:?}");
    let record =
        without_calls(&world, libc_errno::ENOSYS, LANDLOCK_CREATE_RULESET, &["show", "latest", "--json"]);
    let record: Value = serde_json::from_slice(&record.stdout).unwrap();
    let wall = record["walls"].as_array().unwrap().iter().find(|wall| wall["name"] == "landlock").unwrap();
    assert_eq!(wall["state"], "not-enforced");
    let doctor = without_calls(&world, libc_errno::ENOSYS, LANDLOCK_CREATE_RULESET, &["doctor", "--json"]);
    assert_blocked(&doctor, "landlock", "accept");
}

#[test]
fn with_landlock_the_record_says_so() {
    let world = World::new();
    let (code, run) = world.run_json(&["--accept", "landlock", "--", "true"]);
    let wall = run["walls"].as_array().unwrap().iter().find(|wall| wall["name"] == "landlock").unwrap();
    assert_eq!((code, &wall["state"]), (0, &"done".into()));
}

/// Where the call fails otherwise than by being absent, the C library has no threads either.
#[test]
fn a_container_that_forbids_namespaces_is_named() {
    let world = World::new();
    for error in [libc_errno::ENOSYS, libc_errno::EPERM] {
        let run = without_calls(&world, error, CLONE3, &["run", "--no-code", "--", "echo", "ran"]);
        assert_refused(&run, 125, &["sandbox/namespaces", "aseptic doctor"]);
        let doctor = without_calls(&world, error, CLONE3, &["doctor", "--json"]);
        assert_blocked(&doctor, "user namespaces", "seccomp=unconfined");
    }
}

#[test]
fn switched_off_user_namespaces_are_named() {
    let world = World::new();
    let off = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let prefix = ["unshare", "-Ur", "/bin/sh", "-c", off, "sh"];
    let run = under(&world, &prefix, &["run", "--", "echo", "ran"]);
    assert_refused(&run, 125, &["could not create the namespaces", "sandbox/namespaces", "aseptic doctor"]);
    let doctor = under(&world, &prefix, &["doctor", "--json"]);
    assert_blocked(&doctor, "user namespaces", "`user.max_user_namespaces` is 0; set it with `sysctl");
    // What was recorded of the refused run says that nothing started.
    let record = world.json(&["show", "latest", "--json"]);
    assert_eq!((&record["status"], &record["outputs"]), (&"aborted".into(), &serde_json::json!([])));
}

#[test]
fn a_covered_procfs_is_named() {
    let world = World::new();
    let cover = "mount --bind /dev/null /proc/meminfo && exec \"$@\"";
    let prefix = ["unshare", "-Urmpf", "--mount-proc", "/bin/sh", "-c", cover, "sh"];
    let doctor = under(&world, &prefix, &["doctor", "--json"]);
    assert_blocked(&doctor, "procfs", "systempaths=unconfined");
    assert_refused(&under(&world, &prefix, &["run", "--", "echo", "ran"]), 125, &["sandbox/step", "procfs"]);
}

#[test]
fn a_missing_device_node_is_named() {
    let world = World::new();
    let bare = "mount -t tmpfs none /mnt && for node in null zero full random urandom; do
        touch /mnt/$node; mount --bind /dev/$node /mnt/$node; done && mount --rbind /mnt /dev && exec \"$@\"";
    let prefix = ["unshare", "-Urm", "/bin/sh", "-c", bare, "sh"];
    assert_blocked(&under(&world, &prefix, &["doctor", "--json"]), "devices", "/dev/tty");
}

#[test]
fn without_a_packet_filter_a_run_has_no_network_and_a_grant_is_denied() {
    let world = World::new();
    let without = |arguments: &[&str]| Host::WithoutPacketFilter.output(&world, arguments);
    let denied = without(&["run", "--network", "example.org:443", "--", "echo", "ran"]);
    assert_refused(&denied, 126, &["network/unavailable", "rules of the jail's network", "aseptic doctor"]);
    let plain = without(&["run", "--json", "--", "true"]);
    let record: Value = serde_json::from_slice(&plain.stdout).unwrap();
    assert_eq!((&record["status"], &record["egress"]), (&"succeeded".into(), &Value::Null));
    let doctor = without(&["doctor", "--json"]);
    let report: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let mut findings = report["findings"].as_array().unwrap().iter();
    let finding = findings.find(|finding| finding["mechanism"] == "granted network").unwrap();
    assert_eq!((&finding["works"], &finding["needed"]), (&false.into(), &false.into()));
}

#[test]
fn a_gpu_that_is_not_there_is_denied() {
    let world = World::new();
    let output = world.output(&["run", "--gpu", "4321", "--", "echo", "ran"]);
    assert_refused(&output, 126, &["gpu/unavailable", "this machine has no"]);
    let output = world.output(&["run", "--gpu", "first", "--", "echo", "ran"]);
    assert_refused(&output, 125, &["names no GPUs"]);
}

/// The same on every Linux.
mod libc_errno {
    pub(super) const EPERM: i32 = 1;
    pub(super) const ENOSYS: i32 = 38;
}
