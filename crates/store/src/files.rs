//! System calls on files that someone else may be changing: relative to a directory, following nothing.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aseptic_model::escape_bytes;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat, Timespec, Timestamps, openat2, readlinkat,
    statat,
};
use rustix::io::Errno;

/// Modes of what the store keeps and shows.
pub(crate) const READ_ONLY: Mode = Mode::from_raw_mode(0o444);
pub(crate) const READ_WRITE: Mode = Mode::from_raw_mode(0o644);
pub(crate) const READ_EXECUTE: Mode = Mode::from_raw_mode(0o555);
pub(crate) const OWNER_ALL: Mode = Mode::from_raw_mode(0o700);
pub(crate) const DIRECTORY: Mode = Mode::from_raw_mode(0o755);

/// The one time in the store, 2000-01-01T00:00:00Z: equal snapshots look equal, and no tool meets a year
/// before 1980 (ZIP) or a time of zero.
pub(crate) const FIXED_TIMES: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 946_684_800, tv_nsec: 0 },
    last_modification: Timespec { tv_sec: 946_684_800, tv_nsec: 0 },
};

/// Opens `path` below `root` without following any link on the way, whatever is renamed meanwhile.
/// An empty path is `root` itself.
///
/// Source: openat2(2).
pub(crate) fn open_below(root: impl AsFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b".".as_slice() } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

/// Opens a file for reading so that a FIFO cannot block and a terminal is not taken.
pub(crate) fn open_file_below(root: impl AsFd, path: &[u8]) -> io::Result<OwnedFd> {
    open_below(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
}

pub(crate) fn open_directory_below(root: impl AsFd, path: &[u8]) -> io::Result<OwnedFd> {
    open_below(root, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens a directory by a path of ours or of the user; links on the way are followed.
pub(crate) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Names in a directory, without `.` and `..`, and the types that the file system told.
pub(crate) fn names(directory: impl AsFd) -> io::Result<Vec<(Vec<u8>, FileType)>> {
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            name => names.push((name.to_vec(), entry.file_type())),
        }
    }
    Ok(names)
}

/// State of the entry `name` itself.
pub(crate) fn state(directory: impl AsFd, name: &[u8]) -> io::Result<Stat> {
    Ok(statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

pub(crate) fn link_target(directory: impl AsFd, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(readlinkat(directory, name, Vec::new())?.into_bytes())
}

/// Sets the mode of an entry that is not a link.
///
/// Goes through a descriptor, because chmod(2) would follow a link that was swapped in.
pub(crate) fn set_mode(directory: impl AsFd, name: &[u8], mode: Mode) -> io::Result<()> {
    let entry = open_below(directory, name, OFlags::PATH | OFlags::NOFOLLOW)?;
    Ok(rustix::fs::chmod(format!("/proc/self/fd/{}", entry.as_raw_fd()), mode)?)
}

/// Opens a directory for reading after giving its owner every permission on it.
pub(crate) fn open_granted(parent: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let stat = state(&parent, name)?;
    if file_type(&stat) == FileType::Directory && stat.st_mode & 0o700 != 0o700 {
        set_mode(&parent, name, OWNER_ALL)?;
    }
    open_directory_below(parent, name)
}

/// Opens the directory that holds `path`, for finding entries in it only, and tells the name of `path`.
pub(crate) fn open_parent(path: &Path) -> io::Result<(OwnedFd, &[u8])> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL.into());
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok((rustix::fs::open(parent, flags, Mode::empty())?, name.as_bytes()))
}

/// What must stay the same while a file is read, and what tells an unchanged file later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) modified: (i64, i64),
    pub(crate) changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(stat: &Stat) -> Self {
        // The widths of these fields differ between architectures.
        #[expect(clippy::useless_conversion, reason = "the field types depend on the architecture")]
        Self {
            device: stat.st_dev.into(),
            inode: stat.st_ino.into(),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime.into(), i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            changed: (stat.st_ctime.into(), i64::try_from(stat.st_ctime_nsec).unwrap_or(0)),
        }
    }

    pub(crate) fn of_open(file: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self::of(&rustix::fs::fstat(file)?))
    }
}

pub(crate) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

pub(crate) fn is_executable(stat: &Stat) -> bool {
    Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR)
}

/// Whether an open failed because the entry is not what it was when it was listed.
pub(crate) fn was_replaced(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NXIO | Errno::XDEV))
}

/// A path of the file system in the text form of [`aseptic_model::FilePath`].
pub(crate) fn text(path: &Path) -> String {
    escape_bytes(path.as_os_str().as_bytes())
}

/// `directory/name`, or `name` at the root.
pub(crate) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// The text form of a path below a root; the root itself is `.`.
pub(crate) fn text_below(path: &[u8]) -> String {
    escape_bytes(if path.is_empty() { b"." } else { path })
}
