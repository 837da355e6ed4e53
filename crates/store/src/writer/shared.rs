//! Files that share their content with an object, on file systems that can do that (Btrfs, XFS).

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::Ordering;

use aseptic_model::Digest;
use rustix::io::Errno;

use super::{CopyError, Writer, fill};
use crate::files::READ_ONLY;
use crate::stage::Staging;

impl Writer<'_> {
    /// Adds `file` of about `expected` bytes as an object that shares its content, and shows every piece to
    /// `seen`. Returns how many bytes it has, at most one more than `expected`; `None` if the file system cannot
    /// do that, and then the file must be copied.
    ///
    /// What is hashed is the object, which nobody can write to, so it has the bytes of its digest whatever
    /// happens to the file.
    pub(crate) fn add_shared(
        &self,
        file: &File,
        expected: u64,
        buffer: &mut [u8],
        mut seen: impl FnMut(&[u8]),
    ) -> Result<Option<(Digest, u64)>, CopyError> {
        if self.cannot_share.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let staging = self.staging().map_err(CopyError::Write)?;
        let failed = |error: io::Error| CopyError::Write(self.failed(error));
        let part = staging.part();
        let out = staging.create(&part, READ_ONLY).map_err(|error| failed(error.into()))?;
        if !self.share(staging, file, &out).map_err(|error| failed(error.into()))? {
            staging.remove(&part);
            return Ok(None);
        }
        let mut object = (&out).take(expected.saturating_add(1));
        let (mut hasher, mut size) = (blake3::Hasher::new(), 0);
        loop {
            let count = fill(&mut object, buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            size += count as u64;
            seen(&buffer[..count]);
        }
        let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
        if size > expected {
            staging.remove(&part); // It has grown, and not all of it was hashed.
            return Ok(Some((digest, size)));
        }
        staging.disk.set_times(&out).map_err(|error| failed(error.into()))?;
        self.keep_part(&part, digest, size).map_err(CopyError::Write)?;
        Ok(Some((digest, size)))
    }

    /// Makes a new file share the content of another. False if that cannot be done here.
    fn share(&self, staging: &Staging, from: &File, to: &File) -> rustix::io::Result<bool> {
        match staging.disk.share(from, to) {
            Ok(()) => Ok(true),
            Err(
                Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS | Errno::XDEV | Errno::INVAL | Errno::PERM,
            ) => {
                self.cannot_share.store(true, Ordering::Relaxed);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
