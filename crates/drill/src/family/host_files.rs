//! Files and facts of the host that no run was given.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use super::{first, secret, tail};
use crate::attempt::{Attempt, Family};
use crate::scene::below_root;
use crate::{Said, Scene};

pub(super) const FAMILY: Family = Family {
    name: "host-files",
    about: "files and facts of the host that no run was given",
    attempts: &[
        Attempt::new("file-by-path", MOUNT, "open a file of the user by its path", |scene| {
            secret(&scene.host.home.join("notes.txt"))
        })
        .canary(),
        Attempt::new("file-by-dots", MOUNT, "climb to it by `..`", |scene| {
            let dots = scene.place.work.join("../../../../../../../../../../../..");
            secret(&dots.join(below_root(&notes(scene))))
        })
        .canary(),
        Attempt::new("file-by-link", MOUNT, "follow a symbolic link to it", |scene| {
            let link = scene.place.tmp.join("link");
            symlink(notes(scene), &link)?;
            secret(&link)
        })
        .canary(),
        Attempt::new("file-by-init", MOUNT, "open it below /proc/1/root", |scene| {
            secret(&Path::new("/proc/1/root").join(below_root(&notes(scene))))
        })
        .canary(),
        Attempt::new("file-by-descriptor", MOUNT, "use a descriptor that was left open", |_| {
            first(3..1024, inherited)
        })
        .canary(),
        Attempt::new("object-of-the-store", MOUNT, "open an object of the store by its path", |scene| {
            secret(&scene.host.object)
        })
        .canary(),
        Attempt::new("key-of-the-ledger", MOUNT, "open the key that signs the ledger", |scene| {
            let length = fs::read(scene.host.state.join("ledger/key"))?.len();
            Said::reached(format_args!("{length} bytes of a key"))
        }),
        Attempt::new(
            "link-among-results",
            "capture of outputs",
            "leave a link to it among the results",
            |scene| {
                symlink(notes(scene), scene.place.out.join("result.csv"))?;
                Said::tried("left a link")
            },
        )
        .outside(),
        Attempt::new("host-name", "uts namespace", "ask for the name of the host", |_| {
            Said::reached(rustix::system::uname().nodename().to_string_lossy())
        })
        .fact(host_name),
        Attempt::new("boot-id", "procfs", "read the id of this boot", |_| Said::reached(boot_id()?))
            .fact(boot_id),
        Attempt::new("kernel-command-line", "procfs", "read how the kernel was started", |_| {
            Said::reached(command_line()?)
        })
        .fact(command_line),
        Attempt::new("accounts", MOUNT, "read which accounts the host has", |_| Said::reached(accounts()?))
            .fact(accounts),
    ],
};

const MOUNT: &str = "mount namespace";

fn notes(scene: &Scene) -> std::path::PathBuf {
    scene.host.home.join("notes.txt")
}

/// A canary at the end of what is open under this number.
fn inherited(number: i32) -> io::Result<Said> {
    // Through procfs, because only a number is known.
    let file = File::open(format!("/proc/self/fd/{number}"))?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() < 16 {
        return Said::refused("no file");
    }
    let mut bytes = [0; 16];
    file.read_exact_at(&mut bytes, metadata.len() - 16)?;
    Said::reached(tail(&bytes))
}

/// The name of the host, unless it is the one that every run shows.
fn host_name() -> io::Result<String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name == "aseptic" { Err(io::Error::other("it has the name that every run shows")) } else { Ok(name) }
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn command_line() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/cmdline")?.trim().chars().take(200).collect())
}

/// Names, in the order of the file.
fn accounts() -> io::Result<String> {
    let accounts = fs::read_to_string("/etc/passwd")?;
    let names: Vec<&str> = accounts.lines().filter_map(|line| line.split(':').next()).collect();
    Ok(names.join(" ").chars().take(200).collect())
}
