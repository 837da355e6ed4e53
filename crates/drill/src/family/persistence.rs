//! What one run leaves behind for a later one.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::PathBuf;

use super::tail;
use crate::attempt::{Attempt, Family};
use crate::marks::processes_with;
use crate::ring::PART;
use crate::sys::{ipc, process};
use crate::{Said, Scene};

pub(super) const FAMILY: Family = Family {
    name: "persistence",
    about: "what one run leaves behind for a later one",
    attempts: &[
        Attempt::new("left-in-tmp", OWN, "leave a file in /tmp", |s| find(s, tmp(s)))
            .after(|s| plant(s, tmp(s))),
        Attempt::new("left-in-var-tmp", OWN, "leave a file in /var/tmp", |s| find(s, var_tmp(s)))
            .after(|s| plant(s, var_tmp(s))),
        Attempt::new("left-in-shared-memory", OWN, "leave a file in /dev/shm", |s| find(s, shm(s)))
            .after(|s| plant(s, shm(s))),
        Attempt::new("left-in-profile", OWN, "leave a line in ~/.profile", |s| find(s, profile(s)))
            .after(|s| plant(s, profile(s))),
        Attempt::new("left-in-autostart", OWN, "leave a program to be started at login", |s| {
            find(s, autostart(s))
        })
        .after(|s| plant(s, autostart(s))),
        Attempt::new("left-in-cache", OWN, "leave a poisoned model in the cache", |s| find(s, cache(s)))
            .after(|s| plant(s, cache(s))),
        Attempt::new("left-among-results", OWN, "leave a result for the next run", |s| find(s, result(s)))
            .after(|s| plant(s, result(s))),
        Attempt::new("left-in-code", OVERLAY, "change the code of the next run", |s| find(s, code(s)))
            .after(|s| plant(s, code(s))),
        Attempt::new("left-in-bytecode", OVERLAY, "poison the bytecode of the next run", |s| {
            find(s, bytecode(s))
        })
        .after(|s| plant(s, bytecode(s))),
        Attempt::new("left-in-input", INPUTS, "change an input of the next run", |s| find(s, input(s)))
            .after(|s| plant(s, input(s))),
        Attempt::new("left-sysv-memory", "ipc namespace", "leave System V shared memory", |scene| {
            Said::reached(tail(&ipc::shm_get(key(scene))?))
        })
        .after(|scene| {
            ipc::shm_put(key(scene), &mark(scene))?;
            Said::tried("left it")
        }),
        Attempt::new("left-message-queue", "ipc namespace", "leave a POSIX message queue", |scene| {
            Said::reached(tail(&ipc::mq_get(&scene.id)?))
        })
        .after(|scene| {
            ipc::mq_put(&scene.id, &mark(scene))?;
            Said::tried("left it")
        }),
        Attempt::new("left-key", "system call filter", "leave a kernel key", |scene| {
            Said::reached(tail(&ipc::key_read(ipc::key_find(&scene.id)?)?))
        })
        .after(|scene| {
            ipc::key_put(&scene.id, &mark(scene))?;
            Said::tried("left it")
        }),
        Attempt::new("left-process", "process namespace", "leave a daemon", |scene| {
            match processes_with(&[PART, "attempt", "left-process", &scene.id, "plant"]).first() {
                Some(pid) => Said::reached(format_args!("process {pid}")),
                None => Said::refused("no such process"),
            }
        })
        .after(|_| daemon(|| {})),
        Attempt::new("left-listener", "process namespace", "leave a daemon that listens", |scene| {
            UnixStream::connect_addr(&SocketAddr::from_abstract_name(&scene.id)?)?;
            Said::reached("it answers")
        })
        .after(|scene| {
            let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&scene.id)?)?;
            daemon(move || std::mem::forget(listener))
        }),
    ],
};

const OWN: &str = "mount namespace";
const OVERLAY: &str = "code by overlay";
const INPUTS: &str = "inputs by overlay";

fn tmp(scene: &Scene) -> PathBuf {
    scene.place.tmp.join("left")
}

fn var_tmp(scene: &Scene) -> PathBuf {
    scene.place.var_tmp.join("left")
}

fn shm(scene: &Scene) -> PathBuf {
    scene.place.shm.join("left")
}

fn profile(scene: &Scene) -> PathBuf {
    scene.place.home.join(".profile")
}

fn autostart(scene: &Scene) -> PathBuf {
    scene.place.home.join(".config/autostart/left.desktop")
}

fn cache(scene: &Scene) -> PathBuf {
    scene.place.home.join(".cache/huggingface/hub/model.bin")
}

fn result(scene: &Scene) -> PathBuf {
    scene.place.out.join("left")
}

fn code(scene: &Scene) -> PathBuf {
    scene.place.work.join("train.py")
}

fn bytecode(scene: &Scene) -> PathBuf {
    scene.place.work.join("__pycache__/train.cpython-311.pyc")
}

fn input(scene: &Scene) -> PathBuf {
    scene.place.data.join("train.csv")
}

fn plant(scene: &Scene, path: PathBuf) -> io::Result<Said> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, &scene.id)?;
    Said::tried("left it")
}

fn find(scene: &Scene, path: PathBuf) -> io::Result<Said> {
    if fs::read(path)? == scene.id.as_bytes() {
        Said::reached("it is there")
    } else {
        Said::refused("not the same")
    }
}

fn mark(scene: &Scene) -> [u8; 16] {
    let mut mark = [b'-'; 16];
    for (to, from) in mark.iter_mut().zip(scene.id.bytes()) {
        *to = from;
    }
    mark
}

/// A key that differs from attempt to attempt.
fn key(scene: &Scene) -> i32 {
    scene
        .id
        .bytes()
        .fold(1, |key: i32, byte| (key.wrapping_mul(31).wrapping_add(i32::from(byte)) & 0x3fff_ffff) | 1)
}

/// Leaves a process that belongs to nobody: two forks and a session of its own.
fn daemon(keep: impl FnOnce()) -> io::Result<Said> {
    if process::fork()?.is_none() {
        rustix::process::setsid()?;
        if process::fork()?.is_none() {
            keep();
            loop {
                std::thread::park();
            }
        }
        process::end();
    }
    Said::tried("left a daemon")
}
