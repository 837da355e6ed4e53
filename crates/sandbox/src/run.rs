//! The supervisor's side: make a jail, start its program, wait for its end.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::event::EventfdFlags;
use rustix::fs::{FileType, inotify};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

use crate::attempts::AttemptListener;
use crate::cgroup::{Doors, Group};
use crate::compile::{Compiled, Step, compile};
use crate::error::PrepareError;
use crate::handed::Handed;
use crate::init;
use crate::jail::{Jail, Network};
use crate::limits::{Enforcement, Enforcing};
use crate::message::{FREEZE, Report, START, THAW, receive_first};
use crate::network::NetworkEnds;
use crate::opened::Opened;
use crate::process::Process;
use crate::setup::{COMPILED_STEPS_FROM, FIXED_STEPS, Given, JOIN_STEP, LISTEN_STEP};
use crate::sys::{self, Forked};
use crate::usage::{Meter, OutOfMemory, Usage};

/// Every namespace of a jail. Time is left out: it gains nothing without a clock to hide.
pub(crate) const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// The standard streams of the program. They should be pipes or `/dev/null`: a terminal or a directory
/// handed in would be a way out of the jail.
#[derive(Debug)]
pub struct Streams {
    /// What it reads.
    pub stdin: OwnedFd,
    /// What it prints.
    pub stdout: OwnedFd,
    /// What it prints of errors.
    pub stderr: OwnedFd,
}

/// A jail whose every wall stands and in which nothing runs yet. Dropped, it is gone.
#[derive(Debug)]
pub struct Prepared {
    process: Process,
    opened: Opened,
    enforced: Vec<Enforcement>,
    terminal: Option<OwnedFd>,
    network: Option<NetworkEnds>,
    /// Moves on to [`Running::attempts`] if nobody takes it. A thread that calls
    /// [`AttemptListener::watch`] before the start lets the program wait least.
    pub attempts: Option<AttemptListener>,
    leftovers: Leftovers,
}

/// What a jail was made from. Giving it back takes longer than starting a program, so that comes first.
struct Leftovers(#[expect(dead_code, reason = "only held")] Compiled);

impl std::fmt::Debug for Leftovers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("…")
    }
}

/// A jail with its program. Dropped, every process of it is killed and gone.
#[derive(Debug)]
pub struct Running {
    process: Process,
    /// Files that were opened in the watched directories.
    pub opened: Opened,
    /// What enforces each limit of this jail.
    pub enforced: Vec<Enforcement>,
    terminal: Option<OwnedFd>,
    network: Option<NetworkEnds>,
    /// What the program attempts, with [`Attempts::Seen`]. Whatever opens a file in the jail waits until
    /// somebody calls [`AttemptListener::watch`], the program's start included.
    ///
    /// [`Attempts::Seen`]: crate::Attempts::Seen
    pub attempts: Option<AttemptListener>,
}

/// How a jail ended. In every case no process of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The program ended by itself, with this exit code.
    Exited(i32),
    /// A signal ended the program.
    Signaled(i32),
    /// The program could not be executed; the value is the error number.
    NotExecuted(i32),
    /// The jail was killed from outside.
    Killed,
}

/// Makes `jail` up to the point where its program may start.
///
/// The `keep` descriptors (at most ten) stay open in the jail's first process and nowhere else in it, so
/// a lock held through one of them is released no earlier than that process ends.
///
/// Blocks until every wall stands: some milliseconds, or as long as a file system of the host does not
/// answer.
///
/// Must be called from a thread that lives as long as the jail: the kernel kills the jail when this
/// thread ends.
///
/// # Errors
/// [`PrepareError`]; nothing of the jail is left then.
///
/// Source: namespaces(7), user_namespaces(7), pivot_root(2).
pub fn prepare(jail: &Jail, streams: Streams, keep: &[BorrowedFd<'_>]) -> Result<Prepared, PrepareError> {
    make(jail, streams, keep, &[])
}

/// Makes `jail` and starts its program as soon as every wall stands: [`prepare`] and [`Prepared::start`]
/// in one, without a pause between them.
///
/// # Errors
/// [`PrepareError`]; nothing of the jail is left then, and the program did not start.
pub fn start(jail: &Jail, streams: Streams, keep: &[BorrowedFd<'_>]) -> Result<Running, PrepareError> {
    make(jail, streams, keep, &[START]).map(Prepared::running)
}

/// Makes `jail`; its first process finds `orders` when every wall stands.
fn make(
    jail: &Jail,
    streams: Streams,
    keep: &[BorrowedFd<'_>],
    orders: &[u8],
) -> Result<Prepared, PrepareError> {
    check(&streams, keep)?;
    let (enforcing, places) = Enforcing::of(&jail.limits)?;
    let compiled = compile(jail, &enforcing)?;
    let step = |what: &str, error: rustix::io::Errno| PrepareError::Step {
        step: what.to_owned(),
        source: error.into(),
    };
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|error| step("make the control socket", error))?;
    if !orders.is_empty() {
        rustix::net::send(&ours, orders, SendFlags::NOSIGNAL)
            .map_err(|error| step("write to the control socket", error))?;
    }
    // A user has few inotify instances, so a jail that watches nothing takes none.
    let opened = if jail.watched.is_empty() {
        rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
    } else {
        inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
    };
    let opened = opened.map_err(|error| PrepareError::Watches(error.into()))?;
    let group_failed = |source| PrepareError::Step { step: GROUP_STEP.to_owned(), source };
    let group = match places {
        Some(places) => Group::make(&name_of(jail), enforcing.bounds, &places).map_err(group_failed)?,
        None => None,
    };
    let doors = group.as_ref().map_or(Ok(Doors::default()), Group::doors).map_err(group_failed)?;
    let keep: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    let given = Given {
        streams: [streams.stdin.as_raw_fd(), streams.stdout.as_raw_fd(), streams.stderr.as_raw_fd()],
        control: theirs.as_raw_fd(),
        opened: opened.as_raw_fd(),
        keep: &keep,
        groups: &doors.v1,
    };
    // A handler of the supervisor must never run in the jail's first process.
    let before = sys::block_signals().map_err(|error| step("block signals", error))?;
    // The job itself is started by `init.rs`, and the namespace of control groups made by `setup.rs`.
    let forked = sys::fork_into(NAMESPACES & !libc::CLONE_NEWCGROUP, doors.v2.as_ref().map(AsFd::as_fd));
    if let Ok(Forked::Child) = forked {
        init::live(&compiled, &given);
    }
    let restored = sys::restore_signals(&before).map_err(|error| step("restore signals", error));
    let Forked::Parent { pid, pidfd } = forked.map_err(|error| PrepareError::Namespaces(error.into()))?
    else {
        return Err(PrepareError::Vanished); // The child never comes here.
    };
    drop((theirs, streams, doors));
    let process = Process::new((pid, pidfd), ours, group, enforcing.watched_memory);
    restored?;
    let (first, handed) = receive_first(process.control.as_fd()).map_err(|_| PrepareError::Vanished)?;
    match first {
        Some(Report::Ready) => {
            let Handed { terminal, attempts, network } =
                Handed::received(jail, handed).ok_or(PrepareError::Vanished)?;
            let opened = Opened::new(opened, jail.watched.len());
            let attempts = attempts.map(|[listener, root]| {
                AttemptListener::new(listener, root, jail.network.as_ref().map(Network::canonical))
            });
            let (enforced, leftovers) = (enforcing.all, Leftovers(compiled));
            Ok(Prepared { process, opened, enforced, terminal, network, attempts, leftovers })
        }
        Some(Report::Failed { step, error }) => {
            let source = io::Error::from_raw_os_error(error);
            let step_name = describe(&compiled, step);
            match compiled_step(&compiled, step) {
                None if step_name == LISTEN_STEP => Err(PrepareError::Attempts(source)),
                Some(Step::Watch { .. }) if matches!(error, libc::ENOSPC | libc::ENOMEM) => {
                    Err(PrepareError::Watches(source))
                }
                _ => Err(PrepareError::Step { step: step_name, source }),
            }
        }
        _ => Err(PrepareError::Vanished),
    }
}

/// What failed when there is no control group.
const GROUP_STEP: &str = "make the control group of the jail";

/// The name of its control group.
fn name_of(jail: &Jail) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    if jail.name.is_empty() {
        format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
    } else {
        jail.name.clone()
    }
}

/// How many descriptors [`prepare`] keeps at most.
const KEEP_MAX: usize = 10;

fn check(streams: &Streams, keep: &[BorrowedFd<'_>]) -> Result<(), PrepareError> {
    if keep.len() > KEEP_MAX {
        let what = format!("more than {KEEP_MAX} kept descriptors");
        return Err(PrepareError::Description { what });
    }
    for stream in [&streams.stdin, &streams.stdout, &streams.stderr] {
        let status = rustix::fs::fstat(stream).map_err(|error| PrepareError::Source {
            what: "a standard stream".to_owned(),
            source: error.into(),
        })?;
        if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            let what = "a directory as a standard stream: it would lead out of the jail".to_owned();
            return Err(PrepareError::Description { what });
        }
    }
    Ok(())
}

/// The step of the jail's own that a failure names.
fn compiled_step(compiled: &Compiled, number: u32) -> Option<&Step> {
    compiled.steps.get(usize::try_from(number.checked_sub(COMPILED_STEPS_FROM)?).ok()?)
}

fn describe(compiled: &Compiled, number: u32) -> String {
    let fixed = usize::try_from(number).ok().and_then(|number| FIXED_STEPS.get(number));
    match (compiled_step(compiled, number), fixed) {
        (Some(step), _) => step.describe(),
        (None, Some(description)) => (*description).to_owned(),
        (None, None) if number == JOIN_STEP => "join the control groups of the jail".to_owned(),
        (None, None) => "set up the jail".to_owned(),
    }
}

impl Prepared {
    /// Process id of the jail's first process, as the host sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// The supervisor's side of the jail's terminal, the first time that it is asked for. It does not block.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// The ends of the jail's network, the first time that they are asked for.
    pub fn take_network(&mut self) -> Option<NetworkEnds> {
        self.network.take()
    }

    /// Starts the program. Whether it could be executed is part of how the jail ends.
    #[must_use]
    pub fn start(self) -> Running {
        self.process.order(START);
        self.running()
    }

    fn running(self) -> Running {
        let Self { process, opened, enforced, terminal, network, attempts, leftovers } = self;
        drop(leftovers);
        Running { process, opened, enforced, terminal, network, attempts }
    }
}

impl Running {
    /// A descriptor that becomes readable when the jail has ended.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.process.pidfd.as_fd()
    }

    /// As [`Prepared::take_terminal`].
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// As [`Prepared::take_network`].
    pub fn take_network(&mut self) -> Option<NetworkEnds> {
        self.network.take()
    }

    /// A descriptor that becomes readable when the program may have been stopped; none when it ended.
    #[must_use]
    pub fn stops(&self) -> Option<BorrowedFd<'_>> {
        self.process.last.is_none().then(|| self.process.control.as_fd())
    }

    /// The signal that stopped the program since this was asked last. Never blocks.
    pub fn stopped(&mut self) -> Option<i32> {
        self.process.hear();
        self.process.stopped.take()
    }

    /// Passes a signal to the program and its process group.
    pub fn signal(&self, signal: i32) {
        if let Ok(signal @ 1..) = u8::try_from(signal) {
            self.process.order(signal);
        }
    }

    /// Stops every process of the jail, whoever they are, until [`Running::thaw`]: for a supervisor that is
    /// about to be stopped itself, and could not enforce anything meanwhile.
    pub fn freeze(&self) {
        self.process.order(FREEZE);
    }

    /// Continues every process of the jail.
    pub fn thaw(&self) {
        self.process.order(THAW);
    }

    /// Kills every process of the jail. [`Running::wait`] says when they are gone.
    pub fn kill(&self) {
        self.process.note_usage();
        self.process.kill();
    }

    /// What another thread looks at this jail with while it runs.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.process.meter.clone()
    }

    /// What it used; nothing before [`Running::wait`].
    #[must_use]
    pub fn usage(&self) -> Option<&Usage> {
        self.process.over.as_ref().map(|over| &over.usage)
    }

    /// Whether the kernel ended a process of it because memory ran out; nothing before [`Running::wait`].
    #[must_use]
    pub fn out_of_memory(&self) -> Option<OutOfMemory> {
        self.process.over.as_ref()?.out_of_memory
    }

    /// Waits until no process of the jail is left, and says how it ended.
    ///
    /// Blocks; at once when [`Running::descriptor`] is readable.
    pub fn wait(&mut self) -> Ended {
        self.process.wait()
    }
}
