//! One connection of a job, from its beginning to its end.

use std::rc::Rc;

use aseptic_model::{NAME_SERVER, TlsNames};
use tokio::net::TcpStream;

use crate::Why;
use crate::dial::{Dialled, Undialled, dial};
use crate::gate::Gate;
use crate::gateway::Gateway;
use crate::grants::{Entered, Held, Target};
use crate::name_server;
use crate::race::{Won, race};
use crate::relay::{Broken, Relay};
use crate::sockets::end_with_error;

/// Port of name servers.
const NAMES_PORT: u16 = 53;

/// Serves a connection that was accepted.
pub(crate) async fn serve(gateway: Rc<Gateway>, client: TcpStream) {
    let Ok(destination) = (gateway.world.destination)(&client) else { return };
    if destination == (NAME_SERVER, NAMES_PORT).into() {
        return Box::pin(name_server::serve_stream(&gateway, client)).await;
    }
    // In a box, because it is large and over before the connection idles.
    let admitted = Box::new(gateway.target(destination));
    if let Err(why) = admit(&gateway, &admitted, client).await {
        gateway.deny(&admitted, why);
    }
}

/// Serves a connection to `target`. One that may not be, or may not go on, was ended with an error.
async fn admit(gateway: &Gateway, target: &Target, client: TcpStream) -> Result<(), Why> {
    end_with_error(&client);
    let held = gateway.grants.find(target)?;
    let _open = gateway.budget.open()?;
    let entered = held.enter();
    let (host, port) = target.host_and_port();
    let account = gateway.seen.account(held.number, host, port);
    let dialled = match race(entered.cut(), Box::pin(dial(gateway, target))).await {
        Won::Second(Ok(dialled)) => dialled,
        Won::Second(Err(Undialled::Denied(why))) => return Err(why),
        Won::Second(Err(Undialled::Failed)) => {
            gateway.seen.count(account, |traffic| traffic.failed += 1);
            return Ok(());
        }
        Won::First(()) => return Ok(()),
    };
    let Dialled { stream: host, address } = dialled;
    gateway.seen.connect(account, address);
    let gate = (held.grant.tls == TlsNames::Granted).then(|| Gate::new(target.clone()));
    relay(gateway, held, &entered, Relay::new(gateway, account, [client, host], gate)).await
}

/// Passes bytes on until both sides have ended, or the grant is revoked.
async fn relay(
    gateway: &Gateway,
    held: &Held,
    entered: &Entered<'_>,
    mut relay: Relay<'_>,
) -> Result<(), Why> {
    loop {
        match race(entered.cut(), relay.run()).await {
            Won::Second(Ok(())) => {
                relay.end();
                return Ok(());
            }
            Won::Second(Err(Broken::Reset)) => return Ok(()),
            Won::Second(Err(Broken::Denied(why))) => return Err(why),
            Won::First(()) if gateway.is_ending.get() && !held.is_revoked() => {} // It ends by itself now.
            Won::First(()) => return Ok(()),
        }
    }
}
