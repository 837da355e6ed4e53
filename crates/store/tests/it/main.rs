//! The store as its callers see it, on real file systems.
#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod capture;
mod copy;
mod crash;
mod disk;
mod export;
mod format;
mod hostile;
mod import;
mod kill;
mod large;
mod repair;
mod space;
mod tar;
mod verify;
mod view;

use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use aseptic_model::{Digest, FilePath};
use aseptic_store::{ImportError, ImportOptions, Imported, Store, remove_tree};

/// A directory with a store in it, removed at the end whatever is in it.
struct Env {
    dir: PathBuf,
    store: Store,
}

impl Env {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap().keep();
        let store = Store::open(&dir.join("store")).unwrap();
        Self { dir, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file, with the directories above it.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn link(&self, name: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.path(name)).unwrap();
    }

    fn fifo(&self, name: &str) {
        rustix::fs::mkfifoat(rustix::fs::CWD, self.path(name), rustix::fs::Mode::RUSR).unwrap();
    }

    fn chmod(&self, name: &str, mode: u32) {
        chmod(&self.path(name), mode);
    }

    fn import(&self, name: &str) -> Imported {
        self.import_with(name, &ImportOptions::default()).unwrap()
    }

    fn import_with(&self, name: &str, options: &ImportOptions<'_>) -> Result<Imported, ImportError> {
        self.store.import(&self.store.lease().unwrap(), &self.path(name), options, &mut |_| {
            ControlFlow::Continue(())
        })
    }

    fn object(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_string();
        self.path("store/objects").join(&hex[..2]).join(hex)
    }

    /// Every path of a snapshot in its text form.
    fn paths(&self, digest: &Digest) -> Vec<String> {
        self.store.walk(digest).unwrap().map(|entry| entry.unwrap().0.to_string()).collect()
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        remove_tree(&self.dir).unwrap();
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn path(text: &str) -> FilePath {
    FilePath::from_bytes(text).unwrap()
}

/// Names below a directory, sorted, each with its kind, permission bits, and content or target.
fn listing(dir: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut directories = vec![dir.to_owned()];
    while let Some(at) = directories.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_symlink() {
                fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
            } else if metadata.is_file() {
                fs::read(&path).unwrap()
            } else {
                directories.extend(metadata.is_dir().then(|| path.clone()));
                Vec::new()
            };
            found.push((path.strip_prefix(dir).unwrap().to_owned(), metadata.mode(), content));
        }
    }
    found.sort();
    found
}

fn bytes_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// Runs the test `role` of this binary in another process, with what it needs in the environment.
/// `wrapper` is a command that gets the command of the test as its last arguments.
fn child(wrapper: &[&str], role: &str, dir: &Path) -> Command {
    let test = std::env::current_exe().unwrap();
    let mut words: Vec<&OsStr> = wrapper.iter().map(OsStr::new).collect();
    words.extend([test.as_os_str(), OsStr::new("--exact"), OsStr::new(role), OsStr::new("--nocapture")]);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("ASEPTIC_STORE_TEST_DIR", dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The directory that a role works in; `None` in an ordinary test run, where a role does nothing.
fn role_dir() -> Option<PathBuf> {
    std::env::var_os("ASEPTIC_STORE_TEST_DIR").map(PathBuf::from)
}

fn assert_success(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}

/// Changes how a file system in memory of this namespace is mounted. mount(8) would also repeat the options that
/// it has, and those name users that an ordinary user's namespace does not know.
fn remount(path: &Path, flags: rustix::mount::MountFlags, options: &str) {
    let options = std::ffi::CString::new(options).unwrap();
    rustix::mount::mount_remount(path, flags, options).unwrap();
}
