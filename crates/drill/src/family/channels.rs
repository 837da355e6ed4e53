//! Data of another run, by everything that two processes of one machine could share.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv6Addr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify;

use super::{ANSWER_WITHIN, first, greeting, secret, tail};
use crate::attempt::{Attempt, Family};
use crate::decoy::BITS;
use crate::sys::{ipc, process};
use crate::{Said, Scene};

pub(super) const FAMILY: Family = Family {
    name: "channels",
    about: "data of other runs: locks, file events, IPC, sockets, keys, shared files",
    attempts: &[
        Attempt::new("file-lock", OVERLAY, "see which files of a shared input are locked", file_lock)
            .canary(),
        Attempt::new("record-lock", OVERLAY, "ask who locks a range of a shared input", record_lock).canary(),
        Attempt::new("file-events", OVERLAY, "watch which files of a shared input are opened", events)
            .canary(),
        Attempt::new("access-times", OVERLAY, "see which files of a shared input were read", times).canary(),
        Attempt::new("sysv-shared-memory", IPC, "attach to shared memory by its key", |scene| {
            scene.ask(|target| Said::reached(tail(&ipc::shm_get(target.key)?)))
        })
        .canary(),
        Attempt::new("sysv-semaphores", IPC, "read semaphores by their key", |scene| {
            scene.ask(|target| Said::reached(tail(&ipc::sem_get(target.key)?)))
        })
        .canary(),
        Attempt::new("sysv-messages", IPC, "take a message by the key of its queue", |scene| {
            scene.ask(|target| Said::reached(tail(&ipc::msg_get(target.key)?)))
        })
        .canary(),
        Attempt::new("posix-messages", IPC, "take a message by the name of its queue", |scene| {
            scene.ask(|target| Said::reached(tail(&ipc::mq_get(&target.name)?)))
        })
        .canary(),
        Attempt::new("posix-shared-memory", MOUNT, "open shared memory by its name", |scene| {
            scene.ask(|target| secret(&scene.place.shm.join(&target.name)))
        })
        .canary(),
        Attempt::new("abstract-socket", NETWORK, "connect to a Unix socket without a file", |scene| {
            scene.ask(|target| abstract_socket(&target.name))
        })
        .canary(),
        Attempt::new("path-socket", MOUNT, "connect to a Unix socket by its file", |scene| {
            scene.ask(|target| path_socket(&target.socket))
        })
        .canary(),
        Attempt::new("key-by-number", FILTER, "read a kernel key by its number", |scene| {
            scene.ask(|target| Said::reached(tail(&ipc::key_read(target.keyring)?)))
        })
        .canary(),
        Attempt::new("key-by-name", FILTER, "find a kernel key of the same user by its name", |scene| {
            scene.ask(|target| Said::reached(tail(&ipc::key_read(ipc::key_find(&target.name)?)?)))
        })
        .canary(),
        Attempt::new("temporary-file", MOUNT, "read a file in /tmp", |scene| {
            scene.ask(|target| secret(&scene.place.tmp.join(&target.name)))
        })
        .canary(),
        Attempt::new("lasting-temporary-file", MOUNT, "read a file in /var/tmp", |scene| {
            scene.ask(|target| secret(&scene.place.var_tmp.join(&target.name)))
        })
        .canary(),
        Attempt::new("cache", MOUNT, "read a file in the cache below the home directory", |scene| {
            scene.ask(|target| secret(&scene.place.home.join(".cache/huggingface").join(&target.name)))
        })
        .canary(),
        Attempt::new("loopback-tcp", NETWORK, "connect to a port of 127.0.0.1", |scene| {
            scene.ask(|target| greeting(TcpStream::connect(("127.0.0.1", target.tcp))?))
        })
        .canary(),
        Attempt::new("loopback-tcp6", NETWORK, "connect to a port of ::1", |scene| {
            scene.ask(|target| greeting(TcpStream::connect((Ipv6Addr::LOCALHOST, target.tcp6))?))
        })
        .canary(),
        Attempt::new("loopback-udp", NETWORK, "send a datagram to a port of 127.0.0.1", |scene| {
            scene.ask(|target| datagram(target.udp))
        })
        .canary(),
    ],
};

const OVERLAY: &str = "inputs by overlay";
const IPC: &str = "ipc namespace";
const MOUNT: &str = "mount namespace";
const NETWORK: &str = "network namespace";
const FILTER: &str = "system call filter";

/// Bits as the canary that they spell; all equal, they spell none.
fn spelled(bits: u32) -> io::Result<Said> {
    match bits {
        0 | u32::MAX => Said::refused("nothing to see"),
        bits => Said::reached(format_args!("{bits:08x}")),
    }
}

fn file_lock(scene: &Scene) -> io::Result<Said> {
    let mut bits = 0;
    for bit in 0..BITS {
        let file = File::open(scene.place.data.join(format!("lock/{bit:02}")))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => bits |= 1 << bit,
            Err(error) => return Err(error.into()),
        }
    }
    spelled(bits)
}

fn record_lock(scene: &Scene) -> io::Result<Said> {
    let file = File::open(scene.place.data.join("range"))?;
    match process::locked_range(&file)? {
        None => Said::refused("nothing to see"),
        Some(length) => spelled(u32::try_from(length).unwrap_or(0)),
    }
}

fn times(scene: &Scene) -> io::Result<Said> {
    let mut bits = 0;
    for bit in 0..BITS {
        let metadata = fs::metadata(scene.place.data.join(format!("time/{bit:02}")))?;
        let time = |seconds, nanoseconds| (seconds, nanoseconds);
        let read = time(metadata.atime(), metadata.atime_nsec());
        bits |= u32::from(read > time(metadata.mtime(), metadata.mtime_nsec())) << bit;
    }
    spelled(bits)
}

fn events(scene: &Scene) -> io::Result<Said> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    // Both, because equal events one after another are one.
    let kinds = inotify::WatchFlags::OPEN | inotify::WatchFlags::CLOSE_NOWRITE;
    inotify::add_watch(&watch, scene.place.data.join("open"), kinds)?;
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut seen = Vec::new();
    let start = Instant::now();
    while start.elapsed() < ANSWER_WITHIN {
        let mut poll = [PollFd::new(&watch, PollFlags::IN)];
        rustix::event::poll(&mut poll, Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 }))?;
        let mut reader = inotify::Reader::new(&watch, &mut buffer);
        while let Ok(event) = reader.next() {
            if let (true, Some(name)) = (event.events().contains(inotify::ReadFlags::OPEN), event.file_name())
            {
                seen.push(name.to_string_lossy().into_owned());
            }
        }
        let mut words = seen.split(|name| name == "start").skip(1);
        if let Some(word) = words.find(|word| word.len() == 16) {
            return Said::reached(word.concat());
        }
    }
    Said::refused("nothing to see")
}

pub(super) fn abstract_socket(name: &str) -> io::Result<Said> {
    greeting(UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?)
}

pub(super) fn path_socket(path: &Path) -> io::Result<Said> {
    // A path longer than an address may be is reached by way of its directory.
    let directory = File::open(path.parent().unwrap_or(Path::new("/")))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    greeting(UnixStream::connect(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))?)
}

pub(super) fn datagram(port: u16) -> io::Result<Said> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(ANSWER_WITHIN))?;
    socket.connect(("127.0.0.1", port))?;
    first([b'?'], |byte| {
        socket.send(&[byte])?;
        let mut bytes = [0; 16];
        let length = socket.recv(&mut bytes)?;
        Said::reached(tail(&bytes[..length]))
    })
}
