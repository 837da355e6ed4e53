//! Provision: the views of a run's inputs, and the jail around them and the run's own directories.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::Path;

use aseptic_model::{Class, Diagnose, Diagnosis, FilePath, InputName, Keep, Plan, RunId, to_canonical};
use aseptic_sandbox::{
    Access, Attempts, GpuError, Jail, Landlock, Limits, Mount, PrepareError, Prepared, Upper,
    enforces_task_limit, gpu_mounts, prepare, system_mounts,
};
use aseptic_store::{Store, StoreError, ViewError};

use crate::attempts::Listening;
use crate::egress::{self, Egress, GatewayError};
use crate::home::{Home, HomeError, io_error};
use crate::plan::Planned;
use crate::request::Request;
use crate::run_dir::RunDir;
use crate::streams::{Ends, JobStreams, pipes};

/// Home directory of every job.
pub(crate) const JOB_HOME: &str = "/home/job";

/// Where the jail shows what is about the run itself.
const PARAMS: &str = "/run/aseptic/params.json";

/// Where a job writes metrics, if it does: a file like any other of its outputs.
const METRICS: &str = "/out/metrics.jsonl";

/// Directories watched for opened files. A watch costs the start 0.1 ms and the kernel's default
/// allows a user 8,192; a run whose inputs have more says that its lineage is incomplete.
const WATCHES_MAX: usize = 4_096;

/// A jail that stands, with the ends of its streams.
#[derive(Debug)]
pub(crate) struct Provisioned {
    pub(crate) prepared: Prepared,
    /// Our ends of its streams.
    pub(crate) ends: Ends,
    pub(crate) watched: Vec<(InputName, Option<FilePath>)>,
    /// Why opened files are not all seen, if they are not.
    pub(crate) unwatched: Option<String>,
    /// Answers what the job attempts, if that is to be seen; started before the job, which waits for it.
    pub(crate) listening: Option<Listening>,
    /// Its network, where this machine can give it one.
    pub(crate) network: Option<Egress>,
}

/// Why a run could not be provided for. Nothing of it started.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// A directory or file of the run.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// An input is damaged.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A GPU that was there when the plan was decided.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// What would reach the network for it.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The jail.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
}

impl Diagnose for ProvisionError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Home(error) => error.diagnosis(),
            Self::View(error) => error.diagnosis(),
            Self::Gateway(error) => error.diagnosis(),
            Self::Gpu(_) => Diagnosis::new(
                Class::Host,
                "sandbox/gpu",
                "look whether the driver is loaded: `nvidia-smi`; `aseptic doctor` says what is missing",
            ),
            Self::Prepare(PrepareError::Step { source, .. })
                if source.raw_os_error() == Some(rustix::io::Errno::NOSPC.raw_os_error()) =>
            {
                Diagnosis::new(
                    Class::Host,
                    "sandbox/full",
                    "a limit of the kernel is reached (file watches, mounts or namespaces): `aseptic doctor`",
                )
            }
            Self::Prepare(error) => error.diagnosis(),
        }
    }
}

impl From<StoreError> for ProvisionError {
    fn from(error: StoreError) -> Self {
        Self::Home(error.into())
    }
}

/// Builds the jail of `planned` up to the point where only the job is missing.
pub(crate) fn provision(
    home: &Home,
    planned: &Planned,
    run: &RunId,
    dir: &RunDir,
    request: &Request,
) -> Result<Provisioned, ProvisionError> {
    let (plan, wanted) = (&planned.plan, &request.streams);
    let has_network = egress::support(home).is_ok();
    let landlock = match plan.accept.contains("landlock") {
        true => Landlock::WhereAvailable,
        false => Landlock::Required,
    };
    let proxy = planned.proxy.as_ref();
    let mut network = has_network.then(|| Egress::start(plan, proxy, landlock)).transpose()?;
    let store = home.store(&plan.project)?;
    let mut mounts = system_mounts(JOB_HOME.as_ref());
    mounts.extend(own_mounts(plan, &store, dir)?);
    let (mut watched, mut directories, mut unwatched) = (Vec::new(), Vec::new(), 0_usize);
    for (name, input) in &plan.inputs {
        let target = Path::new("/data").join(name.as_str());
        mounts.push(Mount::Overlay {
            lower: vec![store.view(&input.snapshot)?],
            upper: None,
            target: target.clone(),
            access: Access::Read,
        });
        let inside = store.directories(&input.snapshot)?;
        for path in std::iter::once(None).chain(inside.into_iter().map(Some)) {
            if watched.len() >= WATCHES_MAX {
                unwatched += 1;
                continue;
            }
            directories
                .push(path.as_ref().map_or_else(|| target.clone(), |path| target.join(path.as_path())));
            watched.push((name.clone(), path));
        }
    }
    for path in &planned.mounts {
        mounts.push(Mount::Bind { source: path.clone(), target: path.clone(), access: Access::Execute });
    }
    if let Some(gpus) = &plan.gpus {
        mounts.extend(gpu_mounts(gpus)?);
    }
    let mut jail = Jail {
        staging: dir.join("root"),
        mounts,
        watched: directories,
        hostname: "aseptic".to_owned(),
        program: plan.command.first().map(OsString::from).unwrap_or_default(),
        arguments: plan.command.iter().skip(1).map(OsString::from).collect(),
        environment: environment(planned, run, wanted),
        working_directory: "/work".into(),
        attempts: attempts(plan, request),
        tcp_ports: plan.ports.as_ref().map(|ports| ports.iter().copied().collect()),
        clock: plan.clock,
        network: has_network.then(|| egress::network(plan)),
        landlock,
        name: run.to_string(),
        limits: limits(plan),
        terminal: wanted.terminal(),
    };
    let no_pipe = |source| io_error("make a pipe for", &dir.path, source);
    let mut unwatched =
        (unwatched > 0).then(|| format!("{unwatched} directories of the inputs were not watched"));
    let keep = [dir.lock.as_fd()];
    let (given, mut ends) = pipes(wanted).map_err(no_pipe)?;
    let mut prepared = match prepare(&jail, given, &keep) {
        // Lineage is a report, not a wall: without it the run goes on and says so.
        Err(PrepareError::Watches(error)) => {
            unwatched = Some(format!("the user has no file watches left: {error}"));
            watched.clear();
            jail.watched.clear();
            let given;
            (given, ends) = pipes(wanted).map_err(no_pipe)?;
            prepare(&jail, given, &keep)?
        }
        prepared => prepared?,
    };
    let ends = ends.on_terminal(wanted, prepared.take_terminal()).map_err(no_pipe)?;
    dir.note_first(&prepared)?;
    if let (Some(network), Some(ends)) = (&mut network, prepared.take_network()) {
        network.connect(ends)?;
    }
    let listening = listen(&mut prepared, dir)?;
    Ok(Provisioned { prepared, ends, watched, unwatched, listening, network })
}

/// What a job attempts says what it wants to say, and would leave a run of which only metrics do.
fn attempts(plan: &Plan, request: &Request) -> Attempts {
    if plan.keep == Keep::Everything { request.attempts } else { Attempts::Unseen }
}

/// The limits that the jail enforces; the others are the supervisor's.
fn limits(plan: &Plan) -> Limits {
    let wanted = &plan.limits;
    Limits {
        memory: wanted.memory_bytes,
        cpus: wanted.cpus,
        tasks: enforces_task_limit().then_some(wanted.processes),
        files: wanted.files,
        file_bytes: file_bytes(wanted),
    }
}

/// The largest file that no limit allows, whose process the kernel then stops at once: what a job may write
/// where it may write most, if it may not write everything anywhere.
pub(crate) fn file_bytes(limits: &aseptic_model::Limits) -> Option<u64> {
    limits.scratch_bytes.zip(limits.outputs_bytes).map(|(scratch, outputs)| scratch.max(outputs))
}

fn listen(prepared: &mut Prepared, dir: &RunDir) -> Result<Option<Listening>, HomeError> {
    let listening = prepared.attempts.take().map(Listening::start).transpose();
    listening.map_err(|source| io_error("start a thread for", &dir.path, source))
}

/// What belongs to this run alone.
fn own_mounts(plan: &Plan, store: &Store, dir: &RunDir) -> Result<Vec<Mount>, ProvisionError> {
    let writable = |name: &str, target: &str| Mount::Bind {
        source: dir.join(name),
        target: target.into(),
        access: Access::Write,
    };
    let params = to_canonical(&plan.params).map_err(HomeError::from)?;
    let work = match &plan.code {
        None => writable("changes", "/work"),
        Some(code) => Mount::Overlay {
            lower: store.view_layers(&code.snapshot, "code")?,
            upper: Some(Upper { changes: dir.join("changes"), work: dir.join("overlay") }),
            target: "/work".into(),
            access: Access::Write,
        },
    };
    Ok(vec![
        Mount::Directory { target: "/data".into() },
        Mount::File { target: PARAMS.into(), contents: params },
        writable("tmp", "/tmp"),
        writable("var-tmp", "/var/tmp"),
        writable("home", JOB_HOME),
        writable("out", "/out"),
        Mount::Memory { target: "/dev/shm".into(), bytes: shared_memory(plan) },
        work,
    ])
}

/// `/dev/shm` is as large as the memory limit: data loaders put whole batches there. Without a limit,
/// half of the machine's memory, as Linux itself does.
fn shared_memory(plan: &Plan) -> u64 {
    plan.limits.memory_bytes.unwrap_or_else(|| {
        let system = rustix::system::sysinfo();
        (system.totalram as u64).saturating_mul(u64::from(system.mem_unit)) / 2
    })
}

/// Variables by which libraries leave their users alone. A job works without what they would send, and waits
/// for nobody to take it.
const NO_TELEMETRY: [(&str, &str); 11] = [
    ("DO_NOT_TRACK", "1"),
    ("DVC_NO_ANALYTICS", "1"),
    ("GRADIO_ANALYTICS_ENABLED", "False"),
    ("HF_HUB_DISABLE_TELEMETRY", "1"),
    ("MLFLOW_DISABLE_TELEMETRY", "true"),
    ("NML_DISABLE_USAGE_LOGGING", "1"),
    ("RAY_USAGE_STATS_ENABLED", "0"),
    ("SCARF_NO_ANALYTICS", "true"),
    ("STREAMLIT_BROWSER_GATHER_USAGE_STATS", "false"),
    ("WANDB_ERROR_REPORTING", "false"),
    ("WHYLOGS_NO_ANALYTICS", "True"),
];

/// The whole environment of the job: nothing of the caller's gets in but what its terminal can do.
fn environment(planned: &Planned, run: &RunId, streams: &JobStreams) -> Vec<(OsString, OsString)> {
    let mut path = OsString::new();
    if let Some(programs) = &planned.programs {
        path.push(programs);
        path.push(":");
    }
    path.push("/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin");
    let cache = |name: &str| OsString::from(format!("{JOB_HOME}/.cache/{name}"));
    let mut variables: Vec<(OsString, OsString)> = vec![
        ("PATH".into(), path),
        ("HOME".into(), JOB_HOME.into()),
        ("USER".into(), "job".into()),
        ("LOGNAME".into(), "job".into()),
        ("SHELL".into(), "/bin/sh".into()),
        ("LANG".into(), "C.UTF-8".into()),
        ("TMPDIR".into(), "/tmp".into()),
        ("XDG_CACHE_HOME".into(), cache("")),
        ("HF_HOME".into(), cache("huggingface")),
        ("TORCH_HOME".into(), cache("torch")),
        ("MPLCONFIGDIR".into(), cache("matplotlib")),
        ("NUMBA_CACHE_DIR".into(), cache("numba")),
        // Its own copies of installed packages' bytecode are found; new ones would only be outputs.
        ("PYTHONDONTWRITEBYTECODE".into(), "1".into()),
        ("ASEPTIC_RUN_ID".into(), run.as_str().into()),
        ("ASEPTIC_PARAMS".into(), PARAMS.into()),
        ("ASEPTIC_OUT".into(), "/out".into()),
        ("ASEPTIC_DATA".into(), "/data".into()),
        ("ASEPTIC_METRICS".into(), METRICS.into()),
    ];
    variables.extend(NO_TELEMETRY.map(|(name, value)| (name.into(), value.into())));
    for (name, value) in streams.terminal.iter().flat_map(|terminal| &terminal.variables) {
        variables.push((name.into(), value.into()));
    }
    if !streams.terminal.as_ref().is_some_and(|terminal| terminal.stdout) {
        // Output goes through a pipe; without this a person would see it minutes late.
        variables.push(("PYTHONUNBUFFERED".into(), "1".into()));
    }
    if let Some(python) = &planned.plan.environment.python {
        variables.push(("VIRTUAL_ENV".into(), OsString::from(&python.prefix)));
    }
    for (name, value) in &planned.plan.environment.variables {
        variables.retain(|(known, _)| known != name.as_str());
        variables.push((name.into(), value.into()));
    }
    variables
}
