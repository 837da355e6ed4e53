//! The gateway as a process of the supervisor's, and what that process does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aseptic_gateway::{Conversation, Ends, Order, ProtocolError, Report, Settings};
use aseptic_model::{Class, Diagnose, Diagnosis, Grant, in_words};
use aseptic_sandbox::{Confinement, Landlock, confine, resolver_paths};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::totals::is_plain;

/// Name of this program's part.
pub(crate) const PART: &str = "gateway-part";

/// How long a gateway may take to say that it is ready, or that it is done: more than a busy machine needs.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// How long it may take to say its last when the run is over.
const LAST_WITHIN: Duration = Duration::from_secs(5);

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Its process could not be started.
    #[error("could not start the gateway")]
    Start(#[source] io::Error),
    /// What it was told, or what it said.
    #[error("could not talk to the gateway")]
    Protocol(#[from] ProtocolError),
    /// It cannot serve.
    #[error("{0}")]
    Failed(String),
}

impl Diagnose for GatewayError {
    fn diagnosis(&self) -> Diagnosis {
        let help = match self {
            Self::Failed(_) => "`aseptic doctor` says what this machine has for a network",
            _ => "try again; close other programs if the machine is short of processes, files or memory",
        };
        Diagnosis::new(Class::Host, "gateway/failed", help)
    }
}

/// A process that makes its walls and waits for the ends of a network. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct Starting {
    process: Process,
    stream: UnixStream,
}

/// A gateway that has a network. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct Gateway {
    process: Process,
    conversation: Conversation,
}

/// The process, which is killed and waited for when this is dropped.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill(); // It has said all there was.
        let _ = self.0.wait();
    }
}

/// What a gateway said.
#[derive(Debug)]
pub(super) enum Said {
    These(Vec<Report>),
    /// There will be nothing more; why.
    LastWords(Vec<Report>, String),
}

impl Starting {
    /// Starts the process.
    pub(super) fn new(landlock: Landlock) -> Result<Self, GatewayError> {
        let (ours, theirs) = UnixStream::pair().map_err(GatewayError::Start)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("aseptic").arg(PART).env_clear().current_dir("/");
        if landlock == Landlock::WhereAvailable {
            command.arg(WHERE_AVAILABLE);
        }
        // A group of its own: Ctrl-C is for the job, and the gateway ends after it.
        command.process_group(0);
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(GatewayError::Start)?;
        Ok(Self { process: Process(child), stream: ours })
    }

    /// Gives it the network.
    pub(super) fn hand_over(self, settings: &Settings, ends: Ends) -> Result<Gateway, GatewayError> {
        let Self { process, stream } = self;
        let handed = aseptic_gateway::hand_over(&stream, settings, ends);
        let mut gateway =
            Gateway { process, conversation: Conversation::new(stream).map_err(GatewayError::Start)? };
        match handed {
            Ok(()) => Ok(gateway),
            // It may have said why it did not wait for it.
            Err(error) => Err(gateway.wait_until_ready().err().unwrap_or(error.into())),
        }
    }
}

impl Gateway {
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.conversation.as_fd()
    }

    pub(super) fn revoke(&mut self, grant: &Grant) -> Result<(), GatewayError> {
        Ok(self.conversation.send(&Order::Revoke { grant: grant.clone() })?)
    }

    /// Waits until it serves.
    pub(super) fn wait_until_ready(&mut self) -> Result<(), GatewayError> {
        match self.wait_for(ANSWER_WITHIN, |report| matches!(report, Report::Ready)) {
            (_, None) => Ok(()),
            (_, Some(why)) => Err(GatewayError::Failed(why)),
        }
    }

    /// What it has said since it was asked last. Never blocks.
    pub(super) fn hear(&mut self) -> Said {
        match self.conversation.read() {
            Ok(mut reports) => match reports.iter().position(|said| matches!(said, Report::Failed { .. })) {
                Some(at) => {
                    let why = match reports.remove(at) {
                        Report::Failed { why } if is_plain(&why) => why,
                        _ => "it does not say why".to_owned(),
                    };
                    Said::LastWords(reports, format!("the gateway cannot serve: {why}"))
                }
                None => Said::These(reports),
            },
            Err(ProtocolError::Ended) => Said::LastWords(Vec::new(), self.why_it_ended()),
            Err(error) => {
                Said::LastWords(Vec::new(), format!("the gateway could not be understood: {error}"))
            }
        }
    }

    /// Lets it say the rest and end; with why something may be missing, if so.
    pub(super) fn finish(mut self) -> (Vec<Report>, Option<String>) {
        if let Err(error) = self.conversation.send(&Order::Finish) {
            let missing = format!("the gateway did not hear of the end of the run: {error}");
            return match self.hear() {
                Said::These(reports) => (reports, Some(missing)),
                Said::LastWords(reports, why) => (reports, Some(why)),
            };
        }
        self.wait_for(LAST_WITHIN, |report| matches!(report, Report::Finished | Report::Failed { .. }))
    }

    /// Reports up to the first that is `last`; with why that did not come, if it did not.
    fn wait_for(
        &mut self,
        within: Duration,
        last: impl Fn(&Report) -> bool,
    ) -> (Vec<Report>, Option<String>) {
        let deadline = Instant::now() + within;
        let mut heard = Vec::new();
        loop {
            match self.hear() {
                Said::These(reports) => heard.extend(reports),
                Said::LastWords(reports, why) => {
                    heard.extend(reports);
                    let missing = (!heard.iter().any(&last)).then_some(why);
                    return (heard, missing);
                }
            }
            if heard.iter().any(&last) {
                return (heard, None);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return (heard, Some("the gateway did not answer".to_owned()));
            }
            let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
            let mut polled = [PollFd::from_borrowed_fd(self.descriptor(), PollFlags::IN)];
            let _ = poll(&mut polled, Some(&timeout)); // Interrupted, it looks and waits again.
        }
    }

    /// It closed its end. That it is gone as well is a matter of moments, which nobody waits for.
    fn why_it_ended(&mut self) -> String {
        match self.process.0.try_wait() {
            Ok(Some(status)) => format!("the gateway ended before the run: {status}"),
            _ => "the gateway ended before the run".to_owned(),
        }
    }
}

/// The argument by which the walls of a gateway need no Landlock.
const WHERE_AVAILABLE: &str = "landlock-where-available";

/// What the process does: it makes its walls, takes the ends of a run's network, and serves it to the end of
/// the run or of its supervisor.
///
/// # Errors
/// [`GatewayError`], which its supervisor was told.
pub fn gateway_part(words: &[std::ffi::OsString]) -> Result<(), GatewayError> {
    let stream = io::stdin().as_fd().try_clone_to_owned().map_err(GatewayError::Start)?;
    let stream = UnixStream::from(stream);
    let landlock = match words.first() {
        Some(word) if word == WHERE_AVAILABLE => Landlock::WhereAvailable,
        _ => Landlock::Required,
    };
    let told = confine(&Confinement { readable: resolver_paths(), landlock })
        .map_err(|error| in_words(&error))
        .and_then(|_| aseptic_gateway::receive(&stream).map_err(|error| in_words(&error)));
    let (settings, ends) = told.map_err(|why| {
        let _ = aseptic_gateway::say(&stream, &Report::Failed { why: why.clone() });
        GatewayError::Failed(why)
    })?;
    aseptic_gateway::serve(stream, settings, ends).map_err(|error| GatewayError::Failed(in_words(&error)))
}
