//! The part of the host that every job sees: programs and libraries, and no one's data.

use std::fs;
use std::path::{Path, PathBuf};

use aseptic_model::NAME_SERVER;

use crate::jail::{Access, Mount};

/// Directories of programs and libraries. Where one is a symbolic link on the host, it is one here.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What programs read of `/etc`. A list of what is shown, because a list of what is hidden would never
/// be complete: `/etc` holds password hashes and private keys that a job run by root could read.
const SETTINGS: [&str; 14] = [
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "fonts",
    "ld.so.cache",
    "localtime",
    "magic",
    "mime.types",
    "OpenCL/vendors",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
];

/// What numerical libraries read of sysfs: how many processors and memory nodes there are.
const SYSTEM_FACTS: [&str; 2] = ["/sys/devices/system/cpu", "/sys/devices/system/node"];

/// Programs, libraries, devices and processes for a jail: everything but the job's own files.
///
/// `/etc` names one user, the id of [`job_ids`] under the name `job` with the home directory `home`.
#[must_use]
pub fn system_mounts(home: &Path) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for path in SYSTEM.map(PathBuf::from) {
        if let Ok(to) = fs::read_link(&path) {
            mounts.push(Mount::Link { target: path, to });
        } else if path.is_dir() {
            mounts.push(Mount::Bind { source: path.clone(), target: path, access: Access::Execute });
        }
    }
    let java = java_settings(Path::new("/etc"));
    mounts.extend(java.iter().filter_map(|path| setting(path)));
    mounts.extend(SETTINGS.iter().filter_map(|name| setting(&Path::new("/etc").join(name))));
    for path in SYSTEM_FACTS.map(PathBuf::from).into_iter().filter(|path| path.exists()) {
        mounts.push(Mount::Bind { source: path.clone(), target: path, access: Access::Read });
    }
    mounts.extend(identity(home));
    mounts.push(Mount::Devices { target: "/dev".into() });
    mounts.push(Mount::Processes { target: "/proc".into() });
    mounts
}

/// What a Java runtime of a distribution has in `/etc` and does not start without. Passwords of its management
/// interface may lie beside it.
fn java_settings(etc: &Path) -> Vec<PathBuf> {
    let is_java = |name: &str| name.starts_with("java-") && name.ends_with("-openjdk");
    let entries = fs::read_dir(etc).into_iter().flatten().flatten();
    let java = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_java));
    let mut settings = Vec::new();
    for directory in java.map(|entry| entry.path()) {
        settings
            .extend(["logging.properties", "net.properties", "security"].map(|name| directory.join(name)));
        let files = fs::read_dir(&directory).into_iter().flatten().flatten().map(|entry| entry.path());
        settings.extend(files.filter(|path| path.extension().is_some_and(|extension| extension == "cfg")));
    }
    settings.sort();
    settings
}

/// A file is copied, which is cheaper than a mount and shares no lock with another jail; a large file
/// or a directory is mounted.
fn setting(path: &Path) -> Option<Mount> {
    let (source, target) = (path.to_owned(), path.to_owned());
    match fs::metadata(path).ok()? {
        data if data.is_file() && data.len() <= COPIED_BYTES_MAX => {
            Some(Mount::File { contents: fs::read(path).ok()?, target })
        }
        _ => Some(Mount::Bind { source, target, access: Access::Read }),
    }
}

/// From here on a mount is cheaper.
const COPIED_BYTES_MAX: u64 = 16 * 1024;

/// User and group id that a program sees in a jail: the caller's, or an ordinary user's if that is root.
///
/// A job of root has none of root's privileges, and programs that find themselves to be user 0 rely on
/// them: tar(1) gives files to users that the jail does not have, and fails.
#[must_use]
pub fn job_ids() -> (u32, u32) {
    let ordinary = |id: u32| if id == 0 { ORDINARY } else { id };
    (ordinary(rustix::process::getuid().as_raw()), ordinary(rustix::process::getgid().as_raw()))
}

/// What most systems give to their first user.
const ORDINARY: u32 = 1000;

fn identity(home: &Path) -> Vec<Mount> {
    let (user, group) = job_ids();
    let home = home.display();
    // Programs ask for the name of user 0 and of its group.
    let root = "root:x:0:0:root:/root:/bin/sh";
    let nobody = "nobody:x:65534:65534::/:/bin/false";
    let files = [
        ("passwd", format!("job:x:{user}:{group}:job:{home}:/bin/sh\n{root}\n{nobody}\n")),
        ("group", format!("job:x:{group}:\nroot:x:0:\nnogroup:x:65534:\n")),
        // Programs that talk to themselves look up their own host's name.
        ("hosts", format!("127.0.0.1 localhost {HOSTNAME}\n::1 localhost {HOSTNAME}\n")),
        ("hostname", format!("{HOSTNAME}\n")),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
        ("resolv.conf", format!("nameserver {NAME_SERVER}\noptions timeout:10 attempts:2\n")),
    ];
    files
        .into_iter()
        .map(|(name, contents)| Mount::File {
            target: Path::new("/etc").join(name),
            contents: contents.into_bytes(),
        })
        .collect()
}

/// The host name that every job sees: the real one would differ from machine to machine.
pub(crate) const HOSTNAME: &str = "aseptic";
