//! Decoys: a home directory, a code tree and a dataset with something worth taking.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Files of a home directory that hold credentials, with what stands before the secret.
pub const SECRET_FILES: [(&str, &str); 10] = [
    (".aws/credentials", "[default]\naws_secret_access_key = "),
    (".ssh/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
    (".netrc", "machine example.org login user password "),
    (".config/gcloud/application_default_credentials.json", "{\"refresh_token\": \""),
    (".kube/config", "users: [{user: {token: "),
    (".docker/config.json", "{\"auths\": {\"example.org\": {\"auth\": \""),
    (".cache/huggingface/token", "hf_"),
    (".git-credentials", "https://user:"),
    (".pypirc", "[pypi]\npassword = "),
    ("notes.txt", "for nobody else: "),
];

/// Writes decoys; every one of them that is secret holds the canary.
#[derive(Clone, Copy, Debug)]
pub struct Decoys<'a> {
    /// The secret.
    pub canary: &'a str,
}

impl Decoys<'_> {
    /// A home directory.
    ///
    /// # Errors
    /// The disk's.
    pub fn home(&self, home: &Path) -> io::Result<()> {
        for (name, before) in SECRET_FILES {
            write(&home.join(name), &format!("{before}{}", self.canary), 0o600)?;
        }
        fs::set_permissions(home, fs::Permissions::from_mode(0o700))
    }

    /// A code tree as git has it.
    ///
    /// # Errors
    /// The disk's.
    pub fn tree(&self, tree: &Path) -> io::Result<()> {
        write(&tree.join(".git/HEAD"), "ref: refs/heads/main\n", 0o644)?;
        write(&tree.join("train.py"), "print('train')\n", 0o644)
    }

    /// A dataset to share: files to lock, to open and to look at.
    ///
    /// # Errors
    /// The disk's.
    pub fn dataset(&self, directory: &Path) -> io::Result<()> {
        for bit in 0..BITS {
            write(&directory.join(format!("lock/{bit:02}")), &format!("lock {bit}"), 0o644)?;
            write(&directory.join(format!("time/{bit:02}")), &format!("time {bit}"), 0o644)?;
        }
        for digit in 0..16 {
            write(&directory.join(format!("open/{digit:x}")), &format!("open {digit}"), 0o644)?;
        }
        write(&directory.join("open/start"), "open", 0o644)?;
        write(&directory.join("range"), "range", 0o644)?;
        write(&directory.join("train.csv"), "1,2,3\n", 0o644)
    }

    /// The state directory of aseptic, as far as somebody would go for it.
    ///
    /// # Errors
    /// The disk's.
    pub fn state(&self, state: &Path) -> io::Result<()> {
        write(&state.join("ledger").join("log"), "entries\n", 0o600)?;
        write(&state.join("ledger/key"), self.canary, 0o600)?;
        write(&state.join("catalog.sqlite"), "rows", 0o600)?;
        write(&state.join("object"), self.canary, 0o444)
    }
}

/// Bits of a canary that go through a channel of single bits.
pub(crate) const BITS: usize = 32;

pub(crate) fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
