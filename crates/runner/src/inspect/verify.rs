//! Verify: every file of an environment against the digest that its installer recorded.
//!
//! A plan holds packages by the digests of their lists, and not by the bytes of every file, which would make each
//! run read gigabytes: this is the check that reads them.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use aseptic_model::{Finding, FindingCode, escape_bytes};
use aseptic_store::{Progress, Step};
use data_encoding::BASE64URL_NOPAD;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

use super::{InspectError, captured};
use crate::environment::inventory::{Listed, listed, read_record};
use crate::environment::python::{is_of_system, sites};
use crate::observer::{Event, Observer};
use crate::request::Request;

/// Findings that are listed.
const FINDINGS_MAX: usize = 1000;
/// Files of a site directory that are looked at for being listed.
const FILES_MAX: usize = 1_000_000;
/// How deep directories are followed.
const DEPTH_MAX: usize = 40;

/// What a verification found.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentVerified {
    /// Directory of the environment.
    pub prefix: String,
    /// Packages whose files were compared.
    pub packages: u64,
    /// Packages that have no list of files, so that nothing of them could be compared.
    pub unlisted_packages: Vec<String>,
    /// Packages of the operating system, which changes files after the list was made and has lists of its own.
    pub system_packages: u64,
    /// Files that were compared.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that have no digest in the list, such as compiled ones, and were not compared.
    pub without_digest: u64,
    /// What is wrong, at most 1000 of it.
    pub findings: Vec<Finding>,
    /// How many more are wrong.
    pub more: u64,
}

/// Reads every file of the environment that a run would have now, and compares it with its digest.
///
/// # Errors
/// [`InspectError`]; a file that is not as it was installed is a finding and no error.
pub fn verify_environment(
    request: &Request,
    observer: &mut dyn Observer,
) -> Result<EnvironmentVerified, InspectError> {
    let captured = captured(request)?.ok_or(InspectError::NoPython)?;
    let mut check = Check::new(&captured.installed.prefixes, &captured.mounts);
    check.verified.prefix = captured.python.prefix;
    for prefix in &captured.installed.prefixes {
        for site in sites(prefix) {
            check.site(&site, observer)?;
        }
    }
    Ok(check.verified)
}

struct Check {
    verified: EnvironmentVerified,
    /// Where files of the environment may be.
    inside: Vec<PathBuf>,
}

impl Check {
    fn new(prefixes: &[PathBuf], mounts: &[PathBuf]) -> Self {
        let inside = prefixes.iter().chain(mounts).cloned().collect();
        Self { verified: EnvironmentVerified::default(), inside }
    }

    fn site(&mut self, site: &Path, observer: &mut dyn Observer) -> Result<(), InspectError> {
        let mut known = HashSet::new();
        let mut all_listed = true;
        for path in fs::read_dir(site).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let end = path.extension().and_then(OsStr::to_str);
            if !matches!(end, Some("dist-info" | "egg-info" | "egg-link")) {
                continue;
            }
            if is_of_system(&path) {
                self.verified.system_packages += 1;
                all_listed = false;
                continue;
            }
            let name = name_of(&path);
            match read_record(&path) {
                Some(record) => {
                    self.verified.packages += 1;
                    for listed in listed(&record) {
                        self.file(site, &name, &listed, &mut known);
                        self.tell(observer)?;
                    }
                }
                None => {
                    all_listed = false;
                    self.verified.unlisted_packages.push(name);
                }
            }
        }
        if all_listed {
            self.strangers(site, &known);
        }
        self.verified.unlisted_packages.sort();
        Ok(())
    }

    fn tell(&self, observer: &mut dyn Observer) -> Result<(), InspectError> {
        let (files, bytes) = (self.verified.files, self.verified.bytes);
        let progress = Progress { step: Step::Read, files, bytes, files_total: 0, bytes_total: 0 };
        observer.event(Event::Import(progress));
        if observer.is_interrupted() { Err(InspectError::Interrupted) } else { Ok(()) }
    }

    /// Compares one file with what its list says.
    fn file(&mut self, site: &Path, package: &str, listed: &Listed, known: &mut HashSet<PathBuf>) {
        let path = plain(&site.join(&listed.path));
        if !self.inside.iter().any(|inside| path.starts_with(inside)) {
            let detail = "its RECORD lists a file outside of the environment, which was not read";
            return self.finding(FindingCode::Unreadable, package, &path, detail.to_owned());
        }
        let Some(wanted) = &listed.sha256 else {
            self.verified.without_digest += 1;
            known.insert(path);
            return;
        };
        match hash(&path) {
            Ok((digest, bytes)) => {
                self.verified.files += 1;
                self.verified.bytes += bytes;
                if digest != *wanted {
                    let size = listed.size.filter(|size| *size != bytes);
                    let detail = match size {
                        Some(size) => format!("it has {bytes} bytes, and had {size} when it was installed"),
                        None => "it has other bytes than when it was installed".to_owned(),
                    };
                    self.finding(FindingCode::Modified, package, &path, detail);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.finding(
                    FindingCode::MissingFile,
                    package,
                    &path,
                    "it was installed, and is gone".to_owned(),
                );
            }
            Err(error) => {
                self.finding(FindingCode::Modified, package, &path, format!("it cannot be read: {error}"))
            }
        }
        known.insert(path);
    }

    /// Names what Python would import and no list has, by the entry of the site directory that it is in.
    fn strangers(&mut self, site: &Path, known: &HashSet<PathBuf>) {
        let mut found = BTreeSet::new();
        let mut left = FILES_MAX;
        for entry in fs::read_dir(site).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|end| end == "dist-info") || entry.file_name() == "__pycache__" {
                continue;
            }
            let count = strangers_in(&path, known, 0, &mut left);
            if count > 0 {
                found.insert((path, count));
            }
        }
        for (path, count) in found {
            let subject = escape_bytes(path.file_name().unwrap_or_default().as_encoded_bytes());
            let detail = match count {
                1 => "a file that Python would import belongs to no package".to_owned(),
                count => format!("{count} files that Python would import belong to no package"),
            };
            self.finding(FindingCode::Unlisted, &subject, &path, detail);
        }
    }

    fn finding(&mut self, code: FindingCode, subject: &str, path: &Path, detail: String) {
        if self.verified.findings.len() >= FINDINGS_MAX {
            self.verified.more += 1;
            return;
        }
        let place = Some(escape_bytes(path.as_os_str().as_encoded_bytes()));
        self.verified.findings.push(Finding { code, subject: subject.to_owned(), place, detail });
    }
}

fn strangers_in(path: &Path, known: &HashSet<PathBuf>, depth: usize, left: &mut usize) -> u64 {
    let Some(fewer) = left.checked_sub(1) else { return 0 };
    *left = fewer;
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    if metadata.is_dir() && depth < DEPTH_MAX {
        if path.file_name().is_some_and(|name| name == "__pycache__") {
            return 0;
        }
        let inside = fs::read_dir(path).into_iter().flatten().flatten();
        return inside.map(|entry| strangers_in(&entry.path(), known, depth + 1, left)).sum();
    }
    let end = path.extension().and_then(OsStr::to_str);
    let importable = matches!(end, Some("py" | "pyc" | "so" | "pth"));
    u64::from(importable && !known.contains(path))
}

/// `numpy` of `numpy-2.0.0.dist-info`.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = stem.split_once('-').map_or(stem.as_str(), |(name, _)| name);
    escape_bytes(name.chars().take(200).collect::<String>().as_bytes())
}

/// Without `.` and `..`, by the names alone.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// SHA-256 of a regular file as its list has it, and its size. Opening never waits.
fn hash(path: &Path) -> io::Result<(String, u64)> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((BASE64URL_NOPAD.encode(&hasher.finalize()), bytes));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        bytes += read as u64;
    }
}
