//! Privilege: capabilities, namespaces, mounts.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use rustix::fs::XattrFlags;
use rustix::mount::{FsOpenFlags, MountFlags, OpenTreeFlags, UnmountFlags};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets, LinkNameSpaceType};

use crate::attempt::{Attempt, Family};
use crate::ring::PART;
use crate::sys::{kernel, process};
use crate::{Said, Scene};

pub(super) const FAMILY: Family = Family {
    name: "privilege",
    about: "capabilities, namespaces and mounts",
    attempts: &[
        Attempt::new("take-capabilities", CAPABILITIES, "set capabilities by capset", |_| {
            let admin = CapabilitySet::SYS_ADMIN;
            let all = CapabilitySets { effective: admin, permitted: admin, inheritable: admin };
            rustix::thread::set_capabilities(None, all)?;
            Said::reached("CAP_SYS_ADMIN")
        }),
        Attempt::new("bounding-set", CAPABILITIES, "look for a capability that a program could give", |_| {
            for bit in 0..41 {
                let capability = CapabilitySet::from_bits_retain(1 << bit);
                if rustix::thread::capability_is_in_bounding_set(capability)? {
                    return Said::reached(format_args!("capability {bit}"));
                }
            }
            Said::refused("the set is empty")
        }),
        Attempt::new(
            "regain-by-executing",
            CAPABILITIES,
            "execute a program as user 0 of the namespace",
            regain,
        ),
        Attempt::new(
            "privileged-program",
            CAPABILITIES,
            "mark a program so that it gets capabilities",
            |scene| {
                let program = scene.place.tmp.join("program");
                fs::write(&program, "#!/bin/sh\n")?;
                rustix::fs::setxattr(&program, "security.capability", &CAPABILITY_MARK, XattrFlags::empty())?;
                Said::reached("the mark was set")
            },
        ),
        Attempt::new("unlock-root", CAPABILITIES, "let user 0 have its privileges again", |_| {
            rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::empty())?;
            Said::reached("the secure bits are gone")
        }),
        Attempt::new("unshare-user", NESTED, "make a user namespace by unshare", |_| {
            process::unshare(libc::CLONE_NEWUSER)?;
            Said::reached("a user namespace")
        }),
        Attempt::new("clone-user", NESTED, "make a user namespace by clone", |_| {
            process::clone(libc::CLONE_NEWUSER)?;
            Said::reached("a user namespace")
        }),
        Attempt::new("clone3-user", NESTED, "make a user namespace by clone3", |_| {
            process::clone3(libc::CLONE_NEWUSER)?;
            Said::reached("a user namespace")
        }),
        Attempt::new("unshare-mounts", CAPABILITIES, "make a mount namespace", |_| {
            process::unshare(libc::CLONE_NEWNS)?;
            Said::reached("a mount namespace")
        }),
        Attempt::new("unshare-network", CAPABILITIES, "make a network namespace", |_| {
            process::unshare(libc::CLONE_NEWNET)?;
            Said::reached("a network namespace")
        }),
        Attempt::new("enter-namespace", CAPABILITIES, "enter a namespace by setns", |_| {
            let namespace = File::open("/proc/self/ns/uts")?;
            let kind = Some(LinkNameSpaceType::HostNameAndNISDomainName);
            rustix::thread::move_into_link_name_space(namespace.as_fd(), kind)?;
            Said::reached("entered it")
        }),
        Attempt::new("lift-the-ban", "procfs", "allow user namespaces again in /proc/sys", |_| {
            fs::write("/proc/sys/user/max_user_namespaces", "100")?;
            Said::reached("wrote the setting")
        }),
        Attempt::new("set-host-name", CAPABILITIES, "change the name of the host", |_| {
            rustix::system::sethostname(b"taken")?;
            Said::reached("changed it")
        }),
        Attempt::new("mount-memory", CAPABILITIES, "mount a file system", |scene| {
            rustix::mount::mount("tmpfs", &scene.place.tmp, "tmpfs", MountFlags::empty(), None)?;
            Said::reached("mounted it")
        }),
        Attempt::new("mount-bind", CAPABILITIES, "mount one place over another", |scene| {
            rustix::mount::mount_bind("/proc", &scene.place.tmp)?;
            Said::reached("mounted it")
        }),
        Attempt::new("remount", CAPABILITIES, "change the flags of a mount", |_| {
            rustix::mount::mount_remount("/proc", MountFlags::BIND, "")?;
            Said::reached("changed them")
        }),
        Attempt::new("unmount", CAPABILITIES, "remove a mount, to see what is below", |_| {
            rustix::mount::unmount("/proc", UnmountFlags::DETACH)?;
            Said::reached("removed it")
        }),
        Attempt::new("open-file-system", CAPABILITIES, "make a file system by fsopen", |_| {
            rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
            Said::reached("made it")
        }),
        Attempt::new("copy-a-mount", CAPABILITIES, "copy a mount by open_tree", |_| {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            rustix::mount::open_tree(rustix::fs::CWD, "/proc", flags)?;
            Said::reached("copied it")
        }),
        Attempt::new("mount-attributes", CAPABILITIES, "make a mount writable by mount_setattr", |_| {
            kernel::clear_read_only(Path::new("/proc"))?;
            Said::reached("changed them")
        }),
        Attempt::new("pivot-root", CAPABILITIES, "change the root of all processes", |scene| {
            let root = scene.place.tmp.parent().unwrap_or(Path::new("/"));
            rustix::process::pivot_root(root, &scene.place.tmp)?;
            Said::reached("changed it")
        }),
        Attempt::new("chroot", CAPABILITIES, "change its own root", |scene| {
            rustix::process::chroot(&scene.place.tmp)?;
            Said::reached("changed it")
        }),
        Attempt::new(
            "foreign-devices",
            "mount namespace",
            "look for devices beside the harmless ones",
            devices,
        ),
    ],
};

const CAPABILITIES: &str = "capabilities";
const NESTED: &str = "nested user namespaces";

/// `struct vfs_cap_data`, second version: effective, with `CAP_SYS_ADMIN` permitted.
pub(super) const CAPABILITY_MARK: [u8; 20] = [1, 0, 0, 2, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Drops every capability, and executes a program that says which it has.
fn regain(_: &Scene) -> io::Result<Said> {
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    )?;
    let output = Command::new(std::env::current_exe()?).args([PART, "capabilities"]).output()?;
    let sets = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match sets.as_str() {
        "" => Err(io::Error::other("the program could not be executed")),
        "0" => Said::refused("it has none"),
        sets => Said::reached(format_args!("capabilities {sets}")),
    }
}

/// Character devices that tell nothing and reach nobody: memory devices by major 1, terminals by 5 and 136.
fn harmless(major: u32, minor: u32) -> bool {
    matches!((major, minor), (1, 3 | 5 | 7 | 8 | 9) | (5, 0 | 2) | (136..=143, _))
}

fn devices(_: &Scene) -> io::Result<Said> {
    for path in crate::marks::search(Path::new("/dev")) {
        let Ok(status) = rustix::fs::lstat(&path) else { continue };
        let kind = rustix::fs::FileType::from_raw_mode(status.st_mode);
        let (major, minor) = (rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev));
        if kind.is_block_device() || kind.is_char_device() && !harmless(major, minor) {
            return Said::reached(format_args!("{} is {major}:{minor}", path.display()));
        }
    }
    Said::refused("only harmless ones are there")
}
