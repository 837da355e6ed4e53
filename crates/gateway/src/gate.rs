//! Looks at what a client sends first: the host that it asks for must be the one that is granted.
//!
//! What may still become the line of a request passes when its client waits, and stays in mind: a server
//! does nothing before it has the rest, which passes when it was judged with what is in mind.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::Why;
use crate::grants::Target;
use crate::hello::{self, Hello};
use crate::http::{self, Expected, Guess, Inspector, Verdict};

/// How long the rest of a beginning may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the rest of a first line may take before what is there passes: its client may wait for an answer.
const QUIET: Duration = Duration::from_millis(200);

/// What a client may ask its host for, and how far it has come.
#[derive(Debug)]
pub(crate) struct Gate {
    target: Target,
    stage: Stage,
    /// The beginning of a first line that passed before it was whole.
    shown: Vec<u8>,
    /// Whether what is there passes, if it may.
    hurried: bool,
    /// What passed and was not sent yet, and how much of that was.
    passed: Vec<u8>,
    sent: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum Stage {
    /// Nothing was seen yet.
    First,
    /// The first message of TLS was seen. A server may ask for another one.
    Tls,
    /// It is HTTP, and each request is looked at.
    Http(Inspector),
    /// These are the frames of a WebSocket, or what a server that wants none could take for a request.
    Frames,
}

/// What becomes of bytes that were looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// They say nothing yet.
    More,
    /// So many of them pass; then comes the next look.
    Pass(usize),
    /// These and all others pass.
    Open,
    /// No others may come.
    Refuse(Why),
}

impl Gate {
    pub(crate) fn new(target: Target) -> Self {
        let (shown, passed) = (Vec::new(), Vec::new());
        Self { target, stage: Stage::First, shown, hurried: false, passed, sent: 0, deadline: None }
    }

    /// Looks at the bytes that came and did not pass yet. `has_ended` tells whether they are the last ones.
    pub(crate) fn look(&mut self, bytes: &[u8], has_ended: impl Fn() -> bool) -> Step {
        let joined;
        let all = if self.shown.is_empty() {
            bytes // As nearly always: a body is not copied.
        } else {
            joined = [&self.shown, bytes].concat();
            &joined
        };
        if bytes.is_empty() {
            // The client has ended. Some servers take that for the end of what is in mind.
            return if all.is_empty() { Step::Open } else { self.look_at_rest(all) };
        }
        let step = match &mut self.stage {
            Stage::First => self.look_first(all),
            Stage::Http(inspector) => match look_for_request(inspector, all) {
                Step::Open => {
                    self.stage = Stage::Frames;
                    look_for_version(all)
                }
                step => Some(step),
            },
            Stage::Frames => look_for_version(all),
            Stage::Tls => Some(self.look_for_hello(hello::again(all))),
        };
        let hurried = std::mem::take(&mut self.hurried);
        match step {
            None => self.show(bytes),
            Some(Step::More) if has_ended() => self.look_at_rest(all),
            Some(Step::More) if hurried => self.show(bytes),
            Some(Step::More) => {
                let patience = if self.may_hurry(all) { QUIET } else { PATIENCE };
                self.deadline.get_or_insert_with(|| Box::pin(sleep(patience)));
                Step::More
            }
            Some(step) => {
                self.deadline = None;
                self.pass(step)
            }
        }
    }

    /// Lets what is there pass at the next look; false where that would let it pass unjudged.
    pub(crate) fn hurry(&mut self) -> bool {
        self.deadline = None;
        self.hurried = matches!(self.stage, Stage::First);
        self.hurried
    }

    /// Whether these bytes may pass although there is no telling yet what they are.
    fn may_hurry(&self, all: &[u8]) -> bool {
        matches!(self.stage, Stage::First) && hello::parse(all) == Hello::NotTls
    }

    /// Passes bytes that stay in mind.
    fn show(&mut self, bytes: &[u8]) -> Step {
        self.deadline = None;
        self.shown.extend_from_slice(bytes);
        Step::Pass(bytes.len())
    }

    /// What passes of the bytes that came, when this passes of them and those in mind.
    fn pass(&mut self, step: Step) -> Step {
        let Step::Pass(length) = step else { return step };
        let shown = self.shown.len().min(length);
        self.shown.drain(..shown);
        Step::Pass(length - shown)
    }

    /// The client has ended in the middle of what is looked at. What is no TLS, and would be no HTTP as a whole
    /// line, either, may pass.
    fn look_at_rest(&self, all: &[u8]) -> Step {
        let line = [all, b"\n"].concat();
        let is_other = match self.stage {
            Stage::First => hello::parse(all) == Hello::NotTls && http::guess(&line) == Guess::Other,
            Stage::Frames => true,
            Stage::Tls | Stage::Http(_) => false,
        };
        if is_other && http::names_version(&line) == Some(false) {
            Step::Open
        } else {
            Step::Refuse(Why::Malformed)
        }
    }

    /// Nothing where what is there is neither TLS nor HTTP, and what follows may still make it a request to a
    /// server that takes any method.
    fn look_first(&mut self, all: &[u8]) -> Option<Step> {
        match self.look_for_hello(hello::parse(all)) {
            Step::Open => self.look_for_http(all),
            step => Some(step),
        }
    }

    fn look_for_http(&mut self, all: &[u8]) -> Option<Step> {
        Some(match http::guess(all) {
            Guess::Partial => Step::More,
            Guess::Http => {
                let mut inspector = Inspector::new(match self.target.clone() {
                    Target::Name(name, port) => Expected::Name(name, port),
                    Target::Address(address) => Expected::Address(address),
                });
                let step = look_for_request(&mut inspector, all);
                self.stage = Stage::Http(inspector);
                step
            }
            Guess::Http2 => Step::Refuse(Why::Malformed), // Its requests cannot be read.
            Guess::Other => return look_for_version(all),
        })
    }

    fn look_for_hello(&mut self, hello: Hello) -> Step {
        match hello {
            Hello::Partial => Step::More,
            Hello::NotTls => Step::Open,
            Hello::Malformed => Step::Refuse(Why::Malformed),
            Hello::Client { name, length } => {
                let granted = match &self.target {
                    Target::Name(granted, _) => Some(granted),
                    Target::Address(_) => None,
                };
                if name.as_ref() == granted {
                    self.stage = Stage::Tls;
                    Step::Pass(length)
                } else {
                    Step::Refuse(Why::ServerName(name.map(|name| name.to_string())))
                }
            }
        }
    }

    /// Keeps what passed and could not be sent yet.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.passed = bytes.to_vec();
        self.sent = 0;
    }

    /// What passed and was not sent yet.
    pub(crate) fn unsent(&self) -> &[u8] {
        self.passed.get(self.sent..).unwrap_or_default()
    }

    /// So many bytes of that were sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.unsent().is_empty() {
            (self.passed, self.sent) = (Vec::new(), 0);
        }
    }

    /// Ready when the rest of a beginning took too long.
    pub(crate) fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

/// Nothing while the first line is not whole.
fn look_for_version(bytes: &[u8]) -> Option<Step> {
    let names_version = http::names_version(bytes)?;
    Some(if names_version { Step::Refuse(Why::Malformed) } else { Step::Open })
}

fn look_for_request(inspector: &mut Inspector, bytes: &[u8]) -> Step {
    match inspector.look(bytes) {
        Verdict::Pass(0) => Step::More,
        Verdict::Pass(length) => Step::Pass(length),
        Verdict::Open => Step::Open,
        Verdict::Refuse(why) => Step::Refuse(why),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::tests::support::{hello, local};

    fn gate() -> Gate {
        Gate::new(Target::Name("a.example".parse().unwrap(), 443))
    }

    fn look(gate: &mut Gate, bytes: &[u8]) -> Step {
        gate.look(bytes, || false)
    }

    #[test]
    fn a_half_message_has_a_deadline_and_a_whole_one_has_none() {
        local(async {
            let whole = hello(Some("a.example"));
            let mut gate = gate();
            assert_eq!(look(&mut gate, &whole[..9]), Step::More);
            tokio::time::pause();
            tokio::time::advance(2 * PATIENCE).await;
            poll_fn(|context| gate.poll_deadline(context)).await;
            assert_eq!(look(&mut gate, &whole), Step::Pass(whole.len()));
            let none = poll_fn(|context| Poll::Ready(gate.poll_deadline(context))).await;
            assert!(none.is_pending());
        });
    }

    #[test]
    fn a_second_message_must_ask_for_the_same_host() {
        local(async {
            let (granted, other) = (hello(Some("a.example")), hello(Some("b.example")));
            let mut gate = gate();
            assert_eq!(look(&mut gate, &granted), Step::Pass(granted.len()));
            assert_eq!(look(&mut gate, &granted), Step::Pass(granted.len()));
            assert_eq!(look(&mut gate, &other), Step::Refuse(Why::ServerName(Some("b.example".to_owned()))));
            assert_eq!(look(&mut gate, b"\x17\x03\x03\0\x01x"), Step::Open);
        });
    }
}
