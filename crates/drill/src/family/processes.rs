//! Data of other processes, through procfs and the calls for debuggers.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal};

use super::{ANSWER_WITHIN, after, first, secret, tail};
use crate::attempt::{Attempt, Family};
use crate::scene::{SECRET, below_root};
use crate::sys::process;
use crate::{Said, Scene};

pub(super) const FAMILY: Family = Family {
    name: "processes",
    about: "data of other processes, and the processes themselves",
    attempts: &[
        Attempt::new("environment-of-others", PROCFS, "read /proc/PID/environ", |scene| {
            first(scene.processes(), |pid| {
                found(&fs::read(format!("/proc/{pid}/environ"))?, &format!("{SECRET}="))
            })
        })
        .canary(),
        Attempt::new("command-lines-of-others", PROCESS, "read /proc/PID/cmdline", |scene| {
            first(scene.processes(), |pid| found(&fs::read(format!("/proc/{pid}/cmdline"))?, "mark="))
        })
        .canary(),
        Attempt::new("memory-file-of-others", PROCESS, "read /proc/PID/mem", |scene| {
            pairs(scene, |pid, address, _| {
                let mut bytes = [0; 16];
                File::open(format!("/proc/{pid}/mem"))?.read_exact_at(&mut bytes, address)?;
                canary(&bytes)
            })
        })
        .canary(),
        Attempt::new("memory-of-others", PROCESS, "copy memory by process_vm_readv", |scene| {
            pairs(scene, |pid, address, _| {
                let mut bytes = [0; 16];
                process::read_memory(pid, address, &mut bytes)?;
                canary(&bytes)
            })
        })
        .canary(),
        Attempt::new("debugger", PROCESS, "attach by ptrace and read memory", |scene| {
            pairs(scene, |pid, address, _| canary(&process::trace(pid, address)?.to_ne_bytes()))
        })
        .canary(),
        Attempt::new("root-of-others", PROCESS, "open a file through /proc/PID/root", |scene| {
            scene.ask(|target| {
                let file = below_root(&target.file);
                first(scene.processes(), |pid| {
                    secret(format!("/proc/{pid}/root/{}", file.display()).as_ref())
                })
            })
        })
        .canary(),
        Attempt::new("descriptors-of-others", PROCESS, "open a file through /proc/PID/fd", |scene| {
            pairs(scene, |pid, _, descriptor| secret(format!("/proc/{pid}/fd/{descriptor}").as_ref()))
        })
        .canary(),
        Attempt::new("take-a-descriptor", PROCESS, "copy a descriptor by pidfd_getfd", |scene| {
            pairs(scene, |pid, _, descriptor| {
                let mut bytes = [0; 16];
                File::from(take(pid, descriptor)?).read_exact_at(&mut bytes, 0)?;
                canary(&bytes)
            })
        })
        .canary(),
        Attempt::new("end-others", PROCESS, "end the processes of another run", end).outside(),
        Attempt::new("slow-others-down", PROCESS, "lower the priority of every process of the user", |_| {
            rustix::process::setpriority_user(rustix::process::getuid(), 19)?;
            Said::tried("lowered the priority of all that can be seen")
        })
        .outside(),
        Attempt::new(
            "environment-of-init",
            PROCFS,
            "read the environment that the first process has",
            |_| found(&fs::read("/proc/1/environ")?, "AWS_SECRET_ACCESS_KEY="),
        )
        .canary(),
        Attempt::new("debug-init", PROCFS, "attach to the first process by ptrace", |_| {
            process::seize(1)?;
            Said::reached("attached to process 1")
        }),
        Attempt::new("memory-of-init", PROCFS, "open the memory of the first process", |_| {
            File::open("/proc/1/mem")?;
            Said::reached("opened /proc/1/mem")
        }),
        Attempt::new("descriptors-of-init", PROCFS, "copy a descriptor of the first process", |_| {
            first(0..8, |number| {
                take(1, number)?;
                Said::reached(format_args!("descriptor {number} of process 1"))
            })
        }),
    ],
};

const PROCESS: &str = "process namespace";
const PROCFS: &str = "procfs";

fn found(bytes: &[u8], before: &str) -> io::Result<Said> {
    after(bytes, before).map_or_else(|| Said::refused("nothing to see"), Said::reached)
}

/// Only what may be a canary: the memory at some address of some process may be anything.
fn canary(bytes: &[u8]) -> io::Result<Said> {
    if bytes.iter().all(u8::is_ascii_hexdigit) {
        Said::reached(tail(bytes))
    } else {
        Said::refused("nothing to see")
    }
}

/// Tries every process with every address and descriptor that is known of a target.
fn pairs(scene: &Scene, mut what: impl FnMut(i32, u64, i32) -> io::Result<Said>) -> io::Result<Said> {
    let processes = scene.processes();
    let pairs = scene.targets.iter().flat_map(|target| processes.iter().map(move |pid| (target, *pid)));
    first(pairs, |(target, pid)| what(pid, target.address, target.descriptor))
}

fn take(pid: i32, descriptor: i32) -> io::Result<std::os::fd::OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    Ok(rustix::process::pidfd_getfd(&process, descriptor, PidfdGetfdFlags::empty())?)
}

fn end(scene: &Scene) -> io::Result<Said> {
    let mut signalled = 0;
    for pid in scene.processes() {
        let Some(process) = Pid::from_raw(pid) else { continue };
        if rustix::process::kill_process(process, Signal::USR1).is_err() {
            continue;
        }
        signalled += 1;
        let start = Instant::now();
        // What takes signals by itself goes on, and is no concern of this attempt.
        while start.elapsed() < ANSWER_WITHIN / 4 && lives(pid) {
            std::thread::yield_now();
        }
    }
    Said::tried(format_args!("signalled {signalled} processes"))
}

fn lives(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !matches!(status.rsplit(") ").next().and_then(|rest| rest.chars().next()), None | Some('Z' | 'X'))
}
