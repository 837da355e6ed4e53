//! Whether something is on the host, without touching it.
//!
//! The names come from the job. Each is walked step by step through descriptors that open nothing, with
//! the user's own rights: no device is opened, no FIFO waits, no automounter is asked to mount what the
//! job named, and no file system in user space is asked at all.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    File,
    Directory,
    /// A device, a socket or a FIFO.
    Special,
}

/// As many links as the kernel follows: path_resolution(7).
const LINKS_MAX: usize = 40;

/// `AUTOFS_SUPER_MAGIC`, `FUSE_SUPER_MAGIC`.
const NOT_ASKED: [u64; 2] = [0x0187, 0x6573_5546];

/// What the absolute `path` leads to on the host. Nothing also where this user may not look.
pub(crate) fn look_up(path: &[u8]) -> Option<Found> {
    let mut left: Vec<Vec<u8>> = names(path).map(<[u8]>::to_vec).collect();
    left.reverse();
    let mut links = 0;
    // The directories on the way, so that `..` goes back to where we came from.
    let mut way = vec![open(CWD, b"/").ok()?];
    let mut kind = FileType::Directory;
    while let Some(name) = left.pop() {
        if kind != FileType::Directory {
            return None;
        }
        if name == b".." {
            way.truncate(way.len().saturating_sub(1).max(1));
            continue;
        }
        let next = open(way.last()?, &name).ok()?;
        kind = FileType::from_raw_mode(rustix::fs::fstat(&next).ok()?.st_mode);
        if kind == FileType::Symlink {
            links += 1;
            if links > LINKS_MAX {
                return None;
            }
            let target = rustix::fs::readlinkat(&next, c"", Vec::new()).ok()?.into_bytes();
            if target.first() == Some(&b'/') {
                way.truncate(1);
            }
            left.extend(names(&target).map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter().rev());
            kind = FileType::Directory;
        } else {
            way.push(next);
        }
    }
    Some(match kind {
        FileType::Directory => Found::Directory,
        FileType::RegularFile => Found::File,
        _ => Found::Special,
    })
}

fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

fn open(directory: impl std::os::fd::AsFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    // With `PATH`, not even an automount point is mounted: open(2).
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    let system = u64::try_from(rustix::fs::fstatfs(&opened)?.f_type).unwrap_or(0);
    if NOT_ASKED.contains(&system) { Err(Errno::XDEV) } else { Ok(opened) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_and_nothing_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("d/e")).unwrap();
        fs::write(root.join("d/file"), "x").unwrap();
        symlink("d", root.join("relative")).unwrap();
        symlink(root.join("d"), root.join("d/e/absolute")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("absent", root.join("dangling")).unwrap();
        symlink("../e", root.join("d/e/up")).unwrap();
        // Opened, it would wait for a writer.
        rustix::fs::mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let found = |name: &str| look_up(root.join(name).as_os_str().as_bytes());
        assert_eq!(found("d"), Some(Found::Directory));
        assert_eq!(found("d/file"), Some(Found::File));
        assert_eq!(found("./d//e/../file"), Some(Found::File));
        assert_eq!(found("relative/file"), Some(Found::File));
        assert_eq!(found("d/e/absolute/file"), Some(Found::File));
        assert_eq!(found("d/e/up/up/../file"), Some(Found::File));
        assert_eq!(found("fifo"), Some(Found::Special));
        for name in ["absent", "d/file/x", "loop", "dangling", "d/absent", "../../../../../absent"] {
            assert_eq!(found(name), None, "{name}");
        }
        assert_eq!(look_up(b"/dev/null"), Some(Found::Special));
        assert_eq!(look_up(b"/"), Some(Found::Directory));
        assert_eq!(look_up(b"/../../usr"), Some(Found::Directory));
    }
}
