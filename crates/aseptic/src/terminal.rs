//! The caller's standard streams, and what of them is a terminal: keyboard and screen of the job.
//!
//! **Invariant:** the modes of the caller's terminal are as they were whenever the job is stopped or over,
//! on every way out of this process but `KILL`.

mod keyboard;
mod screen;

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use aseptic_runner::{JobStdin, JobStreams, JobTerminal, Stopped, Stream, TerminalSize};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::process::Signal;

use self::keyboard::Keyboard;
use self::screen::Screen;

/// What the job may be told of the terminal. The only variables of the caller that reach it.
const VARIABLES: [&str; 3] = ["TERM", "COLORTERM", "NO_COLOR"];

/// Size of a terminal that does not know its own.
const SIZE: TerminalSize = TerminalSize { rows: 24, columns: 80 };

/// What a standard stream of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Terminal,
    Null,
    /// A pipe or a socket: there is another program.
    Pipe,
    Other,
}

impl Kind {
    fn of(stream: impl AsFd) -> Self {
        if stream.as_fd().is_terminal() {
            return Self::Terminal;
        }
        let Ok(status) = rustix::fs::fstat(stream) else { return Self::Null };
        let device = (rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev));
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Fifo | FileType::Socket => Self::Pipe,
            FileType::CharacterDevice if device == NULL_DEVICE => Self::Null,
            _ => Self::Other,
        }
    }
}

const NULL_DEVICE: (u32, u32) = (1, 3);

/// What the job's streams are, by what ours are. `stdout` and `stderr` are where the job's go.
///
/// A terminal is passed on stream by stream. Before a pipe its keyboard is left alone: a pager at the other
/// end of the pipe has it.
fn choose(stdin: Kind, stdout: Kind, stderr: Kind, piped_on: bool) -> (JobStdin, bool, bool) {
    let [out, err] = [stdout, stderr].map(|kind| kind == Kind::Terminal);
    let stdin = match stdin {
        Kind::Terminal if (out || err) && !piped_on => JobStdin::Typed,
        Kind::Terminal | Kind::Null => JobStdin::Nothing,
        Kind::Pipe | Kind::Other => JobStdin::Piped,
    };
    (stdin, out, err)
}

/// Our streams, as the supervisor of a job uses them.
#[derive(Debug)]
pub(crate) struct Console {
    input: Input,
    screen: Option<Screen>,
}

#[derive(Debug)]
enum Input {
    Nothing,
    /// Standard input, or a description of our own of the same pipe.
    Piped(Option<File>),
    Keyboard(Keyboard),
}

impl Console {
    /// The streams of the job, and our side of them. With `document`, standard output is not the job's.
    pub(crate) fn new(document: bool, stdin: bool) -> (JobStreams, Self) {
        let [out, err] = [Kind::of(io::stdout()), Kind::of(io::stderr())];
        let own = if stdin { Kind::of(io::stdin()) } else { Kind::Null };
        let (stdin, stdout, stderr) = choose(own, if document { err } else { out }, err, out == Kind::Pipe);
        let input = match stdin {
            JobStdin::Nothing => Input::Nothing,
            JobStdin::Piped => Input::Piped(opened_again()),
            JobStdin::Typed => Input::Keyboard(Keyboard::default()),
        };
        let screen = (stdout || stderr)
            .then(|| Screen::new(if stdout { Stream::Stdout } else { Stream::Stderr }, stdout && !document));
        let terminal = screen.as_ref().map(|screen| JobTerminal {
            size: screen.size().unwrap_or(SIZE),
            stdout,
            stderr,
            variables: variables(|name| std::env::var_os(name)),
        });
        (JobStreams { stdin, terminal }, Self { input, screen })
    }

    /// Nothing at all.
    pub(crate) fn nothing() -> Self {
        Self { input: Input::Nothing, screen: None }
    }

    /// Shows the output of the job's terminal, as much as can be without waiting; nothing if it has none.
    pub(crate) fn show(&mut self, stream: Stream, bytes: &[u8]) -> Option<usize> {
        Some(self.screen.as_mut().filter(|screen| screen.stream == stream)?.show(bytes))
    }

    /// Notes what was shown of the job's terminal otherwise.
    pub(crate) fn shown(&mut self, stream: Stream, bytes: &[u8]) {
        if let Some(screen) = self.screen.as_mut().filter(|screen| screen.stream == stream) {
            screen.note(bytes);
        }
    }

    pub(crate) fn input(&self) -> Option<BorrowedFd<'_>> {
        match &self.input {
            Input::Nothing => None,
            Input::Piped(None) => Some(rustix::stdio::stdin()),
            Input::Piped(Some(again)) => Some(again.as_fd()),
            Input::Keyboard(keyboard) => keyboard.raw.then(rustix::stdio::stdin),
        }
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = match &mut self.input {
            Input::Nothing => Ok(0),
            Input::Piped(Some(again)) => again.read(buffer),
            Input::Piped(None) => read_piped(buffer),
            Input::Keyboard(_) => keyboard::read_keys(buffer),
        };
        let over = !matches!(&result, Ok(1..))
            && !matches!(&result, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted));
        if over {
            self.leave();
            self.input = Input::Nothing;
        }
        result
    }

    pub(crate) fn size(&self) -> Option<TerminalSize> {
        self.screen.as_ref()?.size()
    }

    /// Takes the keyboard when this process is in the foreground of its terminal.
    pub(crate) fn refresh(&mut self) {
        if let Input::Keyboard(keyboard) = &mut self.input {
            keyboard.refresh();
        }
    }

    pub(crate) fn can_stop(&self) -> bool {
        keyboard::is_continued_by_somebody()
    }

    /// Stops this process, as Ctrl-Z does with any other, until somebody continues it.
    pub(crate) fn stop(&mut self) -> Stopped {
        if !self.can_stop() {
            return Stopped::Alone;
        }
        let sent = if let Input::Keyboard(keyboard) = &mut self.input {
            keyboard.leave();
            // The key would have reached the script that started this program, too.
            rustix::process::kill_current_process_group(Signal::STOP)
        } else {
            rustix::process::kill_process(rustix::process::getpid(), Signal::STOP)
        };
        if sent.is_ok() { Stopped::AndContinued } else { Stopped::Alone }
    }

    /// A shell may have changed the modes while this process was stopped.
    pub(crate) fn continued(&mut self) {
        if let Input::Keyboard(keyboard) = &mut self.input {
            keyboard.raw = false;
        }
    }

    /// Gives the keyboard back: the job is over.
    pub(crate) fn leave(&mut self) {
        if let Input::Keyboard(keyboard) = &mut self.input {
            if self.screen.as_ref().is_some_and(|screen| screen.escaped) {
                keyboard.forget(); // The job may have made the terminal say something for the shell.
            }
            keyboard.leave();
            self.input = Input::Nothing;
        }
    }

    /// Makes the terminal fit for what comes next; on a line of its own if that is a message of ours.
    pub(crate) fn finish(&mut self, message_follows: bool) {
        self.leave();
        if let Some(screen) = self.screen.take() {
            screen.finish(message_follows);
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A pipe on standard input, opened once more: a description of our own can be told never to wait, even if
/// another program takes what was there. The caller's is shared with others.
fn opened_again() -> Option<File> {
    let metadata = rustix::fs::fstat(rustix::stdio::stdin()).ok()?;
    if FileType::from_raw_mode(metadata.st_mode) != FileType::Fifo {
        return None; // A file never waits, and a socket can be asked each time.
    }
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    // One that another user made cannot be opened again, and is read as it is.
    OpenOptions::new().read(true).custom_flags(flags).open("/proc/self/fd/0").ok()
}

fn read_piped(buffer: &mut [u8]) -> io::Result<usize> {
    let stdin = rustix::stdio::stdin();
    match rustix::net::recv(stdin, &mut *buffer, RecvFlags::DONTWAIT) {
        Ok((length, _)) => Ok(length),
        Err(Errno::NOTSOCK) => Ok(rustix::io::read(stdin, buffer)?),
        Err(error) => Err(error.into()),
    }
}

/// What the job is told of the terminal: short, plain words, since they come from the caller.
fn variables(value: impl Fn(&str) -> Option<std::ffi::OsString>) -> Vec<(String, String)> {
    let plain = |text: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._:".contains(&byte);
        (1..=64).contains(&text.len()) && text.bytes().all(allowed)
    };
    let named = VARIABLES.into_iter().filter_map(|name| {
        let value = value(name)?;
        let value = Some(value.as_os_str()).and_then(OsStr::to_str).filter(plain)?;
        Some((name.to_owned(), value.to_owned()))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::{Null, Other, Pipe, Terminal};

    #[test]
    fn streams_are_passed_on_one_by_one() {
        let choose = |stdin, stdout, stderr| choose(stdin, stdout, stderr, stdout == Pipe);
        assert_eq!(choose(Terminal, Terminal, Terminal), (JobStdin::Typed, true, true));
        assert_eq!(choose(Terminal, Other, Terminal), (JobStdin::Typed, false, true));
        assert_eq!(
            choose(Terminal, Pipe, Terminal),
            (JobStdin::Nothing, false, true),
            "a pager has the keys"
        );
        assert_eq!(choose(Terminal, Other, Other), (JobStdin::Nothing, false, false));
        assert_eq!(choose(Pipe, Terminal, Terminal), (JobStdin::Piped, true, true));
        assert_eq!(choose(Other, Pipe, Pipe), (JobStdin::Piped, false, false));
        assert_eq!(choose(Null, Terminal, Other), (JobStdin::Nothing, true, false));
    }

    #[test]
    fn only_plain_words_are_told_of_the_terminal() {
        let of = |value: &'static str| variables(move |name| (name == "TERM").then(|| value.into()));
        assert_eq!(of("xterm-256color"), [("TERM".to_owned(), "xterm-256color".to_owned())]);
        for value in ["", "/etc/passwd", "a b", "x\x1b[0m", "é", &*"x".repeat(65).leak()] {
            assert_eq!(of(value), [], "{value:?}");
        }
    }
}
