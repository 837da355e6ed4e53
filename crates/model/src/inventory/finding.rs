//! What stands out about an environment: a code, whom it is about, and what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that stands out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Which kind of thing.
    pub code: FindingCode,
    /// The package or file that it is about.
    pub subject: String,
    /// File and line, or a directory, where there is one.
    pub place: Option<String>,
    /// What was found.
    pub detail: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// The environment may be another one tomorrow, or cannot be made again.
    Warning,
    /// The environment is not what its packages say.
    Error,
}

impl Severity {
    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! codes {
    ($($(#[$attribute:meta])* $name:ident, $text:literal, $severity:ident, $help:literal;)*) => {
        /// The kinds of findings. Their words do not change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum FindingCode {
            $($(#[$attribute])* #[serde(rename = $text)] $name,)*
        }

        impl FindingCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word used in every output.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How much it matters.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What to do about it.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)* }
            }
        }
    };
}

codes! {
    /// A package is imported from a directory that anybody may edit.
    Editable, "editable", Warning,
        "install it as a wheel, so that its files are recorded: `pip install --no-deps DIR`";
    /// A package was installed from a directory.
    Directory, "local-directory", Warning,
        "publish it to an index or a repository, so that the same files can be installed again";
    /// A package was installed from a commit of a repository.
    Repository, "repository", Note,
        "keep the repository: the package can be had from nowhere else";
    /// A package was installed from a repository, and no commit is recorded.
    RepositoryUnpinned, "repository-unpinned", Warning,
        "install it from a commit: `NAME @ git+URL@COMMIT`";
    /// A package was installed from an archive by URL, and no digest is recorded.
    ArchiveUnhashed, "archive-unhashed", Warning,
        "install it again with `#sha256=DIGEST` after its URL";
    /// No list of the files of a package was left, so that changes to them cannot be found.
    NoRecord, "no-record", Warning,
        "install it again with pip or uv, which leave a RECORD";
    /// What a package says about itself cannot be read.
    Unreadable, "unreadable", Warning,
        "install it again";
    /// The same package is there more than once.
    Duplicate, "duplicate", Warning,
        "uninstall it until it is gone, then install it once";
    /// A `.pth` file makes Python import from another directory.
    PathAdded, "path-added", Warning,
        "install what is there as a package, or remove the file";
    /// A `.pth` file runs code whenever Python starts, and belongs to an installed package.
    PathCode, "path-code", Note,
        "nothing, if you trust the package: it runs before your program";
    /// A `.pth` file runs code whenever Python starts, and no package lists it.
    PathCodeUnowned, "path-code-unowned", Warning,
        "find out who put it there, or remove it";
    /// `sitecustomize` or `usercustomize` runs whenever Python starts.
    StartupCode, "startup-code", Warning,
        "find out who put it there, or remove it";
    /// Packages of the user's own directory would be imported outside of a run, and are not in one.
    UserSite, "user-site", Note,
        "install what the program needs in the environment: a run does not see the user's directory";
    /// A native library of the environment needs one that neither it nor the operating system has.
    NativeOutside, "native-outside", Warning,
        "install the library in the environment or as a package of the system: it may change or be missing";
    /// A native library of the environment needs one that was not found.
    NativeMissing, "native-missing", Note,
        "nothing, if the program runs: another library may load it first";
    /// A requirement has no exact version, and no lock file beside it.
    Unpinned, "unpinned", Warning,
        "pin it with `==`, or keep a lock file beside it (`uv lock`, `pip-compile`, `poetry lock`)";
    /// What is installed is not what the code asks for.
    DiffersFromPin, "differs-from-pin", Warning,
        "install what the file says, or write down what is installed";
    /// What the code pins is not installed.
    NotInstalled, "not-installed", Note,
        "install it, if the program needs it here";
    /// A file of requirements cannot be read.
    UnreadableRequirements, "unreadable-requirements", Warning,
        "correct the file: what it asks for is not known";
    /// The package is another one than in the last run of this experiment.
    ChangedSince, "changed-since", Note,
        "expect other results, or install what that run had: `aseptic env diff RUN now`";
    /// A file is not the one that was installed.
    Modified, "modified", Error,
        "install the package again: `pip install --force-reinstall --no-deps NAME==VERSION`";
    /// A file that was installed is gone.
    MissingFile, "missing-file", Error,
        "install the package again: `pip install --force-reinstall --no-deps NAME==VERSION`";
    /// A file that Python would import belongs to no package.
    Unlisted, "unlisted", Warning,
        "find out who put it there, or remove it";
}

impl fmt::Display for FindingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
