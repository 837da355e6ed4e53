//! Whether a view is whole, however the machine stopped since it was built.
//!
//! A view is made of objects, which are on disk. To wait until a view is, too, can take as long as building it
//! again, so most views are not waited for: they carry the name of the running system, and are used while it
//! runs. After that a view is built again, once, and is waited for then.
//!
//! **Invariant:** what says that a view is whole is written behind everything that it speaks of, and nothing is
//! taken to mean that it is. So a file of a view that a power cut left empty is never shown.

use std::fs;
use std::path::Path;

/// Beside the tree of a view.
pub(crate) const NAME: &str = "standing";
/// Written when all of the view is on disk.
const ON_DISK: &str = "on disk\n";
/// Where Linux names the running system.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Length of that name: a UUID.
const BOOT_ID_LENGTH: usize = 36;
/// Views of more than this take minutes to be built again; to wait for the disk is short against that.
const UNSYNCED_BYTES_MAX: u64 = 4 << 30;

/// How long a view is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Until the system stops that has this name.
    Boot(String),
    /// For ever.
    OnDisk,
}

impl Standing {
    /// What a new view of so many bytes gets. One that had to be built again is not left to chance twice.
    pub(crate) fn choose(bytes: u64, again: bool) -> Self {
        match boot() {
            Some(boot) if bytes <= UNSYNCED_BYTES_MAX && !again => Self::Boot(boot),
            _ => Self::OnDisk,
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Boot(boot) => format!("until reboot {boot}\n"),
            Self::OnDisk => ON_DISK.to_owned(),
        }
    }
}

/// Whether the view in this directory is whole.
pub(crate) fn is_whole(view: &Path) -> bool {
    let Ok(text) = fs::read_to_string(view.join(NAME)) else { return false };
    text == ON_DISK || boot().is_some_and(|boot| text == Standing::Boot(boot).text())
}

/// Name of the running system; `None` where there is none to be had.
fn boot() -> Option<String> {
    let text = fs::read_to_string(BOOT_ID).ok()?;
    let boot = text.trim_end();
    let is_name = boot.len() == BOOT_ID_LENGTH && boot.bytes().all(|byte| byte.is_ascii_graphic());
    is_name.then(|| boot.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_stands_until_the_system_stops_or_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let says = |text: &str| {
            fs::write(dir.path().join(NAME), text).unwrap();
            is_whole(dir.path())
        };
        assert!(!is_whole(dir.path()), "nothing is said");
        assert!(says(&Standing::OnDisk.text()));
        assert!(says(&Standing::choose(1, false).text()));
        let other = Standing::Boot("00000000-0000-0000-0000-000000000000".to_owned());
        for text in ["", "on disk", "until reboot \n", "on disk\non disk\n", &other.text()] {
            assert!(!says(text), "{text:?}");
        }
    }

    #[test]
    fn what_is_large_or_was_built_before_is_waited_for() {
        assert_eq!(Standing::choose(UNSYNCED_BYTES_MAX + 1, false), Standing::OnDisk);
        assert_eq!(Standing::choose(1, true), Standing::OnDisk);
        assert!(matches!(Standing::choose(UNSYNCED_BYTES_MAX, false), Standing::Boot(_)));
    }
}
