//! What every part of a gateway shares. All of it lives in one thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::grants::{Grants, Target};
use crate::limits::Budget;
use crate::names::Names;
use crate::pipes::{PIPES_MAX, Pipes};
use crate::proxy::{InvalidProxy, Via};
use crate::resolve::{self, Lookup, Resolver};
use crate::seen::Seen;
use crate::{Settings, Why, Wish, address, sockets};

/// Bytes that are looked at or copied at once; more than the longest beginning of a connection that is
/// looked at.
pub(crate) const SCRATCH_BYTES: usize = 64 << 10;

/// The state of one gateway.
pub(crate) struct Gateway {
    pub(crate) grants: Grants,
    pub(crate) names: RefCell<Names>,
    pub(crate) resolver: Rc<Resolver>,
    pub(crate) seen: Seen,
    pub(crate) budget: Budget,
    pub(crate) pipes: Pipes,
    /// For whoever works at the moment; nothing stays in it.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    /// The run is over: what its job sent goes out, and then connections end.
    pub(crate) is_ending: Cell<bool>,
    /// Streams on which names are asked for.
    pub(crate) name_streams: Cell<u32>,
    pub(crate) observe: bool,
    pub(crate) has_6: bool,
    pub(crate) world: World,
    proxy: Option<Via>,
}

/// What a gateway asks of the machine it runs on, so that tests can be that machine.
#[derive(Clone)]
pub(crate) struct World {
    /// Looks names up.
    pub(crate) lookup: Lookup,
    /// Where the client of an accepted connection wanted to connect to.
    pub(crate) destination: Destination,
    /// How many pipes there may be.
    pub(crate) pipes: usize,
}

/// Where the client of an accepted connection wanted to connect to.
type Destination = Arc<dyn Fn(&TcpStream) -> io::Result<SocketAddr> + Send + Sync>;

impl World {
    /// The real one.
    pub(crate) fn system() -> Self {
        Self {
            lookup: Arc::new(resolve::system),
            destination: Arc::new(TcpStream::local_addr),
            pipes: PIPES_MAX,
        }
    }
}

impl Gateway {
    pub(crate) fn new(settings: Settings, has_6: bool, world: World) -> Result<Self, InvalidProxy> {
        let seen = Seen::new(settings.grants.len());
        let grants = Grants::new(settings.grants);
        let mut names = Names::default();
        for name in grants.names() {
            names.stand_for(name); // First come the names that are known, so that they have an address.
        }
        Ok(Self {
            grants,
            names: RefCell::new(names),
            resolver: Rc::new(Resolver::new(Arc::clone(&world.lookup))),
            seen,
            budget: Budget::new(&settings.limits),
            pipes: Pipes::new(world.pipes),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            is_ending: Cell::new(false),
            name_streams: Cell::new(0),
            observe: settings.observe,
            has_6,
            world,
            proxy: settings.proxy.as_ref().map(Via::new).transpose()?,
        })
    }

    /// What the client of a connection to this address means.
    pub(crate) fn target(&self, destination: SocketAddr) -> Target {
        let address = SocketAddr::new(destination.ip().to_canonical(), destination.port());
        match self.names.borrow().name_of(address.ip()) {
            Some(name) => Target::Name(name.clone(), address.port()),
            None => Target::Address(address),
        }
    }

    /// The proxy through which a host is reached.
    pub(crate) fn proxy_for(&self, target: &Target) -> Option<&Via> {
        self.proxy.as_ref().filter(|proxy| proxy.is_for(target))
    }

    /// Whether names may lead to this address.
    pub(crate) fn may_lead_to(&self, address: SocketAddr) -> bool {
        let ip = address.ip();
        (address::is_public(ip) && !sockets::is_own(ip)) || self.grants.permit_literally(address)
    }

    /// Records that a connection was denied.
    pub(crate) fn deny(&self, target: &Target, why: Why) {
        let wish = match target {
            Target::Name(name, port) => Wish::Host(crate::Protocol::Tcp, name.to_string(), *port),
            Target::Address(address) => Wish::Address(crate::Protocol::Tcp, *address),
        };
        self.seen.deny(wish, why);
    }
}

impl Target {
    /// A name, or an address without brackets; and the port.
    pub(crate) fn host_and_port(&self) -> (String, u16) {
        match self {
            Self::Name(name, port) => (name.to_string(), *port),
            Self::Address(address) => (address.ip().to_string(), address.port()),
        }
    }
}
