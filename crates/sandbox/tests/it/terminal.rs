//! A terminal of the jail's own: what a program expects of one, and nothing of the caller's.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use aseptic_sandbox::{Ended, Jail, Running, Terminal, TerminalSize};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::termios::Winsize;

use crate::support::{Pipes, prepared, python, shell};

const SIZE: TerminalSize = TerminalSize { rows: 33, columns: 101 };
/// All three streams, as at a keyboard.
const FULL: Terminal = Terminal { size: SIZE, stdin: true, stdout: true, stderr: true };

/// A running jail and its user.
struct Session {
    running: Running,
    keyboard: File,
    shown: Vec<u8>,
    pipes: Pipes,
}

impl Session {
    fn start(mut jail: Jail, terminal: Terminal) -> Self {
        jail.terminal = Some(terminal);
        let (streams, pipes) = crate::support::pipes();
        let mut running = aseptic_sandbox::start(&jail, streams, &[]).unwrap();
        let keyboard = File::from(running.take_terminal().unwrap());
        assert!(running.take_terminal().is_none(), "there is one");
        Self { running, keyboard, shown: Vec::new(), pipes }
    }

    /// Types when the terminal has room.
    fn types(&self, keys: &[u8]) {
        wait_for(&self.keyboard, PollFlags::OUT);
        assert_eq!(rustix::io::write(&self.keyboard, keys), Ok(keys.len()));
    }

    /// Reads on; false at the end.
    fn read(&mut self) -> bool {
        wait_for(&self.keyboard, PollFlags::IN);
        let mut bytes = [0; 4096];
        match rustix::io::read(&self.keyboard, &mut bytes) {
            Ok(length) => self.shown.extend(&bytes[..length]),
            Err(Errno::AGAIN) => {}
            Err(Errno::IO) => return false,
            Err(error) => panic!("{error}"),
        }
        true
    }

    /// Reads until `text` was shown; gives all that was shown up to it.
    #[track_caller]
    fn sees(&mut self, text: &str) -> String {
        loop {
            let shown = String::from_utf8_lossy(&self.shown).into_owned();
            if let Some(at) = shown.find(text) {
                self.shown = shown.as_bytes()[at + text.len()..].to_vec();
                return shown[..at].to_owned();
            }
            assert!(self.read(), "{text:?} never came: {shown:?}");
        }
    }

    fn end(mut self) -> (Ended, String) {
        while self.read() {}
        (self.running.wait(), String::from_utf8_lossy(&self.shown).into_owned())
    }

    /// Waits until something stopped the program.
    fn stops(&mut self) -> i32 {
        loop {
            wait_for(self.running.stops().unwrap(), PollFlags::IN);
            if let Some(signal) = self.running.stopped() {
                return signal;
            }
        }
    }
}

fn wait_for(file: impl AsFd, what: PollFlags) {
    let mut polled = [PollFd::from_borrowed_fd(file.as_fd(), what)];
    while rustix::event::poll(&mut polled, None) == Err(Errno::INTR) {}
}

fn on_terminal(jail: Jail) -> (Ended, String) {
    Session::start(jail, FULL).end()
}

#[test]
fn a_program_on_a_terminal_finds_what_it_expects() {
    let script = "
import os, sys, termios
print([os.ttyname(stream) for stream in range(3)], os.get_terminal_size())
tty = os.open('/dev/tty', os.O_RDWR)
print(os.tcgetpgrp(tty) == os.getpgrp(), os.tcgetpgrp(0) == os.getpid(), os.getsid(0) == os.getsid(os.getppid()))
print(os.stat('/dev/pts/0').st_uid == os.getuid(), sorted(os.listdir('/dev/pts')))
";
    let (ended, shown) = on_terminal(python(script));
    assert_eq!(ended, Ended::Exited(0), "{shown}");
    let lines: Vec<_> = shown.split("\r\n").collect();
    assert_eq!(
        lines,
        [
            "['/dev/pts/0', '/dev/pts/0', '/dev/pts/0'] os.terminal_size(columns=101, lines=33)",
            "True True True",
            "True ['0', 'ptmx']",
            ""
        ]
    );
}

#[test]
fn keys_and_signals_go_through_the_terminal() {
    let mut session =
        Session::start(shell("trap 'echo interrupted' INT; cat; echo $?; read word; echo got $word"), FULL);
    session.types(b"first\n");
    session.sees("first\r\nfirst\r\n"); // Its echo, and what cat(1) made of it.
    session.types(b"\x03");
    session.sees("^C");
    session.sees("interrupted\r\n130\r\n");
    session.types("wö\x7f\x7ford\n".as_bytes()); // Backspace takes back a whole letter.
    session.sees("got ord\r\n");
    assert_eq!(session.end().0, Ended::Exited(0));
}

#[test]
fn a_program_is_told_of_a_new_size() {
    let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do read line; done";
    let mut session = Session::start(shell(script), FULL);
    session.sees("ready");
    let size = Winsize { ws_row: 50, ws_col: 132, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&session.keyboard, size).unwrap();
    session.sees("50 132");
    assert_eq!(session.end().0, Ended::Exited(0));
}

#[test]
fn a_program_stops_and_goes_on() {
    let mut session = Session::start(shell("echo ready; read word; echo got $word"), FULL);
    session.sees("ready");
    session.types(b"\x1a");
    assert_eq!(session.stops(), 20);
    session.running.signal(18);
    session.types(b"word\n");
    session.sees("got word");
    assert_eq!(session.end().0, Ended::Exited(0));
    // Without a terminal, too.
    let (prepared, mut pipes) = prepared(&shell("kill -TSTP $$; echo continued"));
    let mut running = prepared.start();
    while running.stopped().is_none() {
        wait_for(running.stops().unwrap(), PollFlags::IN);
    }
    running.signal(18);
    assert_eq!(pipes.read_line(), "continued");
    assert_eq!(running.wait(), Ended::Exited(0));
}

#[test]
fn a_shell_has_job_control() {
    let script =
        "set -m; sh -c 'kill -TSTP $$; echo continued'; echo stopped $?; fg >/dev/null; echo over $?";
    let (ended, shown) = on_terminal(shell(script));
    assert_eq!(ended, Ended::Exited(0), "{shown}");
    assert!(shown.contains("stopped 148\r\n") && shown.ends_with("continued\r\nover 0\r\n"), "{shown:?}");
}

#[test]
fn a_terminal_that_the_program_closes_for_a_while_does_not_hang_up() {
    let script = "exec 0<&- 1>&- 2>&-; read line < /dev/tty; echo got $line > /dev/tty";
    let session = Session::start(shell(script), FULL);
    session.types(b"word\n");
    let (ended, shown) = session.end();
    assert_eq!(ended, Ended::Exited(0), "{shown}");
    assert!(shown.ends_with("got word\r\n"), "{shown:?}");
}

#[test]
fn streams_beside_the_terminal_stay_pipes() {
    let script = "test -t 0 && test ! -t 1 && test -t 2 && echo piped && echo shown >&2";
    let terminal = Terminal { stdout: false, ..FULL };
    let mut session = Session::start(shell(script), terminal);
    session.sees("shown\r\n");
    assert_eq!(session.pipes.read_line(), "piped");
    assert_eq!(session.end().0, Ended::Exited(0));
}

#[test]
fn a_terminal_without_a_keyboard_is_for_writing_only() {
    let script = "
import os
print(os.isatty(1), os.isatty(2), os.get_terminal_size(2).columns, os.isatty(0))
for attempt in (lambda: os.open('/dev/tty', os.O_RDWR), lambda: os.read(1, 1), lambda: os.read(2, 1)):
    try:
        print(attempt())
    except OSError as error:
        print(error.strerror)
";
    let terminal = Terminal { stdin: false, ..FULL };
    let (ended, shown) = Session::start(python(script), terminal).end();
    let refused = "No such device or address\nBad file descriptor\nBad file descriptor\n";
    assert_eq!((ended, shown.as_str()), (Ended::Exited(0), &*format!("True True 101 False\n{refused}")));
}

#[test]
fn nothing_is_typed_on_the_terminal_by_the_program() {
    // TIOCSTI on the terminal that controls it, where no permission is missing; the size is the twin.
    let script = "
import fcntl, os, termios
fcntl.ioctl(0, termios.TIOCGWINSZ, b'........')
for terminal in (0, os.open('/dev/tty', os.O_RDWR)):
    try:
        fcntl.ioctl(terminal, termios.TIOCSTI, b'x')
        print('typed')
    except OSError as error:
        print(error.strerror)
";
    let (ended, shown) = on_terminal(python(script));
    let refused = "Operation not permitted\r\nOperation not permitted\r\n";
    assert_eq!((ended, shown.as_str()), (Ended::Exited(0), refused));
}

#[test]
fn a_terminal_stays_one() {
    // Its line discipline is that of terminals; asking for it is the twin of setting it to what it is.
    let script = "
import array, fcntl
discipline = array.array('i', [0])
TIOCGETD, TIOCSETD = 0x5424, 0x5423
fcntl.ioctl(0, TIOCGETD, discipline)
try:
    fcntl.ioctl(0, TIOCSETD, discipline)
    print('set')
except OSError as error:
    print(error.strerror)
";
    assert_eq!(on_terminal(python(script)), (Ended::Exited(0), "Operation not permitted\r\n".to_owned()));
}

#[test]
fn a_terminal_of_the_caller_is_not_the_jails() {
    // The twin: outside, a program on the caller's terminal opens it through /dev/tty.
    let (ours, theirs) = own_terminal();
    let script = "import os, sys; os.setsid(); import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.write(os.open('/dev/tty', os.O_RDWR), b'reached')";
    let twin = std::process::Command::new("python3").args(["-c", script]).stdin(theirs).status().unwrap();
    assert!(twin.success());
    let mut bytes = [0; 7];
    assert_eq!((rustix::io::read(&ours, &mut bytes), &bytes), (Ok(7), b"reached"));
    // Inside, it is the jail's own.
    let jailed = "import os; os.write(os.open('/dev/tty', os.O_RDWR), b'own')";
    assert_eq!(on_terminal(python(jailed)), (Ended::Exited(0), "own".to_owned()));
}

fn own_terminal() -> (OwnedFd, OwnedFd) {
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    unlockpt(&ours).unwrap();
    let theirs =
        ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    (ours, theirs)
}

#[test]
fn a_jail_without_devices_has_no_terminal() {
    let mut jail = shell(":");
    jail.mounts.retain(|mount| !mount.target().starts_with("/dev"));
    jail.terminal = Some(FULL);
    let (streams, _pipes) = crate::support::pipes();
    let error = aseptic_sandbox::prepare(&jail, streams, &[]).unwrap_err();
    assert_eq!(error.to_string(), "the jail cannot have a terminal without devices");
}
