//! Which files of the watched directories were opened, from the kernel.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::inotify::{ReadFlags, Reader};
use rustix::io::{Errno, Result};

/// The opens in the directories of [`crate::Jail::watched`].
///
/// They come from inotify(7) on overlays that only this jail has, so they are this jail's opens and
/// nobody else's, seen by the kernel.
#[derive(Debug)]
pub struct Opened {
    descriptor: OwnedFd,
    directories: usize,
}

/// One thing that [`Opened::drain`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open<'a> {
    /// A file was opened.
    File {
        /// Its directory: an index into [`crate::Jail::watched`].
        directory: usize,
        /// Its name there.
        name: &'a [u8],
    },
    /// The kernel dropped events: the list is not complete.
    Lost,
}

impl Opened {
    pub(crate) fn new(descriptor: OwnedFd, directories: usize) -> Self {
        Self { descriptor, directories }
    }

    /// A descriptor that becomes readable when there is something to [`Opened::drain`].
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Hands over what was opened since the last call. Never blocks.
    ///
    /// # Errors
    /// The kernel's, when the descriptor cannot be read: the list is not complete then.
    pub fn drain(&mut self, mut found: impl FnMut(Open<'_>)) -> Result<()> {
        if self.directories == 0 {
            return Ok(()); // The descriptor is not of inotify(7) then.
        }
        let mut buffer = [MaybeUninit::uninit(); 64 * 1024];
        let mut reader = Reader::new(&self.descriptor, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                found(Open::Lost);
            } else if event.events().contains(ReadFlags::OPEN) && !event.events().contains(ReadFlags::ISDIR) {
                // The kernel numbers the watches of one descriptor from 1 in the order they were made.
                let directory = usize::try_from(event.wd()).unwrap_or(0).wrapping_sub(1);
                match event.file_name() {
                    Some(name) if directory < self.directories => {
                        found(Open::File { directory, name: name.to_bytes() });
                    }
                    _ => found(Open::Lost),
                }
            }
        }
    }
}
