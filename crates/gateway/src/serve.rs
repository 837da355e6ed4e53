//! A gateway from its start to its end, and its conversation with its supervisor.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use aseptic_model::in_words;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};
use tokio::time::{Instant, sleep_until, timeout};

use crate::frame::{Frames, ProtocolError, to_frame};
use crate::gateway::{Gateway, World};
use crate::proxy::InvalidProxy;
use crate::race::{Won, race};
use crate::{Ends, Order, Report, Settings, accept, name_server, refused, resolve};

/// How often what was seen is reported, at most.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// How long connections may take, after the run is over, to pass on what its job has sent.
const FLUSH: Duration = Duration::from_secs(2);

/// How often everything else has its turn after the run is over, before it is looked at what is open: time to
/// accept what the kernel has accepted.
const ACCEPTED_LAST: usize = 100;

/// Why a gateway could not serve, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The conversation with the supervisor broke.
    #[error("the conversation with the supervisor broke")]
    Protocol(#[from] ProtocolError),
    /// The settings cannot be followed.
    #[error("the settings cannot be followed")]
    Settings(#[from] InvalidProxy),
    /// A system call failed.
    #[error("could not {step}")]
    Io {
        /// What was done.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl ServeError {
    fn io(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { step, source }
    }
}

/// Serves one run: says that it does, and goes on until its supervisor says that the run is over, or is gone.
///
/// Blocks. Starts threads for look-ups, which may outlive it by seconds.
///
/// # Errors
/// It could not begin, which the supervisor is told, too, or the conversation with the supervisor broke.
pub fn serve(stream: UnixStream, settings: Settings, ends: Ends) -> Result<(), ServeError> {
    serve_in(World::system(), stream, settings, ends)
}

/// As [`serve`], in a world that may be a test's.
pub(crate) fn serve_in(
    world: World,
    stream: UnixStream,
    settings: Settings,
    ends: Ends,
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(resolve::THREADS)
        .build()
        .map_err(ServeError::io("start"))?;
    let result = LocalSet::new().block_on(&runtime, converse(world, stream, settings, ends));
    runtime.shutdown_background(); // Look-ups that hang are not waited for.
    result
}

async fn converse(
    world: World,
    stream: UnixStream,
    settings: Settings,
    ends: Ends,
) -> Result<(), ServeError> {
    let failed = "talk to the supervisor";
    stream.set_nonblocking(true).map_err(ServeError::io(failed))?;
    let stream = tokio::net::UnixStream::from_std(stream).map_err(ServeError::io(failed))?;
    let (reader, mut writer) = stream.into_split();
    let (gateway, parts) = match Parts::start(world, settings, ends) {
        Ok(started) => started,
        Err(error) => {
            say(&mut writer, &Report::Failed { why: in_words(&error) }).await?;
            return Err(error);
        }
    };
    say(&mut writer, &Report::Ready).await?;
    let (told, mut orders) = mpsc::channel(1);
    spawn_local(read_orders(reader, told));
    let mut not_before = Instant::now();
    loop {
        let is_something_new = async {
            sleep_until(not_before).await;
            gateway.seen.wait().await;
        };
        match race(orders.recv(), is_something_new).await {
            Won::First(None) => return Ok(()), // The supervisor is gone, and so is the run.
            Won::First(Some(order)) => match order? {
                Order::Revoke { grant } => {
                    let cut = gateway.grants.revoke(&grant).await;
                    say_seen(&mut writer, &gateway).await?;
                    say(&mut writer, &Report::Revoked { grant, cut }).await?;
                }
                Order::Finish => {
                    parts.finish(&gateway).await;
                    say_seen(&mut writer, &gateway).await?;
                    return say(&mut writer, &Report::Finished).await;
                }
            },
            Won::Second(()) => {
                say_seen(&mut writer, &gateway).await?;
                not_before = Instant::now() + REPORT_EVERY;
            }
        }
    }
}

/// Reads orders until the supervisor is gone or says what cannot be read.
async fn read_orders(mut reader: OwnedReadHalf, told: mpsc::Sender<Result<Order, ProtocolError>>) {
    let mut frames = Frames::default();
    let mut piece = [0; 1024];
    loop {
        match frames.next().transpose() {
            Some(order) => {
                let is_last = order.is_err();
                if told.send(order).await.is_err() || is_last {
                    return;
                }
            }
            None => match reader.read(&mut piece).await {
                Ok(length @ 1..) => frames.push(&piece[..length]),
                Ok(0) | Err(_) => return,
            },
        }
    }
}

async fn say_seen(writer: &mut OwnedWriteHalf, gateway: &Gateway) -> Result<(), ServeError> {
    while let Some(report) = gateway.seen.take() {
        say(writer, &report).await?;
    }
    Ok(())
}

async fn say(writer: &mut OwnedWriteHalf, report: &Report) -> Result<(), ServeError> {
    let frame = to_frame(report)?;
    Ok(writer.write_all(&frame).await.map_err(ProtocolError::io("report"))?)
}

/// What serves the job, beside its connections.
struct Parts {
    listeners: Vec<JoinHandle<()>>,
    refused: Option<Rc<refused::Source>>,
}

impl Parts {
    fn start(world: World, settings: Settings, ends: Ends) -> Result<(Rc<Gateway>, Self), ServeError> {
        raise_descriptors().map_err(ServeError::io("raise the limit of open files"))?;
        let gateway = Rc::new(Gateway::new(settings, ends.connections_6.is_some(), world)?);
        let socket = datagrams(ends.names).map_err(ServeError::io("answer questions for names"))?;
        spawn_local(name_server::serve(Rc::clone(&gateway), socket));
        let mut listeners = Vec::new();
        for end in [Some(ends.connections), ends.connections_6].into_iter().flatten() {
            let listener = listener(end).map_err(ServeError::io("accept connections"))?;
            listeners.push(spawn_local(accept::serve(Rc::clone(&gateway), listener)));
        }
        let source = ends.refused.map(refused::Source::new).transpose();
        let source = source.map_err(ServeError::io("hear of refused packets"))?;
        let refused = source.map(Rc::new);
        if let Some(source) = &refused {
            spawn_local(refused::listen(Rc::clone(&gateway), Rc::clone(source)));
        }
        Ok((gateway, Self { listeners, refused }))
    }

    /// The job is gone. What it sent, also on connections that were not accepted yet, goes out; what came in
    /// nobody reads any more.
    async fn finish(self, gateway: &Gateway) {
        gateway.is_ending.set(true);
        for _ in 0..ACCEPTED_LAST {
            yield_now().await;
        }
        gateway.grants.wake();
        drop(timeout(FLUSH, gateway.grants.empty()).await);
        self.listeners.iter().for_each(JoinHandle::abort);
        if let Some(source) = &self.refused {
            source.drain(gateway);
        }
    }
}

fn datagrams(end: OwnedFd) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::from(end);
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn listener(end: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(end);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Each connection has two descriptors, and the usual limit is meant for programs that know only `select`.
fn raise_descriptors() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
