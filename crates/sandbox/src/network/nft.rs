//! Rules of a jail's network, as messages of nf_tables.
//!
//! Written down as nft(8) would print them for IPv4, with reports:
//! ```text
//! chain output { type route hook output priority mangle
//!   ip daddr JOB tcp dport 1 log group 1 reject with tcp reset
//!   ip daddr 127.0.0.0/8 accept
//!   ip daddr JOB accept
//!   ip daddr NAME_SERVER accept
//!   ip daddr >= 224.0.0.0 accept
//!   ip daddr NAMES tcp dport @ports accept
//!   ip daddr . tcp dport @literals accept
//!   ip protocol tcp log group 1 reject with tcp reset
//!   log group 1 meta mark set 1
//! }
//! chain prerouting { type filter hook prerouting priority mangle
//!   ip daddr NAMES ip protocol tcp tproxy to JOB:1
//!   ip daddr NAME_SERVER tcp dport 53 tproxy to JOB:1
//!   ip daddr . tcp dport @literals tproxy to JOB:1
//! }
//! ```
//! A TCP connection that is refused is reset: an ICMP error about a packet that has not left its machine comes
//! while the socket is busy, and the kernel then waits for the next attempt, a second later. The mark has the
//! kernel look for the route again, where there is none, so that sending fails.
//!
//! Source: `linux/netfilter/nf_tables.h`, `linux/netfilter/nfnetlink.h`, nft(8).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::netlink::{APPEND, Attributes, CREATE, Messages};
use super::routes::bytes;
use super::{Family, LISTENING_PORT, NAME_SERVER_PORT};
use crate::jail::{Network, Ports};

/// The mark of packets for which there is no way.
pub(super) const MARK: u32 = 1;

/// The group in which the kernel reports refused packets.
pub(super) const REPORTS: u16 = 1;

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
// Kinds of messages, `NFNL_MSG_BATCH_*` and `NFT_MSG_*`.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
const NEW_SET: u16 = SUBSYSTEM << 8 | 9;
const NEW_ELEMENTS: u16 = SUBSYSTEM << 8 | 12;

const TABLE: &str = "aseptic";
const OUTPUT: &str = "output";
const PREROUTING: &str = "prerouting";
const PORTS: &str = "ports";
const LITERALS: &str = "literals";

// Hooks, `NF_INET_*`, and the priority of both chains, `NF_IP_PRI_MANGLE`.
const HOOK_PREROUTING: u32 = 0;
const HOOK_OUTPUT: u32 = 3;
const MANGLE: i32 = -150;

// Registers: the verdict, two of 16 bytes, and the first of those of 4 bytes, which are the same memory.
const VERDICT: u32 = 0;
const FIRST: u32 = 1;
const SECOND: u32 = 2;
const WORDS: u32 = 8;
const WORD: usize = 4;

// How to compare, `NFT_CMP_*`.
const EQUAL: u32 = 0;
const AT_LEAST: u32 = 5;

// What is loaded: headers, `NFT_PAYLOAD_*`, and `NFT_META_*`.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
const PACKET_MARK: u32 = 3;
const L4_PROTOCOL: u32 = 16;

const NF_ACCEPT: u32 = 1;
/// `NFT_REJECT_TCP_RST`.
const TCP_RESET: u32 = 1;
/// `NFT_SET_CONSTANT`.
const CONSTANT: u32 = 2;

/// Elements that are added by one message, whose attributes have a length of 16 bits.
const ELEMENTS_MAX: usize = 512;

/// Whether refused packets are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Reported,
    Silent,
}

/// The rules of one family.
pub(super) fn rules(family: &Family, network: &Network, refused: Refused) -> Messages {
    let mut rules = Rules { family, refused, messages: Messages::default() };
    rules.messages.add(BATCH_BEGIN, 0, &header(0, SUBSYSTEM), &Attributes::new());
    rules.add(NEW_TABLE, 0, &Attributes::new().text(1, TABLE));
    // Each part of a key takes whole words.
    let key = |literal: &SocketAddr| [&*bytes(literal.ip()), &literal.port().to_be_bytes(), &[0; 2]].concat();
    let literals: BTreeSet<_> =
        network.literals.iter().filter(|literal| family.has(literal.ip())).map(key).collect();
    if !literals.is_empty() {
        rules.set(LITERALS, 1, &literals);
    }
    if let Ports::These(ports) = &network.ports
        && !ports.is_empty()
    {
        rules.set(PORTS, 2, &ports.iter().map(|port| port.to_be_bytes().to_vec()).collect());
    }
    rules.output(&network.ports, !literals.is_empty());
    rules.prerouting(!literals.is_empty());
    let mut messages = rules.messages.await_last();
    messages.add(BATCH_END, 0, &header(0, SUBSYSTEM), &Attributes::new());
    messages
}

/// `struct nfgenmsg`.
pub(super) fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

struct Rules<'a> {
    family: &'a Family,
    refused: Refused,
    messages: Messages,
}

impl Rules<'_> {
    fn add(&mut self, kind: u16, flags: u16, attributes: &Attributes) {
        self.messages.add(kind, CREATE | flags, &header(self.family.number, 0), attributes);
    }

    /// A set that never changes. `NFTA_SET_*`: table, name, flags, length of a key, description, number.
    fn set(&mut self, name: &str, id: u32, keys: &BTreeSet<Vec<u8>>) {
        let length = keys.first().map_or(0, Vec::len);
        let size = Attributes::new().number(1, count(keys.len()));
        let set = Attributes::new()
            .text(1, TABLE)
            .text(2, name)
            .number(3, CONSTANT)
            .number(5, count(length))
            .nest(9, &size)
            .number(10, id);
        self.add(NEW_SET, 0, &set);
        for keys in keys.iter().collect::<Vec<_>>().chunks(ELEMENTS_MAX) {
            let elements = keys.iter().fold(Attributes::new(), |elements, key| {
                let value = Attributes::new().put(1, key);
                elements.nest(1, &Attributes::new().nest(1, &value))
            });
            self.add(NEW_ELEMENTS, 0, &Attributes::new().text(1, TABLE).text(2, name).nest(3, &elements));
        }
    }

    /// `NFTA_CHAIN_*`: table, name, hook, type.
    fn chain(&mut self, name: &str, kind: &str, hook: u32) {
        let hook = Attributes::new().number(1, hook).put(2, &MANGLE.to_be_bytes());
        let chain = Attributes::new().text(1, TABLE).text(3, name).nest(4, &hook).text(7, kind);
        self.add(NEW_CHAIN, 0, &chain);
    }

    /// `NFTA_RULE_*`: table, chain, expressions.
    fn rule(&mut self, chain: &str, parts: &[&[Expression]]) {
        let expressions = parts
            .iter()
            .flat_map(|part| part.iter())
            .fold(Attributes::new(), |all, expression| all.nest(1, &expression.0));
        let rule = Attributes::new().text(1, TABLE).text(2, chain).nest(4, &expressions);
        self.add(NEW_RULE, APPEND, &rule);
    }

    fn output(&mut self, ports: &Ports, literals: bool) {
        let (family, log) = (self.family, self.log());
        self.chain(OUTPUT, "route", HOOK_OUTPUT);
        // What is granted is reached by its own address, and this listener by no other way.
        let listener = [to(family, &family.job), tcp(), port(LISTENING_PORT)].concat();
        self.rule(OUTPUT, &[&listener, &log, &[reset()]]);
        for own in [&family.loopback, &family.job].into_iter().chain(&family.name_server) {
            self.rule(OUTPUT, &[&to(family, own), &[accept()]]);
        }
        // A program that sends to a group through the loopback interface reaches this jail alone.
        let first = load(FIRST, NETWORK, family.destination_at, 1);
        self.rule(OUTPUT, &[&[first, compare(AT_LEAST, &[family.groups.0]), accept()]]);
        let names = [to(family, &family.names), tcp()].concat();
        match ports {
            Ports::Every => self.rule(OUTPUT, &[&names, &[accept()]]),
            Ports::These(ports) if ports.is_empty() => {}
            Ports::These(_) => {
                self.rule(OUTPUT, &[&names, &[load_port(FIRST), is_in(PORTS, FIRST), accept()]]);
            }
        }
        if literals {
            self.rule(OUTPUT, &[&is_literal(family), &[accept()]]);
        }
        self.rule(OUTPUT, &[&tcp(), &log, &[reset()]]);
        if !log.is_empty() {
            self.rule(OUTPUT, &[&log, &mark()]);
        }
    }

    fn prerouting(&mut self, literals: bool) {
        let family = self.family;
        let redirect = redirect(family);
        self.chain(PREROUTING, "filter", HOOK_PREROUTING);
        self.rule(PREROUTING, &[&to(family, &family.names), &tcp(), &redirect]);
        if let Some(name_server) = &family.name_server {
            let asked = [to(family, name_server), tcp(), port(NAME_SERVER_PORT)].concat();
            self.rule(PREROUTING, &[&asked, &redirect]);
        }
        if literals {
            self.rule(PREROUTING, &[&is_literal(family), &redirect]);
        }
    }

    /// `NFTA_LOG_*`: group.
    fn log(&self) -> Vec<Expression> {
        match self.refused {
            Refused::Reported => {
                vec![expression("log", Attributes::new().put(1, &REPORTS.to_be_bytes()))]
            }
            Refused::Silent => Vec::new(),
        }
    }
}

/// One step of a rule. `NFTA_EXPR_*`: name, data.
#[derive(Clone, Debug)]
struct Expression(Attributes);

fn expression(name: &str, data: Attributes) -> Expression {
    Expression(Attributes::new().text(1, name).nest(2, &data))
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Loads bytes of a header. `NFTA_PAYLOAD_*`: register, header, where, length.
fn load(register: u32, header: u32, at: u32, length: usize) -> Expression {
    let data = Attributes::new().number(1, register).number(2, header).number(3, at).number(4, count(length));
    expression("payload", data)
}

fn load_port(register: u32) -> Expression {
    load(register, TRANSPORT, 2, 2)
}

/// Goes on if the first register begins with these bytes.
fn equal(value: &[u8]) -> Expression {
    compare(EQUAL, value)
}

/// `NFTA_CMP_*`: register, how, with what.
fn compare(how: u32, value: &[u8]) -> Expression {
    let value = Attributes::new().put(1, value);
    expression("cmp", Attributes::new().number(1, FIRST).number(2, how).nest(3, &value))
}

/// Goes on if the destination begins with these bytes.
fn to(family: &Family, prefix: &[u8]) -> Vec<Expression> {
    vec![load(FIRST, NETWORK, family.destination_at, prefix.len()), equal(prefix)]
}

/// `NFTA_META_*`: register, what.
fn tcp() -> Vec<Expression> {
    let protocol = expression("meta", Attributes::new().number(1, FIRST).number(2, L4_PROTOCOL));
    vec![protocol, equal(&[6])]
}

fn port(port: u16) -> Vec<Expression> {
    vec![load_port(FIRST), equal(&port.to_be_bytes())]
}

/// `NFTA_LOOKUP_*`: set, register.
fn is_in(set: &str, register: u32) -> Expression {
    expression("lookup", Attributes::new().text(1, set).number(2, register))
}

fn is_literal(family: &Family) -> Vec<Expression> {
    let address = load(WORDS, NETWORK, family.destination_at, family.job.len());
    let port = load_port(WORDS + count(family.job.len() / WORD));
    [tcp(), vec![address, port, is_in(LITERALS, WORDS)]].concat()
}

/// `NFTA_IMMEDIATE_*`: register, data, which is a value (1) or a verdict (2).
fn immediate(register: u32, data: &Attributes) -> Expression {
    expression("immediate", Attributes::new().number(1, register).nest(2, data))
}

fn accept() -> Expression {
    let verdict = Attributes::new().number(1, NF_ACCEPT);
    immediate(VERDICT, &Attributes::new().nest(2, &verdict))
}

/// `NFTA_REJECT_*`: how, the code of an ICMP message.
fn reset() -> Expression {
    expression("reject", Attributes::new().number(1, TCP_RESET).put(2, &[0]))
}

/// `NFTA_META_*`: what, source register.
fn mark() -> Vec<Expression> {
    let value = immediate(FIRST, &Attributes::new().put(1, &MARK.to_ne_bytes()));
    vec![value, expression("meta", Attributes::new().number(2, PACKET_MARK).number(3, FIRST))]
}

/// To the listener, whatever the destination is. `NFTA_TPROXY_*`: family, registers of address and port.
fn redirect(family: &Family) -> Vec<Expression> {
    let value = |register, bytes: &[u8]| immediate(register, &Attributes::new().put(1, bytes));
    let data = Attributes::new().number(1, family.number.into()).number(2, FIRST).number(3, SECOND);
    vec![value(FIRST, &family.job), value(SECOND, &LISTENING_PORT.to_be_bytes()), expression("tproxy", data)]
}
