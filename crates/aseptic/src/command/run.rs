use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::{
    ByteSize, Class, Clock, ExperimentName, Gpus, InputName, InputRef, Keep, Label, RunRecord, Status,
    describe_ms,
};
use aseptic_runner::{Attempts, CodeChoice, Request};
use clap::ValueHint;

use super::annotate::Said;
use super::{denied, network};
use crate::context::{Context, Shown, directory_of, home_directory, program_directories, shown_from_here};
use crate::failure::{Failure, RUN_DENIED, RUN_FAILED, RUN_LIMITED};
use crate::signals::Caught;
use crate::terminal::Console;

/// Run an experiment or a command, sealed
///
/// The job sees its code at /work (a private copy of the working tree without what .gitignore and
/// .asepticignore name), its inputs read-only at /data/NAME, and writes results to /out ($ASEPTIC_OUT).
/// It has no network but what `--network` or the spec grants, its own /tmp and $HOME, and none of your
/// environment variables. What it leaves in /out and /work is kept.
///
/// Of its standard streams, those that are a terminal here are on a terminal of its own, which has your
/// keyboard, Ctrl-C and Ctrl-Z unless the output goes into a pipe; Ctrl-\ three times ends a job that takes no
/// notice. What is piped in is passed on and kept with the record.
///
/// The exit code is the job's, 128+N when signal N ended it, 124 when a limit ended it and it said 0 all the
/// same, 125 when aseptic failed, 126 when the plan was denied or needs approval or the program cannot be executed,
/// 127 when there is no such program.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// Report what the job was denied, with what would allow it: files, programs, connections
    ///
    /// A report, not a wall: the job is denied the same without it. What is on this machine and not in the
    /// run is named, what is nowhere is not; files that a job only asks about (stat) are not seen.
    #[arg(long)]
    explain: bool,
    /// Give the job nothing on standard input: it is read ahead, which a loop over its lines would miss
    #[arg(long, short = 'n')]
    no_stdin: bool,
    /// Give the result of a run of an equal plan that succeeded, if its outputs are intact, instead of running
    ///
    /// Equal means the same code, inputs, parameters, environment, limits and grants. Of the environment, no file may
    /// have changed since, nor a package of the system; `aseptic env verify` reads its every byte. The job would be
    /// given nothing on standard input: what is typed or piped in is in no plan. Name, tags and note of the other run
    /// stay as they are.
    #[arg(long, conflicts_with = "explain")]
    reuse: bool,
    #[command(flatten)]
    said: Said,
}

const EXAMPLES: &str = "\
Examples:
  aseptic run train --param lr=0.01
  aseptic run --data train=digits@2 --limit wall=1h -- python3 train.py --epochs 3
  aseptic run --data model=run:train/out/model.joblib -- python3 evaluate.py
  aseptic run --explain -- python3 train.py /home/me/digits.csv
  aseptic run --network huggingface.co:443 --network '*.hf.co:443' -- python3 fetch.py
  aseptic run --network observe -- python3 fetch.py
  aseptic run --json train > result.json
  aseptic run --name baseline --tag paper --note 'before the new loss' train
  aseptic run --reuse train
  aseptic run -- python3 -i
  xz -dc rows.csv.xz | aseptic run -- python3 count.py";

/// What to run: shared by `plan` and `run`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Wanted {
    /// Experiment of the spec
    experiment: Option<ExperimentName>,
    /// Input at /data/NAME: DATASET, DATASET@VERSION or run:RUN/PATH
    #[arg(long, value_name = "NAME=REF", value_hint = ValueHint::Other, value_parser = pair::<InputName, InputRef>)]
    data: Vec<(InputName, InputRef)>,
    /// Parameter in $ASEPTIC_PARAMS: a number, true, false or text
    #[arg(long, value_name = "K=V", value_hint = ValueHint::Other, value_parser = param)]
    param: Vec<(String, serde_json::Value)>,
    /// Network destination to grant, or `observe` to let nothing more through and list what the job wants
    ///
    /// HOST is a name, all names below one (*.example.org) or an address; 127.0.0.1:PORT is a port of this
    /// machine. The name that the client asks for in TLS or HTTP must be that of the grant, unless `,tls=any`
    /// follows. Repeat the option for several destinations.
    #[arg(long, value_name = "HOST:PORT|observe", value_hint = ValueHint::Other)]
    network: Vec<network::Wish>,
    /// Limit: wall=1h, grace=30s, memory=4GiB, cpus=2, processes=512, files=1024, scratch=10GiB,
    /// scratch-files=100000, outputs=1GiB, connections=100, traffic=10GiB, bandwidth=10MiB (a second)
    #[arg(long, value_name = "K=V", value_hint = ValueHint::Other, value_parser = pair::<String, String>)]
    limit: Vec<(String, String)>,
    /// Environment variable for the job
    #[arg(long, value_name = "K=V", value_hint = ValueHint::Other, value_parser = pair::<String, String>)]
    env: Vec<(String, String)>,
    /// Python environment: a venv or an interpreter [default: the spec's, else $VIRTUAL_ENV]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Element that may go unenforced, by name, such as memory; the record says so
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    accept: Vec<String>,
    /// NVIDIA GPU to use: a number, several with commas, or `all`
    #[arg(long, value_name = "N|all", value_hint = ValueHint::Other)]
    gpu: Option<Gpus>,
    /// TCP port of the run's own loopback that may be used [default: all]
    #[arg(long, value_name = "PORT", value_hint = ValueHint::Other)]
    port: Vec<u16>,
    /// Uptime and monotonic clock: `host`, or `own` to begin with the run [default: host]
    #[arg(long, value_name = "CLOCK", value_hint = ValueHint::Other)]
    clock: Option<Clock>,
    /// Label of the outputs, besides those of the inputs
    #[arg(long, value_name = "LABEL", value_hint = ValueHint::Other)]
    label: Vec<Label>,
    /// What to keep of what the job leaves: `everything`, or `metrics` for nothing but numbers [default: everything]
    #[arg(long, value_name = "WHAT", value_hint = ValueHint::Other)]
    keep: Option<Keep>,
    /// Code directory [default: that of the spec, else this one]
    #[arg(long, value_name = "DIR", conflicts_with = "no_code")]
    code: Option<PathBuf>,
    /// Start with an empty /work
    #[arg(long)]
    no_code: bool,
    /// Program and arguments, instead of the experiment's
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Wanted {
    /// An experiment of the spec, as it is there.
    pub(crate) fn experiment(experiment: Option<ExperimentName>) -> Self {
        Self { experiment, ..Self::default() }
    }

    pub(crate) fn request(&self, context: &Context) -> Request {
        let spec = context.spec();
        let code = match (&self.code, &spec) {
            _ if self.no_code => CodeChoice::Nothing,
            (Some(dir), _) => CodeChoice::Directory(dir.clone()),
            (None, Some(spec)) => CodeChoice::Directory(directory_of(spec)),
            (None, None) => CodeChoice::Directory(PathBuf::from(".")),
        };
        let active = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
        let grant = |wish: &network::Wish| match wish {
            network::Wish::Grant(grant) => Some(grant.clone()),
            network::Wish::Observe => None,
        };
        Request {
            spec_shown: spec.as_deref().map(shown_from_here).unwrap_or_default(),
            spec,
            project: context.project_option(),
            experiment: self.experiment.clone(),
            command: self.command.clone(),
            data: self.data.clone(),
            params: self.param.clone(),
            network: self.network.iter().filter_map(grant).collect(),
            observe_network: self.network.iter().any(|wish| matches!(wish, network::Wish::Observe)),
            proxy: network::proxy(),
            limits: self.limit.clone(),
            python: self.python.clone(),
            default_python: active,
            variables: self.env.clone(),
            accept: self.accept.clone(),
            gpus: self.gpu.clone(),
            ports: (!self.port.is_empty()).then(|| self.port.iter().copied().collect()),
            clock: self.clock,
            labels: self.label.clone(),
            keep: self.keep,
            code,
            home_directory: home_directory(),
            ..Request::default()
        }
    }
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let mut request = args.wanted.request(context);
    if args.explain {
        request.attempts = Attempts::Seen;
        request.programs = program_directories();
    }
    request.reuse = args.reuse;
    request.annotation = args.said.annotation(&[]);
    let mut home = context.home()?;
    let shown = if context.json() { Shown::Stderr } else { Shown::Streams };
    let nothing = args.no_stdin || (args.reuse && std::io::stdin().is_terminal());
    let (streams, console) = Console::new(context.json(), !nothing);
    request.streams = streams;
    let mut observer = context.observer(shown).with(console);
    let record = aseptic_runner::run(&mut home, &request, Caught::new, &mut observer);
    let reused = observer.is_reused();
    let tail = observer.into_tail(); // The terminal is as it was before anything is said.
    let record = record?;
    if context.json() {
        context.document(&document(&record, reused)?)?;
    }
    if reused {
        let run = &record.run;
        context
            .say(format_args!("  `aseptic show {run}` has everything, `aseptic logs {run}` what it printed"));
        return Ok(ExitCode::from(exit_code(&record)));
    }
    summarise(context, &record);
    if record.observed.is_some() || denied::is_seen(&record) {
        context.complain(denied::describe(&record));
    } else if record.status == Status::Failed && denied::looks_unreachable(&record, &tail) {
        context.say(format_args!("  help: {}", denied::UNREACHABLE));
    } else if record.status == Status::Failed && denied::looks_denied(&record, &tail) {
        let again = denied::explained(std::env::args().collect());
        context.say(format_args!("  help: `{again}` shows what the run was denied and what would allow it"));
    }
    if record.status == Status::Failed
        && let Some(key) = looks_limited(&record, &tail)
    {
        context.say(format_args!("  help: if it failed at a limit, raise that with `--limit {key}`"));
    }
    Ok(ExitCode::from(exit_code(&record)))
}

/// The record, which says so where it is that of an earlier run.
fn document(record: &RunRecord, reused: bool) -> Result<serde_json::Value, Failure> {
    let mut document = serde_json::to_value(record).map_err(|error| {
        let help = "report this: every record can be written";
        Failure::new(Class::Internal, "cli/document", error.to_string(), help)
    })?;
    if reused {
        document["reused"] = true.into();
    }
    Ok(document)
}

/// The job's own exit code, or the shell's convention for a signal.
fn exit_code(record: &RunRecord) -> u8 {
    let code = match (record.status, record.exit_code, record.signal) {
        (Status::Denied | Status::NeedsApproval, ..) => i32::from(RUN_DENIED),
        (status, Some(0), _) if key_to_raise(status).is_some() => i32::from(RUN_LIMITED),
        (_, Some(code), _) => code,
        (_, None, Some(signal)) => 128 + signal,
        (_, None, None) => i32::from(RUN_FAILED),
    };
    u8::try_from(code).unwrap_or(RUN_FAILED)
}

fn summarise(context: &Context, record: &RunRecord) {
    if !record.status.has_started() {
        let why = if record.status == Status::Denied { "denied" } else { "needs approval" };
        context.complain(format_args!("{why}: run {} did not start", record.run));
        context.complain(crate::table::reasons(&record.decision));
        if let Some(line) = crate::table::approval(&record.decision, &record.plan) {
            context.complain(line);
        }
        return;
    }
    let duration = describe_ms(whole_ms(record.duration_ms));
    let how = match (&record.reason, record.exit_code, record.signal) {
        (Some(reason), ..) => format!(": {reason}"),
        (None, Some(code @ 1..), _) => format!(" with exit code {code}"),
        (None, None, Some(signal)) => format!(" by signal {signal}"),
        _ => String::new(),
    };
    let overhead = describe_ms(whole_ms(record.overhead_ms.values().sum()));
    context.say(format_args!(
        "{}{how} after {duration} ({overhead} of aseptic's own)  run {}",
        record.status, record.run
    ));
    let raise = key_to_raise(record.status);
    let not_executed = record.exit_code.is_some_and(|code| code >= 126) && record.reason.is_some();
    if (not_executed || raise.is_some()) && context.quiet() {
        // A program that is not there is an error, and so is a limit.
        context.complain(format_args!("{}{how}", record.status));
    }
    let bytes = record.outputs.iter().map(|output| output.size).sum();
    if !record.inputs.is_empty() {
        let read: usize = record.lineage.read.values().map(std::collections::BTreeSet::len).sum();
        let all: u64 = record.inputs.values().map(|input| input.files).sum();
        let sure = if record.lineage.complete { "" } else { " or more: the list is not complete" };
        context.say(format_args!("  read {read} of {all} input files{sure}"));
    }
    if let Some(usage) = record.usage.as_ref().filter(|_| !not_executed) {
        context.say(format_args!("  used {}", crate::table::usage(usage)));
    }
    if let Some(egress) = &record.egress {
        if let Some(total) = network::total(egress) {
            context.say(format_args!("  network {total}"));
        }
        if let Some(why) = &egress.incomplete_because {
            context.complain(format_args!("  network: not all of it is counted: {why}"));
        }
    }
    let files = crate::table::amount(record.outputs.len() as u64, bytes);
    context.say(format_args!("  kept {files}; `aseptic show {}` has everything", record.run));
    for output in record.outputs.iter().take(OUTPUTS_SHOWN) {
        context.say(format_args!("    {}  {}", output.path, ByteSize(output.size)));
    }
    if record.outputs.len() > OUTPUTS_SHOWN {
        context.say(format_args!("    and {} more", record.outputs.len() - OUTPUTS_SHOWN));
    }
    if record.limits.metrics_bytes.is_some() {
        let left_out = record.skipped.iter().filter(|skipped| skipped.path.as_bytes() == METRICS);
        for skipped in left_out {
            context.say(format_args!("  not kept: {}", skipped.reason));
        }
        context.say("  not kept: anything but metrics");
    } else if !record.skipped.is_empty() {
        let what = "special files, too long paths or over a limit";
        context.say(format_args!("  not kept: {} ({what})", record.skipped.len()));
    }
    if let Some(raise) = raise {
        context.complain(format_args!("  help: {raise}"));
    }
}

/// The file of metrics among the outputs.
const METRICS: &[u8] = b"out/metrics.jsonl";

/// What to do about a run that a limit ended.
fn key_to_raise(status: Status) -> Option<&'static str> {
    match status {
        Status::OutOfMemory => Some("raise it with `--limit memory=SIZE`, or let the job take less at once"),
        Status::ScratchFull => Some(
            "raise it with `--limit scratch=SIZE` or `--limit scratch-files=N`; /tmp, /var/tmp, $HOME and changes in \
             /work count",
        ),
        Status::OutputsFull => Some("raise it with `--limit outputs=SIZE`, or write less to /out"),
        Status::TimedOut => Some("raise it with `--limit wall=DURATION`"),
        Status::Succeeded | Status::Failed | Status::Denied | Status::NeedsApproval | Status::Aborted => None,
    }
}

/// The limit that a job may have failed at by itself, by the end of what it printed.
fn looks_limited(record: &RunRecord, tail: &[u8]) -> Option<&'static str> {
    let tail = String::from_utf8_lossy(tail);
    let says = |signs: &[&str]| signs.iter().any(|sign| tail.contains(sign));
    let limits = &record.limits;
    if limits.memory_bytes.is_some() && says(&["MemoryError", "Cannot allocate memory", "std::bad_alloc"]) {
        return Some("memory=SIZE");
    }
    if limits.files.is_some() && says(&["Too many open files"]) {
        return Some("files=N");
    }
    let no_task = ["annot fork", "can't start new thread", "fork: retry", "Resource temporarily unavailable"];
    says(&no_task).then_some("processes=N")
}

const OUTPUTS_SHOWN: usize = 10;

/// Milliseconds of a record, which are never negative and far below 2^53.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded and never negative")]
pub(crate) fn whole_ms(milliseconds: f64) -> u64 {
    milliseconds.round() as u64
}

fn pair<K, V>(text: &str) -> Result<(K, V), String>
where
    K: std::str::FromStr<Err: std::fmt::Display>,
    V: std::str::FromStr<Err: std::fmt::Display>,
{
    let (key, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let key = key.parse().map_err(|error: K::Err| error.to_string())?;
    let value = value.parse().map_err(|error: V::Err| error.to_string())?;
    Ok((key, value))
}

/// A parameter: JSON where it reads as a number, `true`, `false`, `null` or a list, text otherwise.
fn param(text: &str) -> Result<(String, serde_json::Value), String> {
    let (key, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if key.is_empty() {
        return Err("the name of a parameter is empty".to_owned());
    }
    let digits = value.strip_prefix('-').unwrap_or(value);
    let parsed = match serde_json::from_str(value) {
        Ok(serde_json::Value::Number(number))
            if number.is_f64() && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            return Err(format!("`{value}` has more digits than JSON keeps; pass it in quotes, as text"));
        }
        Ok(parsed) => parsed,
        Err(_) => serde_json::Value::String(value.to_owned()),
    };
    Ok((key.to_owned(), parsed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_keep_their_type() {
        assert_eq!(param("lr=0.1").unwrap().1, serde_json::json!(0.1));
        assert_eq!(param("name=a=b").unwrap().1, serde_json::json!("a=b"));
        assert_eq!(param("sizes=[1,2]").unwrap().1, serde_json::json!([1, 2]));
        assert_eq!(param("big=1e20").unwrap().1, serde_json::json!(1e20));
        assert!(param("seed=18446744073709551616").is_err());
        assert!(param("=1").is_err());
        assert!(param("lr").is_err());
    }
}
