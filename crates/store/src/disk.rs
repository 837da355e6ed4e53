//! Every step that changes what is on disk.
//!
//! One module, so that tests can make any of them fail: before it is done, or after it although it is
//! done. **Absent on purpose:** reading, and files that nobody relies on after a crash.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, fsync, openat, renameat, renameat_with, syncfs, unlinkat,
};
use rustix::io::Errno;
use rustix::path::Arg;

use crate::files::FIXED_TIMES;

/// Links themselves, and no file that they point to.
const ITSELF: AtFlags = AtFlags::SYMLINK_NOFOLLOW;

/// The disk that a store is on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// What fails on purpose.
    #[cfg(test)]
    pub(crate) faults: faults::Faults,
}

impl Disk {
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests say through it which step fails")]
    fn step<T, E>(&self, _: &'static str, act: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        act()
    }

    #[cfg(test)]
    fn step<T, E: From<Errno>>(
        &self,
        name: &'static str,
        act: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.faults.step(name, act)
    }

    /// Makes an empty file of this mode, whatever the umask, that can be written through what is returned.
    pub(crate) fn create(&self, dir: impl AsFd, name: impl Arg, mode: Mode) -> rustix::io::Result<File> {
        self.step("create", || {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = openat(dir, name, flags, mode)?;
            // The umask, or an access list of the directory, may have taken permissions. To look is cheaper
            // than to set them again.
            if Mode::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != mode {
                rustix::fs::fchmod(&file, mode)?;
            }
            Ok(File::from(file))
        })
    }

    pub(crate) fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        self.step("write", || file.write_all(bytes))
    }

    pub(crate) fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.step("write at", || file.write_all_at(bytes, at))
    }

    /// Makes a directory; one that is there already is fine.
    pub(crate) fn make_directory(
        &self,
        dir: impl AsFd,
        name: impl Arg,
        mode: Mode,
    ) -> rustix::io::Result<()> {
        match self.make_new_directory(dir, name, mode) {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    }

    pub(crate) fn make_new_directory(
        &self,
        dir: impl AsFd,
        name: impl Arg,
        mode: Mode,
    ) -> rustix::io::Result<()> {
        self.step("make new directory", || rustix::fs::mkdirat(dir, name, mode))
    }

    /// Makes a link with the one time in the store.
    pub(crate) fn make_symlink(
        &self,
        target: impl Arg,
        dir: impl AsFd,
        name: impl Arg + Copy,
    ) -> rustix::io::Result<()> {
        self.step("make symlink", || {
            rustix::fs::symlinkat(target, &dir, name)?;
            rustix::fs::utimensat(&dir, name, &FIXED_TIMES, ITSELF)
        })
    }

    /// Makes a character device 0:0, which stands for a deletion in an overlay.
    pub(crate) fn make_whiteout(&self, dir: impl AsFd, name: impl Arg) -> rustix::io::Result<()> {
        let device = rustix::fs::makedev(0, 0);
        self.step("make whiteout", || {
            rustix::fs::mknodat(dir, name, FileType::CharacterDevice, Mode::empty(), device)
        })
    }

    /// Gives a directory its last time and mode.
    pub(crate) fn close_directory(
        &self,
        dir: impl AsFd,
        name: impl Arg + Copy,
        mode: Mode,
    ) -> rustix::io::Result<()> {
        self.step("close directory", || {
            rustix::fs::utimensat(&dir, name, &FIXED_TIMES, AtFlags::empty())?;
            rustix::fs::chmodat(&dir, name, mode, AtFlags::empty())
        })
    }

    pub(crate) fn set_mode(&self, file: impl AsFd, mode: Mode) -> rustix::io::Result<()> {
        self.step("set mode", || rustix::fs::fchmod(file, mode))
    }

    /// Makes an empty file share the content of another one, which both keep whoever writes to the other.
    ///
    /// Source: ioctl_ficlone(2).
    pub(crate) fn share(&self, from: impl AsFd, to: impl AsFd) -> rustix::io::Result<()> {
        self.step("clone", || rustix::fs::ioctl_ficlone(to, from))
    }

    /// Gives a file the one time in the store.
    pub(crate) fn set_times(&self, file: impl AsFd) -> rustix::io::Result<()> {
        self.step("set times", || rustix::fs::futimens(file, &FIXED_TIMES))
    }

    /// Waits until the content of a file is on disk, or the names in a directory.
    pub(crate) fn sync(&self, file: impl AsFd) -> rustix::io::Result<()> {
        self.step("sync", || fsync(file))
    }

    /// Waits until the content of a file is on disk; its times may come later.
    pub(crate) fn sync_content(&self, file: impl AsFd) -> rustix::io::Result<()> {
        self.step("sync content", || rustix::fs::fdatasync(file))
    }

    /// Waits until everything of the file system is on disk.
    pub(crate) fn sync_all(&self, file: impl AsFd) -> rustix::io::Result<()> {
        self.step("sync all", || syncfs(file))
    }

    /// Renames a file, unless one has the new name already: that fails with [`Errno::EXIST`].
    pub(crate) fn rename_new(
        &self,
        from: impl AsFd,
        name: &str,
        to: impl AsFd,
        new: &str,
    ) -> rustix::io::Result<()> {
        self.step("rename new", || match renameat_with(&from, name, &to, new, RenameFlags::NOREPLACE) {
            // A file system without this flag: replacing a file by an equal one does no harm.
            Err(Errno::INVAL) => renameat(&from, name, &to, new),
            other => other,
        })
    }

    pub(crate) fn rename(
        &self,
        from: impl AsFd,
        name: &str,
        to: impl AsFd,
        new: &str,
    ) -> rustix::io::Result<()> {
        self.step("rename", || renameat(from, name, to, new))
    }

    /// Gives a file a second name.
    pub(crate) fn link(
        &self,
        from: impl AsFd,
        name: impl Arg,
        to: impl AsFd,
        new: impl Arg,
        flags: AtFlags,
    ) -> rustix::io::Result<()> {
        self.step("link", || rustix::fs::linkat(from, name, to, new, flags))
    }

    /// Removes a name; one that is gone is fine.
    pub(crate) fn unlink(&self, dir: impl AsFd, name: impl Arg) -> rustix::io::Result<()> {
        self.step("unlink", || match unlinkat(dir, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        })
    }
}

/// Faults that tests make.
#[cfg(test)]
pub(crate) mod faults {
    use std::sync::{Arc, Mutex};

    use rustix::io::Errno;

    /// What happens to the step that fails.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// It is not done.
        Lost,
        /// It is done, but reported as failed.
        Done,
    }

    /// Fails one step, by its number from 0.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Faults {
        at: Option<(u64, Fault)>,
        steps: Arc<Mutex<Vec<&'static str>>>,
    }

    impl Faults {
        pub(crate) fn at(step: u64, fault: Fault) -> Self {
            Self { at: Some((step, fault)), steps: Arc::default() }
        }

        /// How many steps there were.
        pub(crate) fn steps(&self) -> u64 {
            self.names().len() as u64
        }

        /// Names of the steps so far.
        pub(crate) fn names(&self) -> Vec<&'static str> {
            self.steps.lock().unwrap().clone()
        }

        pub(super) fn step<T, E: From<Errno>>(
            &self,
            name: &'static str,
            act: impl FnOnce() -> Result<T, E>,
        ) -> Result<T, E> {
            let mut steps = self.steps.lock().unwrap();
            let step = steps.len() as u64;
            steps.push(name);
            drop(steps);
            match self.at {
                Some((at, Fault::Lost)) if at == step => Err(Errno::IO.into()),
                Some((at, Fault::Done)) if at == step => act().and(Err(Errno::IO.into())),
                _ => act(),
            }
        }
    }
}
