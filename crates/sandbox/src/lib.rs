//! A jail for one process, without root: namespaces, a root of its own, no network but the one way out that is
//! asked for, no privilege; and walls for a process of ours that serves such a jail, [`confine()`].
//!
//! [`Jail`] says what the process will see; [`prepare`] makes every wall or fails; [`Prepared::start`]
//! starts the program; [`Running::wait`] returns when no process of the jail is left. [`start`] is the
//! first two in one, for a caller with nothing to do between them.
//!
//! **Invariant:** a wall stands before the program's first instruction, or the program does not start.
//! **Invariant:** the jail ends with its supervisor, however that ends.
//! **Invariant:** between `clone3` and `execve` only async-signal-safe code runs, so a caller may have
//! threads.
//! **Absent on purpose:** deciding, logging, threads, async, secrets. `unsafe` lives in one module.
//!
//! ```
//! use std::io::Read;
//!
//! use aseptic_sandbox::{Ended, Jail, Streams, start, system_mounts};
//!
//! let (mut output, stdout) = std::io::pipe()?;
//! let null = std::fs::File::open("/dev/null")?;
//! let streams = Streams {
//!     stdin: null.try_clone()?.into(),
//!     stdout: stdout.try_clone()?.into(),
//!     stderr: stdout.into(),
//! };
//! let jail = Jail {
//!     staging: std::env::temp_dir(),
//!     mounts: system_mounts("/".as_ref()),
//!     watched: Vec::new(),
//!     hostname: "aseptic".into(),
//!     program: "uname".into(),
//!     arguments: vec!["-n".into()],
//!     environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
//!     working_directory: "/".into(),
//!     ..Jail::default()
//! };
//! let mut running = start(&jail, streams, &[])?;
//! let mut printed = String::new();
//! output.read_to_string(&mut printed)?;
//! assert_eq!(running.wait(), Ended::Exited(0));
//! assert_eq!(printed, "aseptic\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod assembly;
mod attempts;
mod cause;
mod cgroup;
mod clock;
mod compile;
mod confine;
mod error;
mod filter;
mod gpu;
mod handed;
mod init;
mod jail;
mod judge;
mod landlock;
mod layout;
mod limits;
mod message;
mod mounts;
mod network;
mod opened;
mod probe;
mod process;
mod procfs;
mod run;
mod sample;
mod setup;
mod sys;
mod target;
mod tasks;
mod terminal;
mod usage;
mod walls;
mod watched;

pub use aseptic_model::{Clock, Gpus};
pub use attempts::{Action, Attempt, AttemptListener, Target, Verdict};
pub use cgroup::remove_group;
pub use confine::{ConfineError, Confinement, confine, resolver_paths};
pub use error::PrepareError;
pub use gpu::{GpuError, gpu_mounts};
pub use jail::{
    Access, Attempts, Jail, Landlock, Limits, Mount, Network, Ports, Terminal, TerminalSize, Upper,
};
pub use layout::{job_ids, system_mounts};
pub use limits::{Enforcement, Strength, enforceable, enforces_task_limit};
pub use network::{NetworkEnds, NetworkSupport, network_support};
pub use opened::{Open, Opened};
pub use probe::{Finding, probe};
pub use run::{Ended, Prepared, Running, Streams, prepare, start};
pub use sample::Sample;
pub use usage::{Meter, OutOfMemory, Usage};
pub use walls::{missing_walls, walls, walls_with_network};
