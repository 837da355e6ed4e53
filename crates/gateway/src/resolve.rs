//! Looks names up outside of runs, as every program of this machine does.
//!
//! The system's resolver blocks, so it works in threads of its own, of which there are few. Who has to wait
//! for one waits, but not for ever, and not too many do.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aseptic_model::HostName;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// Look-ups at once, each in a thread.
pub(crate) const THREADS: usize = 16;

/// Most look-ups that wait for a thread.
const WAITING_MAX: usize = 256;

/// How long a look-up may take, waiting included. The system's own limit is twice as long.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an answer is used again.
const KEPT: Duration = Duration::from_secs(30);
/// The same for an answer that there is nothing.
const KEPT_NOTHING: Duration = Duration::from_secs(5);

/// Most answers that are kept.
const KEPT_MAX: usize = 8_192;

/// Most addresses of one name that are used.
const ADDRESSES_MAX: usize = 32;

/// What is known about a name: at least one address, or why there is none.
pub(crate) type Answer = Result<Rc<[IpAddr]>, NoAddress>;

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAddress {
    /// There is no such name.
    NoSuchName,
    /// There is, without an address.
    Empty,
    /// Nobody could say.
    Failed,
}

/// Looks one name up, however long that takes.
pub(crate) type Lookup = Arc<dyn Fn(&str) -> Result<Vec<IpAddr>, NoAddress> + Send + Sync>;

/// Names that were looked up, and those that are being looked up.
pub(crate) struct Resolver {
    lookup: Lookup,
    threads: Arc<Semaphore>,
    waiting: Cell<usize>,
    known: RefCell<HashMap<HostName, Known>>,
}

/// One name.
enum Known {
    /// It is being looked up; the answer will be told.
    Soon(watch::Receiver<Option<Answer>>),
    /// This holds until then.
    Until(Instant, Answer),
}

impl Resolver {
    pub(crate) fn new(lookup: Lookup) -> Self {
        let threads = Arc::new(Semaphore::new(THREADS));
        Self { lookup, threads, waiting: Cell::new(0), known: RefCell::default() }
    }

    /// What is known about `name` without asking anybody.
    pub(crate) fn known(&self, name: &HostName) -> Option<Answer> {
        match self.known.borrow().get(name)? {
            Known::Until(until, answer) if *until > Instant::now() => Some(answer.clone()),
            Known::Until(..) | Known::Soon(_) => None,
        }
    }

    /// The addresses of `name`, looked up if need be. Those who ask for the same name share one look-up.
    pub(crate) async fn resolve(self: &Rc<Self>, name: &HostName) -> Answer {
        if let Some(answer) = self.known(name) {
            return answer;
        }
        let mut told = self.soon(name);
        let told = told.wait_for(Option::is_some).await;
        told.ok().and_then(|answer| answer.clone()).unwrap_or(Err(NoAddress::Failed))
    }

    /// Where the answer will be told.
    fn soon(self: &Rc<Self>, name: &HostName) -> watch::Receiver<Option<Answer>> {
        if let Some(Known::Soon(told)) = self.known.borrow().get(name) {
            return told.clone();
        }
        let (teller, told) = watch::channel(None);
        if self.waiting.get() >= WAITING_MAX {
            teller.send_replace(Some(Err(NoAddress::Failed)));
            return told;
        }
        self.waiting.set(self.waiting.get() + 1);
        self.remember(name.clone(), Known::Soon(told.clone()));
        let (this, name) = (Rc::clone(self), name.clone());
        tokio::task::spawn_local(async move {
            let answer = this.look_up(&name).await;
            this.waiting.set(this.waiting.get().saturating_sub(1));
            let kept = if answer.is_ok() { KEPT } else { KEPT_NOTHING };
            this.remember(name, Known::Until(Instant::now() + kept, answer.clone()));
            teller.send_replace(Some(answer));
        });
        told
    }

    async fn look_up(&self, name: &HostName) -> Answer {
        let (threads, lookup, name) = (Arc::clone(&self.threads), Arc::clone(&self.lookup), name.to_string());
        let work = async move {
            let thread = threads.acquire_owned().await.map_err(|_| NoAddress::Failed)?;
            let work = tokio::task::spawn_blocking(move || {
                let answer = lookup(&name);
                drop(thread); // Not before: who stopped waiting does not stop the thread.
                answer
            });
            work.await.unwrap_or(Err(NoAddress::Failed))
        };
        let mut addresses = tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(NoAddress::Failed))?;
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() { Err(NoAddress::Empty) } else { Ok(addresses.into()) }
    }

    fn remember(&self, name: HostName, what: Known) {
        let mut known = self.known.borrow_mut();
        if known.len() >= KEPT_MAX {
            let now = Instant::now();
            known.retain(|_, known| {
                matches!(known, Known::Until(until, _) if *until > now) || known.is_soon()
            });
        }
        if known.len() >= KEPT_MAX {
            known.retain(|_, known| known.is_soon());
        }
        known.insert(name, what);
    }
}

impl Known {
    fn is_soon(&self) -> bool {
        matches!(self, Self::Soon(_))
    }
}

/// The system's resolver: files, name servers and whatever else this machine asks.
pub(crate) fn system(name: &str) -> Result<Vec<IpAddr>, NoAddress> {
    use dns_lookup::LookupErrorKind::{NoData, NoName};
    match dns_lookup::lookup_host(name) {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(match error.kind() {
            NoName => NoAddress::NoSuchName,
            NoData => NoAddress::Empty,
            _ => NoAddress::Failed,
        }),
    }
}

#[cfg(test)]
mod tests;
