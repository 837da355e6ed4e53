//! One go of an attempt: in a sealed run, or as a twin without walls.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aseptic_drill::{Attempt, Observed, PART, PLACEHOLDER, SCENE, Stage, TERMINAL};
use aseptic_drill::{canary, last, processes_with, typed};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};

use super::DrillError;
use super::place::{Place, Stand};

/// After this, an attempt or a twin is ended. Most take milliseconds.
const LONGEST: Duration = Duration::from_secs(45);

/// Bytes of output that are looked at.
const OUTPUT_MAX: u64 = 64 << 10;

/// The twin of `attempt`, in namespaces of its own.
pub(super) fn twin(place: &Place, attempt: &Attempt, stop: &AtomicBool) -> Result<Observed, DrillError> {
    let failed = || DrillError::at(format!("make the twin of `{}`", attempt.name));
    let id = canary().map_err(failed())?;
    let directory = place.twin(&id).map_err(failed())?;
    let mut command = Command::new(place.program());
    command.args([PART, "twin", attempt.name, &id]).arg(&directory);
    command.env_clear().current_dir("/").stdin(Stdio::null());
    let ended = carry_out(&mut command, stop).map_err(failed())?.ok_or(DrillError::Interrupted)?;
    let _ = fs::remove_dir(&directory); // Nothing was written into it: it was covered.
    let line = ended.stdout.lines().last().unwrap_or("");
    Ok(serde_json::from_str(line).unwrap_or_else(|_| Observed {
        silence: Some(format!("the twin ended without a word: {}", ended.why())),
        ..Observed::default()
    }))
}

/// The attempt itself, in a sealed run beside the victims.
pub(super) fn jailed(
    place: &Place,
    stand: &mut Stand,
    attempt: &Attempt,
    stop: &AtomicBool,
) -> Result<Observed, DrillError> {
    let failed = || DrillError::at(format!("make the attempt `{}`", attempt.name));
    let id = canary().map_err(failed())?;
    let mut ended = None;
    let mut outlived = None;
    for part in ["plant", "act"] {
        if part == "plant" && !attempt.plants() {
            continue;
        }
        let mut command = command(place, stand, attempt, &id, part).map_err(failed())?;
        ended = carry_out(&mut command, stop).map_err(failed())?;
        if ended.is_none() {
            return Err(DrillError::Interrupted);
        }
        let alive = processes_with(&[PART, "attempt", attempt.name, &id]);
        outlived = outlived.or_else(|| alive.first().map(|pid| format!("process {pid} outlived its run")));
    }
    let ended = ended.ok_or(DrillError::Interrupted)?;
    let typed = typed(&ended.stdout).filter(|bytes| *bytes > 0);
    let changed = outlived
        .or_else(|| typed.map(|bytes| format!("{bytes} bytes were typed on the terminal")))
        .or_else(|| stand.marks.changed())
        .or_else(|| leaked(place, stand));
    let said = last(&ended.stdout);
    let silence = said.is_none().then(|| ended.why());
    Ok(Observed { said, changed, silence, canaries: stand.canaries.clone() })
}

fn command(place: &Place, stand: &Stand, attempt: &Attempt, id: &str, part: &str) -> io::Result<Command> {
    let mut words = place.run_arguments();
    let limited = |key: &str| attempt.limits.iter().any(|(name, _)| *name == key);
    for (key, value) in [("wall", "30s"), ("grace", "1s")].iter().filter(|(key, _)| !limited(key)) {
        words.extend(["--limit".to_owned(), format!("{key}={value}")]);
    }
    for (key, value) in attempt.limits {
        words.extend(["--limit".to_owned(), format!("{key}={value}")]);
    }
    for grant in attempt.network {
        words.extend(["--network".to_owned(), stand.with_ports(grant)]);
    }
    for name in attempt.accept {
        words.extend(["--accept".to_owned(), (*name).to_owned()]);
    }
    let scene = serde_json::to_string(&place.scene_of(id, stand))?;
    words.extend(["--env".to_owned(), format!("{SCENE}={scene}")]);
    let mut command = place.bound();
    command.arg(place.program());
    if attempt.stage == Stage::Terminal {
        words.extend(["--env".to_owned(), format!("{TERMINAL}={PLACEHOLDER}")]);
        command.args([PART, "terminal"]).arg(place.program());
    }
    words.extend(["--", "./aseptic", PART, "attempt", attempt.name, id, part].map(str::to_owned));
    command.args(words);
    Ok(command)
}

/// A secret of the host in an object that the store did not have before.
fn leaked(place: &Place, stand: &mut Stand) -> Option<String> {
    let mut new = place.objects().into_iter().filter(|path| stand.objects.insert(path.clone()));
    let holds = |path: &Path| {
        let small = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= OUTPUT_MAX);
        let secret = place.canary.as_bytes();
        small && fs::read(path).is_ok_and(|bytes| bytes.windows(secret.len()).any(|window| window == secret))
    };
    new.find(|path| holds(path)).map(|_| "a secret of the host is among the results".to_owned())
}

/// How a process ended.
struct Finished {
    stdout: String,
    stderr: String,
    status: String,
}

impl Finished {
    /// Why it said nothing, in one line: the summary of its run, or an error.
    fn why(&self) -> String {
        let telling = |line: &&str| {
            line.contains("of aseptic's own)") || line.starts_with("error:") || line.starts_with("denied:")
        };
        let line = self.stderr.lines().find(telling).or(self.stderr.lines().last());
        line.map_or_else(|| self.status.clone(), str::to_owned)
    }
}

/// Runs `command` to its end; nothing when it was stopped from outside.
fn carry_out(command: &mut Command, stop: &AtomicBool) -> io::Result<Option<Finished>> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = read(child.stdout.take());
    let stderr = read(child.stderr.take());
    let over = wait(&mut child, stop);
    if !matches!(over, Ok(true)) {
        let _ = child.kill(); // It may have ended just now.
    }
    let status = child.wait()?;
    let text = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    let (stdout, stderr) = (text(stdout), text(stderr));
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let status = if over? { status.to_string() } else { "it did not end by itself".to_owned() };
    Ok(Some(Finished { stdout, stderr, status }))
}

/// Whether the child ended by itself in time.
fn wait(child: &mut Child, stop: &AtomicBool) -> io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let start = Instant::now();
    let slice = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    while start.elapsed() < LONGEST && !stop.load(Ordering::Relaxed) {
        match rustix::event::poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&slice)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// Reads the first part of a stream, and throws the rest away.
fn read(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What cannot be read any more is not there.
            let _ = (&mut stream).take(OUTPUT_MAX).read_to_end(&mut bytes);
            let _ = io::copy(&mut stream, &mut io::sink());
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
