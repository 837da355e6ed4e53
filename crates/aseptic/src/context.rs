//! What every command needs: settings from the environment, the state, and where to print.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufRead as _, IsTerminal, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aseptic_model::{Class, ProjectName, escape_bytes};
use aseptic_runner::{EntryViewer, Home, Letters, Request, SPEC_FILE};

use crate::cli::Global;
use crate::failure::Failure;
use crate::shower::Shower;
use crate::signals::Interrupt;
use crate::visible;

pub(crate) use crate::shower::Shown;

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
        let mut home = Home::open_with(&self.home_dir()?, self.catalog()?.as_deref())?;
        aseptic_runner::recover(&mut home, &mut self.observer(Shown::Nothing));
        Ok(home)
    }

    /// What the user may look at of the ledger of the state. Seals nothing, so that reading changes nothing.
    pub(crate) fn viewer(&self) -> Result<EntryViewer, Failure> {
        let home = Home::open_with(&self.home_dir()?, self.catalog()?.as_deref())?;
        Ok(EntryViewer::new(home, &self.project()?)?)
    }

    /// The URL of the database that has the catalog; without one it is a file of the state. It is a variable and no
    /// option, since it may hold a password, and arguments are seen by everyone on the machine.
    fn catalog(&self) -> Result<Option<String>, Failure> {
        let Some(url) = std::env::var_os("ASEPTIC_CATALOG").filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        url.into_string().map(Some).map_err(|_| {
            let message = "ASEPTIC_CATALOG is no text".to_owned();
            Failure::new(Class::User, "catalog/url", message, "write other characters as `%` and two digits")
        })
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
            None => {
                let spec = self.spec();
                let spec_shown = spec.as_deref().map(shown_from_here).unwrap_or_default();
                Ok(Request { spec, spec_shown, ..Request::default() }.project()?)
            }
        }
    }

    /// The project option, for requests that read the spec themselves.
    pub(crate) fn project_option(&self) -> Option<ProjectName> {
        self.global.project.clone()
    }

    /// What small drawings consist of: what the terminal and the language of the user have.
    pub(crate) fn letters(&self) -> Letters {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let language = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
        let language = language.to_ascii_lowercase();
        let is_dumb = set("TERM").is_some_and(|terminal| terminal == "dumb");
        match !is_dumb && (language.contains("utf-8") || language.contains("utf8")) {
            true => Letters::Blocks,
            false => Letters::Ascii,
        }
    }

    /// A line of a result.
    pub(crate) fn out(&self, text: impl fmt::Display) {
        let text = text.to_string();
        let text = if self.global.json { visible::json(&text) } else { visible::lines(&text) };
        self.written(writeln!(io::stdout().lock(), "{text}"));
    }

    /// A result that ends its own lines.
    pub(crate) fn out_exactly(&self, text: impl fmt::Display) {
        self.written(write!(io::stdout().lock(), "{text}"));
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
        let _ = writeln!(io::stderr().lock(), "{}", visible::lines(&text.to_string()));
    }

    /// A remark on standard error.
    pub(crate) fn say(&self, text: impl fmt::Display) {
        if !self.global.quiet {
            self.complain(text);
        }
    }

    /// Asks on the terminal; nothing when there is none.
    pub(crate) fn ask(&self, question: impl fmt::Display) -> Option<bool> {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return None;
        }
        let _ = write!(io::stderr().lock(), "{} [y/N] ", visible::lines(&question.to_string()));
        let mut answer = String::new();
        let read = io::stdin().lock().take(64).read_line(&mut answer);
        Some(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    /// Prints a failure; returns the exit code.
    pub(crate) fn fail(&self, failure: &Failure, is_run: bool) -> u8 {
        if self.global.json {
            self.out(format_args!("{:#}", failure.document()));
        }
        self.complain(failure.render().trim_end());
        if is_run { failure.exit_code_of_run() } else { failure.exit_code() }
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
        Shower::new(self, shown)
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

/// `path` as one would name it from the current directory: what is below without the way here.
pub(crate) fn shown_from_here(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    escape_bytes(below.unwrap_or(path).as_os_str().as_encoded_bytes())
}
