//! What tells one state of an environment from another without reading its files: the packages of the plan, the
//! machine, and the times of change of every description, path file and directory that an inventory is made from.
//!
//! A file whose bytes change and whose times do not is not noticed: `aseptic env verify` reads every byte.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aseptic_model::{Digest, Machine, canonical_digest};

use super::super::python::entries;
use super::{Sources, dpkg, machine};

/// Version of what is looked at: another way to make inventories makes new ones.
const VERSION: &str = "aseptic.inventory/1 1";

/// The fingerprint of the environment as it is now.
pub(super) fn of(sources: &Sources) -> Digest {
    let mut text = format!("{VERSION}\n");
    let mut add = |digest: Option<Digest>| {
        let _ = writeln!(text, "{}", digest.map_or("-".to_owned(), |digest| digest.to_string()));
    };
    // What a virtual machine is lent of memory changes while it runs.
    add(canonical_digest(&Machine { memory_bytes: None, ..machine::quick() }).ok());
    add(sources.python.as_ref().and_then(|(python, _)| canonical_digest(python).ok()));
    add(canonical_digest(&sources.mounts).ok());
    state(Path::new(dpkg::STATUS), &mut text);
    state(Path::new("/etc/ld.so.conf.d"), &mut text);
    for directory in machine::LIBRARIES.into_iter().chain(["/usr/local/lib"]) {
        state(Path::new(directory), &mut text);
    }
    for site in sources.sites() {
        state(&site, &mut text);
        for path in entries(&site).iter().filter(|path| describes(path)) {
            state(path, &mut text); // Of a directory it changes with each file that is put there or replaced.
        }
    }
    if let Some((_, installed)) = &sources.python {
        state(&installed.interpreter, &mut text);
        for prefix in &installed.prefixes {
            state(&prefix.join("lib"), &mut text);
            state(&prefix.join("conda-meta"), &mut text);
        }
        if let Some(home) = sources.home_directory.as_ref().filter(|_| installed.user_site) {
            state(&home.join(".local/lib"), &mut text);
        }
    }
    Digest::of(text.as_bytes())
}

fn describes(path: &Path) -> bool {
    let end = path.extension().and_then(|extension| extension.to_str());
    end.is_some_and(|end| ["dist-info", "egg-info", "egg-link", "pth"].contains(&end))
}

fn state(path: &Path, text: &mut String) {
    match path.metadata() {
        Ok(file) => {
            let (modified, changed) = ((file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec()));
            let _ = writeln!(text, "{} {} {} {modified:?} {changed:?}", file.dev(), file.ino(), file.size());
        }
        Err(error) => {
            let _ = writeln!(text, "{:?}", error.kind());
        }
    }
}
