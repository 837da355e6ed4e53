//! A spec that says what a run was.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use aseptic_model::spec::Spec;
use aseptic_model::{
    ByteSize, Clock, Denied, Gpus, Grant, Input, InputName, Keep, Limits, Plan, ProjectName, RunRecord,
    RunRef, exact_duration,
};

use super::{InitError, write};
use crate::egress::{better_denied, spec_line, wanted_of};
use crate::home::Home;
use crate::request::SPEC_FILE;
use crate::results::planned_and_record;

/// Writes a spec into `directory` that says what `run` was: command, inputs, limits, environment, and as its
/// network what it had and what it wanted beyond that, so that it can be read, cut down and used.
///
/// # Errors
/// [`InitError`]; a spec that is there is never touched.
pub fn init_from_run(
    home: &Home,
    project: &ProjectName,
    run: &RunRef,
    directory: &Path,
) -> Result<PathBuf, InitError> {
    let (plan, record) = planned_and_record(home, project, run)?;
    let text = describe(&plan, &record)?;
    // What is written can be read, or it is not written.
    Spec::parse(text.as_bytes()).map_err(|error| InitError::NoSpec(error.to_string()))?;
    let path = directory.join(SPEC_FILE);
    write(&path, &text)?;
    Ok(path)
}

fn describe(plan: &Plan, record: &RunRecord) -> Result<String, InitError> {
    let name = plan.experiment.as_ref().map_or("train", |name| name.as_str());
    let mut text =
        format!("[project]\nname = {}\n\n[experiment.{}]\n", quoted(plan.project.as_str()), quoted(name));
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key:<7} = {value}");
    };
    line("command", &list(plan.command.iter().map(|word| quoted(word))));
    if !plan.params.is_empty() {
        let params: Result<Vec<_>, InitError> =
            plan.params.iter().map(|(key, value)| Ok(pair(key, &toml_of(value)?))).collect();
        line("params", &inline(params?));
    }
    if !plan.inputs.is_empty() {
        let input =
            |(name, input): (&InputName, &Input)| pair(name.as_str(), &quoted(&input.source.to_string()));
        let inputs = plan.inputs.iter().map(input);
        line("data", &inline(inputs.collect()));
    }
    let mut environment = Vec::new();
    environment
        .extend(plan.environment.python.as_ref().map(|python| pair("python", &quoted(&python.prefix))));
    if !plan.environment.variables.is_empty() {
        let variables = plan.environment.variables.iter().map(|(key, value)| pair(key, &quoted(value)));
        environment.push(pair("variables", &inline(variables.collect())));
    }
    if !environment.is_empty() {
        line("env", &inline(environment));
    }
    let limits = limits(&plan.limits);
    if !limits.is_empty() {
        line("limits", &inline(limits));
    }
    if let Some(gpus) = &plan.gpus {
        line("gpus", &gpus_of(gpus));
    }
    if let Some(ports) = &plan.ports {
        line("ports", &list(ports.iter().map(ToString::to_string)));
    }
    if plan.clock == Clock::Own {
        line("clock", "\"own\"");
    }
    if !plan.accept.is_empty() {
        line("accept", &list(plan.accept.iter().map(|name| quoted(name))));
    }
    if !plan.labels.is_empty() {
        line("labels", &list(plan.labels.iter().map(|label| quoted(label.as_str()))));
    }
    if plan.keep != Keep::Everything {
        line("keep", &quoted(plan.keep.as_str()));
    }
    text.push_str(&network(plan, record));
    Ok(text)
}

/// What it had and what it wanted of the network; what is better left denied as a comment.
fn network(plan: &Plan, record: &RunRecord) -> String {
    let mut text = String::new();
    let all: Vec<Grant> = plan.network.iter().cloned().chain(wanted_of(&record.denied)).collect();
    if !all.is_empty() {
        text.push_str("# Every destination that the run had or wanted. Remove what it can do without.\n");
        let _ = writeln!(text, "{}", spec_line(all.iter()));
    }
    let host = |denied: &Denied| {
        denied.target.rsplit_once(':').map_or(denied.target.as_str(), |(host, _)| host).to_owned()
    };
    let hosts: BTreeSet<String> = record.denied.iter().map(host).collect();
    for host in hosts {
        let grant = format!("{host}:443").parse::<Grant>().ok();
        if let Some(what) = grant.as_ref().and_then(better_denied) {
            let _ = writeln!(text, "# Left out: {host}, {what}.");
        }
    }
    text
}

fn limits(limits: &Limits) -> Vec<String> {
    let usual = Limits::default();
    let size = |bytes: u64| quoted(&ByteSize(bytes).exact());
    let time = |milliseconds: u64| quoted(&exact_duration(milliseconds));
    let count = |count: u32| count.to_string();
    let grace = (limits.grace_ms != usual.grace_ms).then_some(limits.grace_ms);
    let processes = (limits.processes != usual.processes).then_some(limits.processes);
    [
        ("wall", limits.wall_ms.map(time)),
        ("grace", grace.map(time)),
        ("processes", processes.map(count)),
        ("memory", limits.memory_bytes.map(size)),
        ("cpus", limits.cpus.map(count)),
        ("files", limits.files.map(count)),
        ("scratch", limits.scratch_bytes.map(size)),
        ("scratch-files", limits.scratch_files.map(|files| files.to_string())),
        ("outputs", limits.outputs_bytes.map(size)),
        ("connections", limits.connections.map(count)),
        ("traffic", limits.traffic_bytes.map(size)),
        ("bandwidth", limits.bandwidth_bytes.map(size)),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some(pair(key, &value?)))
    .collect()
}

fn gpus_of(gpus: &Gpus) -> String {
    match gpus {
        Gpus::All => quoted("all"),
        Gpus::Cards(cards) => list(cards.iter().map(ToString::to_string)),
    }
}

/// A parameter as TOML, which has no null.
fn toml_of(value: &serde_json::Value) -> Result<String, InitError> {
    use serde_json::Value;
    Ok(match value {
        Value::Null => {
            return Err(InitError::NoSpec("a parameter is null, which a spec cannot say".to_owned()));
        }
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(values) => list(values.iter().map(toml_of).collect::<Result<Vec<_>, _>>()?.into_iter()),
        Value::Object(values) => {
            let pairs = values.iter().map(|(key, value)| Ok(pair(key, &toml_of(value)?)));
            inline(pairs.collect::<Result<_, InitError>>()?)
        }
    })
}

fn list(elements: impl Iterator<Item = String>) -> String {
    format!("[{}]", elements.collect::<Vec<_>>().join(", "))
}

fn inline(pairs: Vec<String>) -> String {
    format!("{{ {} }}", pairs.join(", "))
}

fn pair(key: &str, value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !key.is_empty() && key.chars().all(plain) {
        true => format!("{key} = {value}"),
        false => format!("{} = {value}", quoted(key)),
    }
}

/// A basic string of TOML, which is one of JSON but for the delete character.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_toml() {
        let value = serde_json::json!({ "a b": [1, 2.5, "x\"\u{7f}\n"], "c": { "d": true } });
        let text = format!(
            "[project]\nname = \"p\"\n[experiment.t]\ncommand = [\"x\"]\nparams = {{ v = {} }}\n",
            toml_of(&value).unwrap()
        );
        let spec = Spec::parse(text.as_bytes()).unwrap();
        assert_eq!(spec.experiments.values().next().unwrap().params["v"], value);
        assert!(toml_of(&serde_json::Value::Null).is_err());
    }
}
