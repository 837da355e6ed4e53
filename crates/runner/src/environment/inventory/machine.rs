//! What of the machine can change a result. Nothing is loaded or started to find out.
//!
//! Sources: uname(2), proc(5), os-release(5), `/sys/devices/system/cpu`, and what NVIDIA's kernel module shows in
//! `/proc/driver/nvidia`.

use std::path::Path;

use aseptic_model::{Digest, Machine, SystemPackages};

use super::super::host::host;
use super::super::python::{Longer, TEXT_BYTES_MAX, WORD_CHARACTERS_MAX, entries, read};

/// Length of the description of one processor with its features, at most.
const PROCESSOR_BYTES_MAX: u64 = 16 << 10;
/// Largest C library.
const LIBRARY_BYTES_MAX: u64 = 16 << 20;
/// GPUs that are listed.
const GPUS_MAX: usize = 64;

/// Directories with libraries of the system.
pub(super) const LIBRARIES: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// This machine, with the C library that `system` lists or that is found.
pub(super) fn machine(system: Option<&SystemPackages>) -> Machine {
    Machine { glibc: listed_glibc(system).or_else(glibc), ..quick() }
}

/// What is known of this machine at once: all but the C library.
pub(super) fn quick() -> Machine {
    let host = host();
    let system = rustix::system::uname();
    Machine {
        kernel: host.kernel,
        kernel_build: system.version().to_string_lossy().into_owned(),
        architecture: host.architecture,
        system: text("/etc/os-release").and_then(|text| setting(&text, "PRETTY_NAME")),
        glibc: None,
        cpu: host.cpu,
        cores: text("/sys/devices/system/cpu/online").and_then(|text| counted(text.trim())),
        cpu_features: features(),
        memory_bytes: text("/proc/meminfo").and_then(|text| memory(&text)),
        gpu_driver: text("/proc/driver/nvidia/version").and_then(|text| driver(&text)),
        cuda_driver: LIBRARIES.iter().find_map(|directory| cuda(Path::new(directory))),
        gpus: gpus(Path::new("/proc/driver/nvidia/gpus")),
    }
}

fn text(path: &str) -> Option<String> {
    let bytes = read(Path::new(path), TEXT_BYTES_MAX, Longer::Cut).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn short(text: &str) -> Option<String> {
    let text: String = text.trim().chars().take(WORD_CHARACTERS_MAX).collect();
    (!text.is_empty()).then_some(text)
}

/// The value of a `KEY="VALUE"` line.
fn setting(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    short(line.trim_matches(['"', '\'']))
}

/// How many numbers `0-3,6` has.
fn counted(list: &str) -> Option<u32> {
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.split(',').try_fold(0_u32, |sum, one| sum.checked_add(part(one)?))
}

/// Of the first processor, in the order of their names.
fn features() -> Option<Digest> {
    let bytes = read(Path::new("/proc/cpuinfo"), PROCESSOR_BYTES_MAX, Longer::Cut).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"))?;
    let mut flags: Vec<_> = line.split_once(':')?.1.split_whitespace().collect();
    flags.sort_unstable();
    Some(Digest::of(flags.join(" ").as_bytes()))
}

fn memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// `535.129.03` of `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 …`.
fn driver(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("NVRM version:"))?;
    line.split_whitespace().find(|word| is_version(word)).and_then(short)
}

fn is_version(word: &str) -> bool {
    word.contains('.') && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The version in the name of the file that `libcuda.so.1` is.
fn cuda(directory: &Path) -> Option<String> {
    let real = directory.join("libcuda.so.1").canonicalize().ok()?;
    let version = real.file_name()?.to_str()?.strip_prefix("libcuda.so.")?.to_owned();
    is_version(&version).then_some(version)
}

fn gpus(directory: &Path) -> Vec<String> {
    let model = |gpu: &Path| {
        let bytes = read(&gpu.join("information"), TEXT_BYTES_MAX, Longer::Cut).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        short(text.lines().find_map(|line| line.strip_prefix("Model:"))?)
    };
    entries(directory)
        .iter()
        .take(GPUS_MAX)
        .map(|gpu| model(gpu).unwrap_or_else(|| "unknown".to_owned()))
        .collect()
}

/// The version of the C library as dpkg lists it.
fn listed_glibc(system: Option<&SystemPackages>) -> Option<String> {
    let native = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let package =
        system?.packages.iter().find(|package| package.name == "libc6" && package.architecture == native);
    package.map(|package| package.version.clone())
}

/// The version that the C library says in its own text, as `ldd --version` prints it.
fn glibc() -> Option<String> {
    LIBRARIES.iter().find_map(|directory| {
        let bytes = read(&Path::new(directory).join("libc.so.6"), LIBRARY_BYTES_MAX, Longer::Refuse).ok()?;
        let at = memchr::memmem::find(&bytes, b"GNU C Library")?;
        let text = String::from_utf8_lossy(bytes.get(at..bytes.len().min(at + 200))?).into_owned();
        let version = text.lines().next()?.split("release version ").nth(1)?;
        short(version.trim_end_matches('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_of_the_kernel_say() {
        assert_eq!(counted("0-3,6"), Some(5));
        assert_eq!(counted("0"), Some(1));
        for none in ["", "3-1", "a", "0-4294967295,0-4294967295"] {
            assert_eq!(counted(none), None, "{none}");
        }
        assert_eq!(memory("MemTotal:       16 kB\nMemFree: 1 kB\n"), Some(16384));
        assert_eq!(memory("MemTotal: 99999999999999999999 kB\n"), None);
        let version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023\n\
                       GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n";
        assert_eq!(driver(version).as_deref(), Some("535.129.03"));
        assert_eq!(setting("A=1\nPRETTY_NAME=\"Debian 12\"\n", "PRETTY_NAME").as_deref(), Some("Debian 12"));
    }

    #[test]
    fn a_machine_with_gpus() {
        let dir = tempfile::tempdir().unwrap();
        for (gpu, text) in
            [("0000:01:00.0", "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 1\n"), ("0000:02:00.0", "")]
        {
            std::fs::create_dir(dir.path().join(gpu)).unwrap();
            std::fs::write(dir.path().join(gpu).join("information"), text).unwrap();
        }
        assert_eq!(gpus(dir.path()), ["NVIDIA H100 80GB HBM3", "unknown"]);
        std::fs::write(dir.path().join("libcuda.so.535.129.03"), "").unwrap();
        std::os::unix::fs::symlink("libcuda.so.535.129.03", dir.path().join("libcuda.so.1")).unwrap();
        assert_eq!(cuda(dir.path()).as_deref(), Some("535.129.03"));
    }

    #[test]
    fn this_machine() {
        let machine = machine(None);
        assert!(machine.cores.is_some_and(|cores| cores > 0) && machine.memory_bytes > Some(1 << 20));
        assert!(machine.cpu_features.is_some() && machine.kernel_build.contains("SMP"), "{machine:?}");
    }
}
