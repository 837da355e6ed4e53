//! How much a run has on disk, counted while its job runs and does what it can to hide it.
//!
//! **Invariant:** what cannot be looked at is said, never passed over: a directory without a right to read
//! it is as good a hiding place as any.
//! **Invariant:** nothing is followed, so a link leads nowhere, and a job that exchanges a directory for a
//! link while it is counted gains nothing.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use aseptic_model::escape_bytes;
use aseptic_sandbox::Meter;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

/// Directories in each other that are looked into, each with a descriptor. No program of good faith goes
/// half as deep.
const DEPTH_MAX: usize = 256;

/// Unit of the block counts of stat(2), whatever the file system has.
const BLOCK: u64 = 512;

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Bytes that take room on disk: those of a hole do not. Files with several names count once.
    pub(super) bytes: u64,
    /// Files, directories and links.
    pub(super) files: u64,
    /// Something that could not be looked into.
    pub(super) hidden: Option<String>,
}

/// One count, which remembers what it has counted already.
pub(super) struct Count<'a> {
    pub(super) held: Held,
    seen: HashSet<(u64, u64)>,
    stop: &'a AtomicBool,
}

impl<'a> Count<'a> {
    /// A count that ends early, with what it has, when `stop` is set.
    pub(super) fn new(stop: &'a AtomicBool) -> Self {
        Self { held: Held::default(), seen: HashSet::new(), stop }
    }

    /// Adds everything below `directory`, which is called `name`.
    pub(super) fn tree(&mut self, directory: &Path, name: &str) {
        let top = match open(CWD, directory.as_os_str().as_encoded_bytes()) {
            Ok(top) => top,
            Err(Errno::NOENT) => return, // Not every run has it.
            Err(_) => {
                // The job owns it, and can take the right to read it from its owner.
                self.held.hidden.get_or_insert_with(|| name.to_owned());
                return;
            }
        };
        let mut open_directories = vec![(top, name.to_owned())];
        while let Some((directory, path)) = open_directories.last_mut() {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let Some(Ok(entry)) = directory.read() else {
                open_directories.pop();
                continue;
            };
            let entry = entry.file_name().to_bytes();
            if matches!(entry, b"." | b"..") {
                continue;
            }
            let child = match self.entry(directory, entry) {
                Ok(child) => child,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None, // It has changed since.
                Err(_) => {
                    self.hide(path, entry);
                    None
                }
            };
            if let Some(child) = child {
                let path = format!("{path}/{}", escape_bytes(entry));
                if open_directories.len() < DEPTH_MAX {
                    open_directories.push((child, path));
                } else {
                    self.held.hidden.get_or_insert(path);
                }
            }
        }
    }

    fn hide(&mut self, path: &str, entry: &[u8]) {
        self.held.hidden.get_or_insert_with(|| format!("{path}/{}", escape_bytes(entry)));
    }

    /// Counts one entry; gives it, if it is a directory.
    fn entry(&mut self, directory: &Dir, name: &[u8]) -> rustix::io::Result<Option<Dir>> {
        let stat = statat(directory.fd()?, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if stat.st_nlink < 2 || is_directory || self.seen.insert((stat.st_dev, stat.st_ino)) {
            self.held.files += 1;
            self.add(u64::try_from(stat.st_blocks).unwrap_or(0));
        }
        if is_directory { open(directory.fd()?, name).map(Some) } else { Ok(None) }
    }

    fn add(&mut self, blocks: u64) {
        self.held.bytes = self.held.bytes.saturating_add(blocks.saturating_mul(BLOCK));
    }

    /// Adds files without a name that processes of the jail have open on the disk of `directory`, or on the
    /// overlay `overlay` of the jail. Gives the processes that it could not look at.
    ///
    /// A process can forbid others to look at it; but one that is about to execute its first program cannot be
    /// looked at either. So only one of those `before` is said to hide something.
    pub(super) fn nameless(
        &mut self,
        meter: &Meter,
        directory: &Path,
        overlay: &str,
        before: &BTreeSet<i32>,
    ) -> BTreeSet<i32> {
        let mut closed = BTreeSet::new();
        let processes = meter.processes();
        let device = |path: PathBuf| fs::metadata(path).ok().map(|metadata| metadata.dev());
        let inside = |process: &i32| device(PathBuf::from(format!("/proc/{process}/root{overlay}")));
        let devices = [device(directory.to_owned()), processes.iter().find_map(inside)];
        for process in &processes {
            let path = format!("/proc/{process}/fd");
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied && is_alive(*process) => {
                    closed.insert(*process);
                    if before.contains(process) {
                        self.held.hidden.get_or_insert_with(|| format!("open files of process {process}"));
                    }
                    continue;
                }
                Err(_) => continue,
            };
            for entry in entries.flatten() {
                let Ok(metadata) = fs::metadata(entry.path()) else { continue };
                let ours =
                    metadata.is_file() && metadata.nlink() == 0 && devices.contains(&Some(metadata.dev()));
                if ours && self.seen.insert((metadata.dev(), metadata.ino())) {
                    self.held.files += 1;
                    self.add(metadata.blocks());
                }
            }
        }
        closed
    }
}

fn open(directory: impl std::os::fd::AsFd, name: &[u8]) -> rustix::io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Dir::new(openat(directory, name, flags, Mode::empty())?)
}

/// Whether the process is there and has memory, which one that has ended has not.
fn is_alive(process: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("VmSize:"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn count(directory: &Path) -> Held {
        let stop = AtomicBool::new(false);
        let mut count = Count::new(&stop);
        count.tree(directory, "top");
        count.held
    }

    #[test]
    fn holes_links_and_second_names_take_no_room() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        assert_eq!(count(place.path()), Held::default());
        fs::write(path("data"), vec![1; 1 << 20]).unwrap();
        let once = count(place.path());
        assert!((1 << 20..(1 << 20) + 65_536).contains(&once.bytes), "{once:?}");
        fs::hard_link(path("data"), path("again")).unwrap();
        assert_eq!(count(place.path()), once);
        symlink("/", path("everything")).unwrap();
        fs::File::create(path("sparse")).unwrap().set_len(1 << 40).unwrap();
        let held = count(place.path());
        assert_eq!(held.files, 3);
        assert!(held.bytes < once.bytes + 65_536 && held.hidden.is_none(), "{held:?}");
    }

    #[test]
    fn what_is_too_deep_or_closed_is_said() {
        let place = tempfile::tempdir().unwrap();
        let deep = place.path().join("d/".repeat(DEPTH_MAX + 1));
        fs::create_dir_all(&deep).unwrap();
        assert!(count(place.path()).hidden.is_some_and(|path| path.starts_with("top/d/d/")));
        fs::remove_dir_all(place.path().join("d")).unwrap();
        let closed = place.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
        let hidden = count(place.path()).hidden;
        if rustix::process::getuid().is_root() {
            assert_eq!(hidden, None, "root looks in all the same");
        } else {
            assert_eq!(hidden.as_deref(), Some("top/closed"));
        }
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o300)).unwrap();
        let hidden = count(place.path()).hidden;
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).unwrap();
        if !rustix::process::getuid().is_root() {
            assert_eq!(hidden.as_deref(), Some("top"));
        }
        assert_eq!(count(&place.path().join("absent")).hidden, None);
    }
}
