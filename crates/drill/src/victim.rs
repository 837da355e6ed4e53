//! A victim: a process that holds a canary in every way in which runs could meet.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::thread;
use std::time::Duration;

use crate::decoy::BITS;
use crate::outside::{self, greet_udp};
use crate::scene::{READY, Scene, Target};
use crate::service::{self, Care};
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

/// Name of the socket in the directory of a run on which it is asked to give a grant back.
pub(crate) const REVOCATIONS: &str = "desk";

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
    let (any, any_6) = any_address(role);
    let tcp = TcpListener::bind(any)?;
    target.tcp = tcp.local_addr()?.port();
    greet_tcp(tcp, canary);
    if let Ok(tcp) = TcpListener::bind(any_6) {
        target.tcp6 = tcp.local_addr()?.port();
        greet_tcp(tcp, canary);
    }
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    target.udp = udp.local_addr()?.port();
    greet_udp(udp, canary);
    target.socket = match role {
        Role::Host => scene.host.home.join(SOCKET),
        Role::Run | Role::Ring => scene.place.tmp.join(SOCKET),
    };
    // A path longer than an address may be is reached by way of its directory.
    let directory = File::open(target.socket.parent().unwrap_or(std::path::Path::new("/")))?;
    greet_unix(UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))?, canary);
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&target.name)?;
    greet_unix(UnixListener::bind_addr(&address)?, canary);
    network(role, scene, target, canary)
}

/// Where a victim listens. In the ring, the addresses that stand for names are this machine, too.
fn any_address(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Ring => ("0.0.0.0:0", "[::]:0"),
        Role::Run | Role::Host => ("127.0.0.1:0", "[::1]:0"),
    }
}

/// Serves as a host of the Internet does, or is another run that is granted what that serves.
fn network(role: Role, scene: &Scene, target: &mut Target, canary: &'static [u8; 16]) -> io::Result<()> {
    if role == Role::Run {
        // What is granted to a run depends on what this machine can do.
        return scene.targets.first().map_or(Ok(()), |host| service::be_the_other(host.service));
    }
    let listener = TcpListener::bind(any_address(role).0)?;
    target.service = listener.local_addr()?.port();
    if role == Role::Host {
        service::serve(listener, Care::Each, canary);
        return Ok(());
    }
    service::serve(listener, Care::OneAfterAnother, canary);
    outside::play(canary)?;
    target.gateway = target.pid;
    revocations(scene)?;
    service::be_the_other(target.service)
}

/// Where a run is asked to give a grant back.
fn revocations(scene: &Scene) -> io::Result<()> {
    let directory = scene.host.state.join("runs/drill/other");
    fs::create_dir_all(&directory)?;
    let directory = File::open(directory)?;
    let socket = UnixDatagram::bind(format!("/proc/self/fd/{}/{REVOCATIONS}", directory.as_raw_fd()))?;
    std::mem::forget(socket); // Held until this process ends.
    Ok(())
}

pub(crate) fn greet_tcp(listener: TcpListener, canary: &'static [u8; 16]) {
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
