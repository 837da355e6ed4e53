//! Errors as a person or a script sees them.

use std::fmt::Write as _;

use aseptic_model::{Class, Diagnose, Diagnosis};

/// Exit code of a command line that cannot be understood.
pub(crate) const USAGE: u8 = 2;
/// Exit code of `aseptic diff` and `aseptic replay` when something differs.
pub(crate) const DIFFERENT: u8 = 1;
/// Exit code of `aseptic policy test` when a case is not as it expects.
pub(crate) const CASE_FAILED: u8 = 1;
/// Exit code of `aseptic replay` when a replay was denied, as of every denial.
pub(crate) const REPLAY_DENIED: u8 = 3;
/// Exit code of `aseptic drill` when an attempt got through.
pub(crate) const DRILL_BREACHED: u8 = 6;
/// Exit code of `aseptic drill` when an attempt proves nothing, and none got through.
pub(crate) const DRILL_BROKEN: u8 = 7;
/// Exit code of `aseptic run` when aseptic itself failed and the job did not run to its end.
pub(crate) const RUN_FAILED: u8 = 125;
/// Exit code of `aseptic run` when the plan was denied.
pub(crate) const RUN_DENIED: u8 = 126;
/// Exit code of a run that a limit ended and whose job said 0, as of timeout(1).
pub(crate) const RUN_LIMITED: u8 = 124;

/// Exit code of a command that the user stopped, as a shell gives for Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// An error on its way to the user: message, causes, next step.
#[derive(Debug)]
pub(crate) struct Failure {
    chain: Vec<String>,
    diagnosis: Diagnosis,
}

impl<E: Diagnose> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut chain = vec![error.to_string()];
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            let text = cause.to_string();
            if chain.last() != Some(&text) {
                chain.push(text);
            }
            source = cause.source();
        }
        Self { chain, diagnosis: error.diagnosis() }
    }
}

impl Failure {
    /// A failure of the command line itself.
    pub(crate) fn new(class: Class, code: &'static str, message: String, help: impl Into<String>) -> Self {
        Self { chain: vec![message], diagnosis: Diagnosis::new(class, code, help) }
    }

    /// Says more about why.
    pub(crate) fn because(mut self, causes: impl IntoIterator<Item = String>) -> Self {
        self.chain.extend(causes);
        self
    }

    /// The text for standard error.
    pub(crate) fn render(&self) -> String {
        let mut text = format!("error: {}\n", self.chain.first().map_or("", String::as_str));
        if let Some(excerpt) = &self.diagnosis.excerpt {
            let number = excerpt.line.to_string();
            let margin = " ".repeat(number.len());
            let marks = format!("{}{}", " ".repeat(excerpt.indent), "^".repeat(excerpt.width));
            let _ = writeln!(text, " {margin} |\n {number} | {}\n {margin} | {marks}", excerpt.text);
        }
        for cause in self.chain.iter().skip(1) {
            let _ = writeln!(text, "  cause: {cause}");
        }
        let _ = writeln!(text, "  help: {}\n  code: {}", self.diagnosis.help, self.diagnosis.code);
        text
    }

    /// The document for standard output with `--json`.
    pub(crate) fn document(&self) -> serde_json::Value {
        let mut document = serde_json::json!({
            "schema": "aseptic.error/1",
            "error": self.chain.first(),
            "causes": self.chain.get(1..).unwrap_or(&[]),
            "help": self.diagnosis.help,
            "code": self.diagnosis.code,
        });
        if let Some(at) = &self.diagnosis.excerpt {
            document["at"] = serde_json::json!({ "path": at.path, "line": at.line, "column": at.column });
        }
        document
    }

    /// The exit code of `run`, whose other codes belong to the job.
    pub(crate) fn exit_code_of_run(&self) -> u8 {
        match self.diagnosis.class {
            Class::Denied => RUN_DENIED,
            _ => RUN_FAILED,
        }
    }

    /// The exit code of every command but `run`; see `docs/errors.md`.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.diagnosis.class {
            Class::User => USAGE,
            Class::Denied => 3,
            Class::Damaged => 4,
            Class::Host => 5,
            Class::Interrupted => INTERRUPTED,
            Class::Internal => 70,
        }
    }
}
