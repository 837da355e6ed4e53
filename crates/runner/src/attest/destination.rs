//! Where documents go.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use aseptic_http::{Client, Outgoing};

use super::documents::Files;
use super::{AttestExportError, Document};
use crate::home::io_error;

/// An address as the ledger keeps it: what may be secret in one is refused or left out.
pub(super) fn shown_url(url: &str) -> Result<String, AttestExportError> {
    let bare = url.split(['?', '#']).next().unwrap_or(url);
    let rest = bare.strip_prefix("https://").or_else(|| bare.strip_prefix("http://"));
    let rest = rest.ok_or(AttestExportError::Url("it begins with neither http:// nor https://"))?;
    if rest.split('/').next().unwrap_or(rest).contains('@') {
        return Err(AttestExportError::Url("it has credentials in it; give a token in OPENLINEAGE_API_KEY"));
    }
    if bare.len() > 2_048 || bare.chars().any(char::is_control) {
        return Err(AttestExportError::Url("it is too long, or has control characters"));
    }
    Ok(bare.to_owned())
}

/// Sends each line of the one file.
pub(super) fn send(
    client: &Client,
    url: &str,
    token: Option<&str>,
    files: &Files,
) -> Result<(), AttestExportError> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    for line in files.iter().flat_map(|(_, bytes)| bytes.split(|byte| *byte == b'\n')) {
        if line.is_empty() {
            continue;
        }
        let request = Outgoing { method: "POST", url, headers: &headers, body: line };
        let answer = client.send(&request).map_err(AttestExportError::Send)?;
        if !(200..300).contains(&answer.status) {
            return Err(AttestExportError::Refused(answer.status));
        }
    }
    Ok(())
}

/// A place that is ours: nothing had the name.
pub(super) struct Claimed {
    path: PathBuf,
    directory: bool,
    made: bool,
    kept: bool,
}

impl Claimed {
    pub(super) fn new(path: &Path, document: Document) -> Result<Self, AttestExportError> {
        let directory = document.is_directory();
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AlreadyExists => AttestExportError::Exists(path.to_owned()),
            _ => io_error("make", path, source).into(),
        };
        let made = match directory {
            false => {
                OpenOptions::new().write(true).create_new(true).open(path).map(|_| true).map_err(failed)?
            }
            true if path.is_dir() => {
                if fs::read_dir(path).map_err(failed)?.next().is_some() {
                    return Err(AttestExportError::Exists(path.to_owned()));
                }
                false
            }
            true => fs::create_dir(path).map(|()| true).map_err(failed)?,
        };
        Ok(Self { path: path.to_owned(), directory, made, kept: false })
    }

    pub(super) fn write(&self, files: &Files) -> Result<(), AttestExportError> {
        for (name, bytes) in files {
            let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
            let mut options = OpenOptions::new();
            options.write(true).create_new(self.directory);
            let written = options.open(&path).and_then(|mut file| file.write_all(bytes));
            written.map_err(|source| io_error("write", &path, source))?;
        }
        Ok(())
    }

    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Claimed {
    /// What was not finished goes.
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let _ = match self.directory {
            false => fs::remove_file(&self.path),
            true => fs::remove_dir_all(&self.path),
        };
        if self.directory && !self.made {
            let _ = fs::create_dir(&self.path);
        }
    }
}
