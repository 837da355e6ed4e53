//! Changing what was recorded: ledger, catalog, store, inputs, and the user's own tree.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use rustix::fs::XattrFlags;

use super::privilege::CAPABILITY_MARK;
use crate::attempt::{Attempt, Family};
use crate::sys::process;
use crate::{Said, Scene};

pub(super) const FAMILY: Family = Family {
    name: "tampering",
    about: "changing ledger, catalog, store, inputs or the user's own tree",
    attempts: &[
        Attempt::new("ledger-append", MOUNT, "append to the log of the ledger", |scene| {
            OpenOptions::new().append(true).open(log(scene))?.write_all(b"forged")?;
            Said::tried("appended")
        })
        .outside(),
        Attempt::new("ledger-truncate", MOUNT, "cut the log of the ledger", |scene| {
            OpenOptions::new().write(true).open(log(scene))?.set_len(1)?;
            Said::tried("cut")
        })
        .outside(),
        Attempt::new("ledger-rename", MOUNT, "put the ledger aside", |scene| {
            fs::rename(scene.host.state.join("ledger"), scene.host.state.join("aside"))?;
            Said::tried("renamed")
        })
        .outside(),
        Attempt::new("catalog-write", MOUNT, "write to the catalog", |scene| {
            OpenOptions::new()
                .write(true)
                .open(scene.host.state.join("catalog.sqlite"))?
                .write_all(b"forged")?;
            Said::tried("wrote")
        })
        .outside(),
        Attempt::new("object-write", MOUNT, "change an object of the store", |scene| {
            fs::set_permissions(&scene.host.object, Permissions::from_mode(0o600))?;
            fs::write(&scene.host.object, "forged")?;
            Said::tried("wrote")
        })
        .outside(),
        Attempt::new("object-remove", MOUNT, "remove an object of the store", |scene| {
            fs::remove_file(&scene.host.object)?;
            Said::tried("removed")
        })
        .outside(),
        Attempt::new("input-write", INPUTS, "write to an input", |scene| {
            OpenOptions::new().write(true).open(input(scene))?.write_all(b"9")?;
            Said::reached("wrote")
        }),
        Attempt::new("input-truncate", INPUTS, "truncate an input", |scene| {
            OpenOptions::new().write(true).truncate(true).open(input(scene))?;
            Said::reached("truncated")
        }),
        Attempt::new("input-create", INPUTS, "add a file to an input", |scene| {
            File::create(scene.place.data.join("new.csv"))?;
            Said::reached("added")
        }),
        Attempt::new("input-rename", INPUTS, "rename a file of an input", |scene| {
            fs::rename(input(scene), scene.place.data.join("old.csv"))?;
            Said::reached("renamed")
        }),
        Attempt::new("input-remove", INPUTS, "remove a file of an input", |scene| {
            fs::remove_file(input(scene))?;
            Said::reached("removed")
        }),
        Attempt::new("input-swap", INPUTS, "put a link in the place of a file of an input", |scene| {
            symlink("range", scene.place.data.join("link"))?;
            fs::rename(scene.place.data.join("link"), input(scene))?;
            Said::reached("swapped")
        }),
        Attempt::new("input-mode", INPUTS, "make an input writable", |scene| {
            fs::set_permissions(input(scene), Permissions::from_mode(0o666))?;
            Said::reached("changed the mode")
        }),
        Attempt::new("input-times", INPUTS, "change the times of an input", |scene| {
            let file = File::open(input(scene))?;
            file.set_modified(std::time::SystemTime::UNIX_EPOCH)?;
            Said::reached("changed the times")
        }),
        Attempt::new("input-attribute", INPUTS, "set an attribute of an input", |scene| {
            rustix::fs::setxattr(input(scene), "security.capability", &CAPABILITY_MARK, XattrFlags::empty())?;
            Said::reached("set it")
        }),
        Attempt::new("input-hard-link", INPUTS, "give an input a name where one may write", |scene| {
            fs::hard_link(input(scene), scene.place.out.join("name.csv"))?;
            Said::reached("linked")
        }),
        Attempt::new("input-mapped", INPUTS, "write to an input through memory", |scene| {
            let file = OpenOptions::new().read(true).write(true).open(input(scene))?;
            process::write_mapped(&file, b"9")?;
            Said::reached("wrote")
        }),
        Attempt::new(
            "input-reopen",
            INPUTS,
            "open an input again for writing through /proc/self/fd",
            |scene| {
                let file = File::open(input(scene))?;
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                OpenOptions::new().write(true).open(path)?.write_all(b"9")?;
                Said::reached("wrote")
            },
        ),
        Attempt::new("tree-write", CODE, "change a file of the user's tree", |scene| {
            fs::write(scene.place.work.join("train.py"), "import os")?;
            Said::tried("wrote its own copy")
        })
        .outside(),
        Attempt::new("tree-remove", CODE, "remove a file of the user's tree", |scene| {
            fs::remove_file(scene.place.work.join("train.py"))?;
            Said::tried("removed its own copy")
        })
        .outside(),
        Attempt::new("tree-hook", CODE, "leave a git hook in the user's tree", |scene| {
            let hooks = scene.place.work.join(".git/hooks");
            fs::create_dir_all(&hooks)?;
            fs::write(hooks.join("post-commit"), "#!/bin/sh\n")?;
            Said::tried("wrote its own copy")
        })
        .outside(),
    ],
};

const MOUNT: &str = "mount namespace";
const INPUTS: &str = "inputs by overlay";
const CODE: &str = "code by overlay";

fn log(scene: &Scene) -> PathBuf {
    scene.host.state.join("ledger").join("log")
}

fn input(scene: &Scene) -> PathBuf {
    scene.place.data.join("train.csv")
}
