//! Why this host refuses a mechanism of the jail, and what to do about it.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::PrepareError;
use crate::setup::{LISTEN_STEP, NETWORK_RULES_STEP};

/// What is seen, and the fix where one is known.
pub(crate) type Cause = (String, Option<String>);

/// What this host says about itself where refusals have their cause.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) release: String,
    /// `user.max_user_namespaces`.
    user_namespaces_max: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, in Debian's kernels.
    userns_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, in Ubuntu's.
    apparmor_restricts: Option<u64>,
    /// This process is under a system call filter, as in most containers.
    filtered: bool,
    /// A part of the host's procfs that something is mounted over.
    covered: Option<String>,
    /// The directory that was tried and the name of its file system.
    scratch: String,
    file_system: &'static str,
}

impl Facts {
    pub(crate) fn gather(scratch: &Path) -> Self {
        let number = |name: &str| {
            let text = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
            text.trim().parse().ok()
        };
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            release: rustix::system::uname().release().to_string_lossy().into_owned(),
            user_namespaces_max: number("user/max_user_namespaces"),
            userns_clone: number("kernel/unprivileged_userns_clone"),
            apparmor_restricts: number("kernel/apparmor_restrict_unprivileged_userns"),
            filtered: status.lines().any(|line| line.starts_with("Seccomp:") && line.ends_with('2')),
            covered: covered(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()),
            scratch: scratch.display().to_string(),
            file_system: rustix::fs::statfs(scratch).map_or("", |status| file_system(status.f_type)),
        }
    }

    fn apparmor(&self) -> Option<Cause> {
        (self.apparmor_restricts == Some(1)).then(|| {
            let fix = "allow `userns` to aseptic in an AppArmor profile, or set \
                `kernel.apparmor_restrict_unprivileged_userns` to 0 with sysctl";
            ("AppArmor takes every privilege from new user namespaces".to_owned(), Some(fix.to_owned()))
        })
    }
}

/// The first mount point strictly below `/proc`.
fn covered(mountinfo: &str) -> Option<String> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    // What is mounted on this one hides nothing: it is an empty directory for that purpose.
    points
        .filter(|point| *point != "/proc/sys/fs/binfmt_misc")
        .find(|point| point.starts_with("/proc/"))
        .map(str::to_owned)
}

fn file_system(magic: rustix::fs::FsWord) -> &'static str {
    match magic {
        0x794c_7630 => "overlayfs",
        0x6969 => "NFS",
        0x6573_5546 => "FUSE",
        0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x0bd0_0bd0 => "Lustre",
        0x0102_1997 => "9P",
        0xf15f => "eCryptfs",
        _ => "",
    }
}

/// Why namespaces were refused with `error`.
pub(crate) fn of_namespaces(error: &io::Error, facts: &Facts) -> Cause {
    let cause = |detail: &str, fix: &str| (detail.to_owned(), Some(fix.to_owned()));
    if facts.user_namespaces_max == Some(0) {
        return cause(
            "`user.max_user_namespaces` is 0",
            "set it with `sysctl user.max_user_namespaces=15000`; inside a jail it is 0 on purpose",
        );
    }
    match error.raw_os_error() {
        Some(libc::EPERM) if facts.userns_clone == Some(0) => cause(
            "`kernel.unprivileged_userns_clone` is 0",
            "set it with `sysctl kernel.unprivileged_userns_clone=1`",
        ),
        Some(libc::EPERM | libc::ENOSYS) if facts.filtered => cause(
            "the system call filter of this container refuses namespaces",
            "start the container with `--security-opt seccomp=unconfined`, or run outside of it",
        ),
        Some(libc::ENOSPC | libc::EUSERS) => cause(
            "all user namespaces of this user are taken, or they are nested too deep",
            "raise `user.max_user_namespaces` with sysctl",
        ),
        Some(libc::EINVAL) => {
            cause("this kernel was built without some namespaces", "use a kernel of your distribution")
        }
        Some(libc::EAGAIN | libc::ENOMEM) => {
            cause("this user may not start another process", "raise the limit of `ulimit -u`")
        }
        _ => facts.apparmor().unwrap_or_else(|| (format!("the kernel refuses: {error}"), None)),
    }
}

fn of_missing_wall(why: &str) -> String {
    if why.contains("started without") {
        "start the kernel with `lsm=landlock,…`; `cat /sys/kernel/security/lsm` shows what it has now"
    } else {
        "use a newer kernel, or let runs go without it by name, such as `accept = [\"landlock\"]`"
    }
    .to_owned()
}

/// Why a step of a jail failed.
pub(crate) fn of_step(error: &PrepareError, facts: &Facts) -> Cause {
    let (step, source) = match error {
        PrepareError::Namespaces(source) => return of_namespaces(source, facts),
        PrepareError::Step { step, source } => (step.as_str(), source),
        PrepareError::Watches(source) => ("watch the inputs of the jail", source),
        PrepareError::Attempts(source) => (LISTEN_STEP, source),
        PrepareError::Source { what, source } => return (format!("could not find {what}: {source}"), None),
        PrepareError::Wall { why, .. } => return (why.clone(), Some(of_missing_wall(why))),
        PrepareError::Description { .. } | PrepareError::Vanished => {
            return (error.to_string(), None);
        }
    };
    let seen = format!("could not {step}: {source}");
    let fix = |fix: String| (seen.clone(), Some(fix));
    let refused = matches!(source.raw_os_error(), Some(libc::EPERM | libc::EACCES));
    if let (true, Some((cause, fix))) = (refused, facts.apparmor()) {
        return (format!("{seen}: {cause}"), fix);
    }
    if let (true, true, Some(covered)) = (refused, step.contains("procfs"), &facts.covered) {
        let fix = "run outside of the container, or start it with `--security-opt systempaths=unconfined`";
        let cause = format!("`{covered}` is covered on this host, and the kernel then allows no new procfs");
        return (format!("{seen}: {cause}"), Some(fix.to_owned()));
    }
    if step.starts_with("make an overlay") {
        let on = match facts.file_system {
            "" => String::new(),
            name => format!(", which is on {name}"),
        };
        let Facts { scratch, .. } = facts;
        return fix(format!(
            "put the files of runs (`ASEPTIC_HOME`) not on `{scratch}`{on}, but on ext4, xfs or btrfs"
        ));
    }
    let absent = matches!(
        source.raw_os_error(),
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT)
    );
    if absent && step == NETWORK_RULES_STEP {
        return fix("use a kernel with nf_tables and its `tproxy` and `reject`, or have root load them: \
            `modprobe -a nf_tables nft_tproxy nft_reject_ipv4 nft_reject_ipv6 nfnetlink_log nft_log`"
            .to_owned());
    }
    match source.raw_os_error() {
        Some(libc::ENOSPC) if step.starts_with("watch") => {
            fix("raise `fs.inotify.max_user_watches` with sysctl".to_owned())
        }
        Some(libc::EMFILE) if step.starts_with("watch") => {
            fix("raise `fs.inotify.max_user_instances` with sysctl".to_owned())
        }
        Some(libc::EMFILE) => fix("raise the limit of `ulimit -n`".to_owned()),
        _ if refused && step.contains("`/dev/") => {
            fix("make the nodes in `/dev` readable, as they are on ordinary systems".to_owned())
        }
        Some(libc::ENOSYS) => fix("use Linux 5.12 or later".to_owned()),
        _ if refused && facts.filtered => {
            fix("start the container with `--security-opt seccomp=unconfined`, or run outside of it"
                .to_owned())
        }
        _ => (seen, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(error: i32, facts: &Facts) -> String {
        of_namespaces(&io::Error::from_raw_os_error(error), facts).0
    }

    fn step(step: &str, error: i32, facts: &Facts) -> Cause {
        let source = io::Error::from_raw_os_error(error);
        of_step(&PrepareError::Step { step: step.to_owned(), source }, facts)
    }

    #[test]
    fn each_cause_of_missing_namespaces_is_told_apart() {
        let facts = Facts::default();
        let hardened = Facts { user_namespaces_max: Some(0), ..facts.clone() };
        let debian = Facts { userns_clone: Some(0), ..facts.clone() };
        let ubuntu = Facts { apparmor_restricts: Some(1), ..facts.clone() };
        let container = Facts { filtered: true, ..facts.clone() };
        assert!(namespaces(libc::ENOSPC, &hardened).contains("max_user_namespaces"));
        assert!(namespaces(libc::ENOSPC, &facts).contains("taken"));
        assert!(namespaces(libc::EPERM, &debian).contains("unprivileged_userns_clone"));
        assert!(namespaces(libc::EPERM, &ubuntu).contains("AppArmor"));
        assert!(namespaces(libc::EPERM, &container).contains("container"));
        assert!(namespaces(libc::EINVAL, &facts).contains("built without"));
        assert!(namespaces(libc::EPERM, &facts).contains("kernel refuses"));
    }

    #[test]
    fn each_refused_step_has_its_fix() {
        let facts = Facts { scratch: "/home".to_owned(), file_system: "NFS", ..Facts::default() };
        let fix = |name: &str, error, facts: &Facts| step(name, error, facts).1.unwrap_or_default();
        assert!(fix("make an overlay of `/data`", libc::EINVAL, &facts).contains("on NFS"));
        assert!(fix("watch `/data`", libc::ENOSPC, &facts).contains("max_user_watches"));
        assert!(fix("watch for opened files", libc::EMFILE, &facts).contains("max_user_instances"));
        assert!(fix("open `/dev/null` to mount it", libc::EACCES, &facts).contains("readable"));
        let masked = Facts { covered: Some("/proc/kcore".to_owned()), ..Facts::default() };
        assert!(fix("mount a procfs", libc::EPERM, &masked).contains("systempaths"));
        let ubuntu = Facts { apparmor_restricts: Some(1), ..Facts::default() };
        assert!(fix("make the root of the jail", libc::EACCES, &ubuntu).contains("AppArmor"));
        assert!(fix(NETWORK_RULES_STEP, libc::ENOENT, &Facts::default()).contains("nft_tproxy"));
        assert_eq!(step("make the root of the jail", libc::EIO, &Facts::default()).1, None);
    }

    #[test]
    fn a_covered_part_of_procfs_is_found() {
        let line = |point| format!("66 43 0:45 / {point} ro,nosuid - tmpfs none rw\n");
        assert_eq!(covered(&line("/proc")), None);
        assert_eq!(covered(&line("/proc/sys/fs/binfmt_misc")), None);
        assert_eq!(covered(&[line("/proc"), line("/proc/kcore")].concat()), Some("/proc/kcore".to_owned()));
    }
}
