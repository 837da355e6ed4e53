//! What of the machine can change a result.

use std::fs::File;
use std::io::Read;

use aseptic_model::{Host, MachineName};

/// Length of the description of one processor, at most.
const PROCESSOR_BYTES_MAX: u64 = 4096;

/// Kernel, architecture and processor of this machine.
///
/// Source: uname(2), `/proc/cpuinfo`.
pub(crate) fn host() -> Host {
    let system = rustix::system::uname();
    // The first processor stands for all: on a large machine the whole list takes the kernel long to make.
    let mut processors = String::new();
    if let Ok(file) = File::open("/proc/cpuinfo") {
        let _ = file.take(PROCESSOR_BYTES_MAX).read_to_string(&mut processors);
    }
    let field = |name: &str| {
        let line = processors.lines().find(|line| line.split(':').next().map(str::trim_end) == Some(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let arm = || Some(format!("implementer {} part {}", field("CPU implementer")?, field("CPU part")?));
    Host {
        kernel: system.release().to_string_lossy().into_owned(),
        architecture: system.machine().to_string_lossy().into_owned(),
        cpu: field("model name").or_else(arm).unwrap_or_else(|| "unknown".to_owned()),
    }
}

/// Name of this machine; nothing if it has none that is a name.
///
/// Source: uname(2).
pub(crate) fn name() -> Option<MachineName> {
    rustix::system::uname().nodename().to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_has_a_kernel_and_a_processor() {
        let host = super::host();
        assert!(host.kernel.contains('.'), "{host:?}");
        assert!(!host.architecture.is_empty() && host.cpu != "unknown", "{host:?}");
    }
}
