//! Answers a job's questions for names. Nothing that a job asks goes further than a look-up of a granted name.
//!
//! A name that is not granted does not exist, for clients: they give up at once, where they would ask again
//! after a refusal.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use aseptic_model::{HostName, NAMES, NAMES_6};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use crate::dns::{self, Answer, Query, Question, Record};
use crate::gateway::Gateway;
use crate::grants::Target;
use crate::names::Stand;
use crate::resolve::NoAddress;
use crate::{Why, Wish};

/// Longest question that is read.
const QUESTION_BYTES_MAX: usize = 4_096;

/// Questions that wait for a look-up at once. Clients ask again when one is lost.
const WAITING_MAX: usize = 1_024;

/// Streams at once on which is asked.
const STREAMS_MAX: u32 = 64;

/// How long a stream may wait for the next question.
const PATIENCE: Duration = Duration::from_secs(10);

/// Types that clients ask for beside addresses, and can do without: NS, CNAME, SOA, DS, DNSKEY, SVCB, HTTPS.
const HARMLESS: [u16; 7] = [2, 5, 6, 43, 48, 64, 65];

/// What there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Stands(Stand),
    Loopback,
    Empty,
    NoSuchName,
    Refused,
    ServerFailure,
}

/// What a question comes to.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Say(Said),
    /// That depends on what this name is outside.
    LookUp(HostName),
}

/// Answers datagrams, for as long as it is not dropped.
pub(crate) async fn serve(gateway: Rc<Gateway>, socket: UdpSocket) {
    let socket = Rc::new(socket);
    let mut bytes = vec![0; QUESTION_BYTES_MAX];
    loop {
        match socket.recv_from(&mut bytes).await {
            Ok((length, client)) => answer_datagram(&gateway, &socket, &bytes[..length], client),
            Err(_) => sleep(Duration::from_millis(10)).await, // No memory at the moment.
        }
    }
}

/// Answers at once, or when the look-up is done. An answer that does not fit into the socket is lost, as on
/// any network.
fn answer_datagram(gateway: &Rc<Gateway>, socket: &Rc<UdpSocket>, bytes: &[u8], client: SocketAddr) {
    let question = match dns::parse(bytes) {
        Query::Asked(question) => question,
        Query::Failed(answer) => return drop(socket.try_send_to(&answer, client)),
        Query::Ignored => return,
    };
    let name = match decide(gateway, &question) {
        Decision::Say(said) => {
            let answer = said.answer(&question, question.limit);
            return drop(socket.try_send_to(&answer, client));
        }
        Decision::LookUp(name) => name,
    };
    // The socket is held by every question that waits.
    if Rc::strong_count(socket) > WAITING_MAX {
        return;
    }
    let (gateway, socket) = (Rc::clone(gateway), Rc::clone(socket));
    spawn_local(async move {
        let answer = look_up(&gateway, &name).await.answer(&question, question.limit);
        drop(socket.try_send_to(&answer, client));
    });
}

/// Answers the questions of a stream, one after the other (RFC 1035, section 4.2.2).
pub(crate) async fn serve_stream(gateway: &Gateway, mut stream: TcpStream) {
    if gateway.name_streams.get() >= STREAMS_MAX {
        return;
    }
    gateway.name_streams.set(gateway.name_streams.get() + 1);
    while let Ok(Some(answer)) = timeout(PATIENCE, answer_next(gateway, &mut stream)).await {
        if !matches!(timeout(PATIENCE, stream.write_all(&answer)).await, Ok(Ok(()))) {
            break;
        }
    }
    gateway.name_streams.set(gateway.name_streams.get().saturating_sub(1));
}

/// The answer to the next question with its length before it; nothing where the stream ends, or should.
async fn answer_next(gateway: &Gateway, stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = usize::from(stream.read_u16().await.ok()?);
    let mut bytes = vec![0; (length <= QUESTION_BYTES_MAX).then_some(length)?];
    stream.read_exact(&mut bytes).await.ok()?;
    let answer = match dns::parse(&bytes) {
        Query::Asked(question) => {
            let said = match decide(gateway, &question) {
                Decision::Say(said) => said,
                Decision::LookUp(name) => look_up(gateway, &name).await,
            };
            said.answer(&question, u16::MAX)
        }
        Query::Failed(answer) => answer,
        Query::Ignored => return None,
    };
    let length = u16::try_from(answer.len()).ok()?;
    Some(length.to_be_bytes().into_iter().chain(answer).collect())
}

/// What to say, and what to record of it.
fn decide(gateway: &Gateway, question: &Question) -> Decision {
    let deny = |why| gateway.seen.deny(Wish::Name(question.name.clone()), why);
    let Some(name) = &question.host else {
        deny(Why::NotGranted);
        return Decision::Say(Said::NoSuchName);
    };
    if is_loopback(name) {
        return Decision::Say(if question.record.is_address() { Said::Loopback } else { Said::Empty });
    }
    let permitted = gateway.grants.permit_name(name);
    match (&permitted, question.record) {
        (Err(why), _) if !(gateway.observe && *why == Why::NotGranted) => {
            if !is_noise(gateway, name) {
                deny(why.clone());
            }
            Decision::Say(Said::NoSuchName)
        }
        (_, Record::Other(number)) if HARMLESS.contains(&number) => Decision::Say(Said::Empty),
        (_, Record::Other(number)) => {
            deny(Why::RecordType(number));
            Decision::Say(Said::Refused)
        }
        (Err(_), _) => {
            deny(Why::NotGranted);
            Decision::Say(stand(gateway, name))
        }
        // The proxy knows the address, and the port does not matter for whether there is one.
        (Ok(()), _) if gateway.proxy_for(&Target::Name(name.clone(), 0)).is_some() => {
            Decision::Say(stand(gateway, name))
        }
        (Ok(()), _) => match gateway.resolver.known(name) {
            Some(answer) => Decision::Say(said(gateway, name, answer.err())),
            None => Decision::LookUp(name.clone()),
        },
    }
}

async fn look_up(gateway: &Gateway, name: &HostName) -> Said {
    said(gateway, name, gateway.resolver.resolve(name).await.err())
}

fn said(gateway: &Gateway, name: &HostName, missing: Option<NoAddress>) -> Said {
    match missing {
        None => stand(gateway, name),
        Some(NoAddress::NoSuchName) => Said::NoSuchName,
        Some(NoAddress::Empty) => Said::Empty,
        Some(NoAddress::Failed) => Said::ServerFailure,
    }
}

/// The addresses that stand for `name`.
fn stand(gateway: &Gateway, name: &HostName) -> Said {
    match gateway.names.borrow_mut().stand_for(name) {
        Some(stand) if gateway.has_6 => Said::Stands(stand),
        Some(stand) => Said::Stands(Stand { v6: None, ..stand }),
        None => {
            gateway.seen.deny(Wish::Name(name.to_string()), Why::Names);
            Said::ServerFailure
        }
    }
}

/// Names of the machine itself, which is the job's own one (RFC 6761, section 6.3).
fn is_loopback(name: &HostName) -> bool {
    name.as_str() == "localhost" || name.as_str().ends_with(".localhost")
}

/// What resolvers ask on their own, and nobody wanted: a name with the suffix that machines without a domain
/// have, and the names of addresses that a run has itself.
fn is_noise(gateway: &Gateway, name: &HostName) -> bool {
    let was_asked = |front: HostName| {
        gateway.grants.permit_name(&front).is_ok() || gateway.seen.was_denied(front.as_str(), Why::NotGranted)
    };
    let front = name.as_str().strip_suffix(".localdomain").and_then(|front| front.parse().ok());
    front.is_some_and(was_asked) || reverse(name).is_some_and(is_of_a_run)
}

/// The address whose name is asked for (RFC 1035, section 3.5; RFC 3596, section 2.5).
fn reverse(name: &HostName) -> Option<IpAddr> {
    if let Some(digits) = name.as_str().strip_suffix(".in-addr.arpa") {
        let mut bytes: Vec<&str> = digits.split('.').collect();
        bytes.reverse();
        return bytes.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let digits: Vec<&str> = name.as_str().strip_suffix(".ip6.arpa")?.split('.').collect();
    let is_whole = digits.len() == 32 && digits.iter().all(|digit| digit.len() == 1);
    let number: String = digits.into_iter().rev().collect();
    u128::from_str_radix(&number, 16).ok().filter(|_| is_whole).map(|bits| Ipv6Addr::from_bits(bits).into())
}

fn is_of_a_run(address: IpAddr) -> bool {
    match address {
        // The range of names, and the one beside it with the addresses of the run.
        IpAddr::V4(address) => address.is_loopback() || (address.to_bits() ^ NAMES.0.to_bits()) >> 17 == 0,
        IpAddr::V6(address) => address.is_loopback() || address.octets()[..6] == NAMES_6.0.octets()[..6],
    }
}

impl Record {
    fn is_address(self) -> bool {
        matches!(self, Self::A | Self::Aaaa)
    }
}

impl Said {
    fn answer(self, question: &Question, limit: u16) -> Vec<u8> {
        let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        match self {
            Self::Stands(stand) => {
                let addresses = stand.v6.map(IpAddr::from).into_iter().chain([stand.v4.into()]);
                question.answer(Answer::Addresses(&addresses.collect::<Vec<_>>()), limit)
            }
            Self::Loopback => question.answer(Answer::Addresses(&loopback), limit),
            Self::Empty => question.answer(Answer::Empty, limit),
            Self::NoSuchName => question.answer(Answer::NoSuchName, limit),
            Self::Refused => question.answer(Answer::Refused, limit),
            Self::ServerFailure => question.answer(Answer::ServerFailure, limit),
        }
    }
}
