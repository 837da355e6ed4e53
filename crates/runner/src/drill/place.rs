//! The place of a drill: a state directory of its own, decoys, and victims.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use aseptic_drill::{Decoys, Ground, Host, Marks, PART, Place as RunPlace, SCENE, SECRET, Scene, Target};
use aseptic_drill::{canary, children_with, processes_with, ready};
use rustix::fs::FlockOperation;
use rustix::process::{Pid, Signal};

use super::{DrillError, directory};
use crate::home::{make_private, remove};

/// Directory with everything of one drill. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
    program: PathBuf,
    /// What the host holds and no run may learn.
    pub(super) canary: String,
    /// Held as long as the directory is in use.
    _lock: File,
}

/// Victims and what everything was like before. Dropped, the victims are gone.
#[derive(Debug)]
pub(super) struct Stand {
    /// Another run.
    run: Child,
    /// A process outside of all runs.
    host: Child,
    targets: Vec<Target>,
    pub(super) marks: Marks,
    /// Objects of the store that were looked at.
    pub(super) objects: BTreeSet<PathBuf>,
    /// The one that no run was given.
    object: PathBuf,
    /// The canaries of both victims.
    pub(super) canaries: Vec<String>,
    /// Left open for the runs, as a careless caller would.
    _inherited: File,
}

impl Stand {
    /// A grant with the ports of the victim on the host.
    pub(super) fn with_ports(&self, grant: &str) -> String {
        self.targets.last().map_or_else(|| grant.to_owned(), |host| with_ports(grant, host))
    }
}

fn with_ports(grant: &str, host: &Target) -> String {
    // Without IPv6 there is no such port; what is granted then is of no use.
    let tcp6 = if host.tcp6 == 0 { host.tcp } else { host.tcp6 };
    let ports = [("{tcp}", host.tcp), ("{tcp6}", tcp6), ("{udp}", host.udp), ("{service}", host.service)];
    ports.iter().fold(grant.to_owned(), |grant, (name, port)| grant.replace(name, &port.to_string()))
}

/// What the victim in a run is granted: the host by its name and its address, a secret of it, and a name.
const GRANTS_OF_ANOTHER: [&str; 4] =
    ["localhost:{service}", "127.0.0.1:{service}", "127.0.0.1:{tcp}", "other.invalid:{service}"];

/// In the command line of a gateway.
const GATEWAY: &str = crate::egress::GATEWAY_PART;

/// Name of the copy of the program in the code tree.
const COPY: &str = "./aseptic";

impl Place {
    /// Makes the place below the state directory `home`, without what killed drills have left there.
    pub(super) fn make(home: &Path, program: &Path) -> Result<Self, DrillError> {
        let all = directory(home);
        make_private(&all)?;
        for entry in fs::read_dir(&all).map_err(DrillError::at("look for earlier drills"))?.flatten() {
            let lock = File::open(entry.path().join("lock"));
            let free = lock
                .is_ok_and(|lock| rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok());
            if free {
                remove(&entry.path())?;
            }
        }
        let dir = all.join(std::process::id().to_string());
        make_private(&dir)?;
        let failed = || DrillError::at(format!("make `{}`", dir.display()));
        let lock = File::create(dir.join("lock")).map_err(failed())?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| failed()(error.into()))?;
        let canary = canary().map_err(failed())?;
        let place = Self { dir: dir.clone(), program: program.to_owned(), canary, _lock: lock };
        place.fill().map_err(failed())?;
        place.datasets()?;
        Ok(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn fill(&self) -> io::Result<()> {
        let decoys = Decoys { canary: &self.canary };
        decoys.home(&self.path("user"))?;
        decoys.tree(&self.path("tree"))?;
        decoys.dataset(&self.path("shared"))?;
        fs::create_dir_all(self.path("private"))?;
        fs::write(self.path("private/secret"), &self.canary)?;
        fs::create_dir_all(self.path("twins"))?;
        let copy = self.path("tree").join(COPY);
        fs::copy(&self.program, &copy)?;
        fs::set_permissions(copy, fs::Permissions::from_mode(0o755))
    }

    fn datasets(&self) -> Result<(), DrillError> {
        for name in ["shared", "private"] {
            let output = self
                .aseptic()
                .arg("--home")
                .arg(self.path("state"))
                .args(["--project", "drill", "dataset", "add"])
                .arg(self.path(name))
                .args(["--name", name])
                .output()
                .map_err(DrillError::at("start aseptic"))?;
            if !output.status.success() {
                let why = String::from_utf8_lossy(&output.stderr).into_owned();
                return Err(DrillError::at("import a dataset")(io::Error::other(why)));
            }
        }
        Ok(())
    }

    /// Removes what a breach has done: everything is made anew but the lock, and the places of twins, which
    /// no run knows and which are in use.
    pub(super) fn restore(&self) -> Result<(), DrillError> {
        for name in ["user", "tree", "shared", "private", "state"] {
            if self.path(name).exists() {
                remove(&self.path(name))?;
            }
        }
        self.fill().map_err(DrillError::at("restore the place of the drill"))?;
        self.datasets()
    }

    /// The command of aseptic, with a home and credentials of nobody.
    pub(super) fn aseptic(&self) -> Command {
        let mut command = Command::new(&self.program);
        // The root has no spec that could be found from there.
        command.env_clear().current_dir("/").stdin(Stdio::null());
        command.env("HOME", self.path("user")).env("AWS_SECRET_ACCESS_KEY", &self.canary);
        command
    }

    /// The same, for a program and its arguments that end with this process, however it ends.
    pub(super) fn bound(&self) -> Command {
        let mut command = self.aseptic();
        command.args([PART, "bound"]);
        command
    }

    /// Arguments that start a run in this place.
    pub(super) fn run_arguments(&self) -> Vec<String> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let words = ["--home", &text(self.path("state")), "--project", "drill", "run"].map(str::to_owned);
        let more = ["--code", &text(self.path("tree")), "--data", "shared=shared"].map(str::to_owned);
        // A wall that this host cannot make is no reason not to try the others; the report names it.
        let accepted = accepted().into_iter().flat_map(|wall| ["--accept".to_owned(), wall]);
        words.into_iter().chain(more).chain(accepted).collect()
    }

    /// The program that drills.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// A directory for one twin.
    pub(super) fn twin(&self, name: &str) -> io::Result<PathBuf> {
        let dir = self.path("twins").join(name);
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Starts the victims and looks at everything.
    pub(super) fn stand(&self) -> Result<Stand, DrillError> {
        let unique = std::process::id();
        let object = self.private_object().map_err(DrillError::at("find an object of the store"))?;
        let scene = self.scene("victim", &object, Vec::new());
        let failed = |what: &'static str| DrillError::at(what);
        let secret = canary().map_err(failed("make a secret"))?;
        let (host, host_target) =
            self.host(&scene, &format!("aseptic-drill-host-{unique}")).map_err(failed("start a victim"))?;
        let mut host = Ended(Some(host));
        let name = format!("aseptic-drill-run-{unique}");
        let (run, run_target) =
            self.victim(&host_target, &object, &name, &secret).map_err(failed("start a victim in a run"))?;
        let run = Ended(Some(run));
        let inherited = File::open(self.path("user/notes.txt")).map_err(failed("open a decoy"))?;
        rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty())
            .map_err(|error| failed("open a decoy")(error.into()))?;
        let objects = self.objects();
        let mut pids = processes_with(&[PART, "victim", "run", &name]);
        pids.push(host_target.pid);
        pids.extend(Some(run_target.gateway).filter(|pid| *pid > 0));
        let small: Vec<PathBuf> = objects.iter().cloned().collect();
        let log = [self.path("state/ledger/log")];
        let trees = [self.path("user"), self.path("tree")];
        let marks = Marks::take(&[&trees[0], &trees[1]], &small, &log, &pids)
            .map_err(failed("look at the decoys"))?;
        let (Some(run), Some(host)) = (run.keep(), host.0.take()) else {
            return Err(DrillError::Interrupted);
        };
        Ok(Stand {
            run,
            host,
            targets: vec![run_target, host_target],
            marks,
            objects,
            object,
            canaries: vec![secret, self.canary.clone()],
            _inherited: inherited,
        })
    }

    /// The object with the contents of the dataset that no run gets.
    fn private_object(&self) -> io::Result<PathBuf> {
        let holds = |path: &PathBuf| {
            let small = fs::metadata(path).is_ok_and(|metadata| metadata.len() == self.canary.len() as u64);
            small && fs::read(path).is_ok_and(|bytes| bytes == self.canary.as_bytes())
        };
        self.objects().into_iter().find(holds).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// What an attempt is told.
    fn scene(&self, id: &str, object: &Path, targets: Vec<Target>) -> Scene {
        Scene {
            id: id.to_owned(),
            ground: Ground::Sealed,
            place: RunPlace::of_a_run(),
            host: Host {
                home: self.path("user"),
                tree: self.path("tree"),
                state: self.path("state"),
                object: object.to_owned(),
            },
            targets,
        }
    }

    /// The scene of an attempt with these victims beside it.
    pub(super) fn scene_of(&self, id: &str, stand: &Stand) -> Scene {
        self.scene(id, &stand.object, stand.targets.clone())
    }

    /// Every object of the drill's own store.
    pub(super) fn objects(&self) -> BTreeSet<PathBuf> {
        let objects = self.path("state/projects/drill/store/objects");
        let directories = fs::read_dir(objects).into_iter().flatten().flatten();
        let files = directories.filter_map(|directory| fs::read_dir(directory.path()).ok());
        files.flatten().flatten().map(|file| file.path()).collect()
    }

    fn host(&self, scene: &Scene, name: &str) -> io::Result<(Child, Target)> {
        let mut scene = scene.clone();
        scene.place.home.clone_from(&scene.host.home);
        let mut child = Command::new(&self.program)
            .args([PART, "victim", "host", name, "0", &format!("mark={}", self.canary)])
            .env_clear()
            .env(SCENE, serde_json::to_string(&scene)?)
            .env(SECRET, &self.canary)
            .current_dir("/")
            .stdin(Stdio::piped()) // Its end is the victim's.
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let target = ready(&mut BufReader::new(output))?;
        Ok((child, target))
    }

    /// A run that is granted what `host` serves, where this machine can give a run a network.
    fn victim(&self, host: &Target, object: &Path, name: &str, secret: &str) -> io::Result<(Child, Target)> {
        let mut words = self.run_arguments();
        let has_network = aseptic_sandbox::network_support().is_ok();
        let scene = self.scene("victim", object, if has_network { vec![host.clone()] } else { Vec::new() });
        for grant in GRANTS_OF_ANOTHER.iter().filter(|_| has_network) {
            words.extend(["--network".to_owned(), with_ports(grant, host)]);
        }
        words.extend(["--limit", "wall=10m", "--limit", "grace=1s"].map(str::to_owned));
        words.extend(["--env".to_owned(), format!("{SCENE}={}", serde_json::to_string(&scene)?)]);
        words.extend(["--env".to_owned(), format!("{SECRET}={secret}")]);
        let key = (std::process::id() | 0x4000_0000).to_string();
        words.extend(
            ["--", COPY, PART, "victim", "run", name, &key, &format!("mark={secret}")].map(str::to_owned),
        );
        let mut child = self.bound();
        let mut child =
            child.arg(&self.program).args(words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut target = ready(&mut BufReader::new(output))?;
        let supervisor = i32::try_from(child.id()).map_err(io::Error::other)?;
        target.gateway = children_with(supervisor, &[GATEWAY]).first().copied().unwrap_or(0);
        Ok((child, target))
    }

    /// Proves that the ledger of the drill's own runs is as it was written.
    pub(super) fn verify_ledger(&self) -> Result<(), DrillError> {
        aseptic_ledger::verify(&self.path("state/ledger"), None)
            .map(drop)
            .map_err(|error| DrillError::at("verify the ledger of the drill")(io::Error::other(error)))
    }
}

/// Walls that this host cannot make.
pub(super) fn accepted() -> Vec<String> {
    aseptic_sandbox::missing_walls().into_iter().map(|(wall, _)| wall.to_owned()).collect()
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = remove(&self.dir); // Else the next drill does it.
        if let Some(all) = self.dir.parent() {
            let _ = fs::remove_dir(all); // Another drill may be at work in it.
        }
    }
}

/// A child that ends with this value.
struct Ended(Option<Child>);

impl Ended {
    fn keep(mut self) -> Option<Child> {
        self.0.take()
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

/// Ends a child in good order: a run seals itself, the victim outside of runs removes what it made.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, Signal::TERM); // It may have ended by itself.
    }
    let _ = child.wait();
}

impl Drop for Stand {
    fn drop(&mut self) {
        end(&mut self.run);
        drop(self.host.stdin.take());
        let _ = self.host.wait();
    }
}
