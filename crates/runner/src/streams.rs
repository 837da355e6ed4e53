//! The standard streams of a job: pipes of ours, or a terminal of the job's own.
//!
//! **Invariant:** no descriptor of the caller becomes one of the job's. What is piped in or typed is passed
//! on byte by byte, since a terminal, a directory or a socket would lead out of the jail.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use aseptic_sandbox::{Streams, Terminal, TerminalSize};
use rustix::fs::OFlags;
use rustix::termios::Winsize;

use crate::observer::Stream;

/// What the standard streams of a job are.
#[derive(Clone, Debug, Default)]
pub struct JobStreams {
    /// Standard input.
    pub stdin: JobStdin,
    /// The terminal of what is on one.
    pub terminal: Option<JobTerminal>,
}

/// Standard input of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JobStdin {
    /// Empty.
    #[default]
    Nothing,
    /// What [`crate::Observer::read`] gives, through a pipe, and kept.
    Piped,
    /// The same, typed on the job's terminal, and not kept: it may hold passwords.
    Typed,
}

/// A terminal of the job's own. What the job prints there is one stream, whatever it meant it for.
#[derive(Clone, Debug)]
pub struct JobTerminal {
    /// Size at the start.
    pub size: TerminalSize,
    /// Whether standard output is on it.
    pub stdout: bool,
    /// Whether standard error is on it.
    pub stderr: bool,
    /// Variables that say what the terminal can do, such as `TERM`.
    pub variables: Vec<(String, String)>,
}

impl JobStreams {
    /// The terminal for the jail.
    pub(crate) fn terminal(&self) -> Option<Terminal> {
        let terminal = self.terminal.as_ref()?;
        Some(Terminal {
            size: terminal.size,
            stdin: self.stdin == JobStdin::Typed,
            stdout: terminal.stdout,
            stderr: terminal.stderr,
        })
    }
}

/// Our ends of the streams.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) stdin: Input,
    pub(crate) outputs: Vec<(Stream, File)>,
    pub(crate) terminal: Option<OurTerminal>,
}

/// Our side of the job's terminal.
#[derive(Debug)]
pub(crate) struct OurTerminal {
    file: File,
    /// Whether it controls the job, which then hears from it.
    pub(crate) controls: bool,
}

impl OurTerminal {
    pub(crate) fn resize(&self, size: TerminalSize) {
        let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        let _ = rustix::termios::tcsetwinsize(&self.file, size); // One that is gone has no size.
    }
}

/// Our end of standard input.
#[derive(Debug)]
pub(crate) enum Input {
    Nothing,
    Piped(File),
    Typed(File),
}

/// Makes the pipes. Our ends never block: a job can open its pipe from the other side, too, and take what
/// we were told is there.
pub(crate) fn pipes(wanted: &JobStreams) -> io::Result<(Streams, Ends)> {
    let null = || File::open("/dev/null").map(OwnedFd::from);
    let mut outputs = Vec::new();
    let mut output = |stream, on_terminal: bool| {
        if on_terminal {
            return null(); // The terminal takes its place.
        }
        let (ours, theirs) = io::pipe()?;
        outputs.push((stream, never_blocking(ours.into())?));
        Ok(theirs.into())
    };
    let terminal = wanted.terminal.as_ref();
    let stdout = output(Stream::Stdout, terminal.is_some_and(|terminal| terminal.stdout))?;
    let stderr = output(Stream::Stderr, terminal.is_some_and(|terminal| terminal.stderr))?;
    let (stdin, input) = match wanted.stdin {
        JobStdin::Nothing | JobStdin::Typed => (null()?, Input::Nothing),
        JobStdin::Piped => {
            let (theirs, ours) = io::pipe()?;
            (theirs.into(), Input::Piped(never_blocking(ours.into())?))
        }
    };
    Ok((Streams { stdin, stdout, stderr }, Ends { stdin: input, outputs, terminal: None }))
}

impl Ends {
    /// With our side of the terminal for every stream that is on it. What is printed there is standard
    /// output, unless that is a pipe.
    pub(crate) fn on_terminal(mut self, wanted: &JobStreams, terminal: Option<OwnedFd>) -> io::Result<Self> {
        let (Some(ours), Some(wanted_terminal)) = (terminal, &wanted.terminal) else { return Ok(self) };
        let ours = File::from(ours);
        let stream = if wanted_terminal.stdout { Stream::Stdout } else { Stream::Stderr };
        self.outputs.push((stream, ours.try_clone()?));
        let controls = wanted.stdin == JobStdin::Typed;
        if controls {
            self.stdin = Input::Typed(ours.try_clone()?);
        }
        self.terminal = Some(OurTerminal { file: ours, controls });
        Ok(self)
    }
}

fn never_blocking(end: OwnedFd) -> io::Result<File> {
    rustix::fs::fcntl_setfl(&end, OFlags::NONBLOCK)?;
    Ok(end.into())
}
