//! The fold of the life of a run.

mod input;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{
    Decision, Digest, Entry, Event, FilePath, Input, InputName, Outcome, PLAN_FORMAT, PackageName, Plan,
    ProjectName, Python, RUN_SCHEMA, RunId, RunRecord, Status, canonical_digest,
};

use crate::CatalogError;
use crate::ahead::Named;
use crate::apply::{Fold, json};
use crate::column::{Row, get, int, params};

/// Longest name of a parameter, a metric or a package that is kept as it is, in bytes.
const KEY_BYTES_MAX: usize = 500;

impl Fold<'_> {
    /// Applies an event of the life of a run.
    pub(crate) fn run(&mut self, index: u64, entry: &Entry, named: Named) -> Result<(), CatalogError> {
        let project = entry.project.as_str();
        let time = entry.time.as_unix_ms();
        match &entry.event {
            Event::RunPlanned { .. } => {
                let Named::Plan(known) = named else { return Ok(()) };
                self.planned(index, entry, known)
            }
            Event::RunDecided { run, decision, policy, requests, .. } => {
                for digest in policy.iter().filter(|_| requests.is_some()).chain(requests) {
                    self.keep(project, digest)?;
                }
                self.decided(project, run, decision, policy.as_ref(), time)
            }
            Event::RunStarted { run, host, .. } => self.execute(
                "UPDATE run SET started = ?3, host = ?4 WHERE project = ?1 AND run = ?2 AND started IS NULL",
                params![project, run.as_str(), time, host.as_ref().map(aseptic_model::MachineName::as_str)],
            ),
            Event::RunSealed { run, status, record, outputs, attestation, .. } => {
                let Some(key) = self.run_entry(project, run.as_str())? else { return Ok(()) };
                let sql = "UPDATE run SET status = ?2, ended = ?3, record = ?4, outputs = ?5,
                     attestation = ?6 WHERE entry = ?1 AND record IS NULL";
                let sealed = self.count(
                    sql,
                    params![
                        key,
                        status.as_str(),
                        time,
                        record.as_bytes(),
                        outputs.as_bytes(),
                        attestation.as_ref().map(Digest::as_bytes)
                    ],
                )?;
                if sealed == 0 {
                    return Ok(());
                }
                let Named::Record(known) = named else { return Ok(()) };
                let inputs = self.sealed(key, &entry.project, run, known)?;
                self.labels_of_seal(key, index, entry, &inputs)
            }
            _ => Ok(()),
        }
    }

    fn planned(
        &mut self,
        index: u64,
        entry: &Entry,
        known: Result<Box<Plan>, String>,
    ) -> Result<(), CatalogError> {
        let Event::RunPlanned { run, plan: digest, experiment, code, inputs, replays, .. } = &entry.event
        else {
            return Ok(());
        };
        let project = entry.project.as_str();
        if self.run_entry(project, run.as_str())?.is_some() {
            return Ok(());
        }
        let plan = known.and_then(|plan| {
            if plan.format != PLAN_FORMAT {
                return Err("it has another version".to_owned());
            }
            Ok(plan)
        });
        let (params, git_commit, unreadable) = match &plan {
            Ok(plan) => {
                (json(&plan.params)?, plan.code.as_ref().and_then(|code| code.git_commit.clone()), None)
            }
            Err(why) => ("{}".to_owned(), None, Some(format!("plan unreadable: {why}"))),
        };
        let python = plan.as_ref().ok().and_then(|plan| plan.environment.python.as_ref());
        let environment = self.environment(python)?;
        let key = int(index);
        self.execute(
            "INSERT INTO run (entry, project, run, experiment, actor, planned, plan, code, git_commit, params,
                              replays, labels, unreadable, environment, inherited)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, '[]', ?12, ?13, '[]')",
            params![
                key,
                project,
                run.as_str(),
                experiment.as_ref().map(aseptic_model::ExperimentName::as_str),
                entry.actor,
                entry.time.as_unix_ms(),
                digest.as_bytes(),
                code.as_ref().map(Digest::as_bytes),
                git_commit,
                params,
                replays.as_ref().map(RunId::as_str),
                unreadable,
                environment.as_ref().map(Digest::as_bytes)
            ],
        )?;
        if let Ok(plan) = &plan {
            self.parameters(key, &plan.params)?;
        }
        let (known, labels) = match plan {
            Ok(plan) => {
                let recognised = plan.code.map(|code| code.labels).unwrap_or_default();
                (plan.inputs, plan.labels.into_iter().chain(recognised).collect())
            }
            Err(_) => <(BTreeMap<_, _>, BTreeSet<_>)>::default(),
        };
        for (name, snapshot) in inputs {
            let source =
                known.get(name).filter(|input| input.snapshot == *snapshot).map(|input| &input.source);
            self.input(key, name, snapshot, source)?;
        }
        self.labels_of_plan(index, entry, &labels, &known)
    }

    /// A plan that was denied never starts, also when nothing seals the run.
    fn decided(
        &self,
        project: &str,
        run: &RunId,
        decision: &Decision,
        policy: Option<&Digest>,
        time: i64,
    ) -> Result<(), CatalogError> {
        self.execute(
            "UPDATE run SET decision = ?3, policy = ?4
             WHERE project = ?1 AND run = ?2 AND decision IS NULL",
            params![project, run.as_str(), json(decision)?, policy.map(Digest::as_bytes)],
        )?;
        let status = if decision.outcome == Outcome::Deny { Status::Denied } else { Status::NeedsApproval };
        match decision.outcome {
            Outcome::Allow => Ok(()),
            Outcome::Deny | Outcome::NeedsApproval => self.execute(
                "UPDATE run SET status = ?3, ended = ?4 WHERE project = ?1 AND run = ?2 AND status IS NULL",
                params![project, run.as_str(), status.as_str(), time],
            ),
        }
    }

    /// Adds what only the record says to the row of the run, and gives the inputs that it says.
    fn sealed(
        &mut self,
        key: i64,
        project: &ProjectName,
        run: &RunId,
        known: Result<Box<RunRecord>, String>,
    ) -> Result<BTreeMap<InputName, Input>, CatalogError> {
        let record = known.and_then(|record| {
            if record.schema != RUN_SCHEMA {
                return Err("it has another version".to_owned());
            }
            if record.run != *run || record.project != *project {
                return Err("it is the record of another run".to_owned());
            }
            Ok(record)
        });
        let record = match record {
            Ok(record) => record,
            Err(why) => {
                self.execute(
                    "UPDATE run SET unreadable = ?2 WHERE entry = ?1",
                    params![key, format!("record unreadable: {why}")],
                )?;
                return Ok(BTreeMap::new());
            }
        };
        let sql = "SELECT params, environment FROM run WHERE entry = ?1";
        let row = |row: &Row<'_>| Ok((get(row, "params")?, get(row, "environment")?));
        let (planned, had): (Option<String>, Option<Digest>) =
            self.database.first(sql, [key], row)?.unwrap_or_default();
        let params = json(&record.params)?;
        self.execute(
            "UPDATE run SET ended = ?2, duration_ms = ?3, params = ?4, git_commit = ?5, exit_code = ?6,
                 complete = ?7, inventory = ?8, unreadable = NULL WHERE entry = ?1",
            params![
                key,
                record.ended.as_unix_ms(),
                record.duration_ms,
                params,
                record.code.as_ref().and_then(|code| code.git_commit.as_ref()),
                record.exit_code,
                i64::from(record.lineage.complete),
                record.inventory.as_ref().map(Digest::as_bytes)
            ],
        )?;
        if planned.as_deref() != Some(params.as_str()) {
            self.parameters(key, &record.params)?;
        }
        let environment = self.environment(record.environment.python.as_ref())?;
        if environment.is_some() && environment != had {
            self.execute(
                "UPDATE run SET environment = ?2 WHERE entry = ?1",
                params![key, environment.as_ref().map(Digest::as_bytes)],
            )?;
        }
        let known = self.inputs(key)?;
        let mut others = false;
        for (name, Input { snapshot, source, .. }) in &record.inputs {
            if !known.get(name).is_some_and(|known| known.is(snapshot, source)) {
                self.input(key, name, snapshot, Some(source))?;
                others = true;
            }
        }
        if others {
            self.labels_of_inputs(key)?;
        }
        if record.lineage.complete {
            let nothing = BTreeSet::new();
            for name in record.inputs.keys() {
                self.read_by(key, name, record.lineage.read.get(name).unwrap_or(&nothing))?;
            }
        }
        for output in &record.outputs {
            self.execute(
                "INSERT INTO run_output VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                params![
                    key,
                    output.path.as_bytes(),
                    int(output.size),
                    output.blake3.as_bytes(),
                    output.sha256
                ],
            )?;
        }
        // What it printed is in the hands of whoever started it, as a file most often.
        for log in [&record.logs.stdout, &record.logs.stderr].into_iter().flatten().filter(|log| log.size > 0)
        {
            let sql = "INSERT INTO run_log VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            self.execute(sql, params![key, log.blake3.as_bytes()])?;
        }
        for (name, series) in record.metrics.iter().flat_map(|metrics| &metrics.series) {
            self.execute(
                "INSERT INTO run_metric VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
                params![
                    short(name),
                    key,
                    int(series.count),
                    series.last,
                    series.min,
                    series.max,
                    series.last_step
                ],
            )?;
        }
        Ok(record.inputs)
    }

    /// The files that a run opened of one input. Equal sets are kept once.
    fn read_by(&self, key: i64, name: &InputName, files: &BTreeSet<FilePath>) -> Result<(), CatalogError> {
        let set = canonical_digest(files).map_err(|error| CatalogError::unusable(error.to_string()))?;
        let sql = "SELECT EXISTS (SELECT 1 FROM read_file WHERE read_set = ?1) AS known";
        let known: Option<bool> = self.database.first(sql, [set.as_bytes()], |row| get(row, "known"))?;
        if known != Some(true) {
            for path in files {
                self.execute(
                    "INSERT INTO read_file VALUES (?1, ?2)",
                    params![set.as_bytes(), path.as_bytes()],
                )?;
            }
        }
        self.execute(
            "UPDATE run_input SET read_set = ?3 WHERE entry = ?1 AND name = ?2",
            params![key, name.as_str(), set.as_bytes()],
        )
    }

    fn parameters(&self, key: i64, params: &BTreeMap<String, serde_json::Value>) -> Result<(), CatalogError> {
        for (name, value) in params {
            let text = match value {
                serde_json::Value::String(text) => text.clone(),
                other => json(other)?,
            };
            self.execute(
                "INSERT INTO run_param VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![short(name), key, value.as_f64(), text],
            )?;
        }
        Ok(())
    }

    /// Digest of a Python environment, which is kept once.
    fn environment(&mut self, python: Option<&Python>) -> Result<Option<Digest>, CatalogError> {
        let Some(python) = python else { return Ok(None) };
        if let Some((last, digest)) = &self.python
            && last == python
        {
            return Ok(Some(*digest));
        }
        let digest = canonical_digest(python).map_err(|error| CatalogError::unusable(error.to_string()))?;
        let new = self.count(
            "INSERT INTO environment VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![digest.as_bytes(), python.version, python.interpreter.as_bytes()],
        )?;
        for package in python.packages.iter().filter(|_| new > 0) {
            let name = PackageName::normalised(&package.name);
            self.execute(
                "INSERT INTO environment_package VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![
                    digest.as_bytes(),
                    short(name.as_ref().map_or(package.name.as_str(), PackageName::as_str)),
                    short(&package.version),
                    package.record.as_ref().map(Digest::as_bytes)
                ],
            )?;
        }
        self.python = Some((python.clone(), digest));
        Ok(Some(digest))
    }

    /// What people say about a run.
    pub(crate) fn described(&self, entry: &Entry) -> Result<(), CatalogError> {
        let Event::RunDescribed { run, name, added, removed, note } = &entry.event else { return Ok(()) };
        let Some(key) = self.run_entry(entry.project.as_str(), run.as_str())? else { return Ok(()) };
        if let Some(name) = name {
            self.execute("UPDATE run SET name = ?2 WHERE entry = ?1", params![key, name.as_str()])?;
        }
        if let Some(note) = note {
            let note = Some(note).filter(|note| !note.is_empty());
            self.execute("UPDATE run SET note = ?2 WHERE entry = ?1", params![key, note])?;
        }
        for tag in removed {
            self.execute("DELETE FROM run_tag WHERE tag = ?1 AND entry = ?2", params![tag.as_str(), key])?;
        }
        for tag in added {
            self.execute(
                "INSERT INTO run_tag VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![tag.as_str(), key],
            )?;
        }
        Ok(())
    }
}

/// Text of a key, which a server keeps up to a length: of what is longer the start, and the digest of all of it.
fn short(text: &str) -> Cow<'_, str> {
    if text.len() <= KEY_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let digest = Digest::of(text.as_bytes());
    Cow::Owned(format!("{}…{digest}", &text[..text.floor_char_boundary(KEY_BYTES_MAX - 64 - '…'.len_utf8())]))
}
