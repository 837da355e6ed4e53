//! An attempt as data.

use std::io;

use crate::{Said, Scene};

/// What an attempt does; an error means that it was refused.
pub(crate) type Act = fn(&Scene) -> io::Result<Said>;

/// Attempts of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Stable name.
    pub name: &'static str,
    /// What they are after, as a phrase.
    pub about: &'static str,
    /// The attempts.
    pub attempts: &'static [Attempt],
}

/// One way to get out or across.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Stable name, unique in all families.
    pub name: &'static str,
    /// The wall that should hold.
    pub wall: &'static str,
    /// What it does, as a phrase.
    pub what: &'static str,
    /// What shows that it succeeded.
    pub evidence: Evidence,
    /// What another run, or the user's terminal, has to do with it.
    pub stage: Stage,
    /// What its run is granted of the network, as options of `--network`. `{tcp}`, `{tcp6}`, `{udp}` and
    /// `{service}` are ports of the victim on the host.
    pub network: &'static [&'static str],
    /// Limits of its run, and those of them that the host need not enforce.
    pub limits: &'static [(&'static str, &'static str)],
    /// Elements of the plan that may go unenforced.
    pub accept: &'static [&'static str],
    /// Whether being ended by a limit is how the wall holds.
    pub may_be_killed: bool,
    pub(crate) plant: Option<Act>,
    pub(crate) act: Act,
}

/// What shows that an attempt succeeded.
#[derive(Clone, Copy, Debug)]
pub enum Evidence {
    /// The random bytes of a victim.
    Canary,
    /// A fact of the host, which the host can be asked for.
    Fact(fn() -> io::Result<String>),
    /// What it says: the kernel answered, and no other trace is left.
    Word,
    /// Only a look from outside.
    Outside,
}

/// Where an attempt takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Beside a victim.
    Beside,
    /// In a run after one that planted something.
    After,
    /// Started from a terminal.
    Terminal,
}

impl Attempt {
    pub(crate) const fn new(name: &'static str, wall: &'static str, what: &'static str, act: Act) -> Self {
        Self {
            name,
            wall,
            what,
            evidence: Evidence::Word,
            stage: Stage::Beside,
            network: &[],
            limits: &[],
            accept: &[],
            may_be_killed: false,
            plant: None,
            act,
        }
    }

    /// It must repeat a canary.
    pub(crate) const fn canary(mut self) -> Self {
        self.evidence = Evidence::Canary;
        self
    }

    /// It must know what the host says.
    pub(crate) const fn fact(mut self, fact: fn() -> io::Result<String>) -> Self {
        self.evidence = Evidence::Fact(fact);
        self
    }

    /// Only a look from outside counts.
    pub(crate) const fn outside(mut self) -> Self {
        self.evidence = Evidence::Outside;
        self
    }

    /// An earlier run plants something.
    pub(crate) const fn after(mut self, plant: Act) -> Self {
        self.plant = Some(plant);
        self.stage = Stage::After;
        self
    }

    /// It is started from a terminal.
    pub(crate) const fn on_terminal(mut self) -> Self {
        self.stage = Stage::Terminal;
        self
    }

    /// Its run has these grants.
    pub(crate) const fn network(mut self, network: &'static [&'static str]) -> Self {
        self.network = network;
        self
    }

    /// Its run has these limits.
    pub(crate) const fn limits(mut self, limits: &'static [(&'static str, &'static str)]) -> Self {
        self.limits = limits;
        self
    }

    /// These limits need not be enforced: it is about something that follows from them.
    pub(crate) const fn accept(mut self, accept: &'static [&'static str]) -> Self {
        self.accept = accept;
        self
    }

    /// The wall may end the run.
    pub(crate) const fn may_be_killed(mut self) -> Self {
        self.may_be_killed = true;
        self
    }

    /// Whether an earlier run plants something.
    #[must_use]
    pub fn plants(&self) -> bool {
        self.plant.is_some()
    }
}
