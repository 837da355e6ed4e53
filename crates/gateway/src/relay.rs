//! Passes bytes between a client and its host, both ways, until both have ended or one breaks.
//!
//! The kernel moves the bytes through a pipe, which a connection has only while bytes are in it. What is
//! looked at first ([`Gate`]) is copied, and what was looked at is what is sent: a client could still change
//! bytes that it sent by reference.
//!
//! **Invariant:** a connection on which nothing happens has no buffer here.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::Shutdown;
use rustix::pipe::SpliceFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::Why;
use crate::gate::{Gate, Step};
use crate::gateway::Gateway;
use crate::pipes::{PIPE_BYTES, Pipe};
use crate::seen::Account;
use crate::sockets::{discard, end_well, end_with_error, has_ended, if_ready, peek, send};

/// Bytes that one connection moves before others have their turn.
const TURN_BYTES: usize = 1 << 20;

/// Why a connection ends before both sides have ended it.
#[derive(Debug)]
pub(crate) enum Broken {
    /// One side is gone.
    Reset,
    /// It may not go on.
    Denied(Why),
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Reset // Whatever it was, the other side cannot be told more.
    }
}

/// A client and its host.
pub(crate) struct Relay<'a> {
    gateway: &'a Gateway,
    account: Account,
    client: TcpStream,
    host: TcpStream,
    up: Flow,
    down: Flow,
}

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Host,
}

/// One direction.
#[derive(Default)]
struct Flow {
    /// Looks at what comes before it may pass.
    gate: Option<Box<Gate>>,
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    held: usize,
    booking: Option<Booking>,
    state: State,
}

/// When so many bytes may be moved.
struct Booking {
    bytes: usize,
    wait: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The sender has ended; what it sent is still on its way.
    Ending,
    /// The receiver knows.
    Closed,
}

/// Between whom one direction goes.
struct Path<'a> {
    gateway: &'a Gateway,
    account: Account,
    from: &'a TcpStream,
    to: &'a TcpStream,
    sender: Side,
}

impl<'a> Relay<'a> {
    /// Nothing passes before [`Relay::run`]; what the client sends passes `gate` first.
    pub(crate) fn new(
        gateway: &'a Gateway,
        account: Account,
        [client, host]: [TcpStream; 2],
        gate: Option<Gate>,
    ) -> Self {
        for stream in [&client, &host] {
            end_with_error(stream);
            let _ = stream.set_nodelay(true); // Where it fails, the connection is gone already.
        }
        let up = Flow { gate: gate.map(Box::new), ..Flow::default() };
        Self { gateway, account, client, host, up, down: Flow::default() }
    }

    /// Passes bytes on until both sides have ended. May be dropped and called again.
    pub(crate) async fn run(&mut self) -> Result<(), Broken> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Self { gateway, account, client, host, up, down } = self;
        let (gateway, account) = (*gateway, *account);
        let up_ends =
            up.poll(&Path { gateway, account, from: client, to: host, sender: Side::Client }, context)?;
        if up_ends.is_ready() && gateway.is_ending.get() {
            return Poll::Ready(Ok(())); // Nobody is there any more to whom something could come.
        }
        let down_ends =
            down.poll(&Path { gateway, account, from: host, to: client, sender: Side::Host }, context)?;
        if up_ends.is_ready() && down_ends.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Ends both sides as they ended themselves. Without it they end with an error.
    pub(crate) fn end(self) {
        end_well(&self.client);
        end_well(&self.host);
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        for flow in [&mut self.up, &mut self.down] {
            if let Some(pipe) = flow.pipe.take() {
                if flow.held == 0 {
                    self.gateway.pipes.give_back(pipe);
                } else {
                    self.gateway.pipes.throw_away(pipe);
                }
            }
            if let (Some(booking), Some(bandwidth)) = (flow.booking.take(), self.gateway.budget.bandwidth()) {
                bandwidth.give_back(booking.bytes);
            }
        }
    }
}

impl Flow {
    fn poll(&mut self, path: &Path<'_>, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let moved = self.poll_move(path, context);
        if let Some(pipe) = self.pipe.take_if(|_| self.held == 0) {
            path.gateway.pipes.give_back(pipe);
        }
        moved
    }

    fn poll_move(&mut self, path: &Path<'_>, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut moved = 0;
        loop {
            ready!(self.poll_pass_on(path, context))?;
            match self.state {
                State::Open => {}
                State::Ending => {
                    self.state = State::Closed;
                    rustix::net::shutdown(path.to, Shutdown::Write).map_err(io::Error::from)?;
                    return Poll::Ready(Ok(()));
                }
                State::Closed => return Poll::Ready(Ok(())),
            }
            if moved >= TURN_BYTES {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match path.from.poll_read_ready(context) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => {
                    moved += ready!(self.poll_hurry(path, context))?;
                    continue;
                }
            }
            let Some(most) = ready!(self.poll_most(path, context))? else { continue };
            moved += ready!(self.poll_take(path, most, context))?;
        }
    }

    /// Sends what is held.
    fn poll_pass_on(&mut self, path: &Path<'_>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(bytes) = self.gate.as_ref().map(|gate| gate.unsent()).filter(|bytes| !bytes.is_empty())
        {
            ready!(path.to.poll_write_ready(context))?;
            let sent = send(path.to, bytes)?.unwrap_or(0);
            if let Some(gate) = &mut self.gate {
                gate.sent(sent);
            }
        }
        while let (Some(pipe), 1..) = (&self.pipe, self.held) {
            ready!(path.to.poll_write_ready(context))?;
            let sent = path.to.try_io(Interest::WRITABLE, || splice(&pipe.read, path.to, self.held));
            self.held -= if_ready(sent)?.unwrap_or(0).min(self.held);
        }
        Poll::Ready(Ok(()))
    }

    /// A client that has sent a part of what is looked at may not take for ever to send the rest. Nothing
    /// more came, so what is there is looked at once more, where it may pass as it is.
    fn poll_hurry(&mut self, path: &Path<'_>, context: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        let Some(gate) = &mut self.gate else { return Poll::Pending };
        ready!(gate.poll_deadline(context));
        if !gate.hurry() {
            return Poll::Ready(Err(Broken::Denied(Why::Malformed)));
        }
        let mut scratch = path.gateway.scratch.borrow_mut();
        let length = peek(path.from, &mut scratch)?;
        let step = gate.look(&scratch[..length], || has_ended(path.from));
        let taken = self.go(step, path, &mut scratch[..length])?;
        path.count(taken);
        Poll::Ready(Ok(taken))
    }

    /// How many bytes may be moved now; nothing where the state has changed instead.
    fn poll_most(
        &mut self,
        path: &Path<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<usize>, Broken>> {
        let left = usize::try_from(path.gateway.budget.bytes()).unwrap_or(usize::MAX);
        if left == 0 {
            let result = path.from.try_io(Interest::READABLE, || peek(path.from, &mut [0]));
            return Poll::Ready(match if_ready(result)? {
                Some(0) => {
                    self.state = State::Ending;
                    Ok(None)
                }
                Some(_) => Err(Broken::Denied(Why::Traffic)),
                None => Ok(None),
            });
        }
        let Some(bandwidth) = path.gateway.budget.bandwidth() else { return Poll::Ready(Ok(Some(left))) };
        let booking = self.booking.get_or_insert_with(|| {
            let (bytes, at) = bandwidth.book(Instant::now());
            Booking { bytes, wait: Box::pin(sleep_until(at)) }
        });
        ready!(booking.wait.as_mut().poll(context));
        Poll::Ready(Ok(Some(left.min(booking.bytes))))
    }

    /// Takes what came, and counts it.
    fn poll_take(
        &mut self,
        path: &Path<'_>,
        most: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, Broken>> {
        let taken = if self.gate.is_some() {
            ready!(path.to.poll_write_ready(context))?; // So that what passes need not be kept here.
            self.take_through_gate(path)?
        } else {
            ready!(self.poll_take_unseen(path, most, context))?
        };
        path.count(taken);
        if let (Some(booking), Some(bandwidth)) = (self.booking.take(), path.gateway.budget.bandwidth()) {
            bandwidth.settle(booking.bytes, taken);
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_take_unseen(
        &mut self,
        path: &Path<'_>,
        most: usize,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.pipe.is_none() {
            self.pipe = path.gateway.pipes.take();
        }
        let taken = match &self.pipe {
            Some(pipe) => {
                let most = most.min(PIPE_BYTES);
                let taken =
                    if_ready(path.from.try_io(Interest::READABLE, || splice(path.from, &pipe.write, most)))?;
                self.held = taken.unwrap_or(0);
                taken
            }
            None => {
                ready!(path.to.poll_write_ready(context))?;
                path.copy(most)?
            }
        };
        if taken == Some(0) {
            self.state = State::Ending;
        }
        Poll::Ready(Ok(taken.unwrap_or(0)))
    }

    /// Takes as much as the gate lets through.
    fn take_through_gate(&mut self, path: &Path<'_>) -> Result<usize, Broken> {
        let Some(gate) = &mut self.gate else { return Ok(0) };
        let mut scratch = path.gateway.scratch.borrow_mut();
        let looked = path.from.try_io(Interest::READABLE, || {
            let length = peek(path.from, &mut scratch)?;
            match gate.look(&scratch[..length], || has_ended(path.from)) {
                // The same bytes are seen again, with more behind them, when these have come.
                Step::More => Err(io::ErrorKind::WouldBlock.into()),
                step => Ok((step, length)),
            }
        });
        let Some((step, length)) = if_ready(looked)? else { return Ok(0) };
        self.go(step, path, &mut scratch[..length])
    }

    /// Does with bytes that came what the gate says; how many were taken.
    fn go(&mut self, step: Step, path: &Path<'_>, bytes: &mut [u8]) -> Result<usize, Broken> {
        match step {
            Step::More => Ok(0),
            Step::Refuse(why) => Err(Broken::Denied(why)),
            Step::Open => {
                self.gate = None;
                Ok(0)
            }
            Step::Pass(most) => {
                let length = most.min(bytes.len());
                let bytes = &mut bytes[..length];
                if u64::try_from(length).unwrap_or(u64::MAX) > path.gateway.budget.bytes() {
                    return Err(Broken::Denied(Why::Traffic));
                }
                let sent = send(path.to, bytes)?.unwrap_or(0);
                if let Some(gate) = &mut self.gate {
                    gate.keep(&bytes[sent..]);
                }
                discard(path.from, bytes)?;
                Ok(bytes.len())
            }
        }
    }
}

impl Path<'_> {
    /// Copies what came, as far as it can be sent; the rest stays where it is. Nothing where there is nothing
    /// to do yet.
    fn copy(&self, most: usize) -> io::Result<Option<usize>> {
        let mut scratch = self.gateway.scratch.borrow_mut();
        let most = most.min(scratch.len());
        let came = self.from.try_io(Interest::READABLE, || peek(self.from, &mut scratch[..most]));
        let Some(came) = if_ready(came)? else { return Ok(None) };
        if came == 0 {
            return Ok(Some(0));
        }
        let Some(sent) = send(self.to, &scratch[..came])? else { return Ok(None) };
        discard(self.from, &mut scratch[..sent])?;
        Ok(Some(sent))
    }

    fn count(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.gateway.budget.spend(bytes);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.gateway.seen.count(self.account, |traffic| match self.sender {
            Side::Client => traffic.sent_bytes += bytes,
            Side::Host => traffic.received_bytes += bytes,
        });
    }
}

fn splice(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd, most: usize) -> io::Result<usize> {
    Ok(rustix::pipe::splice(from, None, to, None, most, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}
