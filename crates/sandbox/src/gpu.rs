//! NVIDIA GPUs of the host for a jail: the device nodes of the chosen cards and what CUDA reads of them.
//!
//! CUDA needs three things besides the nodes, which every jail has: sysfs of the card, its threads' names
//! in procfs, and memfd_create(2). A card that was not chosen has no node and no entry here. That a tool
//! lists a card proves nothing: only CUDA itself opens it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use aseptic_model::Gpus;

use crate::jail::{Access, Mount};

/// Nodes that every card needs.
const COMMON: [&str; 2] = ["nvidiactl", "nvidia-uvm"];

/// Nodes that are given where they are there.
const OPTIONAL: [&str; 1] = ["nvidia-uvm-tools"];

/// Why GPUs cannot be given to a jail.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// There is no driver, or no card.
    #[error("this machine has no NVIDIA GPU, or its driver is not loaded: `{node}` is not there")]
    NoDriver {
        /// The node that is missing.
        node: String,
    },
    /// A card of this number is not there.
    #[error("this machine has no GPU {number}; it has {known}")]
    NoCard {
        /// The number.
        number: u32,
        /// Those it has.
        known: String,
    },
    /// A node may not be opened by this user.
    #[error("`{node}` may not be opened by this user: {source}")]
    Closed {
        /// The node.
        node: String,
        /// Why.
        source: io::Error,
    },
}

/// Where the host keeps what is looked for.
struct Host<'a> {
    dev: &'a Path,
    proc: &'a Path,
    sys: &'a Path,
}

/// What to mount into a jail, after its devices and processes, so that it can use `gpus`.
///
/// # Errors
/// [`GpuError`]: one of them is not there, or this user may not open it.
pub fn gpu_mounts(gpus: &Gpus) -> Result<Vec<Mount>, GpuError> {
    Host { dev: "/dev".as_ref(), proc: "/proc".as_ref(), sys: "/sys".as_ref() }.mounts(gpus)
}

impl Host<'_> {
    fn mounts(&self, gpus: &Gpus) -> Result<Vec<Mount>, GpuError> {
        for name in COMMON {
            let node = self.dev.join(name);
            if !node.exists() {
                return Err(GpuError::NoDriver { node: format!("/dev/{name}") });
            }
        }
        let cards = self.cards();
        let chosen: Vec<u32> = match gpus {
            Gpus::All if cards.is_empty() => return Err(GpuError::NoDriver { node: "/dev/nvidia0".into() }),
            Gpus::All => cards.keys().copied().collect(),
            Gpus::Cards(numbers) => numbers.iter().copied().collect(),
        };
        if let Some(number) = chosen.iter().find(|number| !cards.contains_key(number)) {
            let known: Vec<_> = cards.keys().map(ToString::to_string).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(GpuError::NoCard { number: *number, known });
        }
        let nodes = chosen.iter().map(|number| format!("nvidia{number}"));
        let optional = OPTIONAL.into_iter().filter(|name| self.dev.join(name).exists());
        let mut mounts = Vec::new();
        for name in COMMON.into_iter().chain(optional).map(str::to_owned).chain(nodes) {
            mounts.push(self.node(&name)?);
        }
        for (number, address) in &cards {
            let Some(address) = address else { continue };
            if chosen.contains(number) {
                mounts.extend(self.facts(address));
            } else {
                let target = Path::new("/proc/driver/nvidia/gpus").join(address);
                mounts.push(Mount::Memory { target, bytes: COVER_BYTES });
            }
        }
        Ok(mounts)
    }

    /// The cards that have a node, by number, with their address on the bus where the driver tells it.
    fn cards(&self) -> BTreeMap<u32, Option<String>> {
        let names = |directory: &Path| -> Vec<String> {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
        };
        let numbers =
            names(self.dev).into_iter().filter_map(|name| name.strip_prefix("nvidia")?.parse().ok());
        let mut cards: BTreeMap<u32, Option<String>> = numbers.map(|number| (number, None)).collect();
        let driver = self.proc.join("driver/nvidia/gpus");
        for address in names(&driver) {
            let about = fs::read_to_string(driver.join(&address).join("information")).unwrap_or_default();
            let minor = about.lines().find_map(|line| line.strip_prefix("Device Minor:"));
            if let Some(card) = minor.and_then(|minor| cards.get_mut(&minor.trim().parse().ok()?)) {
                *card = Some(address);
            }
        }
        cards
    }

    fn node(&self, name: &str) -> Result<Mount, GpuError> {
        let (source, target) = (self.dev.join(name), Path::new("/dev").join(name));
        let opened = fs::File::options().read(true).write(true).open(&source);
        match opened {
            Ok(_) => Ok(Mount::Device { source, target }),
            Err(source) => Err(GpuError::Closed { node: target.display().to_string(), source }),
        }
    }

    /// What of sysfs is about one card.
    fn facts(&self, address: &str) -> Vec<Mount> {
        let link = self.sys.join("bus/pci/devices").join(address);
        let (Ok(to), Ok(real)) = (fs::read_link(&link), fs::canonicalize(&link)) else { return Vec::new() };
        let inside = |path: &Path| Path::new("/sys").join(path.strip_prefix(self.sys).unwrap_or(path));
        let (source, target) = (real.clone(), inside(&real));
        vec![Mount::Link { target: inside(&link), to }, Mount::Bind { source, target, access: Access::Read }]
    }
}

/// An empty file system over what tells about a card that was not chosen.
const COVER_BYTES: u64 = 4_096;

/// The GPUs of this machine, in words, for people.
pub(crate) fn describe() -> Result<String, GpuError> {
    let mounts = gpu_mounts(&Gpus::All)?;
    let cards = mounts.iter().filter_map(|mount| match mount {
        Mount::Device { target, .. } => target.to_str()?.strip_prefix("/dev/nvidia")?.parse::<u32>().ok(),
        _ => None,
    });
    let cards: Vec<_> = cards.map(|card| card.to_string()).collect();
    Ok(format!("NVIDIA {}", cards.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two cards, laid out as the driver does, with ordinary files as nodes.
    fn machine() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        for name in ["nvidiactl", "nvidia-uvm", "nvidia0", "nvidia1", "nvidia-modeset"] {
            fs::create_dir_all(root.join("dev")).unwrap();
            fs::write(root.join("dev").join(name), "").unwrap();
        }
        for (number, address) in [(1, "0000:3b:00.0"), (0, "0000:af:00.0")] {
            let about = root.join("proc/driver/nvidia/gpus").join(address);
            fs::create_dir_all(&about).unwrap();
            fs::write(about.join("information"), format!("Model: \t\t A\nDevice Minor: \t {number}\n"))
                .unwrap();
            let device = root.join("sys/devices/pci0000:00").join(address);
            fs::create_dir_all(&device).unwrap();
            let links = root.join("sys/bus/pci/devices");
            fs::create_dir_all(&links).unwrap();
            let to = format!("../../../devices/pci0000:00/{address}");
            std::os::unix::fs::symlink(to, links.join(address)).unwrap();
        }
        place
    }

    fn mounts(root: &Path, gpus: &str) -> Result<Vec<Mount>, GpuError> {
        let root = root.canonicalize().unwrap();
        let (dev, proc, sys) = (root.join("dev"), root.join("proc"), root.join("sys"));
        Host { dev: &dev, proc: &proc, sys: &sys }.mounts(&gpus.parse().unwrap())
    }

    fn targets(mounts: &[Mount]) -> Vec<&str> {
        mounts.iter().map(|mount| mount.target().to_str().unwrap()).collect()
    }

    #[test]
    fn a_chosen_card_is_shown_and_the_other_is_not() {
        let machine = machine();
        let mounts = mounts(machine.path(), "1").unwrap();
        assert_eq!(
            targets(&mounts),
            [
                "/dev/nvidiactl",
                "/dev/nvidia-uvm",
                "/dev/nvidia1",
                "/proc/driver/nvidia/gpus/0000:af:00.0",
                "/sys/bus/pci/devices/0000:3b:00.0",
                "/sys/devices/pci0000:00/0000:3b:00.0",
            ]
        );
        assert!(mounts.iter().any(|mount| matches!(mount, Mount::Memory { target, .. }
            if target.ends_with("0000:af:00.0"))));
    }

    #[test]
    fn all_are_all() {
        let machine = machine();
        let mounts = mounts(machine.path(), "all").unwrap();
        let nodes = mounts.iter().filter(|mount| matches!(mount, Mount::Device { .. })).count();
        assert_eq!((nodes, mounts.len()), (4, 8));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let machine = machine();
        let said = |gpus| mounts(machine.path(), gpus).unwrap_err().to_string();
        assert_eq!(said("0,7"), "this machine has no GPU 7; it has 0, 1");
        fs::remove_file(machine.path().join("dev/nvidia-uvm")).unwrap();
        assert!(said("0").contains("`/dev/nvidia-uvm` is not there"));
    }
}
