//! What a native library needs, from its own headers. Only these are read, each to a bound: a library may have
//! gigabytes, and whoever wrote it may be hostile.
//!
//! Source: the System V ABI, "Dynamic Section"; ld.so(8).

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_STRTAB, FileHeader32, FileHeader64, PT_LOAD};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, ReadCache, ReadRef};
use rustix::fs::{Mode, OFlags};

/// Largest part that is read at once: a dynamic section has some kilobytes.
const PART_BYTES_MAX: u64 = 1 << 20;
/// Longest name or search path.
const STRING_BYTES_MAX: u64 = 4096;
/// Names and search paths of one library.
const STRINGS_MAX: usize = 1000;

/// What a library says that it needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Names of libraries.
    pub(super) needed: Vec<String>,
    /// Directories in which they are looked for, in their order; `$ORIGIN` is its own.
    pub(super) search: Vec<String>,
}

/// What the file at `path` needs; nothing where it is no native library that can be understood.
pub(super) fn needs(path: &Path) -> Option<Needs> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let cache = ReadCache::new(file);
    let data = Parts(&cache);
    match data.read_bytes_at(0, 5).ok()? {
        [0x7f, b'E', b'L', b'F', 2] => of::<FileHeader64<Endianness>>(data),
        [0x7f, b'E', b'L', b'F', 1] => of::<FileHeader32<Endianness>>(data),
        _ => None,
    }
}

fn of<H: FileHeader<Endian = Endianness>>(data: Parts<'_>) -> Option<Needs> {
    let header = H::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, data).ok()?;
    let dynamic = segments.iter().find_map(|segment| segment.dynamic(endian, data).ok().flatten())?;
    let value = |tag| dynamic.iter().find(|entry| entry.tag(endian) == tag).map(|entry| entry.val(endian));
    let strings = value(DT_STRTAB)?;
    let start = segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD).find_map(|segment| {
        let (address, size): (u64, u64) = (segment.p_vaddr(endian).into(), segment.p_filesz(endian).into());
        let inside = strings.checked_sub(address).filter(|inside| *inside < size)?;
        let offset: u64 = segment.p_offset(endian).into();
        offset.checked_add(inside)
    })?;
    let string = |offset: u64| {
        let from = start.checked_add(offset)?;
        let end = from.checked_add(STRING_BYTES_MAX)?.min(data.len().ok()?);
        let bytes = data.read_bytes_at_until(from..end, 0).ok()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let all = |tag| {
        let entries = dynamic.iter().filter(move |entry| entry.tag(endian) == tag).take(STRINGS_MAX);
        entries.filter_map(|entry| string(entry.val(endian)))
    };
    // RPATH does not count where there is a RUNPATH.
    let mut search: Vec<_> = all(DT_RUNPATH).collect();
    if search.is_empty() {
        search.extend(all(DT_RPATH));
    }
    let search = search.iter().flat_map(|paths| paths.split(':')).filter(|path| !path.is_empty());
    Some(Needs {
        search: search.take(STRINGS_MAX).map(str::to_owned).collect(),
        needed: all(DT_NEEDED).collect(),
    })
}

/// A file of which no large part is read.
#[derive(Clone, Copy)]
struct Parts<'f>(&'f ReadCache<File>);

impl<'f> ReadRef<'f> for Parts<'f> {
    fn len(self) -> Result<u64, ()> {
        self.0.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'f [u8], ()> {
        if size > PART_BYTES_MAX {
            return Err(());
        }
        self.0.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'f [u8], ()> {
        if range.end.saturating_sub(range.start) > PART_BYTES_MAX {
            return Err(());
        }
        self.0.read_bytes_at_until(range, delimiter)
    }
}
