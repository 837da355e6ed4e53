//! Where an archive is.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use crate::error::ArchiveError;

/// A place for an archive: `file:`, `s3:`, `gs:`, `az:` or `https:`, without any secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveUrl {
    pub(crate) url: Url,
}

impl FromStr for ArchiveUrl {
    type Err = ArchiveError;

    /// Takes a URL. One that could hold a secret is refused: it would be written to the ledger.
    fn from_str(text: &str) -> Result<Self, ArchiveError> {
        let wrong = |shown: &str, what| ArchiveError::Url { url: shown.to_owned(), what };
        let Ok(mut url) = text.parse::<Url>() else {
            return Err(wrong(&hidden(text), "it is no URL"));
        };
        let shown = hidden(text);
        let wrong = |what| wrong(&shown, what);
        if url.password().is_some() {
            return Err(wrong("a password in a URL would be written to the ledger"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong(
                "what follows a `?` or `#` may be a secret, and would be written to the ledger",
            ));
        }
        let account = matches!(url.scheme(), "az" | "abfs" | "abfss"); // CONTAINER@ACCOUNT
        if !url.username().is_empty() && !account {
            return Err(wrong("it has the name of a user"));
        }
        match url.scheme() {
            "file" if url.host_str().is_some() => {
                return Err(wrong("it names a directory of another machine"));
            }
            "file" | "s3" | "gs" | "az" | "abfs" | "abfss" | "https" => {}
            "http" if !is_this_machine(&url) => {
                return Err(wrong("without encryption anyone on the way reads the data; use https"));
            }
            "http" => {}
            _ => return Err(wrong("this kind of place is not known")),
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if path.is_empty() {
            return Err(wrong("an archive has a directory of its own, and this is a root"));
        }
        url.set_path(&path);
        Ok(Self { url })
    }
}

impl ArchiveUrl {
    /// The URL of a directory of this machine.
    ///
    /// # Errors
    /// [`ArchiveError::Url`]: the path is not absolute, or is the root.
    pub fn of_directory(path: &std::path::Path) -> Result<Self, ArchiveError> {
        let url = Url::from_file_path(path).map_err(|()| ArchiveError::Url {
            url: path.display().to_string(),
            what: "the path is not absolute",
        })?;
        url.as_str().parse()
    }

    /// The directory, if it is one of this machine.
    #[must_use]
    pub fn directory(&self) -> Option<std::path::PathBuf> {
        if self.url.scheme() == "file" { self.url.to_file_path().ok() } else { None }
    }

    /// Whether files can only be put there whole, from memory.
    pub(crate) fn is_web(&self) -> bool {
        matches!(self.url.scheme(), "http" | "https")
    }

    /// The URL of a file of the archive.
    pub(crate) fn of_file(&self, name: &str) -> String {
        format!("{self}/{name}")
    }
}

impl fmt::Display for ArchiveUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// A text that is said to be a URL, without a password or query.
fn hidden(text: &str) -> String {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let (text, cut) = (&text[..end], if end < text.len() { "?…" } else { "" });
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.find('/').unwrap_or(rest.len());
            match rest[..host].rfind('@') {
                Some(at) => format!("{scheme}://…{}{cut}", &rest[at..]),
                None => format!("{text}{cut}"),
            }
        }
        None => format!("{text}{cut}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back() {
        for (text, read) in [
            ("file:///var/archive/digits-1", "file:///var/archive/digits-1"),
            ("s3://bucket/digits/1/", "s3://bucket/digits/1"),
            ("gs://bucket/digits", "gs://bucket/digits"),
            ("az://container/digits", "az://container/digits"),
            (
                "abfss://container@account.dfs.core.windows.net/x",
                "abfss://container@account.dfs.core.windows.net/x",
            ),
            ("https://dav.example/archives/digits", "https://dav.example/archives/digits"),
            ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
            ("http://localhost:8080/x", "http://localhost:8080/x"),
        ] {
            assert_eq!(text.parse::<ArchiveUrl>().unwrap().to_string(), read);
        }
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for text in [
            "https://me:hunter2@dav.example/x",
            "https://hunter2@dav.example/x",
            "az://c/x?sig=hunter2",
            "s3://bucket/x#hunter2",
            "https://[bad:hunter2@dav.example/x",
            "s3://key:hunter2@bucket/x",
        ] {
            let error = text.parse::<ArchiveUrl>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_no_place() {
        for text in [
            "",
            "digits",
            "/var/archive",
            "ftp://host/x",
            "memory:///x",
            "http://dav.example/x",
            "http://10.0.0.1/x",
            "s3://bucket",
            "s3://bucket/",
            "file://host/x",
            "file:///",
        ] {
            assert!(text.parse::<ArchiveUrl>().is_err(), "{text}");
        }
    }
}
