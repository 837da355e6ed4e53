//! A victim: a process that holds a canary in every way in which runs could meet.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use crate::decoy::BITS;
use crate::scene::{READY, Scene, Target};
use crate::sys::{ipc, process};

/// Which victim this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Another run.
    Run,
    /// A process outside of all runs: holds nothing that would outlive it.
    Host,
    /// Both at once, in the twin's place, where it also plays the outside world.
    Ring,
}

/// Addresses of the outside world, which the twin's network has on its loopback interface.
pub(crate) const OUTSIDE: [&str; 8] = [
    "169.254.169.254", // Metadata of most clouds.
    "169.254.170.2",   // Credentials of container tasks.
    "100.100.100.200", // Metadata of one more cloud.
    "198.51.100.1",    // Addresses that documents use, for any host of the Internet.
    "10.1.2.3",
    "192.168.1.1",
    "fd00:ec2::254",
    "2001:db8::1",
];

/// The port on which the outside world listens.
pub(crate) const OUTSIDE_PORT: u16 = 80;

/// Name of a victim's socket file.
const SOCKET: &str = "agent.sock";

const EVERY: Duration = Duration::from_millis(3);

/// Holds `canary` until this process is ended, or, on the host, until its standard input ends.
pub(crate) fn live(role: Role, scene: &Scene, name: &str, key: i32, canary: [u8; 16]) -> io::Result<()> {
    let mut target = Target {
        name: name.to_owned(),
        key,
        pid: rustix::process::getpid().as_raw_nonzero().get(),
        ..Target::default()
    };
    let held: &'static [u8; 16] = Box::leak(Box::new(canary));
    target.address = u64::try_from(held.as_ptr().addr()).map_err(io::Error::other)?;
    let memory = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?;
    target.descriptor = memory.as_raw_fd();
    File::from(memory.try_clone()?).write_all(held)?;
    // Some kernels have no keys, and sealed runs may not use any.
    target.keyring = ipc::key_put(name, held).unwrap_or(0);
    files(role, scene, &mut target, held)?;
    sockets(role, scene, &mut target, held)?;
    if role != Role::Host {
        ipc::shm_put(key, held)?;
        ipc::sem_put(key, held)?;
        ipc::msg_put(key, held)?;
        let _ = ipc::mq_put(name, held); // Some kernels have none; its attempt then proves nothing.
        locks(scene, held)?;
        let open = scene.place.data.join("open");
        thread::spawn(move || open_in_order(&open, held));
    }
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{READY}{}", serde_json::to_string(&target)?)?;
    stdout.flush()?;
    drop(stdout);
    if role == Role::Host {
        io::copy(&mut io::stdin().lock(), &mut io::sink())?;
        clean_up(scene, &target);
        return Ok(());
    }
    loop {
        thread::park();
    }
}

fn files(role: Role, scene: &Scene, target: &mut Target, canary: &[u8; 16]) -> io::Result<()> {
    let place = &scene.place;
    target.file = place.tmp.join(&target.name);
    // Some hosts have no `/dev/shm`; then no run can find anything there.
    for directory in
        [&place.tmp, &place.var_tmp, &place.shm].into_iter().filter(|directory| directory.is_dir())
    {
        fs::write(directory.join(&target.name), canary)?;
    }
    if role != Role::Host {
        let cache = place.home.join(".cache/huggingface");
        fs::create_dir_all(&cache)?;
        fs::write(cache.join(&target.name), canary)?;
    }
    Ok(())
}

fn clean_up(scene: &Scene, target: &Target) {
    let place = &scene.place;
    for directory in [&place.tmp, &place.var_tmp, &place.shm] {
        let _ = fs::remove_file(directory.join(&target.name)); // The caller looks for what is left.
    }
    let _ = fs::remove_file(&target.socket);
    let _ = ipc::key_remove(target.keyring);
}

fn sockets(role: Role, scene: &Scene, target: &mut Target, canary: &'static [u8; 16]) -> io::Result<()> {
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    target.tcp = tcp.local_addr()?.port();
    greet_tcp(tcp, canary);
    if let Ok(tcp) = TcpListener::bind("[::1]:0") {
        target.tcp6 = tcp.local_addr()?.port();
        greet_tcp(tcp, canary);
    }
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    target.udp = udp.local_addr()?.port();
    thread::spawn(move || {
        let mut byte = [0];
        while let Ok((_, from)) = udp.recv_from(&mut byte) {
            let _ = udp.send_to(canary, from); // Whoever is gone gets none.
        }
    });
    target.socket = match role {
        Role::Host => scene.host.home.join(SOCKET),
        Role::Run | Role::Ring => scene.place.tmp.join(SOCKET),
    };
    // A path longer than an address may be is reached by way of its directory.
    let directory = File::open(target.socket.parent().unwrap_or(std::path::Path::new("/")))?;
    greet_unix(UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))?, canary);
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&target.name)?;
    greet_unix(UnixListener::bind_addr(&address)?, canary);
    if role == Role::Ring {
        for address in OUTSIDE {
            let address: IpAddr = address.parse().map_err(io::Error::other)?;
            // A kernel without IPv6 has no such address; its attempts then prove nothing.
            if let Ok(tcp) = TcpListener::bind(SocketAddr::new(address, OUTSIDE_PORT)) {
                greet_tcp(tcp, canary);
            }
        }
    }
    Ok(())
}

fn greet_tcp(listener: TcpListener, canary: &'static [u8; 16]) {
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.write_all(canary); // Whoever is gone gets none.
        }
    });
}

fn greet_unix(listener: UnixListener, canary: &'static [u8; 16]) {
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.write_all(canary);
        }
    });
}

/// Locks the files whose number is a set bit of the canary, a range as long as the canary, and reads the
/// files of set bits, so that their times tell.
fn locks(scene: &Scene, canary: &[u8; 16]) -> io::Result<()> {
    let data = &scene.place.data;
    let bits = bits(canary)?;
    for bit in (0..BITS).filter(|bit| bits >> bit & 1 == 1) {
        let file = File::open(data.join(format!("lock/{bit:02}")))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        std::mem::forget(file); // Held until this process ends.
        File::open(data.join(format!("time/{bit:02}")))?.read_exact(&mut [0])?;
    }
    let file = File::open(data.join("range"))?;
    process::lock_range(&file, i64::from(bits))?;
    std::mem::forget(file);
    Ok(())
}

/// The first eight digits of a canary as a number.
pub(crate) fn bits(canary: &[u8; 16]) -> io::Result<u32> {
    let digits = std::str::from_utf8(&canary[..8]).map_err(io::Error::other)?;
    u32::from_str_radix(digits, 16).map_err(io::Error::other)
}

/// Spells the canary by opening files, over and over.
fn open_in_order(directory: &std::path::Path, canary: &[u8; 16]) {
    loop {
        for name in
            std::iter::once("start".to_owned()).chain(canary.iter().map(|c| char::from(*c).to_string()))
        {
            drop(File::open(directory.join(name)));
        }
        thread::sleep(EVERY);
    }
}
