//! Where the supervisor of a run is asked for something while the run goes on: to take a grant back, to stop, to
//! tell its person something.
//!
//! A socket in the directory of the run, which only its user may enter and no job sees. One datagram asks, and
//! carries the descriptor for the answer. The one who asks knows that nobody else answers: the socket is named by the
//! run, never by the number of a process.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::time::Duration;

use aseptic_model::Grant;
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use crate::run_dir::RunDir;

/// The socket in the directory of a run.
const SOCKET: &str = "desk";

/// Longest text of a request.
const REQUEST_BYTES_MAX: usize = 4_096;

/// Most requests that are read at once.
const ASKED_MAX: usize = 64;

/// How long the supervisor of a run may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What the supervisor of a run can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Take a grant back.
    Revoke(Grant),
    /// End the job; who asks.
    Stop(String),
    /// Tell this to the person who started it, and keep it in its record.
    Tell(String),
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is done, or begun; of a revocation, so many connections were cut.
    Done(u32),
    /// The run has nothing of that kind.
    Unknown,
    /// The run has it no more.
    Ended,
}

impl Wish {
    fn to_text(&self) -> String {
        match self {
            Self::Revoke(grant) => format!("revoke {grant}"),
            Self::Stop(who) => format!("stop {who}"),
            Self::Tell(what) => format!("tell {what}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ')? {
            ("revoke", grant) => grant.parse().ok().map(Self::Revoke),
            ("stop", who) => Some(Self::Stop(who.to_owned())),
            ("tell", what) => Some(Self::Tell(what.to_owned())),
            _ => None,
        }
    }
}

/// A supervisor that was asked.
#[derive(Debug)]
pub(crate) struct Waiting(UnixStream);

/// Asks the supervisor of the run in `directory`. The request waits there until the supervisor takes it.
///
/// # Errors
/// `NotFound` or `ConnectionRefused`: no supervisor is there.
pub(crate) fn ask(directory: &Path, wish: &Wish) -> io::Result<Waiting> {
    let (ours, theirs) = UnixStream::pair()?;
    let socket = UnixDatagram::unbound()?;
    let directory = open(directory)?;
    socket.connect(path_in(directory.as_fd()))?;
    let mut text = wish.to_text();
    while text.len() > REQUEST_BYTES_MAX {
        text.pop();
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [theirs.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT; // A full queue is a supervisor that hears nothing.
    rustix::net::sendmsg(&socket, &[IoSlice::new(text.as_bytes())], &mut ancillary, flags)?;
    Ok(Waiting(ours)) // The supervisor has the other end; if it ends, so does the stream.
}

impl Waiting {
    /// Waits for the answer.
    ///
    /// # Errors
    /// `UnexpectedEof`: the supervisor ended first. `WouldBlock`: it did not answer in time.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        self.0.set_read_timeout(Some(ANSWER_WITHIN))?;
        let mut answer = [0; 5];
        self.0.read_exact(&mut answer)?;
        let [tag, count @ ..] = answer;
        Ok(match tag {
            0 => Answer::Done(u32::from_le_bytes(count)),
            1 => Answer::Unknown,
            _ => Answer::Ended,
        })
    }

    /// Waits until the supervisor is done with the run; false when that takes longer than `within`.
    pub(crate) fn until_over(&mut self, within: Duration) -> bool {
        let waited = self.0.set_read_timeout(Some(within)).and_then(|()| self.0.read(&mut [0]));
        waited.is_ok_and(|read| read == 0)
    }
}

/// Where the supervisor of a run is asked.
#[derive(Debug)]
pub(crate) struct Desk {
    socket: UnixDatagram,
    /// Taken before the job started.
    early: VecDeque<Asked>,
}

/// Something that was asked for. As long as it lives, whoever asked waits.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) wish: Wish,
    answer: UnixStream,
}

impl Desk {
    pub(crate) fn open(dir: &RunDir) -> io::Result<Self> {
        let directory = open(&dir.path)?;
        let socket = UnixDatagram::bind(path_in(directory.as_fd()))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, early: VecDeque::new() })
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Who asked that the run stop, before its job started. Everything else waits.
    pub(crate) fn stop_early(&mut self) -> Option<Asked> {
        self.early.extend(self.read());
        let at = self.early.iter().position(|asked| matches!(asked.wish, Wish::Stop(_)))?;
        self.early.remove(at)
    }

    /// What was asked, and not more than some of it at once. What makes no sense is dropped, and its sender sees
    /// the end of the stream.
    pub(crate) fn take(&mut self) -> Vec<Asked> {
        let early = self.early.drain(..).collect::<Vec<_>>();
        early.into_iter().chain(self.read()).collect()
    }

    fn read(&self) -> Vec<Asked> {
        std::iter::from_fn(|| self.next().ok()).take(ASKED_MAX).flatten().collect()
    }

    fn next(&self) -> rustix::io::Result<Option<Asked>> {
        let mut text = [0; REQUEST_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let message =
            rustix::net::recvmsg(&self.socket, &mut [IoSliceMut::new(&mut text)], &mut ancillary, flags)?;
        let answer: Option<OwnedFd> = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let wish = text.get(..message.bytes).and_then(|text| Wish::parse(std::str::from_utf8(text).ok()?));
        Ok(wish.zip(answer).map(|(wish, answer)| Asked { wish, answer: UnixStream::from(answer) }))
    }
}

impl Asked {
    /// Says what became of it. Whoever asked may be gone.
    pub(crate) fn answer(&mut self, answer: Answer) {
        let (tag, count) = match answer {
            Answer::Done(count) => (0, count),
            Answer::Unknown => (1, 0),
            Answer::Ended => (2, 0),
        };
        let _ = self.answer.set_nonblocking(true);
        let count = count.to_le_bytes();
        let _ = self.answer.write_all(&[tag, count[0], count[1], count[2], count[3]]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_heard_before_the_job_starts_and_the_rest_waits() {
        let place = tempfile::tempdir().unwrap();
        let dir = RunDir::create(place.path().join("run")).unwrap();
        let mut desk = Desk::open(&dir).unwrap();
        let mut told = ask(&dir.path, &Wish::Tell("a".to_owned())).unwrap();
        let mut stopped = ask(&dir.path, &Wish::Stop("user:ada".to_owned())).unwrap();
        let mut early = desk.stop_early().unwrap();
        assert_eq!(early.wish, Wish::Stop("user:ada".to_owned()));
        early.answer(Answer::Done(0));
        assert_eq!(stopped.answer().unwrap(), Answer::Done(0));
        assert!(!stopped.until_over(Duration::from_millis(1)), "the run is not over");
        drop(early);
        assert!(stopped.until_over(Duration::from_secs(60)));
        let mut rest = desk.take();
        assert_eq!(rest.len(), 1);
        rest[0].answer(Answer::Unknown);
        assert_eq!(told.answer().unwrap(), Answer::Unknown);
        drop((desk, dir));
        let gone = ask(&place.path().join("run"), &Wish::Tell("b".to_owned())).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn what_makes_no_sense_is_dropped() {
        for bad in ["", "stop", "revoke nothing", "kill 1"] {
            assert_eq!(Wish::parse(bad), None, "{bad}");
        }
        for wish in [Wish::Stop("a b".to_owned()), Wish::Revoke("a.example:443".parse().unwrap())] {
            assert_eq!(Wish::parse(&wish.to_text()), Some(wish));
        }
    }
}
