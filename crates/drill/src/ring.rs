//! The place of a twin: namespaces of its own with everything in them that an attempt goes for, and no
//! walls between.
//!
//! Made without root, and gone with its first process, whatever the twin did in there.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::Signal;

use crate::attempt::{Attempt, Stage};
use crate::decoy::Decoys;
use crate::marks::{Marks, processes_with, search};
use crate::outside;
use crate::scene::{Ground, Host, Place, READY, SCENE, SECRET, Scene, Target};
use crate::sys::{net, process};
use crate::terminal::typed;
use crate::verdict::Observed;

/// Name of this program's part, in the command lines of its processes.
pub const PART: &str = "drill-part";

/// Environment variable with a credential, which a run must not get.
const CREDENTIAL: &str = "AWS_SECRET_ACCESS_KEY";

/// Enters the namespaces and starts the first process in them.
pub(crate) fn enter(name: &str, id: &str, directory: &Path) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    process::unshare(
        libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS,
    )?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1\n"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1\n"))?;
    // The canary comes from here, so that the first process has it in its environment.
    let mut first = Command::new(std::env::current_exe()?);
    first.args([PART, "ring", name, id]).arg(directory).env(CREDENTIAL, canary()?);
    first.status().map(drop)
}

/// Sixteen random digits, as text.
///
/// # Errors
/// There is no `/dev/urandom`.
pub fn canary() -> io::Result<String> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The first process of the place: makes it, lets the twin try, and looks what came of it.
pub(crate) fn live(attempt: &Attempt, id: &str, directory: &Path) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let observed = match observe(attempt, id, directory) {
        Ok(observed) => observed,
        Err(error) => Observed {
            silence: Some(format!("a place without walls could not be made: {error}")),
            ..Observed::default()
        },
    };
    writeln!(io::stdout(), "{}", serde_json::to_string(&observed)?)
}

fn observe(attempt: &Attempt, id: &str, directory: &Path) -> io::Result<Observed> {
    let canary = std::env::var(CREDENTIAL).map_err(io::Error::other)?;
    let mut scene = make(id, directory, &canary)?;
    let (victim, target) = victim(&scene, &canary)?;
    scene.targets = vec![target];
    let pid = i32::try_from(victim.id()).map_err(io::Error::other)?;
    let trees = [&*scene.host.home, &scene.host.state, &scene.place.data, &scene.host.tree];
    let marks = Marks::take(&trees, &[], &[], &[pid])?;
    // As a careless program would leave it to those that it starts.
    let inherited = File::open(scene.host.home.join("notes.txt"))?;
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty())?;
    let listener = TcpListener::bind(outside::at(outside::JOB, 0))?;
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty())?;
    if attempt.plants() {
        tell(attempt, &scene, &canary, "plant")?;
    }
    let output = tell(attempt, &scene, &canary, "act")?;
    let mut changed = if attempt.plants() { None } else { marks.changed() };
    let alive = processes_with(&[PART, "attempt", attempt.name, id]);
    if let Some(pid) = alive.first() {
        changed = Some(format!("process {pid} outlived it"));
    }
    if let Some(bytes @ 1..) = typed(&output) {
        changed = Some(format!("{bytes} bytes were typed on the terminal"));
    }
    if changed.is_none() {
        changed = careless_copy(&scene.place.out, &canary);
    }
    let said = crate::said::last(&output);
    let silence = said.is_none().then(|| "it said nothing".to_owned());
    Ok(Observed { said, changed, silence, canaries: vec![canary] })
}

/// The results as a program without this in mind would take them: through every link.
fn careless_copy(out: &Path, canary: &str) -> Option<String> {
    let files = search(out);
    let taken = files.iter().find(|path| {
        let taken = path.is_file().then(|| fs::read_to_string(path).ok()).flatten();
        taken.is_some_and(|text| text.contains(canary))
    });
    taken.map(|path| format!("the secret is in the results by `{}`", path.display()))
}

/// Lets the twin do one of its two parts.
fn tell(attempt: &Attempt, scene: &Scene, canary: &str, part: &str) -> io::Result<String> {
    let program = std::env::current_exe()?;
    let mut words = vec![program.clone().into_os_string()];
    if attempt.stage == Stage::Terminal {
        words.extend([PART, "terminal"].map(Into::into));
        words.push(program.into());
    }
    words.extend([PART, "attempt", attempt.name, &scene.id, part].map(Into::into));
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .env_clear()
        .env(SCENE, serde_json::to_string(scene)?)
        .env(CREDENTIAL, canary)
        .current_dir(&scene.place.work)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    // Not until its output ends: a process that it left behind may hold that open.
    let mut output = String::new();
    let mut stdout = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
    while stdout.read_line(&mut output)? > 0 {
        let line = output.lines().last().unwrap_or("");
        let over = match attempt.stage {
            Stage::Terminal => line.starts_with(crate::terminal::TYPED),
            Stage::Beside | Stage::After => line.parse::<crate::Said>().is_ok(),
        };
        if over {
            break;
        }
    }
    child.wait()?;
    Ok(output)
}

/// Everything that an attempt goes for, in memory, on `directory`.
fn make(id: &str, directory: &Path, canary: &str) -> io::Result<Scene> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("proc", "/proc", "proc", flags, None)?;
    rustix::mount::mount("tmpfs", directory, "tmpfs", MountFlags::empty(), None)?;
    net::loopback_up()?;
    outside::add_addresses()?;
    // Where there is none of these, its attempts prove nothing.
    let _ = fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0");
    for setting in ["accept_source_route", "accept_local"] {
        for interface in ["all", "lo"] {
            let _ = fs::write(format!("/proc/sys/net/ipv4/conf/{interface}/{setting}"), "1");
        }
    }
    let at = |name: &str| directory.join(name);
    let tree = at("tree");
    let scene = Scene {
        id: id.to_owned(),
        ground: Ground::Open,
        place: Place {
            data: at("data"),
            out: at("out"),
            work: tree.clone(),
            home: at("user"),
            tmp: at("tmp"),
            var_tmp: at("var-tmp"),
            shm: at("shm"),
        },
        host: Host { home: at("user"), tree, state: at("state"), object: at("state/object") },
        targets: Vec::new(),
    };
    let decoys = Decoys { canary };
    decoys.home(&scene.host.home)?;
    decoys.tree(&scene.host.tree)?;
    decoys.dataset(&scene.place.data)?;
    decoys.state(&scene.host.state)?;
    for place in [&scene.place.out, &scene.place.tmp, &scene.place.var_tmp, &scene.place.shm] {
        fs::create_dir(place)?;
    }
    Ok(scene)
}

fn victim(scene: &Scene, canary: &str) -> io::Result<(Child, Target)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([PART, "victim", "ring", "aseptic-drill-twin", "17", &format!("mark={canary}")])
        .env_clear()
        .env(SCENE, serde_json::to_string(scene)?)
        .env(SECRET, canary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    match ready(&mut BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?)) {
        Ok(target) => Ok((child, target)),
        Err(error) => {
            let mut why = String::new();
            child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?.read_to_string(&mut why)?;
            Err(io::Error::other(format!("{error}: {}", why.trim())))
        }
    }
}

/// Waits until a victim says that it is ready.
///
/// # Errors
/// It ended before, or says something else.
pub fn ready(output: &mut impl BufRead) -> io::Result<Target> {
    let mut line = String::new();
    while output.read_line(&mut line)? > 0 {
        if let Some(target) = line.strip_prefix(READY) {
            return serde_json::from_str(target).map_err(io::Error::other);
        }
        line.clear();
    }
    Err(io::Error::other("the victim ended before it was ready"))
}
