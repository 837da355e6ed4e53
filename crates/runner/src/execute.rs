//! Execute: show and keep what the job prints, pass input and signals on, note what it opens, enforce the
//! clock and what a [`watcher`] finds, sample what it uses, and do what is asked at the [`desk`](crate::desk).

mod asked;
mod clock;
mod disk;
mod lineage;
mod sampler;
mod watcher;

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use aseptic_model::{Keep, Lineage, Plan};
use aseptic_sandbox::{Ended, Enforcement, Running, Usage};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::attempts::{Attempted, Listening};
use crate::desk::{Asked, Desk};
use crate::egress::Egress;
use crate::home::{HomeError, io_error};
use crate::input::{Feed, FromInput};
use crate::observer::{Observer, Signals, Stopped, Stream};
use crate::output::{Tee, is_writable};
use crate::provision::Provisioned;
use crate::run_dir::RunDir;
use crate::streams::OurTerminal;

use asked::Requests;
pub(crate) use clock::Cause;
use clock::{Clock, signal};
use lineage::LineageBuilder;
pub(crate) use sampler::NetworkBytes;
use sampler::Sampler;
use watcher::{Eyes, Watcher};

/// Where in the directory of a run is what it uses of the machine over time.
pub(crate) const SYSTEM_METRICS: &str = "logs/system";

/// What executing a job gave.
#[derive(Debug)]
pub(crate) struct Executed {
    pub(crate) ended: Ended,
    pub(crate) cause: Option<Cause>,
    pub(crate) lineage: Lineage,
    /// Bytes of each stream that were not kept.
    pub(crate) dropped: Vec<(Stream, u64)>,
    /// What it was given on standard input, with the bytes that were not kept.
    pub(crate) given: Option<FromInput>,
    pub(crate) duration: Duration,
    pub(crate) usage: Option<Usage>,
    /// Bytes about what it used over time that could not be written.
    pub(crate) unsampled: u64,
    /// What enforced the limits of the jail.
    pub(crate) enforced: Vec<Enforcement>,
    /// What it attempted, if that was to be seen.
    pub(crate) attempted: Option<Attempted>,
    /// What it had of the network, if it had one.
    pub(crate) network: Option<Egress>,
    /// Who asked that it stop, and waits until it is sealed.
    pub(crate) stopping: Vec<Asked>,
    /// What it was told.
    pub(crate) told: Vec<String>,
    /// What it printed at the end and was not shown yet: whoever reads it may be slow, and the run is
    /// sealed first.
    pub(crate) rest: Vec<(Stream, Vec<u8>)>,
}

/// Runs the job to its end. No process of it is left when this returns.
pub(crate) fn execute(
    provisioned: Provisioned,
    (dir, desk): (&RunDir, Desk),
    plan: &Plan,
    signals: &mut dyn Signals,
    observer: &mut dyn Observer,
) -> Result<Executed, HomeError> {
    let limits = &plan.limits;
    let Provisioned { prepared, ends, watched, unwatched, listening, network } = provisioned;
    let mut logs = Vec::new();
    for (stream, from) in ends.outputs {
        let name = if stream == Stream::Stdout { "logs/stdout" } else { "logs/stderr" };
        logs.push(Tee::new(stream, from, &dir.join(name), plan.keep)?);
    }
    let feed = Feed::new(ends.stdin, &dir.join("logs/stdin"))?;
    let running = prepared.start();
    let eyes = Eyes::new(running.meter(), limits, dir.path.clone());
    let watcher = eyes.clone().map(Watcher::start).transpose();
    let bytes = network.as_ref().and_then(Egress::bytes);
    // What a job uses of the machine over time can say what it reads, as well as any file.
    let sampler = (plan.keep == Keep::Everything)
        .then(|| Sampler::start(running.meter(), bytes, dir.join(SYSTEM_METRICS)))
        .transpose();
    let mut supervisor = Supervisor {
        logs,
        feed,
        terminal: ends.terminal,
        watcher: watcher.map_err(|source| io_error("start to watch", &dir.path, source))?,
        sampler: sampler.map_err(|source| io_error("start to sample", &dir.path, source))?,
        running,
        lineage: LineageBuilder::new(watched, unwatched),
        clock: Clock::new(limits, &dir.path)?,
        network,
        requests: Requests::new(desk),
    };
    let started = Instant::now();
    let ended = supervisor.watch(signals, observer)?;
    let duration = started.elapsed();
    supervisor.watcher = None;
    let unsampled = supervisor.sampler.take().map_or(0, Sampler::finish);
    supervisor.clock.at_the_end(ended, &supervisor.running, limits, eyes);
    let rest = supervisor.finish()?;
    let attempted = listening.map(Listening::finish);
    supervisor.clock.interrupted(supervisor.feed.keys.signal, ended);
    Ok(Executed {
        ended,
        cause: supervisor.clock.cause,
        lineage: supervisor.lineage.done(),
        dropped: supervisor.logs.iter().map(|tee| (tee.stream, tee.log.dropped)).collect(),
        given: supervisor.feed.given(),
        duration,
        usage: supervisor.running.usage().cloned(),
        unsampled,
        enforced: supervisor.running.enforced.clone(),
        attempted,
        network: supervisor.network,
        stopping: supervisor.requests.stopping,
        told: supervisor.requests.told,
        rest,
    })
}

/// For poll(2), as long as it can wait.
fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
}

struct Supervisor {
    watcher: Option<Watcher>,
    sampler: Option<Sampler>,
    running: Running,
    logs: Vec<Tee>,
    feed: Feed,
    terminal: Option<OurTerminal>,
    lineage: LineageBuilder,
    clock: Clock,
    network: Option<Egress>,
    requests: Requests,
}

/// What the supervisor waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    End,
    Signals,
    Opened,
    Stop,
    Limit,
    Network,
    Desk,
    Input,
    Output(usize),
}

impl Supervisor {
    fn watch(&mut self, signals: &mut dyn Signals, observer: &mut dyn Observer) -> Result<Ended, HomeError> {
        loop {
            observer.refresh();
            let ready = self.wait_for_something(signals, observer)?;
            let ready_to_end = ready.contains(&Awaited::End);
            for ready in &ready {
                match ready {
                    Awaited::End => {} // Last, when everything else that came with it is done.
                    Awaited::Opened => self.lineage.drain(&mut self.running),
                    Awaited::Output(number) => self.show(*number, observer)?,
                    Awaited::Input => self.feed.pump(observer),
                    Awaited::Network => self.network.iter_mut().for_each(Egress::attend),
                    Awaited::Desk => self.attend(ready_to_end, observer),
                    Awaited::Stop => self.stop(observer),
                    Awaited::Limit => {
                        if let Some(reached) = self.watcher.as_ref().and_then(Watcher::found) {
                            self.clock.reached(reached, &self.running);
                        }
                    }
                    Awaited::Signals => {
                        for signal in signals.take() {
                            self.pass_on(signal, observer);
                        }
                    }
                }
            }
            if ready_to_end {
                let ended = self.running.wait();
                self.stopped_from_outside(ended);
                if ended != Ended::Exited(0) {
                    self.clock.check_disk(); // It may have met the end of the disk before we did.
                }
                return Ok(ended);
            }
            if self.feed.keys.insisted {
                self.clock.cause.get_or_insert(Cause::Signal(signal::QUIT));
                self.running.kill();
            }
            self.clock.check(&self.running);
        }
    }

    fn wait_for_something(
        &self,
        signals: &dyn Signals,
        observer: &dyn Observer,
    ) -> Result<Vec<Awaited>, HomeError> {
        let timeout = timespec(self.clock.next_check());
        let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut awaited = vec![
            (Awaited::Signals, readable(signals.descriptor())),
            (Awaited::Opened, readable(self.running.opened.descriptor())),
            (Awaited::End, readable(self.running.descriptor())),
        ];
        for (number, tee) in self.logs.iter().enumerate() {
            let Some(from) = &tee.from else { continue };
            let polled = match observer.sink(tee.stream) {
                Some(sink) if tee.waiting => PollFd::from_borrowed_fd(sink, PollFlags::OUT),
                _ => readable(from.as_fd()),
            };
            awaited.push((Awaited::Output(number), polled));
        }
        awaited.push((Awaited::Desk, readable(self.requests.desk.descriptor())));
        awaited.extend(self.running.stops().map(|fd| (Awaited::Stop, readable(fd))));
        awaited.extend(self.watcher.iter().map(|watcher| (Awaited::Limit, readable(watcher.descriptor()))));
        let network = self.network.iter().flat_map(Egress::descriptors);
        awaited.extend(network.map(|fd| (Awaited::Network, readable(fd))));
        awaited.extend(self.feed.awaited(observer).map(|polled| (Awaited::Input, polled)));
        let (awaited, mut polled): (Vec<_>, Vec<_>) = awaited.into_iter().unzip();
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io_error("wait for the job in", Path::new("/"), error.into())),
        }
        let ready = awaited.into_iter().zip(&polled).filter(|(_, polled)| !polled.revents().is_empty());
        Ok(ready.map(|(awaited, _)| awaited).collect())
    }

    fn show(&mut self, number: usize, observer: &mut dyn Observer) -> Result<(), HomeError> {
        let Some(tee) = self.logs.get_mut(number) else { return Ok(()) };
        if tee.waiting {
            tee.waiting = false; // Whoever reads our output reads on.
        } else if is_writable(observer.sink(tee.stream)) {
            tee.pump(observer)?;
        } else {
            tee.waiting = true;
        }
        Ok(())
    }

    /// The job was stopped: so is this process, until somebody continues it.
    fn stop(&mut self, observer: &mut dyn Observer) {
        let Some(stopped_by) = self.running.stopped() else { return };
        // While this process is stopped it enforces nothing, and a job can leave others running.
        let frozen = observer.can_stop();
        if frozen {
            self.running.freeze();
        }
        let stopped = observer.stopped();
        if frozen {
            self.running.thaw();
        }
        match stopped {
            Stopped::AndContinued => self.pass_on(signal::CONT, observer),
            Stopped::Alone if stopped_by == signal::STOP => {} // As it wished, until somebody continues it.
            // The kernel stops nothing for a terminal if nobody would continue it.
            Stopped::Alone => self.running.signal(signal::CONT),
        }
    }

    fn pass_on(&mut self, signal: i32, observer: &mut dyn Observer) {
        if signal == signal::CONT {
            observer.continued();
        }
        if let (signal::CONT | signal::WINCH, Some(terminal)) = (signal, &self.terminal) {
            if let Some(size) = observer.terminal_size() {
                terminal.resize(size);
            }
            if signal == signal::WINCH && terminal.controls {
                return; // It has told its foreground.
            }
        }
        self.clock.signal(signal, &self.running);
    }

    /// Takes what was still in the pipes and in the kernel's list. Nothing writes any more.
    fn finish(&mut self) -> Result<Vec<(Stream, Vec<u8>)>, HomeError> {
        let mut rest = Vec::new();
        for tee in &mut self.logs {
            rest.extend(tee.rest()?.into_iter().map(|bytes| (tee.stream, bytes)));
        }
        self.lineage.drain(&mut self.running);
        Ok(rest)
    }
}
