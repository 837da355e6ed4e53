//! Whether the code of a run is what a commit has.
//!
//! The snapshot is compared with the tree of the commit, file by file, and not the working tree: what runs counts, and
//! nothing can change in between. So git's index plays no part, and neither do settings of a repository, such as filters
//! and line endings: a file that git would change on its way in counts as changed.
//!
//! **Absent on purpose:** running git, as in `git.rs`. Submodules, whose commits are of other repositories, count as
//! changed. Policies, which are no part of the code.

use std::collections::BTreeMap;
use std::path::Path;

use aseptic_model::{Code, Digest, FilePath, escape_bytes};
use aseptic_store::{EntryKind, Store, Tree};

use super::git::repository_of;
use super::object::{Id, Objects};
use super::policies::PoliciesInCode;

/// Directories in each other that are looked into: no path of Linux has more.
const DEPTH_MAX: usize = 2_048;

/// Why the code that was taken from the directory `root` is not what its commit has, in words; nothing if it is.
pub(crate) fn why_not(
    store: &Store,
    code: &Code,
    root: &Path,
    policies: Option<&PoliciesInCode>,
) -> Option<String> {
    let Some(commit) = &code.git_commit else {
        return Some("it is not in a git repository with a commit".to_owned());
    };
    let Ok(root) = root.canonicalize() else { return Some("its directory is gone".to_owned()) };
    let unreadable = || Some("its commit cannot be read from the repository".to_owned());
    let Some(repository) = repository_of(&root) else { return unreadable() };
    let objects = Objects::open(&repository.common);
    let commit = Id::parse(commit);
    let Some(tree) =
        root.strip_prefix(&repository.top).ok().and_then(|below| tree_of(&objects, commit.as_ref()?, below))
    else {
        return unreadable();
    };
    let comparison = Comparison { store, objects: &objects, root: &root, policies };
    match comparison.directory(&tree, Some(&code.snapshot), None, 0) {
        Ok(()) => None,
        Err(Different::Unreadable) => unreadable(),
        Err(Different::Path(path, what)) => Some(format!("`{}` {what}", escape_bytes(path.as_bytes()))),
    }
}

/// The tree of a commit, or of a directory in it; nothing where it has none, as for a new directory.
fn tree_of(objects: &Objects, commit: &Id, below: &Path) -> Option<BTreeMap<Vec<u8>, Named>> {
    let text = objects.get("commit", commit)?;
    let first = text.split(|byte| *byte == b'\n').next()?;
    let digits = std::str::from_utf8(first.strip_prefix(b"tree ")?).ok()?;
    let mut tree = read_tree(objects, &Id::parse(digits)?)?;
    for name in below.components() {
        tree = match tree.get(name.as_os_str().as_encoded_bytes()) {
            Some(Named { mode: Mode::Directory, id }) => read_tree(objects, id)?,
            _ => BTreeMap::new(),
        };
    }
    Some(tree)
}

/// What a name in a tree of git stands for.
struct Named {
    mode: Mode,
    id: Id,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    File,
    Executable,
    Link,
    Directory,
    Submodule,
}

fn read_tree(objects: &Objects, id: &Id) -> Option<BTreeMap<Vec<u8>, Named>> {
    let bytes = objects.get("tree", id)?;
    let mut rest = bytes.as_slice();
    let mut tree = BTreeMap::new();
    while !rest.is_empty() {
        let blank = rest.iter().position(|byte| *byte == b' ')?;
        let mode = match rest.get(..blank)? {
            b"100644" | b"100664" => Mode::File,
            b"100755" => Mode::Executable,
            b"120000" => Mode::Link,
            b"40000" | b"040000" => Mode::Directory,
            b"160000" => Mode::Submodule,
            _ => return None,
        };
        rest = rest.get(blank + 1..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        let name = rest.get(..end)?.to_owned();
        let (named, after) = rest.get(end + 1..)?.split_at_checked(id.length())?;
        tree.insert(name, Named { mode, id: Id::from_bytes(named) });
        rest = after;
    }
    Some(tree)
}

/// The first difference.
enum Different {
    /// A file at this path.
    Path(FilePath, &'static str),
    /// Something cannot be read, or is too deep.
    Unreadable,
}

struct Comparison<'c> {
    store: &'c Store,
    objects: &'c Objects,
    /// The directory that the code was taken from.
    root: &'c Path,
    policies: Option<&'c PoliciesInCode>,
}

impl Comparison<'_> {
    /// Compares a directory of the commit with one of the snapshot, which may lack it.
    fn directory(
        &self,
        tree: &BTreeMap<Vec<u8>, Named>,
        taken: Option<&Digest>,
        path: Option<&FilePath>,
        depth: usize,
    ) -> Result<(), Different> {
        if depth > DEPTH_MAX {
            return Err(Different::Unreadable);
        }
        let taken = match taken {
            Some(digest) => self.store.read_tree(digest).map_err(|_| Different::Unreadable)?,
            None => Tree::default(),
        };
        let inside = |name: &[u8]| match path {
            Some(path) => path.join(name).map_err(|_| Different::Unreadable),
            None => FilePath::from_bytes(name).map_err(|_| Different::Unreadable),
        };
        for entry in taken.entries() {
            self.entry(tree.get(&entry.name), &entry.kind, &inside(&entry.name)?, depth)?;
        }
        for (name, named) in tree {
            if taken.get(name).is_none() {
                self.absent(named, &inside(name)?, depth)?;
            }
        }
        Ok(())
    }

    /// Compares what the snapshot has at a path with what the commit has there.
    fn entry(
        &self,
        named: Option<&Named>,
        kind: &EntryKind,
        path: &FilePath,
        depth: usize,
    ) -> Result<(), Different> {
        let different = |what| Err(Different::Path(path.clone(), what));
        match (named, kind) {
            (Some(Named { mode: Mode::Submodule, .. }), _) => {
                different("is a submodule, which is not compared")
            }
            (Some(Named { mode: Mode::Directory, id }), EntryKind::Directory { digest, .. }) => {
                let tree = read_tree(self.objects, id).ok_or(Different::Unreadable)?;
                self.directory(&tree, Some(digest), Some(path), depth + 1)
            }
            // Git has no empty directories.
            (None, EntryKind::Directory { digest, .. }) => {
                self.directory(&BTreeMap::new(), Some(digest), Some(path), depth + 1)
            }
            (None, _) => different("is in no commit"),
            (Some(Named { mode, id }), EntryKind::File { size, digest, executable }) => {
                let expected = if *executable { Mode::Executable } else { Mode::File };
                let mut reader = self.store.reader(digest).map_err(|_| Different::Unreadable)?;
                let same = *mode == expected
                    && id.is_of("blob", *size, &mut reader).map_err(|_| Different::Unreadable)?;
                if same { Ok(()) } else { different("differs from its commit") }
            }
            (Some(Named { mode: Mode::Link, id }), EntryKind::Symlink { target }) => {
                let same = id.is_of("blob", target.len() as u64, &mut target.as_slice());
                if same.is_ok_and(|same| same) { Ok(()) } else { different("differs from its commit") }
            }
            (Some(_), _) => different("differs from its commit"),
        }
    }

    /// Looks at what the commit has and the snapshot has not: what is there was left out by an ignore file, what is not was
    /// removed.
    fn absent(&self, named: &Named, path: &FilePath, depth: usize) -> Result<(), Different> {
        let there = self.root.join(path.as_path()).symlink_metadata();
        match (named.mode, there) {
            (Mode::Directory, _) => {
                let tree = read_tree(self.objects, &named.id).ok_or(Different::Unreadable)?;
                self.directory(&tree, None, Some(path), depth + 1)
            }
            // A directory without files is how git leaves a submodule that was not fetched.
            (_, Ok(_)) | (Mode::Submodule, Err(_)) => Ok(()),
            _ if self.policies.is_some_and(|policies| policies.hold(path)) => Ok(()),
            (_, Err(_)) => Err(Different::Path(path.clone(), "is in its commit and was removed")),
        }
    }
}

#[cfg(test)]
mod tests;
