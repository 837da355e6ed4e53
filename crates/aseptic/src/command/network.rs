//! The network of a run: what is asked for, and what it had.

use std::str::FromStr;

use aseptic_model::{ByteSize, Egress, Grant, GrantError, Traffic};
use aseptic_runner::SiteProxy;

/// A value of `--network`.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Grant(Grant),
    /// List what the job wants.
    Observe,
}

impl FromStr for Wish {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        if text == "observe" { Ok(Self::Observe) } else { text.parse().map(Self::Grant) }
    }
}

/// The proxy of the site, as the environment of this process names it to every program.
pub(crate) fn proxy() -> SiteProxy {
    let first = |names: &[&str]| {
        let value = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
        names.iter().find_map(value).unwrap_or_default()
    };
    SiteProxy {
        url: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        except: first(&["no_proxy", "NO_PROXY"]),
    }
}

/// `2 connections, 1.2 MiB received, 3.0 KiB sent`.
pub(crate) fn traffic(traffic: &Traffic) -> String {
    let Traffic { connections, failed, sent_bytes, received_bytes } = *traffic;
    let plural = if connections == 1 { "" } else { "s" };
    let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    let (received, sent) = (ByteSize(received_bytes), ByteSize(sent_bytes));
    format!("{connections} connection{plural}{failed}, {received} received, {sent} sent")
}

/// What went through all grants together; nothing where there is none.
pub(crate) fn total(egress: &Egress) -> Option<String> {
    let mut total = Traffic::default();
    for used in &egress.grants {
        total.connections += used.traffic.connections;
        total.failed += used.traffic.failed;
        total.sent_bytes += used.traffic.sent_bytes;
        total.received_bytes += used.traffic.received_bytes;
    }
    (!egress.grants.is_empty()).then(|| traffic(&total))
}
