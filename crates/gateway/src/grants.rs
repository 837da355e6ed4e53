//! What may be reached, and what goes through each grant at the moment.

use std::cell::Cell;
use std::net::SocketAddr;

use aseptic_model::{Destination, Grant, HostName};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::Why;

/// The grants of a run, in the order of its plan.
#[derive(Debug)]
pub(crate) struct Grants(Vec<Held>);

/// One grant, and its connections.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) grant: Grant,
    /// Its number in the settings.
    pub(crate) number: u32,
    revoked: Cell<bool>,
    open: Cell<u32>,
    /// Told to every connection when the grant is revoked.
    cut: Notify,
    /// Told when the last connection is gone.
    emptied: Notify,
}

/// What a client wants to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A name, and the port.
    Name(HostName, u16),
    /// An address that stands for itself.
    Address(SocketAddr),
}

impl Grants {
    pub(crate) fn new(grants: Vec<Grant>) -> Self {
        let held = |(number, grant)| Held {
            grant,
            number,
            revoked: Cell::new(false),
            open: Cell::new(0),
            cut: Notify::new(),
            emptied: Notify::new(),
        };
        Self((0..).zip(grants).map(held).collect())
    }

    /// The names that are granted as such.
    pub(crate) fn names(&self) -> impl Iterator<Item = &HostName> {
        self.0.iter().filter_map(|held| match &held.grant.host {
            Destination::Name(name) => Some(name),
            Destination::Below(_) | Destination::Address(_) => None,
        })
    }

    /// The grant that permits to reach `target`: the narrowest, where there are several.
    pub(crate) fn find(&self, target: &Target) -> Result<&Held, Why> {
        self.narrowest(|grant| match target {
            Target::Name(name, port) => grant.port == *port && grant.covers(name),
            Target::Address(address) => grant.literal() == Some(*address),
        })
    }

    /// Whether `name` may be reached at any port.
    pub(crate) fn permit_name(&self, name: &HostName) -> Result<(), Why> {
        self.narrowest(|grant| grant.covers(name)).map(|_| ())
    }

    /// Whether this very address and port are granted.
    pub(crate) fn permit_literally(&self, address: SocketAddr) -> bool {
        self.find(&Target::Address(address)).is_ok()
    }

    fn narrowest(&self, permits: impl Fn(&Grant) -> bool) -> Result<&Held, Why> {
        let permitting = || self.0.iter().filter(|held| permits(&held.grant));
        let narrowest =
            permitting().filter(|held| !held.revoked.get()).max_by_key(|held| match &held.grant.host {
                Destination::Name(_) | Destination::Address(_) => usize::MAX,
                Destination::Below(parent) => parent.as_str().len(),
            });
        narrowest.ok_or_else(|| if permitting().next().is_some() { Why::Revoked } else { Why::NotGranted })
    }

    /// Wakes every connection, so that each sees what has changed.
    pub(crate) fn wake(&self) {
        self.0.iter().for_each(|held| held.cut.notify_waiters());
    }

    /// Waits until there is no connection.
    pub(crate) async fn empty(&self) {
        for held in &self.0 {
            held.empty().await;
        }
    }

    /// Cuts every connection of `grant` and lets no other through. Returns how many there were, once they are
    /// gone.
    pub(crate) async fn revoke(&self, grant: &Grant) -> u32 {
        let mut cut = 0;
        for held in self.0.iter().filter(|held| held.grant == *grant) {
            held.revoked.set(true);
            cut += held.open.get();
            held.cut.notify_waiters();
            held.empty().await;
        }
        cut
    }
}

impl Held {
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.get()
    }

    async fn empty(&self) {
        while self.open.get() > 0 {
            self.emptied.notified().await;
        }
    }

    /// Counts a connection, until what is returned is dropped.
    pub(crate) fn enter(&self) -> Entered<'_> {
        self.open.set(self.open.get() + 1);
        Entered(self)
    }
}

/// A connection that goes through a grant.
#[derive(Debug)]
pub(crate) struct Entered<'a>(&'a Held);

impl<'a> Entered<'a> {
    /// Ends when the grant is revoked.
    pub(crate) fn cut(&self) -> Notified<'a> {
        self.0.cut.notified()
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
        if self.0.open.get() == 0 {
            self.0.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::tests::support::local;

    fn grants(texts: &[&str]) -> Grants {
        Grants::new(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn to(name: &str, port: u16) -> Target {
        Target::Name(name.parse().unwrap(), port)
    }

    fn found(grants: &Grants, target: &Target) -> Result<u32, Why> {
        grants.find(target).map(|held| held.number)
    }

    #[test]
    fn the_narrowest_grant_counts() {
        let grants =
            grants(&["*.example:443", "a.b.example:443", "*.b.example:443", "example:80", "127.0.0.1:443"]);
        assert_eq!(found(&grants, &to("x.example", 443)), Ok(0));
        assert_eq!(found(&grants, &to("a.b.example", 443)), Ok(1));
        assert_eq!(found(&grants, &to("c.b.example", 443)), Ok(2));
        assert_eq!(found(&grants, &to("example", 80)), Ok(3));
        assert_eq!(found(&grants, &to("example", 443)), Err(Why::NotGranted));
        assert_eq!(found(&grants, &to("a.b.example", 80)), Err(Why::NotGranted));
        assert_eq!(found(&grants, &Target::Address("127.0.0.1:443".parse().unwrap())), Ok(4));
        assert_eq!(found(&grants, &Target::Address("127.0.0.1:80".parse().unwrap())), Err(Why::NotGranted));
    }

    #[test]
    fn what_is_revoked_says_so_and_others_stay() {
        local(async {
            let grants = grants(&["a.example:443", "b.example:443"]);
            assert_eq!(grants.revoke(&"a.example:443".parse().unwrap()).await, 0);
            assert_eq!(found(&grants, &to("a.example", 443)), Err(Why::Revoked));
            assert_eq!(grants.permit_name(&"a.example".parse().unwrap()), Err(Why::Revoked));
            assert_eq!(found(&grants, &to("b.example", 443)), Ok(1));
        });
    }

    #[test]
    fn a_connection_hears_that_its_grant_is_revoked_and_its_end_is_waited_for() {
        local(async {
            let grants = Rc::new(grants(&["a.example:443"]));
            let held = Rc::clone(&grants);
            let (entered, has_entered) = tokio::sync::oneshot::channel();
            tokio::task::spawn_local(async move {
                let connection = held.find(&to("a.example", 443)).unwrap().enter();
                let cut = connection.cut();
                entered.send(()).unwrap();
                cut.await;
                tokio::task::yield_now().await;
            });
            has_entered.await.unwrap();
            assert_eq!(grants.revoke(&"a.example:443".parse().unwrap()).await, 1);
            assert_eq!(grants.0[0].open.get(), 0);
        });
    }
}
