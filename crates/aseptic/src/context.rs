//! What every command needs: settings from the environment, the state, and where to print.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aseptic_model::{Class, ProjectName};
use aseptic_runner::{Event, Home, Observer, Request, SPEC_FILE, Stopped, Stream, TerminalSize};

use crate::cli::Global;
use crate::failure::{Failure, RUN_FAILED};
use crate::progress::Line;
use crate::signals::Interrupt;
use crate::terminal::Console;

/// Settings and outputs of one command.
#[derive(Debug)]
pub(crate) struct Context {
    global: Global,
    /// Why a result could not be written.
    lost: RefCell<Option<io::Error>>,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        Self { global, lost: RefCell::new(None) }
    }

    pub(crate) fn quiet(&self) -> bool {
        self.global.quiet
    }

    pub(crate) fn json(&self) -> bool {
        self.global.json
    }

    /// Opens the state, sealing runs whose supervisor died.
    pub(crate) fn home(&self) -> Result<Home, Failure> {
        let mut home = Home::open(&self.home_dir()?)?;
        aseptic_runner::recover(&mut home, &mut self.observer(Shown::Nothing));
        Ok(home)
    }

    /// Where the state is, whether or not it is there yet.
    pub(crate) fn home_dir(&self) -> Result<PathBuf, Failure> {
        if let Some(home) = self.global.home.as_ref().filter(|home| !home.is_empty()) {
            return Ok(home.into());
        }
        let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let data = data.or_else(|| Some(std::env::home_dir()?.join(".local/share")));
        data.map(|data| data.join("aseptic")).ok_or_else(|| {
            Failure::new(
                Class::User,
                "home/unknown",
                "there is no home directory to keep the state in".to_owned(),
                "name a directory with `--home DIR` or the variable ASEPTIC_HOME",
            )
        })
    }

    /// The spec: named, or found here or above.
    pub(crate) fn spec(&self) -> Option<PathBuf> {
        if self.global.spec.is_some() {
            return self.global.spec.clone();
        }
        let here = std::env::current_dir().ok()?;
        here.ancestors().map(|dir| dir.join(SPEC_FILE)).find(|file| file.is_file())
    }

    /// The project that the command is about.
    pub(crate) fn project(&self) -> Result<ProjectName, Failure> {
        match &self.global.project {
            Some(project) => Ok(project.clone()),
            None => Ok(Request { spec: self.spec(), ..Request::default() }.project()?),
        }
    }

    /// The project option, for requests that read the spec themselves.
    pub(crate) fn project_option(&self) -> Option<ProjectName> {
        self.global.project.clone()
    }

    /// A line of a result.
    pub(crate) fn out(&self, text: impl fmt::Display) {
        self.written(writeln!(io::stdout().lock(), "{text}"));
    }

    /// Remembers that a result could not be written. A reader that has seen enough closes its end; that
    /// is no error.
    pub(crate) fn written(&self, result: io::Result<()>) {
        if let Err(error) = result
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.lost.replace(Some(error));
        }
    }

    /// The exit code of a command that did what it should: another one if its result got lost.
    pub(crate) fn finish(&self, code: ExitCode, is_run: bool) -> ExitCode {
        self.written(io::stdout().flush());
        match self.lost.take() {
            None => code,
            Some(error) => {
                let message = format!("could not write the result: {error}");
                let help = "free space where standard output goes";
                ExitCode::from(self.fail(&Failure::new(Class::Host, "cli/output", message, help), is_run))
            }
        }
    }

    /// A document on standard output.
    pub(crate) fn document(&self, document: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(document).map_err(|error| {
            let help = "report this: every document can be written";
            Failure::new(Class::Internal, "cli/document", error.to_string(), help)
        })?;
        self.out(text);
        Ok(())
    }

    /// A line of an error, quiet or not.
    pub(crate) fn complain(&self, text: impl fmt::Display) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// A remark on standard error.
    pub(crate) fn say(&self, text: impl fmt::Display) {
        if !self.global.quiet {
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Prints a failure; returns the exit code.
    pub(crate) fn fail(&self, failure: &Failure, is_run: bool) -> u8 {
        if self.global.json {
            self.out(format_args!("{:#}", failure.document()));
        }
        let _ = io::stderr().lock().write_all(failure.render().as_bytes());
        if is_run { RUN_FAILED } else { failure.exit_code() }
    }

    /// Catches the signals by which the user ends long work.
    pub(crate) fn interrupt(&self) -> Result<Interrupt, Failure> {
        Interrupt::catch().map_err(|error| {
            let message = format!("could not catch signals: {error}");
            Failure::new(Class::Host, "cli/signals", message, "raise `ulimit -n`")
        })
    }

    /// Shows the events of a use case.
    pub(crate) fn observer(&self, shown: Shown) -> Shower<'_> {
        Shower {
            context: self,
            shown,
            line: None,
            stdout: io::stdout(),
            stderr: io::stderr(),
            console: Console::nothing(),
            interrupt: None,
            tail: VecDeque::new(),
        }
    }
}

/// What of a job's output is shown, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nothing; there is no job.
    Nothing,
    /// Each stream on the same stream of ours.
    Streams,
    /// Both on standard error: standard output is for the document.
    Stderr,
}

/// Draws progress and passes the job's output on.
#[derive(Debug)]
pub(crate) struct Shower<'c> {
    context: &'c Context,
    shown: Shown,
    line: Option<Line>,
    stdout: io::Stdout,
    stderr: io::Stderr,
    /// The end of what the job printed.
    tail: VecDeque<u8>,
    console: Console,
    interrupt: Option<Interrupt>,
}

/// How much of it is looked at for the reason of a failure: the last lines of a traceback.
const TAIL_BYTES: usize = 4 << 10;

impl Observer for Shower<'_> {
    fn event(&mut self, event: Event<'_>) {
        if !matches!(event, Event::Import(_) | Event::Transfer(_) | Event::Drill { .. }) {
            self.line = None; // It is gone before anything else is printed.
        }
        match event {
            Event::Import(progress) => {
                if let Some(line) = self.line() {
                    line.files(&progress);
                }
            }
            Event::Transfer(transfer) => {
                if let Some(line) = self.line() {
                    line.transfer(&transfer);
                }
            }
            Event::Output(stream, bytes) => {
                self.print(stream, bytes);
            }
            Event::Note(note) => self.context.say(format_args!("note: {note}")),
            Event::Recovered(run) => self.context.say(format_args!(
                "note: sealed run {run} as aborted, since its supervisor had died; its outputs are kept"
            )),
            Event::Planned { run, plan, digest } => {
                let command = crate::table::command(&plan.command);
                self.context.say(format_args!("run {run}  plan {}  {command}", digest.short()));
            }
            Event::Sealing => self.console.leave(),
            Event::Decided(_) | Event::Started => {}
            Event::Drill { attempt, done, total } => {
                if let Some(line) = self.line() {
                    line.attempt(attempt, done, total);
                }
            }
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.as_ref().is_some_and(Interrupt::is_seen)
    }

    fn sink(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        match (self.shown, stream) {
            (Shown::Nothing, _) | (_, Stream::Stdin) => None,
            (Shown::Streams, Stream::Stdout) => Some(self.stdout.as_fd()),
            (Shown::Streams, Stream::Stderr) | (Shown::Stderr, _) => Some(self.stderr.as_fd()),
        }
    }

    fn output(&mut self, stream: Stream, bytes: &[u8]) -> Option<usize> {
        let shown = self.console.show(stream, bytes);
        shown.or_else(|| self.print(stream, bytes).then_some(bytes.len()))
    }

    fn input(&self) -> Option<BorrowedFd<'_>> {
        self.console.input()
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.console.read(buffer)
    }

    fn terminal_size(&self) -> Option<TerminalSize> {
        self.console.size()
    }

    fn can_stop(&self) -> bool {
        self.console.can_stop()
    }

    fn stopped(&mut self) -> Stopped {
        self.console.stop()
    }

    fn continued(&mut self) {
        self.console.continued();
    }

    fn refresh(&mut self) {
        self.console.refresh();
    }
}

impl Shower<'_> {
    /// The end of what the job printed, on both streams.
    pub(crate) fn into_tail(mut self) -> Vec<u8> {
        std::mem::take(&mut self.tail).into()
    }

    /// Shows a job that has these streams.
    pub(crate) fn with(mut self, console: Console) -> Self {
        self.console = console;
        self
    }

    /// Shows work that the user may end.
    pub(crate) fn until(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = Some(interrupt);
        self
    }

    /// False when nobody reads there any more.
    fn print(&mut self, stream: Stream, bytes: &[u8]) -> bool {
        self.tail.extend(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
        self.console.shown(stream, bytes);
        // Other errors, such as of a full disk, lose only what is shown: the log keeps every byte.
        let written = match (self.shown, stream) {
            (Shown::Nothing, _) | (_, Stream::Stdin) => Ok(()),
            (Shown::Streams, Stream::Stdout) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
            (Shown::Streams, Stream::Stderr) | (Shown::Stderr, _) => io::stderr().lock().write_all(bytes),
        };
        !written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The line to draw on, if somebody looks.
    fn line(&mut self) -> Option<&mut Line> {
        let seen = !self.context.global.quiet && io::stderr().is_terminal();
        seen.then(|| self.line.get_or_insert_with(Line::new))
    }
}

impl Drop for Shower<'_> {
    fn drop(&mut self) {
        self.line = None;
        self.console.finish(!self.context.quiet());
    }
}

/// The home directory of the user, which is never taken for code.
pub(crate) fn home_directory() -> Option<PathBuf> {
    std::env::home_dir()
}

/// Where the user's shell looks for programs.
pub(crate) fn program_directories() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// The directory that holds `spec`.
pub(crate) fn directory_of(spec: &Path) -> PathBuf {
    match spec.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
