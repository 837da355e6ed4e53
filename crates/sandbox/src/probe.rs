//! What of a jail works on this host: every mechanism is tried, none is guessed.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use aseptic_model::Clock;

use crate::cause::{self, Facts};
use crate::error::PrepareError;
use crate::gpu::{self, GpuError};
use crate::jail::{Access, Jail, Landlock, Mount, Upper};
use crate::landlock::{self, Support};
use crate::limits::{Enforcement, Strength, enforceable};
use crate::network::{NetworkSupport, network_support};
use crate::run::{NAMESPACES, Streams, prepare};
use crate::sys::{self, Forked};
use crate::tasks;

/// One mechanism of the jail and what became of it on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The mechanism, a short noun phrase.
    pub mechanism: &'static str,
    /// Whether it did what a jail needs.
    pub works: bool,
    /// What was seen, or what stands in the way.
    pub detail: String,
    /// What to do about it, where that is known.
    pub fix: Option<String>,
    /// Whether every jail needs it; the others are for plans that ask for them.
    pub needed: bool,
}

/// Tries every mechanism of a jail on this host, in the order in which a jail needs them.
///
/// Blocks for some ten milliseconds. Makes a directory in `scratch`, which should be where runs keep
/// their files, and removes it again. Starts no program.
#[must_use]
pub fn probe(scratch: &Path) -> Vec<Finding> {
    let facts = Facts::gather(scratch);
    let mut findings = vec![kernel(&facts)];
    for (mechanism, namespaces) in [("user namespaces", libc::CLONE_NEWUSER), ("all namespaces", NAMESPACES)]
    {
        findings.push(match try_namespaces(namespaces) {
            Ok(()) => works(mechanism, "made".to_owned()),
            Err(error) => fails(mechanism, cause::of_namespaces(&error, &facts)),
        });
    }
    let place = Place::make(scratch);
    let data = place.as_ref().map_or_else(|_| PathBuf::from("/"), |place| place.0.join("data"));
    for attempt in attempts(&data, place.as_ref().ok()) {
        findings.push(match (&place, attempt.needs_place) {
            (Err(error), true) => fails(
                attempt.mechanism,
                (
                    format!("not tried: could not make a directory in `{}` ({error})", scratch.display()),
                    Some("choose a directory that you may write to".to_owned()),
                ),
            ),
            _ => attempt.carry_out(&facts),
        });
    }
    findings.push(network(&facts));
    findings.extend(limits());
    findings.push(Finding { needed: false, ..gpus() });
    findings
}

/// A jail that needs one mechanism more than the one before it.
struct Attempt {
    mechanism: &'static str,
    jail: Jail,
    needs_place: bool,
    needed: bool,
    seen: String,
}

impl Attempt {
    fn carry_out(self, facts: &Facts) -> Finding {
        let finding = match null_streams().map(|streams| prepare(&self.jail, streams, &[])) {
            Ok(Ok(prepared)) => {
                drop(prepared);
                works(self.mechanism, self.seen)
            }
            Ok(Err(error)) => fails(self.mechanism, cause::of_step(&error, facts)),
            Err(error) => {
                let error = PrepareError::Source { what: "`/dev/null`".to_owned(), source: error };
                fails(self.mechanism, cause::of_step(&error, facts))
            }
        };
        Finding { needed: self.needed, ..finding }
    }
}

fn attempts(data: &Path, place: Option<&Place>) -> Vec<Attempt> {
    let target = PathBuf::from("/data");
    let overlay = |upper| Mount::Overlay {
        lower: vec![data.to_owned()],
        upper,
        target: target.clone(),
        access: Access::Read,
    };
    let upper = place.map(Place::upper);
    let bare = |mounts| Jail {
        staging: std::env::temp_dir(),
        mounts,
        hostname: "aseptic".to_owned(),
        program: "/".into(),
        working_directory: "/".into(),
        landlock: Landlock::WhereAvailable, // It has a finding of its own.
        ..Jail::default()
    };
    let attempt = |mechanism, mounts, seen: &str| Attempt {
        mechanism,
        jail: bare(mounts),
        needs_place: false,
        needed: true,
        seen: seen.to_owned(),
    };
    let landlock = match landlock::support() {
        Support::Abi(abi) => landlock::covers(abi),
        Support::Missing(why) => why.to_owned(),
    };
    let usr = Mount::Bind { source: "/usr".into(), target: "/usr".into(), access: Access::Execute };
    vec![
        attempt("root in memory", Vec::new(), "mounted and entered; capabilities dropped, filter installed"),
        attempt("read-only bind mounts", vec![usr], "mounted `/usr`"),
        attempt(
            "procfs",
            vec![Mount::Processes { target: "/proc".into() }],
            "mounted, with the host's part covered",
        ),
        attempt(
            "devices",
            vec![Mount::Devices { target: "/dev".into() }],
            "mounted, with terminals of the jail's own",
        ),
        Attempt { needs_place: true, ..attempt("overlay, read-only", vec![overlay(None)], "mounted") },
        Attempt { needs_place: true, ..attempt("overlay, copy-on-write", vec![overlay(upper)], "mounted") },
        Attempt {
            needs_place: true,
            jail: Jail { watched: vec![target.clone()], ..bare(vec![overlay(None)]) },
            ..attempt("file watches", Vec::new(), "made")
        },
        Attempt {
            jail: Jail { landlock: Landlock::Required, ..bare(Vec::new()) },
            ..attempt("landlock", Vec::new(), &landlock)
        },
        Attempt {
            jail: Jail { clock: Clock::Own, ..bare(Vec::new()) },
            needed: false,
            ..attempt("time namespace", Vec::new(), "clocks of its own, for `clock = \"own\"`")
        },
    ]
}

fn null_streams() -> io::Result<Streams> {
    let null = || fs::File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    Ok(Streams { stdin: null()?, stdout: null()?, stderr: null()? })
}

fn kernel(facts: &Facts) -> Finding {
    let detail = format!("Linux {}", facts.release);
    if tasks::kernel_version(&facts.release) >= KERNEL_MIN {
        works("kernel", detail)
    } else {
        let fix = format!("use Linux {}.{} or later", KERNEL_MIN.0, KERNEL_MIN.1);
        fails("kernel", (format!("{detail}: it has no mount_setattr(2)"), Some(fix)))
    }
}

/// A way out for runs that are granted one.
fn network(facts: &Facts) -> Finding {
    let finding = match network_support() {
        Ok(NetworkSupport { version6, reports }) => {
            let version6 = if version6 { "IPv4 and IPv6" } else { "IPv4, since this kernel has no IPv6" };
            let reports =
                if reports { "what is refused is seen" } else { "this kernel does not say what is refused" };
            works("granted network", format!("{version6}; {reports}"))
        }
        Err(error) => fails("granted network", cause::of_step(&error, facts)),
    };
    Finding { needed: false, ..finding }
}

fn gpus() -> Finding {
    match gpu::describe() {
        Ok(cards) => works("gpus", cards),
        Err(error) => {
            let fix = match &error {
                GpuError::NoDriver { node } if node == "/dev/nvidia-uvm" => {
                    Some("load the module: `nvidia-modprobe -u -c=0`".to_owned())
                }
                GpuError::Closed { node, .. } => {
                    Some(format!("ask to be let to `{node}`: `ls -l {node}` names its group"))
                }
                GpuError::NoDriver { .. } | GpuError::NoCard { .. } => None,
            };
            fails("gpus", (error.to_string(), fix))
        }
    }
}

/// The first with mount_setattr(2), the newest of the calls that a jail needs.
const KERNEL_MIN: (u32, u32) = (5, 12);

/// What enforces each limit. A soft one works, and the fix says what would make it hard.
fn limits() -> impl Iterator<Item = Finding> {
    enforceable().into_iter().map(|enforcement| {
        let Enforcement { limit, strength, by, because } = enforcement;
        let mechanism = match limit {
            "memory" => "limit: memory",
            "cpus" => "limit: cpus",
            "processes" => "limit: processes",
            "files" => "limit: files",
            _ => "limit: size of a file",
        };
        let blocked = because.map(|because| format!("; {because}")).unwrap_or_default();
        let finding = match strength {
            Strength::Hard => works(mechanism, format!("hard, by {by}")),
            Strength::Soft => Finding {
                fix: Some(DELEGATE.to_owned()),
                ..works(mechanism, format!("soft, by {by}{blocked}"))
            },
            Strength::None => fails(mechanism, (format!("{by}{blocked}"), Some(DELEGATE.to_owned()))),
        };
        Finding { needed: limit == "processes", ..finding } // The one limit that every run has.
    })
}

/// How an ordinary user gets control groups.
const DELEGATE: &str = "for a hard limit, start aseptic as `systemd-run --user --scope -p Delegate=yes aseptic …` \
    on a system with control groups of version 2; for processors, let `user@.service` have \
    `Delegate=cpu memory pids`";

/// Starts a process in these namespaces that ends at once.
fn try_namespaces(namespaces: i32) -> io::Result<()> {
    let before = sys::block_signals()?;
    let forked = sys::fork_into(namespaces, None);
    if let Ok(Forked::Child) = forked {
        sys::exit_now(0);
    }
    sys::restore_signals(&before)?;
    if let Forked::Parent { pidfd, .. } = forked? {
        use std::os::fd::AsFd;
        let which = rustix::process::WaitId::PidFd(pidfd.as_fd());
        let _ = rustix::process::waitid(which, rustix::process::WaitIdOptions::EXITED); // Only to reap it.
    }
    Ok(())
}

fn works(mechanism: &'static str, detail: String) -> Finding {
    Finding { mechanism, works: true, detail, fix: None, needed: true }
}

fn fails(mechanism: &'static str, (detail, fix): (String, Option<String>)) -> Finding {
    Finding { mechanism, works: false, detail, fix, needed: true }
}

/// Directories to try overlays with; gone when dropped.
struct Place(PathBuf);

impl Place {
    fn make(scratch: &Path) -> io::Result<Self> {
        // Two probes at once, of one process or of two, each have their own.
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let place = Self(scratch.join(format!("probe-{}-{count}", std::process::id())));
        for name in ["data", "changes", "work"] {
            fs::create_dir_all(place.0.join(name))?;
        }
        Ok(place)
    }
}

impl Place {
    fn upper(&self) -> Upper {
        Upper { changes: self.0.join("changes"), work: self.0.join("work") }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is left empty and says what it is by its name.
        let _ = self.upper().remove_work();
        let _ = fs::remove_dir_all(&self.0);
    }
}
