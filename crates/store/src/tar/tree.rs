//! The tree that an archive describes, put together in memory: its entries come in any order.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use aseptic_model::{Digest, FilePath, escape_bytes};

use super::TarError;
use crate::files::{join, text_below};
use crate::forest::check_length;
use crate::import::ImportError;
use crate::scan::climbs_out;
use crate::tree::{EntryKind, Snapshot, Tree as Directory, TreeEntry};
use crate::writer::Writer;

/// Links on the way that the kernel follows before it gives up.
const LINKS_MAX: u32 = 40;

/// Number of a file: names of the same file share it.
pub(super) type File = usize;

#[derive(Clone, Debug)]
enum Node {
    Folder(usize),
    File(File),
    Link(Vec<u8>),
}

/// Directories by number, the root first. One has a greater number than the one that holds it.
#[derive(Debug)]
pub(super) struct Tree {
    folders: Vec<HashMap<Vec<u8>, Node>>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { folders: vec![HashMap::new()] }
    }

    pub(super) fn add_folder(&mut self, path: &[u8]) -> Result<(), TarError> {
        let mut folder = 0;
        for (at, name, _) in components(path)? {
            folder = self.enter(folder, name, at)?;
        }
        Ok(())
    }

    /// Adds a file, or replaces what has its name.
    pub(super) fn add_file(&mut self, path: &[u8], file: File) -> Result<(), TarError> {
        self.add(path, Node::File(file))
    }

    pub(super) fn add_link(&mut self, path: &[u8], target: Vec<u8>) -> Result<(), TarError> {
        self.add(path, Node::Link(target))
    }

    /// Adds another name of what is at `target` now.
    pub(super) fn add_again(&mut self, path: &[u8], target: &[u8]) -> Result<(), TarError> {
        let mut node = Node::Folder(0);
        for (_, name, _) in components(target)? {
            let Node::Folder(folder) = node else { return Err(refused(path, NO_TARGET)) };
            let below = self.folders[folder].get(name).ok_or_else(|| refused(path, NO_TARGET))?;
            node = below.clone();
        }
        match node {
            Node::Folder(_) => Err(refused(path, "which is another name of a directory")),
            node => self.add(path, node),
        }
    }

    fn add(&mut self, path: &[u8], node: Node) -> Result<(), TarError> {
        let mut folder = 0;
        for (at, name, last) in components(path)? {
            if !last {
                folder = self.enter(folder, name, at)?;
                continue;
            }
            match self.folders[folder].entry(name.to_vec()) {
                Entry::Occupied(found) if matches!(found.get(), Node::Folder(_)) => {
                    return Err(refused(at, "which is also a directory"));
                }
                Entry::Occupied(mut found) => {
                    found.insert(node);
                }
                Entry::Vacant(vacant) => {
                    vacant.insert(node);
                }
            }
            return Ok(());
        }
        Err(refused(path, "a name that only a directory can have"))
    }

    /// The directory `name` in a directory, made if it is not there.
    fn enter(&mut self, folder: usize, name: &[u8], path: &[u8]) -> Result<usize, TarError> {
        match self.folders[folder].get(name) {
            Some(Node::Folder(number)) => Ok(*number),
            // Never through a link: where that leads is not for the archive to say.
            Some(Node::Link(_)) => Err(refused(path, "a link, and something inside of it")),
            Some(Node::File(_)) => Err(refused(path, "a file, and something inside of it")),
            None => {
                let number = self.folders.len();
                self.folders.push(HashMap::new());
                self.folders[folder].insert(name.to_vec(), Node::Folder(number));
                Ok(number)
            }
        }
    }

    /// Refuses the first link that leads out of the tree, by its text or through other links.
    pub(super) fn check_links(&self) -> Result<(), TarError> {
        let mut folders = vec![(0, Vec::new())];
        while let Some((folder, path)) = folders.pop() {
            for (name, node) in &self.folders[folder] {
                match node {
                    Node::File(_) => {}
                    Node::Folder(number) => folders.push((*number, join(&path, name))),
                    Node::Link(target) => {
                        let path = join(&path, name);
                        if climbs_out(&path, target) || self.leads_out(&path) {
                            let (path, target) = (text_below(&path), escape_bytes(target));
                            return Err(ImportError::LinkOutside { path, target }.into());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the kernel would leave the tree at `path`, as openat2(2) with `RESOLVE_BENEATH` sees it.
    fn leads_out(&self, path: &[u8]) -> bool {
        // What is left to walk, the next component last.
        let mut left: Vec<&[u8]> = path.rsplit(|byte| *byte == b'/').collect();
        let (mut at, mut links) = (vec![0], 0);
        while let Some(name) = left.pop() {
            match name {
                b"" | b"." => continue,
                b".." => {
                    at.pop();
                    if at.is_empty() {
                        return true;
                    }
                    continue;
                }
                _ => {}
            }
            let here = at.last().copied().unwrap_or(0);
            match self.folders[here].get(name) {
                Some(Node::Folder(number)) => at.push(*number),
                Some(Node::Link(target)) => {
                    links += 1;
                    if target.starts_with(b"/") {
                        return true;
                    }
                    if links > LINKS_MAX {
                        return false;
                    }
                    left.extend(target.rsplit(|byte| *byte == b'/'));
                }
                // It leads nowhere.
                Some(Node::File(_)) | None => return false,
            }
        }
        false
    }

    /// Adds every directory to `writer`, the root last. `files` are what the files are, by number.
    pub(super) fn store(
        mut self,
        files: &[Option<EntryKind>],
        writer: &Writer<'_>,
    ) -> Result<Snapshot, TarError> {
        let mut done: Vec<Option<EntryKind>> = vec![None; self.folders.len()];
        while let Some(folder) = self.folders.pop() {
            let number = self.folders.len();
            let mut entries = Vec::with_capacity(folder.len());
            for (name, node) in folder {
                let kind = match node {
                    Node::Folder(number) => done[number].take(),
                    Node::File(file) => files.get(file).cloned().flatten(),
                    Node::Link(target) => Some(EntryKind::Symlink { target }),
                };
                // Every number was handed out once and its content stored before.
                entries.extend(kind.map(|kind| TreeEntry { name, kind }));
            }
            let tree = Directory::new(entries)
                .map_err(|source| ImportError::Shape { path: text_below(b""), source })?;
            let digest = writer.add_bytes(&tree.encode())?;
            let (files, bytes) = (tree.files(), tree.bytes());
            if number == 0 {
                return Ok(Snapshot { digest, files, bytes });
            }
            done[number] = Some(EntryKind::Directory { files, bytes, digest });
        }
        let empty = Directory::default().encode(); // Not reached: there is always a root.
        Ok(Snapshot { digest: Digest::of(&empty), files: 0, bytes: 0 })
    }
}

const NO_TARGET: &str = "another name of something that does not come before it";

fn refused(path: &[u8], what: &'static str) -> TarError {
    TarError::Entry { path: text_below(path), what }
}

/// Path up to a component, the component, and whether it is the last.
type Component<'p> = (&'p [u8], &'p [u8], bool);

/// The components of a path from an archive. One that could lead anywhere else is refused, not repaired.
fn components(path: &[u8]) -> Result<Vec<Component<'_>>, TarError> {
    if path.starts_with(b"/") {
        return Err(refused(path, "a path from the root of the file system"));
    }
    if path.contains(&0) {
        return Err(refused(path, "a name with a NUL byte"));
    }
    check_length(path).map_err(|source| ImportError::Shape { path: text_below(path), source })?;
    let mut found: Vec<Component<'_>> = Vec::new();
    let mut at = 0;
    for name in path.split(|byte| *byte == b'/') {
        let end = at + name.len();
        match name {
            b"" | b"." => {}
            b".." => return Err(refused(path, "a path that climbs out with `..`")),
            name if name.len() > FilePath::COMPONENT_BYTES_MAX => {
                return Err(refused(path, "a name of more than 255 bytes"));
            }
            name => found.push((&path[..end], name, false)),
        }
        at = end + 1;
    }
    if let Some(last) = found.last_mut() {
        last.2 = true;
    }
    Ok(found)
}
