//! Reads the target of a system call from the process that makes it.
//!
//! Everything read is the job's and may be anything: lengths are bounded, and what cannot be read is
//! nothing.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use crate::sys::notify::{Notice, read_memory};
use crate::watched::{Call, Intent, Kind, Watched};

/// Longest path that the kernel takes, with its end: limits.h, `PATH_MAX`.
const PATH_BYTES: usize = 4_096;

/// What most paths fit into; the rest is read when it is needed.
const FIRST_BYTES: usize = 256;

/// As long as any address: `struct sockaddr_storage`.
const ADDRESS_BYTES: usize = 128;

/// Reads one call after the other into the same memory.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The path as the kernel will resolve it from the jail's root.
    raw: Vec<u8>,
    /// The same, cleaned for people.
    clean: Vec<u8>,
    buffer: Box<[u8]>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            raw: Vec::with_capacity(2 * PATH_BYTES),
            clean: Vec::with_capacity(2 * PATH_BYTES),
            buffer: vec![0; PATH_BYTES].into(),
        }
    }

    /// The last path that was read, absolute.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// What the call is about to do; nothing if it cannot be read, or means nothing.
    pub(crate) fn read(&mut self, notice: &Notice, watched: &Watched) -> Option<Call> {
        let argument = |at: usize| notice.data.args.get(at).copied().unwrap_or(0);
        let intent = match watched.kind {
            Kind::Connect | Kind::Bind => return self.read_address(notice, watched),
            Kind::Open(flags) => opening(argument(flags)),
            Kind::OpenHow(how) => opening(u64::from_ne_bytes(bytes_at(notice.pid, argument(how))?)),
            Kind::Create => Intent::Create,
            Kind::Enter => Intent::Read,
            Kind::Change => Intent::Change,
            Kind::Make => Intent::Make,
            Kind::Name => Intent::Name,
            Kind::Remove => Intent::Remove,
            Kind::Execute => Intent::Execute,
        };
        self.read_path(notice.pid, argument(watched.target))?;
        if self.raw.is_empty() {
            return None; // Of `execveat` it means the descriptor; of others an error that is nobody's wall.
        }
        let directory = watched.directory.map(|at| directory(argument(at)));
        self.make_absolute(notice.pid, directory.unwrap_or(Directory::Working))?;
        Some(Call::Path(intent))
    }

    fn read_path(&mut self, pid: u32, address: u64) -> Option<()> {
        self.raw.clear();
        for wanted in [FIRST_BYTES, PATH_BYTES - FIRST_BYTES] {
            let from = address.checked_add(u64::try_from(self.raw.len()).ok()?)?;
            let copied = read_memory(pid, from, self.buffer.get_mut(..wanted)?).ok()?;
            let bytes = self.buffer.get(..copied)?;
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                self.raw.extend_from_slice(bytes.get(..end)?);
                return Some(());
            }
            self.raw.extend_from_slice(bytes);
            if copied < wanted {
                return None; // It goes on where the process has no memory.
            }
        }
        None // Longer than any path.
    }

    fn read_address(&mut self, notice: &Notice, watched: &Watched) -> Option<Call> {
        let [address, length] = [0, 1].map(|next| notice.data.args.get(watched.target + next).copied());
        let length = usize::try_from(length? & 0xffff_ffff).ok()?.min(ADDRESS_BYTES);
        let copied = read_memory(notice.pid, address?, self.buffer.get_mut(..length)?).ok()?;
        let bytes = self.buffer.get(..copied)?;
        let family = i32::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let port = || Some(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
        match family {
            libc::AF_INET => {
                let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
                Some(Call::Address(SocketAddr::new(IpAddr::from(ip), port()?)))
            }
            libc::AF_INET6 => {
                let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
                Some(Call::Address(SocketAddr::new(IpAddr::from(ip), port()?)))
            }
            libc::AF_UNIX => {
                let name = bytes.get(2..)?;
                let name = name.split(|byte| *byte == 0).next().filter(|name| !name.is_empty())?;
                self.raw.clear();
                self.raw.extend_from_slice(name);
                self.make_absolute(notice.pid, Directory::Working)?;
                Some(Call::Path(if watched.kind == Kind::Bind { Intent::Make } else { Intent::Connect }))
            }
            _ => None,
        }
    }

    /// Puts the directory in front to which the path is relative.
    fn make_absolute(&mut self, pid: u32, directory: Directory) -> Option<()> {
        if self.raw.first() != Some(&b'/') {
            let link = match directory {
                Directory::Working => format!("/proc/{pid}/cwd"),
                Directory::Descriptor(fd) => format!("/proc/{pid}/fd/{fd}"),
            };
            // As the jail sees it: the kernel names it from the root of the jail's mounts.
            let base = std::fs::read_link(link).ok()?;
            let base = base.as_os_str().as_bytes();
            if base.first() != Some(&b'/') {
                return None; // A pipe or a socket.
            }
            self.raw.splice(..0, base.iter().copied().chain([b'/']));
        }
        Some(())
    }

    /// The path without `.`, `..` and doubled slashes. Where a link stands before a `..`, the kernel means
    /// another one.
    pub(crate) fn clean(&mut self) -> &[u8] {
        self.clean.clear();
        for name in self.raw.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => {
                    let parent = self.clean.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    self.clean.truncate(parent);
                }
                name => {
                    self.clean.push(b'/');
                    self.clean.extend_from_slice(name);
                }
            }
        }
        if self.clean.is_empty() {
            self.clean.push(b'/');
        }
        &self.clean
    }
}

enum Directory {
    Working,
    Descriptor(i32),
}

/// The kernel reads 32 bits of the argument.
fn directory(argument: u64) -> Directory {
    let number = u32::try_from(argument & 0xffff_ffff).unwrap_or(u32::MAX).cast_signed();
    if number == libc::AT_FDCWD { Directory::Working } else { Directory::Descriptor(number) }
}

fn opening(flags: u64) -> Intent {
    let flags = u32::try_from(flags & 0xffff_ffff).unwrap_or(0).cast_signed();
    if flags & libc::O_PATH != 0 {
        Intent::Nothing
    } else if flags & libc::O_TMPFILE == libc::O_TMPFILE {
        Intent::Change
    } else if flags & libc::O_CREAT != 0 {
        Intent::Create
    } else if flags & (libc::O_ACCMODE | libc::O_TRUNC) != 0 {
        Intent::Change
    } else {
        Intent::Read
    }
}

fn bytes_at<const N: usize>(pid: u32, address: u64) -> Option<[u8; N]> {
    let mut buffer = [0; N];
    (read_memory(pid, address, &mut buffer).ok()? == N).then_some(buffer)
}
