//! Egress: what a run has of the network, as its supervisor sees it.
//!
//! The gateway is a process of its own. A run with grants has it before its job starts; without any, it is
//! started by the first packet, since most jobs send none, and then only lists what is denied.
//!
//! **Invariant:** where no gateway is, nobody listens: its end closes the run's network.

mod denials;
mod gateway;
mod proxy;
mod revoke;
mod support;
mod totals;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use aseptic_gateway::{Ends, Limits, Report, Settings};
use aseptic_model::{Denied, Egress as Recorded, Grant, Plan};
use aseptic_sandbox::{Landlock, Network, NetworkEnds, Ports};

use crate::desk::{Answer, Asked, Wish};
use crate::execute::NetworkBytes;

pub(crate) use denials::{better_denied, spec_line, wanted_of};
pub(crate) use gateway::PART as GATEWAY_PART;
use gateway::{Gateway, Said, Starting};
pub use gateway::{GatewayError, gateway_part};
pub use proxy::{ProxyError, SiteProxy};
pub use revoke::{RevokeError, revoke};
pub(crate) use support::{forget, support};
use totals::Totals;

/// The network of a run while it goes on.
#[derive(Debug)]
pub(crate) struct Egress {
    settings: Settings,
    landlock: Landlock,
    state: State,
    totals: Totals,
    bytes: Arc<NetworkBytes>,
    revoked: Vec<bool>,
    asked: Vec<Asked>,
}

#[derive(Debug)]
enum State {
    /// The gateway waits for the ends of the network.
    Starting(Starting),
    /// Nothing is granted, and nothing came yet.
    Quiet(Ends),
    Serving(Gateway),
    /// There is no gateway any more, or none could be started; why.
    Gone(String),
}

/// The network that the jail of `plan` gets.
pub(crate) fn network(plan: &Plan) -> Network {
    let literals: BTreeSet<SocketAddr> = plan.network.iter().filter_map(|grant| grant.literal()).collect();
    let ports = match plan.observe_network {
        true => Ports::Every,
        false => Ports::These(plan.network.iter().map(|grant| grant.port).collect()),
    };
    Network { ports, literals }
}

impl Egress {
    /// Before there is a jail. With grants, a process is started and gets ready meanwhile.
    pub(crate) fn start(
        plan: &Plan,
        proxy: Option<&aseptic_gateway::Proxy>,
        landlock: Landlock,
    ) -> Result<Self, GatewayError> {
        let settings = Settings {
            grants: plan.network.iter().cloned().collect(),
            observe: plan.observe_network,
            limits: Limits {
                connections: plan.limits.connections,
                traffic_bytes: plan.limits.traffic_bytes,
                bandwidth_bytes: plan.limits.bandwidth_bytes,
            },
            proxy: proxy.cloned(),
        };
        let wanted = !settings.grants.is_empty();
        let state = match wanted {
            true => State::Starting(Starting::new(landlock)?),
            false => State::Gone("the jail has no network".to_owned()),
        };
        let revoked = vec![false; settings.grants.len()];
        let totals = Totals::of(settings.grants.len());
        let bytes = Arc::default();
        Ok(Self { settings, landlock, state, totals, bytes, revoked, asked: Vec::new() })
    }

    /// Connects the jail's network. With grants, returns when the gateway serves it.
    pub(crate) fn connect(&mut self, ends: NetworkEnds) -> Result<(), GatewayError> {
        let NetworkEnds { names, connections, connections_6, refused } = ends;
        let ends = Ends { names, connections, connections_6, refused };
        let gone = State::Gone("the gateway could not be started".to_owned());
        self.state = match std::mem::replace(&mut self.state, gone) {
            State::Starting(starting) => {
                let mut gateway = starting.hand_over(&self.settings, ends)?;
                gateway.wait_until_ready()?;
                State::Serving(gateway)
            }
            _ => State::Quiet(ends),
        };
        Ok(())
    }

    /// Descriptors that become readable when [`Egress::attend`] has something to do.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        match &self.state {
            State::Quiet(ends) => ends.descriptors(),
            State::Serving(gateway) => vec![gateway.descriptor()],
            State::Starting(_) | State::Gone(_) => Vec::new(),
        }
    }

    /// Starts the gateway at the first packet, and listens to what it says. Never
    /// blocks for longer than starting a process takes.
    pub(crate) fn attend(&mut self) {
        self.state = match self.take_state() {
            State::Serving(mut gateway) => match gateway.hear() {
                Said::These(reports) => {
                    self.take_in(reports);
                    State::Serving(gateway)
                }
                Said::LastWords(reports, why) => {
                    self.take_in(reports);
                    State::Gone(why)
                }
            },
            state => self.awakened(state),
        };
        if let State::Gone(_) = self.state {
            self.give_up_revocations();
        }
    }

    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Gone(String::new()))
    }

    /// With a gateway, where there was none because nothing is granted and now something came.
    fn awakened(&self, state: State) -> State {
        match state {
            State::Quiet(ends) if is_readable(&ends) => {
                let starting = Starting::new(self.landlock);
                match starting.and_then(|starting| starting.hand_over(&self.settings, ends)) {
                    Ok(gateway) => State::Serving(gateway),
                    Err(error) => State::Gone(format!("its gateway could not be started: {error}")),
                }
            }
            state => state,
        }
    }

    fn take_in(&mut self, reports: Vec<Report>) {
        for report in reports {
            if let Report::Revoked { grant, cut } = &report {
                if let Some(at) = self.settings.grants.iter().position(|known| known == grant) {
                    self.revoked[at] = true;
                }
                let wish = Wish::Revoke(grant.clone());
                for mut asked in self.asked.extract_if(.., |asked| asked.wish == wish) {
                    asked.answer(Answer::Done(*cut));
                }
            }
            self.totals.add(report);
        }
        self.totals.count(&self.bytes);
    }

    /// How much went through so far, where something is granted; what the gateway says now and then.
    pub(crate) fn bytes(&self) -> Option<Arc<NetworkBytes>> {
        (!self.settings.grants.is_empty()).then(|| Arc::clone(&self.bytes))
    }

    /// Nobody is there any more who could revoke what was asked for.
    fn give_up_revocations(&mut self) {
        for mut asked in self.asked.drain(..) {
            asked.answer(Answer::Ended);
        }
    }

    /// Takes `grant` back. The answer comes when its connections are cut.
    pub(crate) fn revoke(&mut self, grant: &Grant, mut asked: Asked) {
        match &mut self.state {
            State::Serving(gateway) if self.settings.grants.contains(grant) => {
                if gateway.revoke(grant).is_ok() {
                    self.asked.push(asked);
                } else {
                    asked.answer(Answer::Ended);
                }
            }
            State::Serving(_) => asked.answer(Answer::Unknown),
            _ => asked.answer(Answer::Ended),
        }
    }

    /// What the run had of the network, and what it was denied. No process of the jail is left.
    pub(crate) fn finish(mut self, plan: &Plan) -> (Recorded, Vec<Denied>) {
        // What came last of all may have been too late for its gateway: it is asked all the same.
        let state = self.take_state();
        let incomplete = match self.awakened(state) {
            State::Serving(gateway) => {
                let (reports, why) = gateway.finish();
                self.take_in(reports);
                why
            }
            State::Gone(why) => Some(why),
            State::Quiet(_) | State::Starting(_) => None,
        };
        self.give_up_revocations();
        let denied = denials::denied(&self.totals, plan);
        (self.totals.record(&self.settings, &self.revoked, incomplete), denied)
    }
}

fn is_readable(ends: &Ends) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
    let mut polled: Vec<_> = ends.descriptors().into_iter().map(readable).collect();
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
}
