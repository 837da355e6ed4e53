//! Accepts the connections of a job.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::TcpListener;
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::connection;
use crate::gateway::Gateway;

/// How long to wait for what other connections give back.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections, for as long as it is not dropped. Where the machine has no descriptor or memory left
/// for one, it waits until there may be some again; what is open goes on.
pub(crate) async fn serve(gateway: Rc<Gateway>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(spawn_local(connection::serve(Rc::clone(&gateway), client))),
            Err(error) if is_exhausted(&error) => sleep(PAUSE).await,
            Err(_) => tokio::task::yield_now().await, // That one is gone already.
        }
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| exhausted.contains(&error))
}
