//! An empty home, a project directory, and the `aseptic` command in them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A user with nothing: removed with everything in it when dropped. Then the catalog is what ledger and stores make of
/// it, unless one of these cannot be used any more.
pub(crate) struct World {
    root: tempfile::TempDir,
    /// The URL of the database that has the catalog.
    pub(crate) catalog: Option<String>,
    /// Whether what the catalog was made of is damaged on purpose.
    pub(crate) damaged: AtomicBool,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking()
            || self.damaged.load(Ordering::Relaxed)
            || !self.path("state/ledger").exists()
        {
            return;
        }
        let output = self.output(&["catalog", "verify"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("catalog/different"), "{said}");
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("aseptic-test-").tempdir().unwrap();
        let world = Self { root, catalog: None, damaged: AtomicBool::new(false) };
        fs::create_dir(world.path("project")).unwrap();
        fs::create_dir(world.path("user")).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a file of the project, with its directories.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path("project").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The command with these arguments, in the project, with nothing of the tester's environment.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        // Set at run time when the tests run from an archive, where the build directory does not exist.
        let program = std::env::var_os("NEXTEST_BIN_EXE_aseptic")
            .unwrap_or_else(|| env!("CARGO_BIN_EXE_aseptic").into());
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path("project"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path("user"))
            .env("ASEPTIC_HOME", self.path("state"))
            .stdin(Stdio::null());
        if let Some(url) = &self.catalog {
            command.env("ASEPTIC_CATALOG", url);
        }
        command
    }

    pub(crate) fn output<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the command and gives everything it printed as one text, with what differs each time named.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        let output = self.output(arguments);
        let text = format!(
            "exit: {}\n--- stdout\n{}--- stderr\n{}",
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        self.settle(&text)
    }

    /// Runs the command, which must succeed; gives what it printed on standard output.
    pub(crate) fn ok<S: AsRef<OsStr> + std::fmt::Debug>(&self, arguments: &[S]) -> String {
        let output = self.output(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {:?}\n{stderr}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `aseptic run --json` with these arguments; gives the exit code and the document.
    pub(crate) fn run_json(&self, arguments: &[&str]) -> (i32, Value) {
        let arguments = [&["run", "--json"], arguments].concat();
        let output = self.output(&arguments);
        let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
        });
        (output.status.code().unwrap_or(-1), document)
    }

    /// What a shell script printed in a run, which must succeed.
    pub(crate) fn shell(&self, script: &str) -> String {
        self.ok(&["run", "--quiet", "--", "sh", "-c", script])
    }

    pub(crate) fn json<S: AsRef<OsStr> + std::fmt::Debug>(&self, arguments: &[S]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    /// No run directory is left, so no run is left half done.
    pub(crate) fn assert_no_leftovers(&self) {
        let runs = self.path("state/runs/default");
        let left: Vec<_> = fs::read_dir(&runs).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Replaces what differs each time: ids, digests, instants, durations, paths.
    fn settle(&self, text: &str) -> String {
        let text = text.replace(self.root.path().to_str().unwrap(), "[world]");
        let words = text.split_inclusive([' ', '\n', '`', '(', ')', ',']);
        let settled: String = words.map(settle_word).collect();
        let lines = settled.split_inclusive('\n').map(|line| match line.starts_with("  used ") {
            true => "  used [usage]\n",
            false => line,
        });
        settle_durations(&lines.collect::<String>())
    }
}

fn settle_word(word: &str) -> String {
    let core = word.trim_end_matches([' ', '\n', '`', '(', ')', ',', ';', ':']);
    let rest = &word[core.len()..];
    if let Some(run) = core.strip_prefix("run:").filter(|run| run.len() == 12) {
        return format!("run:{}{rest}", settle_word(run));
    }
    let all = |allowed: &str| core.chars().all(|c| allowed.contains(c) || c.is_ascii_digit());
    let named = match core.len() {
        64 if all("abcdef") => "[digest]",
        12 if all("abcdef") => "[short]",
        12 if all("abcdefghjkmnpqrstvwxyz") => "[run]", // No word that is used here has only these.
        24 if core.ends_with('Z') && core.contains('T') => "[time]",
        44 if core.ends_with('=') => "[root]",
        10 if all("-") && core.starts_with("20") => "[day]",
        _ if core.starts_with("user:") => "[user]",
        _ => core,
    };
    format!("{named}{rest}")
}

/// `12 ms` and `1.2 s` become `[duration]`.
fn settle_durations(text: &str) -> String {
    let mut settled = String::new();
    let mut words = text.split(' ').peekable();
    while let Some(word) = words.next() {
        let number =
            !word.is_empty() && word.trim_start_matches('(').chars().all(|c| c.is_ascii_digit() || c == '.');
        match words.peek() {
            Some(unit) if number && (*unit == "ms" || *unit == "s") => {
                words.next();
                settled.push_str(if word.starts_with('(') { "([duration]" } else { "[duration]" });
            }
            _ => settled.push_str(word),
        }
        if words.peek().is_some() {
            settled.push(' ');
        }
    }
    settled
}

/// Waits until `condition` holds; a minute is for a machine under load, not for the code.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// Whether this test may read and write everything, so that permissions stop nothing.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Process ids of the host whose command line holds `marker`.
pub(crate) fn processes_with(marker: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|entry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(marker)
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Every path below `directory` with its bytes, for comparing before and after.
pub(crate) fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>, u32)> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                let bytes = fs::read(entry.path()).unwrap_or_default();
                found.push((entry.path(), bytes, metadata.permissions().mode()));
            }
        }
    }
    found.sort();
    found
}
