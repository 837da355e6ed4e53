//! Makes jails, runs scripts in them and outside.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aseptic_sandbox::{
    Access, Attempt, Ended, Jail, Mount, Prepared, Streams, Target, Upper, prepare, system_mounts,
};

pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// What a program printed and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) ended: Ended,
    pub(crate) printed: String,
    pub(crate) complained: String,
}

impl Output {
    #[track_caller]
    pub(crate) fn assert(self, ended: Ended, printed: &str) {
        assert_eq!((self.ended, self.printed.trim_end()), (ended, printed), "stderr: {}", self.complained);
    }
}

/// A jail with the system and nothing of the test's own.
pub(crate) fn jail(program: &str, arguments: &[&str]) -> Jail {
    let mut mounts = system_mounts("/tmp".as_ref());
    mounts.push(Mount::Memory { target: "/tmp".into(), bytes: 16 << 20 });
    Jail {
        staging: std::env::temp_dir(),
        mounts,
        watched: Vec::new(),
        hostname: "aseptic".into(),
        program: program.into(),
        arguments: arguments.iter().map(OsString::from).collect(),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        working_directory: "/tmp".into(),
        ..Jail::default()
    }
}

pub(crate) fn shell(script: &str) -> Jail {
    jail("/bin/sh", &["-c", script])
}

pub(crate) fn python(script: &str) -> Jail {
    jail(PYTHON, &["-S", "-c", script])
}

pub(crate) trait With: Sized {
    fn with(self, mount: Mount) -> Self;

    fn bind(self, source: &Path, target: &str, access: Access) -> Self {
        self.with(Mount::Bind { source: source.into(), target: target.into(), access })
    }

    fn overlay(self, lower: &Path, target: &str) -> Self {
        let lower = vec![lower.into()];
        self.with(Mount::Overlay { lower, upper: None, target: target.into(), access: Access::Execute })
    }

    fn writable_overlay(self, lower: &Path, upper: Upper, target: &str) -> Self {
        let lower = vec![lower.into()];
        let upper = Some(upper);
        self.with(Mount::Overlay { lower, upper, target: target.into(), access: Access::Write })
    }
}

impl With for Jail {
    fn with(mut self, mount: Mount) -> Self {
        self.mounts.push(mount);
        self
    }
}

/// The ends of the pipes that a jail's program does not have.
pub(crate) struct Pipes {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: File,
    pub(crate) stderr: File,
}

pub(crate) fn pipes() -> (Streams, Pipes) {
    use rustix::pipe::{PipeFlags, pipe_with};
    let [stdin, stdout, stderr] = [(); 3].map(|()| pipe_with(PipeFlags::CLOEXEC).unwrap());
    let streams = Streams { stdin: stdin.0, stdout: stdout.1, stderr: stderr.1 };
    (streams, Pipes { stdin: Some(stdin.1), stdout: stdout.0.into(), stderr: stderr.0.into() })
}

pub(crate) fn prepared(jail: &Jail) -> (Prepared, Pipes) {
    let (streams, pipes) = pipes();
    (prepare(jail, streams, &[]).unwrap_or_else(|error| panic!("{}", explain(&error))), pipes)
}

pub(crate) fn explain(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {}", explain(source)));
    format!("{error}{}", source.unwrap_or_default())
}

impl Pipes {
    /// All that the jail prints until nobody can print any more. What fits in a pipe of errors may come.
    pub(crate) fn read_all(&mut self) -> (String, String) {
        self.stdin = None;
        let (mut printed, mut complained) = (Vec::new(), Vec::new());
        self.stdout.read_to_end(&mut printed).unwrap();
        self.stderr.read_to_end(&mut complained).unwrap();
        (String::from_utf8_lossy(&printed).into_owned(), String::from_utf8_lossy(&complained).into_owned())
    }

    pub(crate) fn read_line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.stdout.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }
}

pub(crate) fn run(jail: &Jail) -> Output {
    run_watched(jail).0
}

/// An attempt as text, such as `open /etc/passwd Allowed`.
pub(crate) fn shown(attempt: &Attempt<'_>) -> String {
    let target = match attempt.target {
        Target::Path(path) => String::from_utf8_lossy(path).into_owned(),
        Target::Address(address) => address.to_string(),
    };
    format!("{:?} {target} {:?}", attempt.action, attempt.verdict)
}

/// Runs the jail and gives what it attempted, if that is seen.
pub(crate) fn run_watched(jail: &Jail) -> (Output, Vec<String>) {
    let (prepared, mut pipes) = prepared(jail);
    let mut running = prepared.start();
    let listener = running.attempts.take();
    std::thread::scope(|scope| {
        let watching = scope.spawn(move || {
            let mut seen = Vec::new();
            if let Some(mut listener) = listener {
                listener.watch(|attempt| seen.push(shown(&attempt))).unwrap();
            }
            seen
        });
        let (printed, complained) = pipes.read_all();
        let output = Output { ended: running.wait(), printed, complained };
        (output, watching.join().unwrap())
    })
}

/// The same program on the host.
pub(crate) fn outside(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    Output {
        ended: Ended::Exited(output.status.code().unwrap_or(-1)),
        printed: String::from_utf8_lossy(&output.stdout).into_owned(),
        complained: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let work = self.path("work");
        if work.exists() {
            let changes = self.path("changes");
            Upper { changes, work }.remove_work().unwrap();
        }
    }
}

/// A directory of this test alone.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn file(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, contents).unwrap();
        path
    }

    pub(crate) fn upper(&self) -> Upper {
        Upper { changes: self.directory("changes"), work: self.directory("work") }
    }
}
