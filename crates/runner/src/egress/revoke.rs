//! Revocation: a grant of a running run is taken back.
//!
//! The ledger has it first. Then the supervisor of the run is asked, by one datagram that carries the
//! descriptor for its answer, and passes it to the gateway, which cuts the connections.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::time::Duration;

use aseptic_model::{Class, Diagnose, Diagnosis, Event, Grant, Plan, ProjectName, RunId, RunRef};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use crate::home::{Home, HomeError};
use crate::results::{ResultError, summary};
use crate::run_dir::RunDir;

/// The socket in the directory of a run.
const SOCKET: &str = "revoke";

/// Longest text of a grant.
const GRANT_BYTES_MAX: usize = 512;

/// Most revocations that are read at once.
const ASKED_MAX: usize = 64;

/// How long the supervisor of the run may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What became of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Revoked {
    /// Nothing goes through it any more; so many connections were cut.
    Cut(u32),
    /// The run has no such grant.
    Unknown,
    /// The run has no network any more.
    Ended,
}

/// Why a grant could not be revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// No run is meant, or it is over.
    #[error(transparent)]
    Result(#[from] ResultError),
    /// It is over, or its network is.
    #[error("run `{0}` is over, or its network is")]
    Over(RunId),
    /// It has other grants.
    #[error("run `{run}` has no grant `{grant}`")]
    NoGrant {
        /// The run.
        run: RunId,
        /// What was to be revoked.
        grant: Grant,
        /// What it has.
        has: Vec<String>,
    },
    /// Its supervisor does not answer. The revocation is in the ledger all the same.
    #[error("the supervisor of run `{run}` did not answer")]
    Silent {
        /// The run.
        run: RunId,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for RevokeError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Result(error) => error.diagnosis(),
            Self::Over(_) => Diagnosis::new(
                Class::User,
                "revoke/over",
                "nothing is left to revoke; `aseptic show RUN` lists what it reached",
            ),
            Self::NoGrant { has, .. } if has.is_empty() => {
                Diagnosis::new(Class::User, "revoke/no-grant", "it has no network")
            }
            Self::NoGrant { has, .. } => {
                Diagnosis::new(Class::User, "revoke/no-grant", format!("it has {}", has.join(", ")))
            }
            Self::Silent { .. } => Diagnosis::new(
                Class::Host,
                "revoke/silent",
                "end the run: send TERM to its `aseptic run`, and KILL if that does not help",
            ),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

/// Takes `grant` back from a run that goes on. Returns how many connections were cut, when they are.
///
/// # Errors
/// [`RevokeError`].
pub fn revoke(
    home: &mut Home,
    project: &ProjectName,
    run: &RunRef,
    grant: &Grant,
) -> Result<(RunId, u32), RevokeError> {
    let summary = summary(home, project, run)?;
    let run = summary.run;
    if summary.record.is_some() || summary.status.is_some() {
        return Err(RevokeError::Over(run));
    }
    let plan: Plan = home.object(project, &summary.plan)?;
    // A plan may have it twice: with the check of names and without.
    let is_meant = |has: &&Grant| has.host == grant.host && has.port == grant.port;
    let meant: Vec<&Grant> = plan.network.iter().filter(is_meant).collect();
    if meant.is_empty() {
        let has = plan.network.iter().map(ToString::to_string).collect();
        return Err(RevokeError::NoGrant { run, grant: grant.clone(), has });
    }
    let event = |grant: &&Grant| Event::GrantRevoked { run: run.clone(), grant: (*grant).clone() };
    home.record(project, meant.iter().map(event).collect())?;
    let directory = home.run_dir(project, &run);
    let mut cut = 0_u32;
    for grant in meant {
        match ask(&directory, grant) {
            Ok(Revoked::Cut(connections)) => cut = cut.saturating_add(connections),
            Ok(Revoked::Unknown | Revoked::Ended) => return Err(RevokeError::Over(run)),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return Err(RevokeError::Over(run));
            }
            Err(source) => return Err(RevokeError::Silent { run, source }),
        }
    }
    Ok((run, cut))
}

/// Asks the supervisor of the run in `directory`, and waits for its answer.
fn ask(directory: &Path, grant: &Grant) -> io::Result<Revoked> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let socket = UnixDatagram::unbound()?;
    let directory = open(directory)?;
    socket.connect(path_in(directory.as_fd()))?;
    let text = grant.to_string();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [theirs.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    rustix::net::sendmsg(&socket, &[IoSlice::new(text.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL)?;
    drop(theirs); // The supervisor has it; if it ends, so does the stream.
    ours.set_read_timeout(Some(ANSWER_WITHIN))?;
    let mut answer = [0; 5];
    ours.read_exact(&mut answer)?;
    let [tag, cut @ ..] = answer;
    match tag {
        0 => Ok(Revoked::Cut(u32::from_le_bytes(cut))),
        1 => Ok(Revoked::Unknown),
        _ => Ok(Revoked::Ended),
    }
}

/// Where the supervisor of a run is asked.
#[derive(Debug)]
pub(super) struct Desk(UnixDatagram);

/// A revocation that was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) grant: Grant,
    answer: UnixStream,
}

impl Desk {
    pub(super) fn open(dir: &RunDir) -> io::Result<Self> {
        let directory = open(&dir.path)?;
        let socket = UnixDatagram::bind(path_in(directory.as_fd()))?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// What was asked, and not more than some of it at once. What makes no sense is dropped, and its sender sees
    /// the end of the stream.
    pub(super) fn take(&self) -> Vec<Asked> {
        std::iter::from_fn(|| self.next().ok()).take(ASKED_MAX).flatten().collect()
    }

    fn next(&self) -> rustix::io::Result<Option<Asked>> {
        let mut text = [0; GRANT_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let message =
            rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut text)], &mut ancillary, flags)?;
        let answer: Option<OwnedFd> = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let text = text.get(..message.bytes).and_then(|text| std::str::from_utf8(text).ok());
        let grant = text.and_then(|text| text.parse().ok());
        Ok(grant.zip(answer).map(|(grant, answer)| Asked { grant, answer: UnixStream::from(answer) }))
    }
}

impl Asked {
    /// Says what became of it. Whoever asked may be gone.
    pub(super) fn answer(mut self, revoked: Revoked) {
        let (tag, cut) = match revoked {
            Revoked::Cut(cut) => (0, cut),
            Revoked::Unknown => (1, 0),
            Revoked::Ended => (2, 0),
        };
        let _ = self.answer.set_nonblocking(true);
        let cut = cut.to_le_bytes();
        let _ = self.answer.write_all(&[tag, cut[0], cut[1], cut[2], cut[3]]);
    }
}

fn open(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(directory, flags, Mode::empty())?)
}

/// The path of the socket, short enough for an address whatever the directory.
fn path_in(directory: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd())
}
