//! What of the machine can change a result.

use std::fs;

use aseptic_model::Host;

/// Kernel, architecture and processor of this machine.
///
/// Source: uname(2), `/proc/cpuinfo`.
pub(crate) fn host() -> Host {
    let system = rustix::system::uname();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
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

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_has_a_kernel_and_a_processor() {
        let host = super::host();
        assert!(host.kernel.contains('.'), "{host:?}");
        assert!(!host.architecture.is_empty() && host.cpu != "unknown", "{host:?}");
    }
}
