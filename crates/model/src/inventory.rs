//! What a run had beneath it: packages with where they come from and their licences, the machine, and what stands out.
//!
//! **Invariant:** equal environments have equal inventories: nothing in one is a time, a size of a cache, or a
//! number that differs from one look to the next.

mod finding;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Package};

pub use finding::{Finding, FindingCode, Severity};

/// Version tag of [`Inventory`] in the store.
pub const INVENTORY_FORMAT: &str = "aseptic.inventory/1";

/// Everything that was found of an environment, without executing any of it. See `docs/environment.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// [`INVENTORY_FORMAT`].
    pub format: String,
    /// The interpreter, if the environment has one.
    pub python: Option<Interpreter>,
    /// Packages of the environment, by name.
    pub packages: Vec<InstalledPackage>,
    /// Packages of the operating system; nothing where there is no list of dpkg.
    pub system: Option<SystemPackages>,
    /// The machine.
    pub machine: Machine,
    /// What stands out, each once.
    pub findings: Vec<Finding>,
    /// What was not looked at, or not to its end, with the reason.
    pub incomplete: Vec<String>,
}

/// A Python interpreter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interpreter {
    /// Directory of the environment, absolute.
    pub prefix: String,
    /// The installation it builds on, absolute.
    pub base_prefix: String,
    /// Version, such as `3.11.7`.
    pub version: String,
    /// Digest of its executable file.
    pub digest: Digest,
    /// `CPython` or `PyPy`, where that is known.
    pub implementation: Option<String>,
    /// The compiler that it says it was built with, such as `GCC 12.2.0`.
    pub build: Option<String>,
    /// Digest of the shared library that most of it is in, where it has one.
    pub library: Option<Digest>,
}

/// A package as its installer described it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstalledPackage {
    /// Name as the package gives it.
    pub name: String,
    /// Version.
    pub version: String,
    /// Which kind of description it was found by.
    pub kind: PackageKind,
    /// The directory or file of its description, relative to the environment, or absolute outside of it.
    pub place: String,
    /// Digest of its `RECORD`, which lists the digest of every file that was installed.
    pub record: Option<Digest>,
    /// Digests of the archive that it was installed from, by algorithm: `sha256`, `md5`. In hexadecimal digits.
    pub archive: BTreeMap<String, String>,
    /// Its licence, where it says one.
    pub licence: Option<Licence>,
    /// What installed it, such as `pip`, `uv` or `conda`.
    pub installer: Option<String>,
    /// Whether somebody asked for it by name, and not only another package; nothing where that is not known.
    pub requested: Option<bool>,
    /// Where it comes from, where it does not come from an index of packages by name and version.
    pub origin: Option<PackageOrigin>,
}

/// Which kind of description a package was found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageKind {
    /// A `.dist-info` directory of Python.
    Python,
    /// An `.egg-info` directory or file of Python.
    Egg,
    /// A file in `conda-meta`.
    Conda,
}

impl PackageKind {
    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Egg => "egg",
            Self::Conda => "conda",
        }
    }
}

/// What a package says about its licence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// As an SPDX expression, where it is one or is known to mean one.
    pub expression: Option<String>,
    /// As the package says it, where that is something else.
    pub text: Option<String>,
}

/// Where a package comes from. No user and password is in a URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum PackageOrigin {
    /// A repository.
    Vcs {
        /// `git`, `hg`, …
        vcs: String,
        /// Where it is.
        url: String,
        /// The commit that was installed.
        commit: Option<String>,
    },
    /// A directory of some machine.
    Directory {
        /// Which one, as a path or URL.
        path: String,
        /// Whether it is imported from there, so that any change there is a change of the package.
        editable: bool,
    },
    /// An archive that was named by its URL.
    Archive {
        /// Where it is.
        url: String,
    },
    /// A channel of conda.
    Channel {
        /// Its name or URL.
        channel: String,
        /// The build of the package.
        build: String,
    },
}

/// Packages of the operating system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemPackages {
    /// Which program manages them: `dpkg`.
    pub manager: String,
    /// Digest of the list, so that two machines compare at once.
    pub digest: Digest,
    /// Each that is installed, by name and architecture.
    pub packages: Vec<SystemPackage>,
}

/// A package of the operating system. Its licence is not known: dpkg keeps it as prose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemPackage {
    /// Name.
    pub name: String,
    /// Architecture.
    pub architecture: String,
    /// Version.
    pub version: String,
}

/// What of the machine can change a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Kernel release.
    pub kernel: String,
    /// How the kernel says it was built.
    pub kernel_build: String,
    /// Machine architecture, such as `x86_64`.
    pub architecture: String,
    /// The operating system's name for itself.
    pub system: Option<String>,
    /// Version of the GNU C library.
    pub glibc: Option<String>,
    /// CPU model.
    pub cpu: String,
    /// Processors that are online.
    pub cores: Option<u32>,
    /// Digest of the features that the first processor lists.
    pub cpu_features: Option<Digest>,
    /// Memory, as the kernel can use it.
    pub memory_bytes: Option<u64>,
    /// Version of NVIDIA's kernel module.
    pub gpu_driver: Option<String>,
    /// Version of the library by which programs reach NVIDIA's driver.
    pub cuda_driver: Option<String>,
    /// Models of the GPUs, in the order of their addresses.
    pub gpus: Vec<String>,
}

impl InstalledPackage {
    /// A package of a plan, of which only that is known.
    #[must_use]
    pub fn planned(package: &Package) -> Self {
        Self {
            name: package.name.clone(),
            version: package.version.clone(),
            kind: PackageKind::Python,
            place: String::new(),
            record: package.record,
            archive: BTreeMap::new(),
            licence: None,
            installer: None,
            requested: None,
            origin: None,
        }
    }
}

impl Licence {
    /// The expression, or else the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.expression.as_deref().or(self.text.as_deref()).unwrap_or_default()
    }
}
