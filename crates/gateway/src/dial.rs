//! Connects to the host that a client wants: to an address that was checked, and never to another one.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aseptic_model::HostName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Why;
use crate::gateway::Gateway;
use crate::grants::Target;

/// How long it may take until a connection stands, look-ups included.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long one address is tried before the next one is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// A host that was reached.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) stream: TcpStream,
    /// Its address; nothing where a proxy knows it.
    pub(crate) address: Option<IpAddr>,
}

/// Why a host was not reached.
#[derive(Debug)]
pub(crate) enum Undialled {
    /// It may not be.
    Denied(Why),
    /// It could not be.
    Failed,
}

/// Connects to `target`, which is granted.
pub(crate) async fn dial(gateway: &Gateway, target: &Target) -> Result<Dialled, Undialled> {
    timeout(PATIENCE, dial_patiently(gateway, target)).await.unwrap_or(Err(Undialled::Failed))
}

async fn dial_patiently(gateway: &Gateway, target: &Target) -> Result<Dialled, Undialled> {
    if let Some(proxy) = gateway.proxy_for(target) {
        let stream = proxy.dial(gateway, target).await.ok_or(Undialled::Failed)?;
        return Ok(Dialled { stream, address: None });
    }
    let addresses = match target {
        Target::Address(address) => vec![*address],
        Target::Name(name, port) => checked(gateway, name, *port).await?,
    };
    let stream = connect(&addresses).await.ok_or(Undialled::Failed)?;
    let address = stream.peer_addr().ok().map(|address| address.ip());
    Ok(Dialled { stream, address })
}

/// The addresses of a name that it may lead to.
async fn checked(gateway: &Gateway, name: &HostName, port: u16) -> Result<Vec<SocketAddr>, Undialled> {
    let all = gateway.resolver.resolve(name).await.map_err(|_| Undialled::Failed)?;
    let mut all = all.iter().map(|address| SocketAddr::new(address.to_canonical(), port));
    let checked: Vec<SocketAddr> = all.clone().filter(|address| gateway.may_lead_to(*address)).collect();
    match all.next() {
        Some(first) if checked.is_empty() => Err(Undialled::Denied(Why::PrivateAddress(first.ip()))),
        Some(_) => Ok(checked),
        None => Err(Undialled::Failed),
    }
}

/// Connects to the first of `addresses` that answers. One is tried after the other, and beside it when it
/// takes its time.
pub(crate) async fn connect(addresses: &[SocketAddr]) -> Option<TcpStream> {
    let mut tries = JoinSet::new();
    for address in in_turn(addresses) {
        tries.spawn_local(TcpStream::connect(address));
        if let Ok(Some(Ok(Ok(stream)))) = timeout(STAGGER, tries.join_next()).await {
            return Some(stream);
        }
    }
    while let Some(tried) = tries.join_next().await {
        if let Ok(Ok(stream)) = tried {
            return Some(stream);
        }
    }
    None
}

/// The families in turn, beginning with that of the first address (RFC 8305, section 4).
fn in_turn(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first =
        |address: &SocketAddr| addresses.first().is_some_and(|first| first.is_ipv4() == address.is_ipv4());
    let (first, second): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().partition(|address| is_first(address));
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turn = Vec::with_capacity(addresses.len());
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return turn;
        }
        turn.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let addresses =
            |texts: &[&str]| -> Vec<SocketAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let mixed = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1", "127.0.0.2:1"]);
        let turn = addresses(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1", "[::3]:1"]);
        assert_eq!(in_turn(&mixed), turn);
        assert_eq!(in_turn(&[]), []);
    }
}
