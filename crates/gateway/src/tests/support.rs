//! What tests of a gateway need: the machine that it runs on, and a job.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aseptic_model::{Grant, Traffic};
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::task::LocalSet;

use crate::gateway::World;
use crate::pipes::PIPES_MAX;
use crate::resolve::NoAddress;
use crate::serve::{ServeError, serve_in};
use crate::{Conversation, Denial, Ends, Order, ProtocolError, Reached, Report, Settings, Why, Wish};

/// What a test waits for comes, on the slowest machine, before this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `work` as a gateway runs.
pub(crate) fn local<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = LocalSet::new().block_on(&runtime, work);
    runtime.shutdown_background();
    result
}

/// What a machine is told before its gateway starts.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) settings: Settings,
    names: HashMap<String, Result<Vec<IpAddr>, NoAddress>>,
    /// A name whose look-up takes until the other end is dropped.
    held: Option<(String, Receiver<()>)>,
    without_6: bool,
    without_pipes: bool,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn grant(mut self, grant: impl AsRef<str>) -> Self {
        self.settings.grants.push(grant.as_ref().parse().unwrap());
        self
    }

    /// A name outside, with its addresses.
    pub(crate) fn name(mut self, name: &str, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.names.insert(name.to_owned(), Ok(addresses));
        self
    }

    pub(crate) fn failing(mut self, name: &str, why: NoAddress) -> Self {
        self.names.insert(name.to_owned(), Err(why));
        self
    }

    /// A name that is granted, and leads to this port of the machine itself, which is granted, too.
    pub(crate) fn host(self, name: &str, port: u16) -> Self {
        self.name(name, &["127.0.0.1"]).grant(format!("{name}:{port}")).grant(format!("127.0.0.1:{port}"))
    }

    /// Looking up this name takes until what is returned is dropped.
    pub(crate) fn holding(mut self, name: &str) -> (Self, Sender<()>) {
        let (release, held) = mpsc::channel();
        self.held = Some((name.to_owned(), held));
        (self, release)
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub(crate) fn without_6(mut self) -> Self {
        self.without_6 = true;
        self
    }

    /// Every byte is copied.
    pub(crate) fn without_pipes(mut self) -> Self {
        self.without_pipes = true;
        self
    }

    pub(crate) fn start(self) -> Running {
        let connections = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        rustix::net::listen(&connections, 4_096).unwrap();
        let accepting = connections.local_addr().unwrap().port();
        let names = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let names_at = names.local_addr().unwrap();
        let wanted = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let world = World {
            lookup: lookup(self.names, self.held, Arc::clone(&asked)),
            destination: Arc::new(destination(Arc::clone(&wanted))),
            pipes: if self.without_pipes { 0 } else { PIPES_MAX },
        };
        let connections_6 =
            (!self.without_6).then(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().into());
        let ends =
            Ends { names: names.into(), connections: connections.into(), connections_6, refused: None };
        let (here, there) = UnixStream::pair().unwrap();
        let settings = self.settings;
        let gateway = thread::spawn(move || serve_in(world, there, settings, ends));
        let conversation = Some(Conversation::new(here).unwrap());
        let told = Told::default();
        let mut running = Running { accepting, names_at, wanted, asked, gateway, conversation, told };
        running.until(|told| told.is_ready);
        running
    }
}

type Lookups = Result<Vec<IpAddr>, NoAddress>;

/// A resolver that knows these names, and writes down for which it was asked.
fn lookup(
    names: HashMap<String, Lookups>,
    held: Option<(String, Receiver<()>)>,
    asked: Arc<Mutex<Vec<String>>>,
) -> crate::resolve::Lookup {
    let held = Mutex::new(held);
    Arc::new(move |name: &str| {
        asked.lock().unwrap().push(name.to_owned());
        if let Some((_, held)) = held.lock().unwrap().as_ref().filter(|(held, _)| held == name) {
            let _ = held.recv();
        }
        names.get(name).cloned().unwrap_or(Err(NoAddress::NoSuchName))
    })
}

/// A connection to `127.200.x.y` is one to the `x.y`th of these.
fn destination(
    wanted: Arc<Mutex<Vec<SocketAddr>>>,
) -> impl Fn(&tokio::net::TcpStream) -> io::Result<SocketAddr> + Send + Sync {
    move |stream| {
        let IpAddr::V4(address) = stream.local_addr()?.ip() else { unreachable!("it listens there") };
        let [_, _, high, low] = address.octets();
        Ok(wanted.lock().unwrap()[usize::from(u16::from_be_bytes([high, low]))])
    }
}

/// A gateway that serves, and its supervisor.
pub(crate) struct Running {
    accepting: u16,
    names_at: SocketAddr,
    wanted: Arc<Mutex<Vec<SocketAddr>>>,
    asked: Arc<Mutex<Vec<String>>>,
    gateway: JoinHandle<Result<(), ServeError>>,
    conversation: Option<Conversation>,
    pub(crate) told: Told,
}

/// All that a gateway said.
#[derive(Debug, Default)]
pub(crate) struct Told {
    is_ready: bool,
    pub(crate) grants: BTreeMap<u32, Traffic>,
    pub(crate) hosts: BTreeMap<(String, u16), Reached>,
    pub(crate) denials: BTreeMap<(Wish, Why), u64>,
    pub(crate) unlisted_denials: u64,
    pub(crate) revoked: Vec<(Grant, u32)>,
    is_finished: bool,
}

impl Told {
    fn add(&mut self, report: Report) {
        match report {
            Report::Ready => self.is_ready = true,
            Report::Failed { why } => panic!("{why}"),
            Report::Seen { grants, hosts, denials, unlisted_denials, .. } => {
                self.grants.extend(grants);
                self.hosts.extend(hosts.into_iter().map(|host| ((host.host.clone(), host.port), host)));
                let denials = denials.into_iter().map(|Denial { wish, why, count }| ((wish, why), count));
                self.denials.extend(denials);
                self.unlisted_denials = unlisted_denials;
            }
            Report::Revoked { grant, cut } => self.revoked.push((grant, cut)),
            Report::Finished => self.is_finished = true,
        }
    }

    /// How often this was denied.
    pub(crate) fn denied(&self, wish: &Wish, why: &Why) -> u64 {
        self.denials.get(&(wish.clone(), why.clone())).copied().unwrap_or(0)
    }
}

impl Running {
    /// Hears the gateway until it has said that.
    pub(crate) fn until(&mut self, said: impl Fn(&Told) -> bool) {
        while !said(&self.told) {
            let conversation = self.conversation.as_mut().unwrap();
            let patience = Timespec::try_from(PATIENCE).unwrap();
            let ready = rustix::event::poll(&mut [PollFd::new(conversation, PollFlags::IN)], Some(&patience));
            assert_eq!(ready, Ok(1), "that was never said: {:?}", self.told);
            for report in conversation.read().unwrap() {
                self.told.add(report);
            }
        }
    }

    pub(crate) fn until_denied(&mut self, wish: &Wish, why: &Why) {
        self.until(|told| told.denied(wish, why) > 0);
    }

    pub(crate) fn order(&mut self, order: &Order) {
        self.conversation.as_mut().unwrap().send(order).unwrap();
    }

    /// Ends the run, and returns all that was said.
    pub(crate) fn finish(mut self) -> Told {
        self.order(&Order::Finish);
        self.until(|told| told.is_finished);
        assert!(matches!(self.conversation.as_mut().unwrap().read(), Err(ProtocolError::Ended) | Ok(_)));
        self.gateway.join().unwrap().unwrap();
        self.told
    }

    /// The supervisor is gone; returns when the gateway is, too.
    pub(crate) fn abandon(mut self) {
        self.conversation = None;
        let _ = self.gateway.join().unwrap();
    }

    /// The names that were looked up outside.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until a name was looked up outside, or began to be.
    pub(crate) fn until_asked(&self, name: &str) {
        while !self.asked().iter().any(|asked| asked == name) {
            thread::yield_now();
        }
    }

    /// The address that the job gets for a name, or the code of the answer (RFC 1035, section 4.1.1).
    pub(crate) fn resolve(&self, name: &str) -> Result<Ipv4Addr, u8> {
        let answer = self.ask(&question(name, 1));
        address(&answer)
    }

    /// The answer to a question over UDP, which is asked again where it is lost.
    pub(crate) fn ask(&self, question: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut answer = [0; 4_096];
        for _ in 0..PATIENCE.as_secs() {
            socket.send_to(question, self.names_at).unwrap();
            if let Ok(length) = socket.recv(&mut answer) {
                return answer[..length].to_vec();
            }
        }
        panic!("no answer to {}", question.escape_ascii());
    }

    /// Sends a question, or what is none.
    pub(crate) fn send_name_server(&self, socket: &UdpSocket, bytes: &[u8]) {
        let _ = socket.send_to(bytes, self.names_at);
    }

    /// The job connects to an address that it sees.
    pub(crate) fn connect_to(&self, destination: SocketAddr) -> TcpStream {
        self.try_connect_to(destination).unwrap()
    }

    fn try_connect_to(&self, destination: SocketAddr) -> io::Result<TcpStream> {
        let mut wanted = self.wanted.lock().unwrap();
        let known = wanted.iter().position(|known| *known == destination);
        let number = known.unwrap_or_else(|| {
            wanted.push(destination);
            wanted.len() - 1
        });
        drop(wanted);
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        let stream = TcpStream::connect((Ipv4Addr::new(127, 200, high, low), self.accepting))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Whether a connection to an address ends with an error, which may come before the job knows that there
    /// is a connection.
    pub(crate) fn refuses_at(&self, destination: SocketAddr) -> bool {
        match self.try_connect_to(destination) {
            Ok(stream) => is_reset(&stream),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// The same for a name.
    pub(crate) fn refuses(&self, name: &str, port: u16) -> bool {
        self.refuses_at((self.resolve(name).unwrap(), port).into())
    }

    /// The job connects to a name.
    pub(crate) fn connect(&self, name: &str, port: u16) -> TcpStream {
        let address = self.resolve(name).unwrap_or_else(|code| panic!("{name} has no address: code {code}"));
        self.connect_to((address, port).into())
    }
}

/// A question for a name, of this type.
pub(crate) fn question(name: &str, kind: u8) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for part in name.split('.').filter(|part| !part.is_empty()) {
        bytes.push(u8::try_from(part.len()).unwrap());
        bytes.extend(part.as_bytes());
    }
    bytes.extend([0, 0, kind, 0, 1]);
    bytes
}

/// The address at the end of an answer, or its code.
pub(crate) fn address(answer: &[u8]) -> Result<Ipv4Addr, u8> {
    match answer[3] & 15 {
        0 => Ok(Ipv4Addr::from_octets(*answer.last_chunk().unwrap())),
        code => Err(code),
    }
}

/// A host outside, which does this with each connection in a thread of its own. Returns its port.
pub(crate) fn host(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    rustix::net::listen(&listener, 4_096).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    port
}

/// A host that sends back what it gets.
pub(crate) fn echo() -> u16 {
    host(|mut stream| {
        let mut piece = vec![0; 64 << 10];
        while let Ok(length @ 1..) = stream.read(&mut piece) {
            if stream.write_all(&piece[..length]).is_err() {
                return;
            }
        }
    })
}

/// A host that accepts and keeps everything, and says nothing.
pub(crate) fn silent() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    rustix::net::listen(&listener, 4_096).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    port
}

/// All that comes until the end.
pub(crate) fn read_all(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map(|_| bytes)
}

/// Whether the connection ended with an error.
pub(crate) fn is_reset(stream: &TcpStream) -> bool {
    matches!(read_all(stream), Err(error) if error.kind() == io::ErrorKind::ConnectionReset)
}

/// Sends something and reads that it comes back.
pub(crate) fn assert_echoes(mut stream: &TcpStream) {
    stream.write_all(b"\0ping").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\0ping");
}

/// The first message of a TLS client that asks for this name.
pub(crate) fn hello(name: Option<&str>) -> Vec<u8> {
    let counted = |content: &[u8]| -> Vec<u8> {
        [&u16::try_from(content.len()).unwrap().to_be_bytes(), content].concat()
    };
    let names = |name: &str| counted(&[&[0], &counted(name.as_bytes())[..]].concat());
    let extensions = name.map_or_else(Vec::new, |name| [&[0, 0], &counted(&names(name))[..]].concat());
    let fixed = [&[3, 3], &[7; 32][..], &[0], &[0, 2, 0x13, 1], &[1, 0]].concat();
    let body = [&fixed[..], &counted(&extensions)].concat();
    let message = [&[1, 0], &counted(&body)[..]].concat();
    [&[22, 3, 1], &counted(&message)[..]].concat()
}
