//! A jail for one process, without root: namespaces, a root of its own, no network, no privilege.
//!
//! [`Jail`] says what the process will see; [`prepare`] makes every wall or fails; [`Prepared::start`]
//! starts the program; [`Running::wait`] returns when no process of the jail is left.
//!
//! **Invariant:** a wall stands before the program's first instruction, or the program does not start.
//! **Invariant:** the jail ends with its supervisor, however that ends.
//! **Invariant:** between `clone3` and `execve` only async-signal-safe code runs, so a caller may have
//! threads.
//! **Absent on purpose:** deciding, logging, threads, async, secrets. `unsafe` lives in one module.

mod compile;
mod error;
mod init;
mod jail;
mod layout;
mod message;
mod opened;
mod probe;
mod run;
mod setup;
mod sys;
mod walls;

pub use error::PrepareError;
pub use jail::{Access, Jail, Mount, Upper};
pub use layout::system_mounts;
pub use opened::{Open, Opened};
pub use probe::{Finding, probe};
pub use run::{Ended, Prepared, Running, Streams, prepare};
pub use walls::walls;
