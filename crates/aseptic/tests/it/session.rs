//! A person at a terminal: types, and waits until something is shown.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::world::World;

pub(crate) struct Session {
    keyboard: File,
    /// The other side, which the program has, too.
    terminal: OwnedFd,
    before: Termios,
    shown: Vec<u8>,
    child: Child,
}

/// Opens a terminal of 30 lines of 90 characters.
fn terminal() -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags).unwrap();
    unlockpt(&ours).unwrap();
    let theirs = ioctl_tiocgptpeer(&ours, flags).unwrap();
    let size = Winsize { ws_row: 30, ws_col: 90, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size).unwrap();
    (ours.into(), theirs)
}

/// For a machine under load.
fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

impl Session {
    /// `aseptic` with these arguments, on a terminal of its own.
    pub(crate) fn start<S: AsRef<OsStr>>(world: &World, arguments: &[S]) -> Self {
        Self::of(&world.command(arguments))
    }

    /// A shell with job control, in which `aseptic` is the command.
    pub(crate) fn shell(world: &World) -> Self {
        let aseptic = world.command(&[""; 0]);
        let mut shell = Command::new("bash");
        shell.args(["--norc", "--noprofile", "--noediting", "-i"]);
        shell.current_dir(aseptic.get_current_dir().unwrap()).env_clear();
        shell.envs(aseptic.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let directory = std::path::Path::new(aseptic.get_program()).parent().unwrap();
        shell.env("PATH", format!("{}:/usr/bin:/bin", directory.display())).env("PS1", "$ ");
        let mut session = Self::of(&shell);
        session.sees("$ ");
        session
    }

    fn of(command: &Command) -> Self {
        let (keyboard, terminal) = terminal();
        let before = tcgetattr(&terminal).unwrap();
        let stream = || Stdio::from(terminal.try_clone().unwrap());
        // setsid(1) makes the terminal the program's own, which needs unsafe code here.
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(command.get_current_dir().unwrap())
            .env_clear()
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .envs([("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("LINES", "7"), ("COLUMNS", "7")])
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        Self { keyboard, terminal, before, shown: Vec::new(), child }
    }

    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// The window is gone, and the shell with it, without a word to anybody.
    pub(crate) fn vanishes(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until `text` is shown; gives what was shown before it.
    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) -> String {
        let deadline = deadline();
        loop {
            let shown = String::from_utf8_lossy(&self.shown).into_owned();
            if let Some(at) = shown.find(text) {
                self.shown = shown.as_bytes()[at + text.len()..].to_vec();
                return shown[..at].to_owned();
            }
            assert!(Instant::now() < deadline, "{text:?} never came: {shown:?}");
            self.read(Timespec { tv_sec: 1, tv_nsec: 0 });
        }
    }

    fn read(&mut self, wait: Timespec) -> bool {
        let mut polled = [PollFd::new(&self.keyboard, PollFlags::IN)];
        if rustix::event::poll(&mut polled, Some(&wait)).unwrap() == 0 {
            return false;
        }
        let mut bytes = [0; 65536];
        let length = self.keyboard.read(&mut bytes).unwrap();
        self.shown.extend(&bytes[..length]);
        true
    }

    /// Whether keys are passed on as they are typed.
    pub(crate) fn is_raw(&self) -> bool {
        !tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.keyboard, size).unwrap();
    }

    /// Waits for the end; gives all that was shown last. The terminal must be as it was.
    #[track_caller]
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let deadline = deadline();
        let status = loop {
            let shown = String::from_utf8_lossy(&self.shown);
            assert!(Instant::now() < deadline, "it never ended: {shown:?}");
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            self.read(Timespec { tv_sec: 0, tv_nsec: 50_000_000 });
        };
        while self.read(Timespec { tv_sec: 0, tv_nsec: 0 }) {}
        let after = tcgetattr(&self.terminal).unwrap();
        let modes =
            |modes: &Termios| (modes.input_modes, modes.output_modes, modes.control_modes, modes.local_modes);
        assert_eq!(modes(&after), modes(&self.before), "the modes of the terminal");
        (status, String::from_utf8_lossy(&self.shown).into_owned())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill(); // Of a test that failed; its job goes with it.
        let _ = self.child.wait();
    }
}
