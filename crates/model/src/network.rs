//! What of the network a run is granted, and the addresses of the network that it sees.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The name server of every run, on port 53.
pub const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 53);

/// The job's own address beside loopback, so that programs see that there is a network.
pub const JOB_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 1);

/// The same for IPv6.
pub const JOB_ADDRESS_6: Ipv6Addr = Ipv6Addr::new(0xfda5, 0xe971, 0xc000, 1, 0, 0, 0, 1);

/// Addresses that stand for names, one each: `198.18.0.0/16`, of the range that RFC 2544 sets aside for tests.
pub const NAMES: (Ipv4Addr, u8) = (Ipv4Addr::new(198, 18, 0, 0), 16);

/// The same for IPv6: a local range (RFC 4193). The last 16 bits are those of [`NAMES`].
pub const NAMES_6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfda5, 0xe971, 0xc000, 0, 0, 0, 0, 0), 64);

/// One thing of the network that a plan permits. Its text form is `HOST:PORT`, followed by `,tls=any` where
/// the name inside of TLS and HTTP need not be that of the host.
///
/// `HOST` is a name (`example.org`), all names below one (`*.example.org`), or an address (`192.0.2.1`,
/// `[2001:db8::1]`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    /// Who may be reached.
    pub host: Destination,
    /// TCP port.
    pub port: u16,
    /// Which names a client may ask that host for.
    pub tls: TlsNames,
}

/// Who a [`Grant`] is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// This name.
    Name(HostName),
    /// Every name below this one, at any depth, and not the name itself.
    Below(HostName),
    /// This address, whatever its range. IPv4 is never written as IPv6.
    Address(IpAddr),
}

/// Which server names a client may ask a granted host for: in TLS (SNI), and in the `Host` of plain HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsNames {
    /// The granted one alone.
    #[default]
    Granted,
    /// Any, which lets a job reach whatever else the same server answers for.
    Any,
}

/// A host name in lower case, without a final dot. Names of other scripts are in their ASCII form (`xn--…`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

/// The text is not a [`Grant`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no network destination: {why}")]
pub struct GrantError {
    text: String,
    why: &'static str,
}

/// Most characters of a name; most of one of its parts.
const NAME_MAX: usize = 253;
const PART_MAX: usize = 63;

impl HostName {
    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name is below `other`, at any depth.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_suffix(other.as_str()).is_some_and(|rest| rest.ends_with('.'))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HostName {
    type Err = GrantError;

    /// Source: RFC 1123, section 2.1; underscores as in names that are in use.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let wrong = |why| refuse(text, why);
        let name = text.strip_suffix('.').unwrap_or(text);
        if !name.is_ascii() {
            return Err(wrong("write the name in its ASCII form, which begins with `xn--`"));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_part = |part: &str| {
            (1..=PART_MAX).contains(&part.len())
                && part.bytes().all(plain)
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        if name.len() > NAME_MAX || !name.split('.').all(is_part) {
            return Err(wrong("a host name has parts of letters, digits, `-` and `_` between dots"));
        }
        let last = name.rsplit('.').next().unwrap_or("");
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
        if is_number {
            return Err(wrong("write an address as four decimal numbers, or as IPv6 in brackets"));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

/// Why an address can be no destination.
const NO_HOST: &str = "no host has this address";

impl Destination {
    /// The host with this address; nothing where none has it, or a run uses it for itself.
    #[must_use]
    pub fn of(address: IpAddr) -> Option<Self> {
        let of_run = match address {
            IpAddr::V4(address) => {
                address.octets()[..2] == NAMES.0.octets()[..2]
                    || [JOB_ADDRESS, NAME_SERVER].contains(&address)
            }
            IpAddr::V6(address) => {
                address.octets()[..8] == NAMES_6.0.octets()[..8] || address == JOB_ADDRESS_6
            }
        };
        let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
        let is_host = !(of_run || is_broadcast || address.is_unspecified() || address.is_multicast());
        is_host.then_some(Self::Address(address))
    }
}

impl FromStr for Destination {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let wrong = |why| refuse(text, why);
        if let Some(inside) = text.strip_prefix('[') {
            let address = inside.strip_suffix(']').and_then(|inside| inside.parse::<Ipv6Addr>().ok());
            let address = address.ok_or_else(|| wrong("between brackets stands an IPv6 address"))?;
            return match address.to_ipv4_mapped() {
                Some(_) => Err(wrong("write an IPv4 address as four decimal numbers")),
                None => Self::of(address.into()).ok_or_else(|| wrong(NO_HOST)),
            };
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Self::of(address.into()).ok_or_else(|| wrong(NO_HOST));
        }
        if text.contains(':') {
            return Err(wrong("write an IPv6 address in brackets: `[2001:db8::1]:443`"));
        }
        match text.strip_prefix("*.") {
            Some(rest) => rest.parse().map(Self::Below),
            None if text.contains('*') => Err(wrong("`*` stands for the first parts alone: `*.example.org`")),
            None => text.parse().map(Self::Name),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl Grant {
    /// A grant of `host` and `port` with the usual check of names.
    #[must_use]
    pub fn new(host: Destination, port: u16) -> Self {
        Self { host, port, tls: TlsNames::Granted }
    }

    /// Whether it permits to reach `name` on its port.
    #[must_use]
    pub fn covers(&self, name: &HostName) -> bool {
        match &self.host {
            Destination::Name(granted) => granted == name,
            Destination::Below(parent) => name.is_below(parent),
            Destination::Address(_) => false,
        }
    }

    /// The address and port that it permits literally.
    #[must_use]
    pub fn literal(&self) -> Option<SocketAddr> {
        match self.host {
            Destination::Address(address) => Some(SocketAddr::new(address, self.port)),
            Destination::Name(_) | Destination::Below(_) => None,
        }
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let wrong = |why| refuse(text, why);
        if text == "observe" {
            return Err(wrong("it is an option of one run: `aseptic run --network observe`"));
        }
        if text.matches(':').count() > 1
            && text.contains([' ', ','].as_slice())
            && !text.contains(['[', '='].as_slice())
        {
            return Err(wrong("write one destination at a time"));
        }
        let (endpoint, tls) = match text.split_once(',') {
            None => (text, TlsNames::Granted),
            Some((endpoint, "tls=any")) => (endpoint, TlsNames::Any),
            Some(_) => return Err(wrong("after the port may only stand `,tls=any`")),
        };
        if endpoint.contains("://") || endpoint.contains('/') {
            return Err(wrong("write `HOST:PORT`, without a scheme and a path"));
        }
        let Some((host, port)) = endpoint.rsplit_once(':').filter(|(host, _)| !host.is_empty()) else {
            return Err(wrong("write host and port, such as `example.org:443`"));
        };
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port > 0);
        let port = port.ok_or_else(|| wrong("a port is a number from 1 to 65535"))?;
        let host = host.parse().map_err(|error: GrantError| wrong(error.why))?;
        Ok(Self { host, port, tls })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)?;
        match self.tls {
            TlsNames::Granted => Ok(()),
            TlsNames::Any => f.write_str(",tls=any"),
        }
    }
}

impl FromStr for TlsNames {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        match text {
            "granted" => Ok(Self::Granted),
            "any" => Ok(Self::Any),
            _ => Err(refuse(text, "`tls` is `granted` or `any`")),
        }
    }
}

fn refuse(text: &str, why: &'static str) -> GrantError {
    GrantError { text: text.chars().take(200).flat_map(char::escape_debug).collect(), why }
}

serde_as_text!(Grant, Destination, HostName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_read_back() {
        for text in [
            "example.org:443",
            "*.example.org:443",
            "192.0.2.1:5432",
            "[2001:db8::1]:443",
            "_dmarc.example.org:53",
            "xn--bcher-kva.example:443,tls=any",
        ] {
            assert_eq!(text.parse::<Grant>().unwrap().to_string(), text);
        }
        assert_eq!("Example.COM.:80".parse::<Grant>().unwrap().to_string(), "example.com:80");
    }

    #[test]
    fn what_is_no_destination_is_refused_with_what_to_write() {
        for (text, why) in [
            ("example.com", "host and port"),
            (":443", "host and port"),
            ("observe", "--network observe"),
            ("a.b:1 c.d:2", "one destination"),
            ("a.b:1,c.d:2", "one destination"),
            ("0.0.0.0:80", "no host"),
            ("224.0.0.1:80", "no host"),
            ("198.19.0.53:53", "no host"),
            ("[::]:80", "no host"),
            ("[fda5:e971:c000:1::1]:80", "no host"),
            ("a b:1", "letters"),
            ("h:0", "1 to 65535"),
            ("h:+1", "1 to 65535"),
            ("h:65536", "1 to 65535"),
            ("http://h:80", "without a scheme"),
            ("h:80/x", "without a scheme"),
            ("*:443", "first parts"),
            ("a.*.b:443", "first parts"),
            ("*.:443", "letters"),
            ("-a.b:443", "letters"),
            ("bücher.example:443", "xn--"),
            ("2130706433:80", "four decimal"),
            ("0x7f.1:80", "four decimal"),
            ("127.1:80", "four decimal"),
            ("0177.0.0.0x1:80", "four decimal"),
            ("::1:80", "in brackets"),
            ("[::ffff:127.0.0.1]:80", "four decimal"),
            ("[example.org]:80", "IPv6"),
            ("h:443,tls=none", "tls=any"),
        ] {
            let error = text.parse::<Grant>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_below_is_below_at_a_dot() {
        let name = |text: &str| text.parse::<HostName>().unwrap();
        let grant: Grant = "*.example.org:443".parse().unwrap();
        assert!(grant.covers(&name("a.example.org")) && grant.covers(&name("a.b.example.org")));
        assert!(!grant.covers(&name("example.org")) && !grant.covers(&name("notexample.org")));
    }
}
