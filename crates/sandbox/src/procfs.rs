//! What of procfs a job may not change or see.

use std::ffi::CString;
use std::path::Path;

use crate::tasks::{RESERVED_PIDS, TaskLimit};

/// Parts that everybody can change something with: settings, and what the host should wake up for.
const ALL_WRITE: [&str; 2] = ["sys", "pressure"];

/// Parts that a job of root could change, having root's id, if nothing else of it. Modes and missing
/// capabilities keep everybody else out.
const ROOT_WRITES: [&str; 12] = [
    "sysrq-trigger",
    "irq",
    "bus",
    "fs",
    "acpi",
    "asound",
    "scsi",
    "mtrr",
    "driver",
    "dynamic_debug",
    "latency_stats",
    "xen",
];

/// Parts that tell about the host or its users and that no library reads. `kcore` and `kmsg` are not
/// among them: the kernel asks for a capability when they are opened.
const IDENTIFYING: [&str; 10] = [
    "cmdline",
    "kallsyms",
    "keys",
    "key-users",
    "modules",
    "sched_debug",
    "slabinfo",
    "timer_list",
    "vmallocinfo",
    "sys/kernel/random/boot_id",
];

/// Of the 128 inotify instances that a user has for all of his jails: enough for a program that watches a
/// few things, too few for one jail to leave the others without.
const INOTIFY_INSTANCES_MAX: &[u8] = b"8";

/// Likewise of the watches, of which a user has 8,192 or more.
const INOTIFY_WATCHES_MAX: &[u8] = b"2048";

/// Settings of the jail's namespaces, relative to the procfs.
pub(crate) fn settings(limit: Option<(TaskLimit, u32)>) -> Vec<(CString, Vec<u8>)> {
    let mut settings = vec![
        (c"sys/user/max_user_namespaces".to_owned(), b"0".to_vec()),
        (c"sys/user/max_inotify_instances".to_owned(), INOTIFY_INSTANCES_MAX.to_vec()),
        (c"sys/user/max_inotify_watches".to_owned(), INOTIFY_WATCHES_MAX.to_vec()),
    ];
    if let Some((TaskLimit::Namespace, tasks)) = limit {
        let value = tasks.saturating_add(RESERVED_PIDS + 1).to_string().into_bytes();
        settings.push((c"sys/kernel/pid_max".to_owned(), value));
    }
    settings
}

/// Parts to make read-only, those that are there.
pub(crate) fn read_only() -> impl Iterator<Item = &'static str> {
    let root = rustix::process::getuid().is_root();
    ALL_WRITE.into_iter().chain(ROOT_WRITES.into_iter().filter(move |_| root)).filter(exists)
}

/// Parts to cover, so that they read as empty, those that are there.
pub(crate) fn covered() -> impl Iterator<Item = &'static str> {
    IDENTIFYING.into_iter().filter(exists)
}

fn exists(part: &&str) -> bool {
    Path::new("/proc").join(part).exists()
}
