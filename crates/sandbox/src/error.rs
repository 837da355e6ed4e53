//! Why a jail could not be made, and what to do about it.

use std::io;

use aseptic_model::{Class, Diagnose, Diagnosis};

/// Why [`crate::prepare`] failed. Nothing of the jail is left.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The description of the jail cannot be carried out anywhere.
    #[error("the jail cannot have {what}")]
    Description {
        /// What it names.
        what: String,
    },
    /// Something that the jail should show is not there.
    #[error("could not find {what}")]
    Source {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused the namespaces.
    #[error("could not create the namespaces of the jail")]
    Namespaces(#[source] io::Error),
    /// A step of the set-up could not be enforced, so nothing was started.
    #[error("could not {step}")]
    Step {
        /// The step, as a verb phrase.
        step: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A wall cannot be made on this host, and the jail does not go without it.
    #[error("this host cannot make the wall `{wall}`: {why}")]
    Wall {
        /// Its name.
        wall: &'static str,
        /// What is missing.
        why: String,
    },
    /// The user has no file watches left, so the opened files could not be reported.
    #[error("could not watch the inputs of the jail")]
    Watches(#[source] io::Error),
    /// Something around this process does not let the program's attempts be seen.
    #[error("could not listen to what the job attempts")]
    Attempts(#[source] io::Error),
    /// The set-up ended without a word: it was killed.
    #[error("the jail's first process ended during set-up")]
    Vanished,
}

impl Diagnose for PrepareError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Description { .. } => Diagnosis::new(
                Class::User,
                "sandbox/description",
                "change the element named above in the spec or on the command line",
            ),
            Self::Source { .. } => Diagnosis::new(
                Class::Host,
                "sandbox/source",
                "check that the path exists and that you may read it",
            ),
            Self::Namespaces(_) => Diagnosis::new(
                Class::Host,
                "sandbox/namespaces",
                "run `aseptic doctor`: it names what blocks user namespaces here and the fix",
            ),
            Self::Step { .. } => Diagnosis::new(
                Class::Host,
                "sandbox/step",
                "run `aseptic doctor`: it tries every mechanism on this host and names what is blocked",
            ),
            Self::Wall { .. } => Diagnosis::new(
                Class::Host,
                "sandbox/wall",
                "use a kernel that has it, or accept by name that the run goes without: `aseptic doctor` says more",
            ),
            Self::Watches(_) => Diagnosis::new(
                Class::Host,
                "sandbox/watches",
                "raise `fs.inotify.max_user_instances` and `fs.inotify.max_user_watches` with sysctl",
            ),
            Self::Attempts(_) => Diagnosis::new(
                Class::Host,
                "sandbox/attempts",
                "run without `--explain`: the container or sandbox around this one allows no second listener",
            ),
            Self::Vanished => Diagnosis::new(
                Class::Host,
                "sandbox/vanished",
                "start it again when fewer runs go on: the kernel was out of memory (its log says so), or this user out of \
                 what it counts for all of its runs",
            ),
        }
    }
}
