//! Verification of a version: whole, or a part of it.

use std::str::FromStr;

use aseptic_catalog::DatasetVersion;
use aseptic_model::{InputRef, ProjectName};
use aseptic_policy::Act;
use aseptic_store::{Extent, Verified};

use super::{DatasetError, seen};
use crate::home::{Home, HomeError};
use crate::observer::{Event, Observer};
use crate::retention::there;

/// Which files of a version are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Portion {
    /// All.
    #[default]
    Whole,
    /// Some, chosen at random.
    Sample {
        /// How many.
        share: Share,
        /// Chooses the same files again; a fresh one if there is none.
        seed: Option<u64>,
    },
    /// Those that were written since they were last verified, as far as the file system tells.
    Changed,
}

/// How many files of a version: `5%`, `0.1%`, or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So many, or all if there are fewer.
    Files(u64),
    /// So many of a million, at least one.
    PerMillion(u32),
}

/// Why something is no [`Share`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number of files above 0, or a percentage of them up to `100%` with at most 4 decimals")]
pub struct ShareError;

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let digits = |text: &str| -> Result<u64, ShareError> {
            let only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if only { text.parse().map_err(|_| ShareError) } else { Err(ShareError) }
        };
        let Some(percent) = text.strip_suffix('%') else {
            let files = digits(text)?;
            return if files == 0 { Err(ShareError) } else { Ok(Self::Files(files)) };
        };
        let (whole, decimals) = percent.split_once('.').unwrap_or((percent, "0"));
        if decimals.is_empty() || decimals.len() > 4 {
            return Err(ShareError);
        }
        let parts = digits(whole)?.checked_mul(10_000).ok_or(ShareError)?;
        let parts = parts.checked_add(digits(&format!("{decimals:0<4}"))?).ok_or(ShareError)?;
        match u32::try_from(parts) {
            Ok(parts @ 1..=1_000_000) => Ok(Self::PerMillion(parts)),
            _ => Err(ShareError),
        }
    }
}

impl Share {
    fn of(self, files: u64) -> u64 {
        match self {
            Self::Files(number) => number.min(files),
            Self::PerMillion(parts) => {
                let number = (u128::from(files) * u128::from(parts)).div_ceil(1_000_000);
                u64::try_from(number).unwrap_or(files)
            }
        }
    }
}

/// What [`verify`] found to be intact.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The version.
    pub version: DatasetVersion,
    /// What was read of it.
    pub verified: Verified,
    /// What chose the files of a sample.
    pub seed: Option<u64>,
}

/// Reads the files of a version that `portion` names again and compares them with their digests.
///
/// # Errors
/// [`DatasetError::Verify`] names each file that is not what was imported.
pub fn verify(
    home: &Home,
    project: &ProjectName,
    reference: &InputRef,
    portion: Portion,
    observer: &mut dyn Observer,
) -> Result<Verification, DatasetError> {
    home.allowed(project, Act::View, None)?;
    let store = home.store(project)?;
    let _lease = store.lease()?; // What is deleted while it is read would look damaged.
    let version = seen(home, project, reference)?;
    there(&version)?;
    let (extent, seed) = match portion {
        Portion::Whole => (Extent::Whole, None),
        Portion::Changed => (Extent::Changed, None),
        Portion::Sample { share, seed } => {
            let seed = seed.map_or_else(fresh_seed, Ok)?;
            (Extent::Sample { files: share.of(version.files), seed }, Some(seed))
        }
    };
    let mut progress = |progress| observer.event(Event::Import(progress));
    let verified = store.verify_part(&version.snapshot, extent, &mut progress)?;
    Ok(Verification { version, verified, seed })
}

/// Nobody can know beforehand which files are read. Short enough to be typed again.
fn fresh_seed() -> Result<u64, DatasetError> {
    let seed = getrandom::u32().map_err(|error| HomeError::Io {
        what: "read",
        path: "the kernel's random numbers".to_owned(),
        source: std::io::Error::other(error),
    })?;
    Ok(seed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_exactly() {
        for (text, share) in [
            ("1", Some(Share::Files(1))),
            ("500", Some(Share::Files(500))),
            ("5%", Some(Share::PerMillion(50_000))),
            ("100%", Some(Share::PerMillion(1_000_000))),
            ("0.1%", Some(Share::PerMillion(1000))),
            ("0.0001%", Some(Share::PerMillion(1))),
            ("0", None),
            ("0%", None),
            ("0.0%", None),
            ("100.0001%", None),
            ("101%", None),
            ("0.00001%", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            (".5%", None),
            ("5.%", None),
            ("%", None),
            ("", None),
            ("5 %", None),
            ("1e3", None),
            ("99999999999999999999", None),
            ("99999999999999999999%", None),
        ] {
            assert_eq!(text.parse().ok(), share, "{text}");
        }
    }

    #[test]
    fn a_share_is_at_least_one_file_and_at_most_all() {
        assert_eq!(Share::PerMillion(1).of(10), 1);
        assert_eq!(Share::PerMillion(50_000).of(1000), 50);
        assert_eq!(Share::PerMillion(50_000).of(1001), 51);
        assert_eq!(Share::PerMillion(1_000_000).of(u64::MAX), u64::MAX);
        assert_eq!(Share::PerMillion(1).of(0), 0);
        assert_eq!(Share::Files(9).of(3), 3);
    }
}
