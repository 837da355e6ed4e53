//! Where a catalog is.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aseptic_model::{Digest, escape_bytes};
use tokio_postgres::config::{Host, SslMode};

use crate::CatalogError;

/// How long to wait for a server to answer at all.
const CONNECT: Duration = Duration::from_secs(10);

/// Where a catalog is, or will be.
#[derive(Clone, Debug)]
pub enum Place {
    /// A file of SQLite.
    File(PathBuf),
    /// A schema of a PostgreSQL database.
    Server(Box<Server>),
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Self {
        Self::File(path.clone())
    }
}

impl From<&Self> for Place {
    fn from(place: &Self) -> Self {
        place.clone()
    }
}

impl From<Server> for Place {
    fn from(server: Server) -> Self {
        Self::Server(Box::new(server))
    }
}

/// A PostgreSQL database, how to get in, and which schema of it is the catalog. Its password is never shown.
#[derive(Clone)]
pub struct Server {
    pub(crate) config: tokio_postgres::Config,
    pub(crate) roots: Option<PathBuf>,
    pub(crate) schema: String,
    pub(crate) lock: i64,
    shown: String,
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").field("shown", &self.shown).field("schema", &self.schema).finish()
    }
}

/// `host:port/database`, without user and password.
impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl Server {
    /// Understands `postgresql://user:password@host:port/database?option=value…`, as clients of PostgreSQL do; of the
    /// options those of the connection, `sslmode` and `sslrootcert`. The catalog of the ledger `origin` has a schema of
    /// its own there.
    ///
    /// A server on another machine is spoken to with TLS and its certificate is verified, unless the URL says
    /// `sslmode=disable`. On this machine TLS is used when the URL asks for it.
    ///
    /// # Errors
    /// [`CatalogError::Url`], which repeats nothing of the URL: any part of it may be a password that was not escaped.
    pub fn parse(url: &str, origin: &str) -> Result<Self, CatalogError> {
        if !["postgresql://", "postgres://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(CatalogError::Url { reason: "it does not begin with `postgresql://`" });
        }
        // What is before the first `@` are user and password.
        let server = url.find('@').unwrap_or(0);
        let (place, options) = match url[server..].find('?') {
            Some(at) => (&url[..server + at], &url[server + at + 1..]),
            None => (url, ""),
        };
        let mut roots = None;
        let mut mode = None;
        let mut others = Vec::new();
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match url::form_urlencoded::parse(option.as_bytes()).next() {
                Some((name, path)) if name == "sslrootcert" => roots = Some(PathBuf::from(path.into_owned())),
                Some((name, value)) if name == "sslmode" => mode = Some(parse_mode(&value)?),
                _ => others.push(option),
            }
        }
        let rest = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
        let mut config: tokio_postgres::Config =
            format!("{place}{rest}").parse().map_err(|_| CatalogError::Url {
                reason: "it is no URL of a PostgreSQL database, or has an option that is not known",
            })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(CatalogError::Url {
                reason: "it names no host; a socket is `?host=/run/postgresql`",
            });
        }
        let near =
            config.get_hosts().iter().all(is_here) && config.get_hostaddrs().iter().all(IpAddr::is_loopback);
        config.ssl_mode(match (mode, near) {
            (Some(mode), _) => mode,
            (None, true) if roots.is_none() => SslMode::Disable,
            (None, _) => SslMode::Require,
        });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_application_name().is_none() {
            config.application_name("aseptic");
        }
        let digest = Digest::of(origin.as_bytes());
        let schema = format!("aseptic_{}", digest.to_string().chars().take(24).collect::<String>());
        let mut lock = [0; 8];
        lock.copy_from_slice(&digest.as_bytes()[..8]);
        Ok(Self { shown: shown(&config), config, roots, schema, lock: i64::from_be_bytes(lock) })
    }

    /// The schema that is the catalog.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }
}

/// `prefer` would give up TLS when somebody in between says so, and `verify-…` is what is always done.
fn parse_mode(mode: &str) -> Result<SslMode, CatalogError> {
    match mode {
        "disable" => Ok(SslMode::Disable),
        "prefer" | "require" | "verify-ca" | "verify-full" => Ok(SslMode::Require),
        _ => Err(CatalogError::Url { reason: "its `sslmode` is none of disable, require, verify-full" }),
    }
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
    }
}

fn shown(config: &tokio_postgres::Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => config.get_hostaddrs().first().map(IpAddr::to_string).unwrap_or_default(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or("");
    escape_bytes(format!("{host}:{port}/{database}").as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::SslMode;

    use super::Server;

    fn parse(url: &str) -> Server {
        Server::parse(url, "example/1").unwrap()
    }

    #[test]
    fn each_ledger_has_a_schema_of_its_own() {
        let url = "postgresql://db.example/lab";
        let (one, other) = (parse(url), Server::parse(url, "example/2").unwrap());
        assert_ne!(one.schema(), other.schema());
        assert_ne!(one.lock, other.lock);
        assert_eq!(one.schema(), parse("postgresql://elsewhere/other").schema());
        assert!(
            one.schema()
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        );
    }

    #[test]
    fn another_machine_is_spoken_to_with_tls() {
        for (url, mode) in [
            ("postgresql://db.example/lab", SslMode::Require),
            ("postgresql://db.example/lab?sslmode=prefer", SslMode::Require),
            ("postgresql://db.example/lab?sslmode=verify-full&sslrootcert=/etc/ca.pem", SslMode::Require),
            ("postgresql://db.example/lab?sslmode=disable", SslMode::Disable),
            ("postgresql://localhost,db.example/lab", SslMode::Require),
            ("postgresql://localhost/lab", SslMode::Disable),
            ("postgresql://localhost/lab?sslmode=require", SslMode::Require),
            ("postgresql://127.0.0.1:5433/lab", SslMode::Disable),
            ("postgresql:///lab?host=/run/postgresql", SslMode::Disable),
            ("postgres://%2Frun%2Fpostgresql/lab", SslMode::Disable),
        ] {
            assert_eq!(parse(url).config.get_ssl_mode(), mode, "{url}");
        }
        let roots = parse("postgresql://db.example/lab?sslrootcert=%2Fetc%2Fca.pem").roots.unwrap();
        assert_eq!(roots.to_str(), Some("/etc/ca.pem"));
    }

    #[test]
    fn a_password_is_never_shown() {
        let server = parse("postgresql://ada:hunter2@db.example:6000/lab?connect_timeout=3");
        assert_eq!(server.to_string(), "db.example:6000/lab");
        assert!(!format!("{server:?}").contains("hunter2"));
        let server = parse("postgresql://ada:hun?sslmode=ter2@db.example/lab");
        assert_eq!((server.to_string().as_str(), server.roots), ("db.example:5432/lab", None));
        for url in [
            "postgresql://ada:hun#ter2@db.ex&ample:x/lab",
            "postgresql://ada:hunter2@db.example/lab?sslmode=hunter2",
            "postgresql://ada:hunter2@db.example:port/lab",
            "postgresql://ada:hunter2@",
            "mysql://ada:hunter2@db.example/lab",
            "host=db.example password=hunter2",
            "",
        ] {
            let error = Server::parse(url, "example/1").unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(!text.contains("hun") && !text.contains("ter2"), "{text}");
        }
    }
}
