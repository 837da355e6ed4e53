//! A proxy of the site, as its users name it to other programs.

use aseptic_gateway::Proxy;

/// The text names no proxy that a gateway can use. It is not repeated: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProxyError(&'static str);

/// A proxy as the environment of a user names it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SiteProxy {
    /// As in `HTTPS_PROXY`: a URL, or nothing where there is no proxy.
    pub url: String,
    /// As in `NO_PROXY`: `*` for all hosts, or those between commas are reached without it.
    pub except: String,
}

impl std::fmt::Debug for SiteProxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if self.url.is_empty() { "no proxy" } else { "a proxy" }) // It may hold a password.
    }
}

impl SiteProxy {
    /// The proxy, if there is one.
    ///
    /// # Errors
    /// [`ProxyError`]: a proxy of another kind than HTTP, or no URL.
    pub(crate) fn parse(&self) -> Result<Option<Proxy>, ProxyError> {
        parse(&self.url, &self.except)
    }
}

fn parse(url: &str, except: &str) -> Result<Option<Proxy>, ProxyError> {
    let except: Vec<String> =
        except.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::to_owned).collect();
    if url.trim().is_empty() || except.iter().any(|host| host == "*") {
        return Ok(None);
    }
    let rest = match url.trim().split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return Err(ProxyError("only `http://` proxies can be used")),
        None => url.trim(),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let (credentials, endpoint) = match authority.rsplit_once('@') {
        Some((credentials, endpoint)) => (Some(decode(credentials)?), endpoint),
        None => (None, authority),
    };
    let (host, port) = match endpoint.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, "80"),
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or("")),
        None => endpoint.split_once(':').unwrap_or((endpoint, "80")),
    };
    let port = port.parse().ok().filter(|port| *port > 0);
    let port = port.ok_or(ProxyError("the port of a proxy is a number from 1 to 65535"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    if host.is_empty() || !host.chars().all(plain) {
        return Err(ProxyError("a proxy is `http://HOST:PORT`"));
    }
    Ok(Some(Proxy { host: host.to_owned(), port, credentials, except }))
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String, ProxyError> {
    let wrong = ProxyError("user or password of a proxy are not percent-encoded");
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit =
            |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(match byte {
            b'%' => {
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                16 * high.ok_or(wrong.clone())? + low.ok_or(wrong.clone())?
            }
            byte => byte,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong.clone())?;
    if text.chars().any(char::is_control) { Err(wrong) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_as_people_write_them() {
        let parsed = |url| parse(url, "").unwrap().unwrap();
        let proxy = parsed("http://proxy.example:3128/");
        assert_eq!((proxy.host.as_str(), proxy.port, proxy.credentials), ("proxy.example", 3128, None));
        assert_eq!(parsed("proxy.example:8080").port, 8080);
        assert_eq!(parsed("HTTP://[2001:db8::1]:3128").host, "2001:db8::1");
        let proxy = parsed("http://me:p%40ss@proxy.example");
        assert_eq!((proxy.port, proxy.credentials.as_deref()), (80, Some("me:p@ss")));
        assert_eq!(parse("", ""), Ok(None));
        assert_eq!(parse("http://p:1", "a, *"), Ok(None));
        let except = parse("http://p:1", " localhost,.example.org ,").unwrap().unwrap().except;
        assert_eq!(except, ["localhost", ".example.org"]);
        for wrong in [
            "socks5://p:1",
            "https://p:1",
            "http://",
            "http://p:0",
            "http://p:x",
            "http://a b:1",
            "http://%zz@p:1",
        ] {
            assert!(parse(wrong, "").is_err(), "{wrong}");
        }
    }
}
