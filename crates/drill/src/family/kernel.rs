//! Large parts of the kernel that a job has no use for.
//!
//! Where a call needs privilege or a setting, it is asked for something that it refuses by itself: the
//! answer shows that it can be reached.

use std::fs::{self, File};
use std::io;

use crate::Said;
use crate::attempt::{Attempt, Family};
use crate::sys::kernel;

pub(super) const FAMILY: Family = Family {
    name: "kernel",
    about: "large parts of the kernel that a job has no use for",
    attempts: &[
        Attempt::new("file-handles", FILTER, "open a directory by a handle instead of a path", |scene| {
            let file = scene.place.tmp.join("directory");
            fs::create_dir(&file)?;
            let directory = File::open(&scene.place.tmp)?.into();
            kernel::open_by_handle(&directory, &file)?;
            Said::reached("opened it")
        }),
        Attempt::new("bpf", FILTER, "ask for something of BPF", |_| answered(&kernel::bpf(), libc::E2BIG)),
        Attempt::new("perf-events", FILTER, "ask for something of the performance counters", |_| {
            answered(&kernel::perf(), libc::EINVAL)
        }),
        Attempt::new("userfaultfd", FILTER, "handle its own page faults", |_| {
            kernel::userfault()?;
            Said::reached("a descriptor for page faults")
        }),
        Attempt::new("io-uring", FILTER, "make a ring for system calls that no filter sees", |_| {
            kernel::io_uring()?;
            Said::reached("a ring")
        }),
    ],
};

const FILTER: &str = "system call filter";

/// Whether the call itself answered, rather than what stands before it.
fn answered(error: &io::Error, own: i32) -> io::Result<Said> {
    if error.raw_os_error() == Some(own) {
        Said::reached(format_args!("the call answered: {error}"))
    } else {
        Said::refused(error)
    }
}
