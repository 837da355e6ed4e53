//! The checked-out git commit, read from files.
//!
//! **Absent on purpose:** running git. A repository's own configuration may name programs that git then
//! executes, and the working tree of an experiment is not trusted that far.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest file of git's that is read: a packed list of a hundred thousand references.
const BYTES_MAX: u64 = 16 << 20;

/// Symbolic references that are followed: git itself allows five.
const DEPTH_MAX: usize = 5;

/// The commit that is checked out in the repository that holds `directory`, in hexadecimal digits.
///
/// Nothing where there is no repository, no commit yet, or nothing that can be understood: a commit is a
/// remark in the plan, which names the tree itself by its digest.
///
/// Source: gitrepository-layout(5).
pub(crate) fn commit_of(directory: &Path) -> Option<String> {
    let Repository { git, common, .. } = repository_of(directory)?;
    let mut name = "HEAD".to_owned();
    for _ in 0..DEPTH_MAX {
        let text = read(&git.join(&name)).or_else(|| read(&common.join(&name)));
        let Some(text) = text else { return packed(&common, &name) };
        let text = text.trim_end();
        let Some(next) = text.strip_prefix("ref: ") else { return commit(text) };
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !next.starts_with("refs/") || !next.split('/').all(plain) {
            return None;
        }
        next.clone_into(&mut name);
    }
    None
}

/// A repository with a working tree.
pub(super) struct Repository {
    /// The top of the working tree.
    pub(super) top: PathBuf,
    /// What git keeps of this working tree.
    git: PathBuf,
    /// What git keeps of all working trees.
    pub(super) common: PathBuf,
}

/// The repository that holds `directory`.
pub(super) fn repository_of(directory: &Path) -> Option<Repository> {
    let (top, git) = directory.ancestors().find_map(|top| Some((top, git_directory(top)?)))?;
    // A linked working tree keeps its references in the main repository.
    let common = match read(&git.join("commondir")) {
        Some(path) => git.join(path.trim_end()),
        None => git.clone(),
    };
    Some(Repository { top: top.to_owned(), git, common })
}

fn git_directory(directory: &Path) -> Option<PathBuf> {
    let git = directory.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = read(&git)?;
    Some(directory.join(text.strip_prefix("gitdir: ")?.trim_end()))
}

fn packed(common: &Path, name: &str) -> Option<String> {
    let text = read(&common.join("packed-refs"))?;
    text.lines().find_map(|line| {
        let (digits, reference) = line.split_once(' ')?;
        (reference == name).then(|| commit(digits))?
    })
}

fn commit(text: &str) -> Option<String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (digits && matches!(text.len(), 40 | 64)).then(|| text.to_ascii_lowercase())
}

pub(super) fn read(path: &Path) -> Option<String> {
    if !path.metadata().ok()?.is_file() {
        return None; // A FIFO would wait for a writer.
    }
    let mut text = String::new();
    File::open(path).ok()?.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn head_is_followed_to_its_commit() {
        let head = (".git/HEAD", "ref: refs/heads/main\n");
        let loose = repository(&[head, (".git/refs/heads/main", &format!("{COMMIT}\n"))]);
        assert_eq!(commit_of(loose.path()).as_deref(), Some(COMMIT));
        let packed =
            repository(&[head, (".git/packed-refs", &format!("# pack-refs\n{COMMIT} refs/heads/main\n"))]);
        assert_eq!(commit_of(packed.path()).as_deref(), Some(COMMIT));
        let detached = repository(&[(".git/HEAD", COMMIT), ("deep/er/file", "")]);
        assert_eq!(commit_of(&detached.path().join("deep/er")).as_deref(), Some(COMMIT));
        let linked = repository(&[
            ("main/.git/refs/heads/work", COMMIT),
            ("main/.git/worktrees/w/HEAD", "ref: refs/heads/work\n"),
            ("main/.git/worktrees/w/commondir", "../..\n"),
            ("tree/.git", "gitdir: ../main/.git/worktrees/w\n"),
        ]);
        assert_eq!(commit_of(&linked.path().join("tree")).as_deref(), Some(COMMIT));
    }

    #[test]
    fn hostile_references_give_nothing() {
        for head in [
            "ref: ../../../etc/passwd",
            "ref: refs/../../x",
            "ref: HEAD",
            "rubbish",
            "",
            "ref: refs/heads/none",
        ] {
            let repository = repository(&[(".git/HEAD", head)]);
            assert_eq!(commit_of(repository.path()), None, "{head}");
        }
        let cycle = repository(&[(".git/HEAD", "ref: refs/a"), (".git/refs/a", "ref: refs/a")]);
        assert_eq!(commit_of(cycle.path()), None);
    }
}
