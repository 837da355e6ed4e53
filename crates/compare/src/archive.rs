//! Archives of NumPy (`.npz`): zip files of arrays, in the order of their names.
//!
//! **Invariant:** the directory of a hostile archive and what its members become are bounded.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use zip::ZipArchive;

use crate::Unreadable;
use crate::array;
use crate::content::{Content, Reader};
use crate::tally::Tally;

/// What is read to find the members: 90,000 of them.
const DIRECTORY_BYTES_MAX: u64 = 4 << 20;
/// What all members of one archive together become.
const MEMBERS_BYTES_MAX: u64 = 16 << 30;

pub(crate) fn compare(before: &Content, after: &Content, tally: &mut Tally) -> Result<(), Unreadable> {
    let (mut old, mut new) = (Archive::open(before)?, Archive::open(after)?);
    let (names, others) = (old.names()?, new.names()?);
    for name in names.union(&others) {
        if !others.contains(name) {
            tally.one_sided(|| name.clone(), Some("an array"), None);
        } else if !names.contains(name) {
            tally.one_sided(|| name.clone(), None, Some("an array"));
        } else {
            let inside = |Unreadable(why)| Unreadable::new(format_args!("{name}: {why}"));
            array::compare(name, old.member(name)?, new.member(name)?, tally).map_err(inside)?;
        }
    }
    Ok(())
}

struct Archive {
    zip: ZipArchive<Bounded>,
    left: Rc<Cell<u64>>,
}

impl Archive {
    fn open(content: &Content) -> Result<Self, Unreadable> {
        let left = Rc::new(Cell::new(DIRECTORY_BYTES_MAX));
        let bounded = Bounded { inner: content.reader(), left: Some(Rc::clone(&left)) };
        let zip = ZipArchive::new(bounded).map_err(Unreadable::new)?;
        left.set(u64::MAX); // What members are read from is bounded by what they become.
        Ok(Self { zip, left: Rc::new(Cell::new(MEMBERS_BYTES_MAX)) })
    }

    fn names(&self) -> Result<BTreeSet<String>, Unreadable> {
        let name = |name: Result<Cow<'_, str>, _>| name.map(Cow::into_owned).map_err(Unreadable::new);
        self.zip.file_names().map(name).collect()
    }

    fn member(&mut self, name: &str) -> Result<impl Read, Unreadable> {
        let left = Some(Rc::clone(&self.left));
        let member =
            self.zip.by_name(name).map_err(|error| Unreadable::new(format_args!("{name}: {error}")))?;
        Ok(Bounded { inner: io::BufReader::with_capacity(1 << 16, member), left })
    }
}

/// Ends with an error when more is read than may be.
struct Bounded<R = Reader> {
    inner: R,
    left: Option<Rc<Cell<u64>>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Some(left) = &self.left {
            let less = left.get().checked_sub(count as u64);
            left.set(less.ok_or_else(|| io::Error::other("it holds more than is looked at"))?);
        }
        Ok(count)
    }
}

impl<R: Seek> Seek for Bounded<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
