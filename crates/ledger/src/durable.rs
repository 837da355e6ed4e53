//! How far the log is on disk: a note that the processes of one boot leave for each other.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use crate::frame::checksum;
use crate::storage::read_some;

/// Length of the file `durable`.
pub(crate) const DURABLE_BYTES: usize = 80;

/// What the file `durable` says; all zeros if it says nothing that counts here and now.
///
/// Never synced: after a restart of the machine it means nothing, and whoever comes first syncs the log.
/// Read and written under `lock`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Durable {
    /// Changes when entries that were written are taken back because the disk did not confirm them.
    pub(crate) generation: u64,
    /// Everything before this offset of the log is on disk.
    pub(crate) offset: u64,
}

impl Durable {
    /// What is known of `log`, as the file `durable` in `dir` has it.
    pub(crate) fn read(dir: &Path, log: &Metadata) -> io::Result<Self> {
        let bytes = match File::open(dir.join("durable")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            file => read_some(&file?, DURABLE_BYTES)?,
        };
        Ok(Self::decode(&bytes, log).unwrap_or_default())
    }

    fn decode(bytes: &[u8], log: &Metadata) -> Option<Self> {
        let (body, check) = bytes.split_first_chunk::<64>()?;
        let (place, of_boot) = body.split_first_chunk::<32>()?;
        let (numbers, []) = place.as_chunks::<8>() else { return None };
        let &[generation, offset, dev, ino] = numbers else { return None };
        let number = u64::from_le_bytes;
        let here = check == checksum::<16>(body) && of_boot == boot()?;
        let same = (number(dev), number(ino)) == (log.dev(), log.ino());
        (here && same).then(|| Self { generation: number(generation), offset: number(offset) })
    }

    /// The content of the file `durable` that says this of `log`; nothing where no boot can be told from
    /// another.
    pub(crate) fn encode(self, log: &Metadata) -> Option<[u8; DURABLE_BYTES]> {
        let mut body = Vec::with_capacity(DURABLE_BYTES);
        for number in [self.generation, self.offset, log.dev(), log.ino()] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        body.extend_from_slice(boot()?);
        let check: [u8; 16] = checksum(&body);
        body.extend_from_slice(&check);
        body.try_into().ok()
    }

    /// This, with another generation: what was written behind the offset is taken back.
    pub(crate) fn next_generation(self) -> io::Result<Self> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { generation: u64::from_le_bytes(bytes) | 1, ..self })
    }
}

/// A hash of what tells this boot of the machine from every other.
fn boot() -> Option<&'static [u8; 32]> {
    static BOOT: OnceLock<Option<[u8; 32]>> = OnceLock::new();
    let read = || fs::read("/proc/sys/kernel/random/boot_id").ok().map(|id| checksum(&id));
    BOOT.get_or_init(read).as_ref()
}
