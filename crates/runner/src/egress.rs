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
use std::os::fd::{AsFd, BorrowedFd};

use aseptic_gateway::{Ends, Limits, Report, Settings};
use aseptic_model::{Denied, Egress as Recorded, Plan};
use aseptic_sandbox::{Landlock, Network, NetworkEnds, Ports};

use crate::run_dir::RunDir;

pub(crate) use denials::{better_denied, spec_line, wanted_of};
pub(crate) use gateway::PART as GATEWAY_PART;
use gateway::{Gateway, Said, Starting};
pub use gateway::{GatewayError, gateway_part};
pub use proxy::{ProxyError, SiteProxy};
use revoke::{Asked, Desk, Revoked};
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
    revoked: Vec<bool>,
    desk: Option<Desk>,
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
        dir: &RunDir,
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
        let landlock = match plan.accept.contains("landlock") {
            true => Landlock::WhereAvailable,
            false => Landlock::Required,
        };
        let wanted = !settings.grants.is_empty();
        let state = match wanted {
            true => State::Starting(Starting::new(landlock)?),
            false => State::Gone("the jail has no network".to_owned()),
        };
        let desk = wanted.then(|| Desk::open(dir)).transpose().map_err(GatewayError::Desk)?;
        let revoked = vec![false; settings.grants.len()];
        let totals = Totals::of(settings.grants.len());
        Ok(Self { settings, landlock, state, totals, revoked, desk, asked: Vec::new() })
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
        let mut descriptors = match &self.state {
            State::Quiet(Ends { names, connections, connections_6, refused }) => {
                let all = [Some(names), Some(connections), connections_6.as_ref(), refused.as_ref()];
                all.into_iter().flatten().map(AsFd::as_fd).collect()
            }
            State::Serving(gateway) => vec![gateway.descriptor()],
            State::Starting(_) | State::Gone(_) => Vec::new(),
        };
        descriptors.extend(self.desk.iter().map(Desk::descriptor));
        descriptors
    }

    /// Starts the gateway at the first packet, listens to what it says, and passes revocations on. Never
    /// blocks for longer than starting a process takes.
    pub(crate) fn attend(&mut self) {
        self.take_revocations();
        let gone = State::Gone(String::new());
        self.state = match std::mem::replace(&mut self.state, gone) {
            State::Quiet(ends) if is_readable(&ends) => match self.late(ends) {
                Ok(gateway) => State::Serving(gateway),
                Err(error) => State::Gone(format!("its gateway could not be started: {error}")),
            },
            State::Serving(mut gateway) => match gateway.hear() {
                Said::These(reports) => {
                    reports.into_iter().for_each(|report| self.take_in(report));
                    State::Serving(gateway)
                }
                Said::LastWords(reports, why) => {
                    reports.into_iter().for_each(|report| self.take_in(report));
                    State::Gone(why)
                }
            },
            state => state,
        };
        if let State::Gone(_) = self.state {
            for asked in self.asked.drain(..) {
                asked.answer(Revoked::Ended);
            }
        }
    }

    /// A gateway for a network of which nothing is granted.
    fn late(&self, ends: Ends) -> Result<Gateway, GatewayError> {
        Starting::new(self.landlock)?.hand_over(&self.settings, ends)
    }

    fn take_in(&mut self, report: Report) {
        if let Report::Revoked { grant, cut } = &report {
            if let Some(at) = self.settings.grants.iter().position(|known| known == grant) {
                self.revoked[at] = true;
            }
            let (done, rest) = std::mem::take(&mut self.asked).into_iter().partition(|a| a.grant == *grant);
            self.asked = rest;
            let done: Vec<Asked> = done;
            done.into_iter().for_each(|asked| asked.answer(Revoked::Cut(*cut)));
        }
        self.totals.add(report);
    }

    fn take_revocations(&mut self) {
        let Some(desk) = &self.desk else { return };
        for asked in desk.take() {
            match &mut self.state {
                State::Serving(gateway) if self.settings.grants.contains(&asked.grant) => {
                    if gateway.revoke(&asked.grant).is_ok() {
                        self.asked.push(asked);
                    } else {
                        asked.answer(Revoked::Ended);
                    }
                }
                State::Serving(_) => asked.answer(Revoked::Unknown),
                _ => asked.answer(Revoked::Ended),
            }
        }
    }

    /// What the run had of the network, and what it was denied. No process of the jail is left.
    pub(crate) fn finish(mut self, plan: &Plan) -> (Recorded, Vec<Denied>) {
        let mut incomplete = None;
        match std::mem::replace(&mut self.state, State::Gone(String::new())) {
            State::Serving(gateway) => {
                let (reports, why) = gateway.finish();
                incomplete = why;
                reports.into_iter().for_each(|report| self.take_in(report));
            }
            State::Gone(why) => incomplete = Some(why),
            // What came last of all may have been too late for its gateway: it is asked all the same.
            State::Quiet(ends) if is_readable(&ends) => match self.late(ends) {
                Ok(gateway) => {
                    let (reports, why) = gateway.finish();
                    incomplete = why;
                    reports.into_iter().for_each(|report| self.take_in(report));
                }
                Err(error) => incomplete = Some(format!("its gateway could not be started: {error}")),
            },
            State::Quiet(_) | State::Starting(_) => {}
        }
        for asked in self.asked.drain(..) {
            asked.answer(Revoked::Ended);
        }
        let denied = denials::denied(&self.totals, plan);
        (self.totals.record(&self.settings, &self.revoked, incomplete), denied)
    }
}

fn is_readable(ends: &Ends) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let Ends { names, connections, connections_6, refused } = ends;
    let all = [Some(names), Some(connections), connections_6.as_ref(), refused.as_ref()];
    let mut polled: Vec<_> = all.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
}
