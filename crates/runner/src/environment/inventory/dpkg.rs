//! Packages of the operating system, from dpkg's own list.
//!
//! All that are installed are listed, not those whose files the environment needs: which these are shows only when
//! it runs. Their licences are not known: dpkg keeps them as prose.
//!
//! Source: deb-control(5), dpkg's database `status`.

use std::path::Path;

use aseptic_model::{Digest, SystemPackage, SystemPackages, to_canonical};

use super::super::python::{Longer, WORD_CHARACTERS_MAX, entries, read};
use super::{Found, PACKAGES_MAX};

/// Where dpkg keeps its list.
pub(super) const STATUS: &str = "/var/lib/dpkg/status";
/// Where it keeps the files of each package.
const INFO: &str = "/var/lib/dpkg/info";
/// Largest list of files of one package.
const LIST_BYTES_MAX: u64 = 16 << 20;
/// Largest list: one of a system with all packages of a distribution.
const STATUS_BYTES_MAX: u64 = 128 << 20;

/// What is installed, as the list at `status` says; nothing where there is none.
pub(super) fn installed(status: &Path, found: &mut Found) -> Option<SystemPackages> {
    status.symlink_metadata().ok()?;
    let Ok(bytes) = read(status, STATUS_BYTES_MAX, Longer::Refuse) else {
        found.incomplete.insert(format!("`{}` cannot be read", status.display()));
        return None;
    };
    let mut packages: Vec<_> = parse(&String::from_utf8_lossy(&bytes)).collect();
    packages.sort();
    packages.dedup();
    if packages.len() > PACKAGES_MAX {
        packages.truncate(PACKAGES_MAX);
        found.incomplete.insert(format!("only {PACKAGES_MAX} packages of the system are listed"));
    }
    let digest = Digest::of(&to_canonical(&packages).ok()?);
    Some(SystemPackages { manager: "dpkg".to_owned(), digest, packages })
}

/// Whether a package of the system has the file at `path`. Reads every list, so it is asked of few files.
pub(super) fn owns(path: &Path) -> bool {
    let lists = entries(Path::new(INFO));
    let mut lists = lists.iter().filter(|list| list.extension().is_some_and(|end| end == "list"));
    let line = [path.as_os_str().as_encoded_bytes(), b"\n"].concat();
    lists.any(|list| {
        read(list, LIST_BYTES_MAX, Longer::Cut)
            .is_ok_and(|bytes| memchr::memmem::find(&bytes, &line).is_some())
    })
}

/// Each paragraph of a package that is installed.
pub(super) fn parse(text: &str) -> impl Iterator<Item = SystemPackage> + '_ {
    text.split("\n\n").filter_map(|paragraph| {
        let field = |name: &str| {
            let line = paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
            (line.chars().count() <= WORD_CHARACTERS_MAX).then(|| line.trim().to_owned())
        };
        field("Status").filter(|status| status.ends_with(" installed"))?;
        let architecture = field("Architecture").unwrap_or_default();
        Some(SystemPackage { name: field("Package")?, architecture, version: field("Version")? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed() {
        let text = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\n\
                    Description: C library\n Package: no\n\nPackage: gone\nStatus: deinstall ok config-files\n\
                    Version: 1\n\nPackage: half\nStatus: install ok unpacked\nVersion: 1\n\n\
                    Status: install ok installed\nVersion: 1\n\nPackage: a\nStatus: hold ok installed\nVersion: 2\n";
        let packages: Vec<_> = parse(text).map(|package| (package.name, package.version)).collect();
        let of = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(packages, [of("libc6", "2.36-9"), of("a", "2")]);
    }

    #[test]
    fn no_list_and_one_that_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut found = Found::default();
        assert_eq!(installed(&dir.path().join("status"), &mut found), None);
        assert!(found.incomplete.is_empty());
        std::fs::create_dir(dir.path().join("status")).unwrap();
        assert_eq!(installed(&dir.path().join("status"), &mut found), None);
        assert_eq!(found.incomplete.len(), 1);
    }
}
