//! The look from outside: files and processes before and after an attempt.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What files and processes were like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Everything in trees that must stay as they are.
    trees: Vec<(PathBuf, BTreeMap<PathBuf, File>)>,
    /// Files that must stay, beside which others may appear.
    kept: BTreeMap<PathBuf, File>,
    /// Files that may only grow, with their length and what they held.
    growing: BTreeMap<PathBuf, (u64, u64)>,
    /// Processes that must live, with their priority.
    processes: BTreeMap<i32, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    mode: u32,
    contents: u64,
    /// Names of the same file; another one is a way to it.
    names: u64,
}

/// A larger file is compared by its size and time.
const READ_MAX: u64 = 1 << 20;

impl Marks {
    /// Looks at `trees`, at the files below `kept`, at the files `growing` and at the processes `pids`.
    ///
    /// # Errors
    /// One of the files cannot be read.
    pub fn take(trees: &[&Path], kept: &[PathBuf], growing: &[PathBuf], pids: &[i32]) -> io::Result<Self> {
        let mut marks = Self::default();
        for tree in trees {
            let files = search(tree).into_iter().map(|path| Ok((path.clone(), look(&path)?)));
            marks.trees.push(((*tree).to_owned(), files.collect::<io::Result<_>>()?));
        }
        for path in kept {
            marks.kept.insert(path.clone(), look(path)?);
        }
        for path in growing {
            let length = fs::metadata(path)?.len();
            marks.growing.insert(path.clone(), (length, start(path, length)?));
        }
        marks.processes = pids.iter().map(|pid| (*pid, priority(*pid))).collect();
        Ok(marks)
    }

    /// What is not as it was, if anything is.
    #[must_use]
    pub fn changed(&self) -> Option<String> {
        for (tree, before) in &self.trees {
            let now = search(tree);
            if let Some(new) = now.iter().find(|path| !before.contains_key(*path)) {
                return Some(format!("`{}` is new", new.display()));
            }
        }
        let all = self.trees.iter().flat_map(|(_, files)| files).chain(&self.kept);
        for (path, before) in all {
            match look(path) {
                Ok(now) if now == *before => {}
                Ok(_) => return Some(format!("`{}` was changed", path.display())),
                Err(_) => return Some(format!("`{}` is gone", path.display())),
            }
        }
        for (path, (length, before)) in &self.growing {
            if start(path, *length).ok() != Some(*before) {
                return Some(format!("`{}` was rewritten", path.display()));
            }
        }
        self.processes.iter().find_map(|(pid, before)| match priority(*pid) {
            now if now == *before => None,
            now if now.is_empty() => Some(format!("process {pid} was ended")),
            now => Some(format!("process {pid} has priority {now} instead of {before}")),
        })
    }
}

/// Every path below `directory`, links and directories included: what is closed, or goes away meanwhile, is passed over.
///
/// Somebody who looks for a way out does not stop at a closed door, so neither may an attempt.
pub(crate) fn search(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}

fn look(path: &Path) -> io::Result<File> {
    let metadata = fs::symlink_metadata(path)?;
    let mut hasher = DefaultHasher::new();
    if metadata.is_symlink() {
        hasher.write(fs::read_link(path)?.as_os_str().as_encoded_bytes());
    } else if metadata.is_file() && metadata.len() <= READ_MAX {
        // Without a trace, for times of files are something to look at.
        let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NOATIME).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        hasher.write(&bytes);
    } else if metadata.is_file() {
        hasher.write_u64(metadata.len());
        hasher.write_i64(metadata.mtime_nsec());
    }
    let names = if metadata.is_dir() { 0 } else { metadata.nlink() };
    Ok(File { mode: metadata.mode(), contents: hasher.finish(), names })
}

/// What the first `length` bytes of a file are.
fn start(path: &Path, length: u64) -> io::Result<u64> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(length).read_to_end(&mut bytes)?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    Ok(hasher.finish())
}

/// The nice value of a process as procfs has it; empty when it is gone or dead.
fn priority(pid: i32) -> String {
    let fields = fields(pid);
    match fields.first().map(String::as_str) {
        None | Some("Z" | "X" | "") => String::new(),
        Some(_) => fields.get(16).cloned().unwrap_or_default(),
    }
}

/// What procfs has of a process after its name: state, parent, and so on.
fn fields(pid: i32) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name of the program, in parentheses, may hold anything.
    status.rsplit(") ").next().unwrap_or("").split(' ').map(str::to_owned).collect()
}

/// Children of the process `parent` with `words` in their command line.
#[must_use]
pub fn children_with(parent: i32, words: &[&str]) -> Vec<i32> {
    let mut found = processes_with(words);
    found.retain(|pid| fields(*pid).get(1).and_then(|field| field.parse().ok()) == Some(parent));
    found
}

/// Process ids with `words` one after another in their command line.
#[must_use]
pub fn processes_with(words: &[&str]) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut found: Vec<i32> = pids
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            line.windows(words.len()).any(|window| window.iter().zip(words).all(|(a, b)| *a == b.as_bytes()))
        })
        .filter(|pid| !priority(*pid).is_empty())
        .collect();
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn check(change: impl FnOnce(&Path), expected: Option<&str>) {
        let place = tempfile::tempdir().unwrap();
        let tree = place.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("file"), "1").unwrap();
        fs::write(place.path().join("log"), "1").unwrap();
        fs::write(place.path().join("object"), "1").unwrap();
        let kept = [place.path().join("object")];
        let marks = Marks::take(&[&tree], &kept, &[place.path().join("log")], &[]).unwrap();
        assert_eq!(marks.changed(), None);
        change(place.path());
        let changed = marks.changed();
        match expected {
            None => assert_eq!(changed, None),
            Some(text) => assert!(changed.as_ref().is_some_and(|found| found.contains(text)), "{changed:?}"),
        }
    }

    #[test]
    fn every_change_is_seen() {
        check(|place| fs::write(place.join("tree/file"), "2").unwrap(), Some("changed"));
        check(|place| fs::write(place.join("tree/new"), "").unwrap(), Some("new"));
        check(|place| fs::remove_file(place.join("tree/file")).unwrap(), Some("gone"));
        check(|place| fs::hard_link(place.join("object"), place.join("b")).unwrap(), Some("changed"));
        let lock = |place: &Path| {
            fs::set_permissions(place.join("object"), fs::Permissions::from_mode(0o777)).unwrap();
        };
        check(lock, Some("changed"));
        check(|place| fs::write(place.join("log"), "2").unwrap(), Some("rewritten"));
    }

    #[test]
    fn a_log_may_grow_and_a_store_too() {
        check(|place| fs::write(place.join("log"), "12").unwrap(), None);
        check(|place| fs::write(place.join("object2"), "2").unwrap(), None);
    }

    #[test]
    fn a_search_goes_past_what_it_cannot_enter() {
        let place = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            fs::create_dir(place.path().join(name)).unwrap();
            fs::write(place.path().join(name).join("file"), "").unwrap();
        }
        let closed = place.path().join("b");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let found = search(place.path());
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(found.contains(&place.path().join("a/file")) && found.contains(&place.path().join("c/file")));
        assert!(search(&place.path().join("nothing")).is_empty());
    }

    #[test]
    fn a_process_that_is_gone_is_a_change() {
        let mut child = std::process::Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn();
        let child = child.as_mut().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let marks = Marks::take(&[], &[], &[], &[pid]).unwrap();
        assert_eq!(marks.changed(), None);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(marks.changed(), Some(format!("process {pid} was ended")));
    }
}
