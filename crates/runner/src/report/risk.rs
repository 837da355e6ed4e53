//! The risk of the newest decided runs, and what stands out about them, from what was asked about each.
//!
//! What was asked is in the store, and is read as JSON: a score is there where the version that decided wrote one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use aseptic_catalog::RunSummary;
use aseptic_model::{Digest, ExperimentName, Outcome, ProjectName};
use aseptic_store::Store;
use serde_json::Value;

use super::document::{ExperimentLine, FindingLine, Listed, RiskAssessment, RiskLine, Span};
use super::tally::{Asked, Tally};
use super::{LISTED_MAX, ReportError};
use crate::home::{Home, HomeError};

/// Largest question that is read. That of a plan with thousands of elements has a few megabytes.
const QUESTION_BYTES_MAX: usize = 16 << 20;
/// Most lines that explain a score.
const INPUTS_MAX: usize = 32;
/// Most different findings that are told apart.
const FINDINGS_MAX: usize = 4_096;
/// Longest value that is shown of a question, in characters.
const SHOWN_MAX: usize = 200;

/// What one question says.
#[derive(Clone, Debug, Default)]
struct Read {
    score: Option<i64>,
    inputs: Vec<String>,
    /// By code and value.
    findings: BTreeSet<(&'static str, String)>,
    /// Destinations that were asked for.
    grants: BTreeSet<String>,
}

/// Looks into the newest decided runs of `project`; `go_on` is told how many are done, and says whether to go on.
pub(super) fn assess(
    home: &Home,
    project: &ProjectName,
    tally: &Tally,
    go_on: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<RiskAssessment, ReportError> {
    let mut assessment = RiskAssessment { not_looked_into: tally.not_kept, ..RiskAssessment::default() };
    let mut findings = Findings::default();
    let mut scored = Vec::new();
    let store = home.store(project)?;
    let mut read: BTreeMap<Digest, Option<Read>> = BTreeMap::new(); // Equal questions are read once.
    let total = tally.asked.len() as u64;
    for (done, asked) in tally.asked.iter().enumerate() {
        if !go_on(done as u64, total) {
            return Err(ReportError::Interrupted);
        }
        let question = match &asked.requests {
            Some(digest) => read.entry(*digest).or_insert_with(|| question(&store, digest)).as_ref(),
            None => None,
        };
        let Some(question) = question else {
            assessment.unreadable += 1;
            continue;
        };
        assessment.looked_into += 1;
        findings.add(asked, question);
        if let Some(score) = question.score {
            let run = home.catalog.run(project, &asked.run).map_err(HomeError::from)?;
            scored.push((line(asked, question, score, run.as_ref()), score));
        }
    }
    assessment.scored = scored.len() as u64;
    let lines: Vec<RiskLine> = scored.into_iter().map(|(line, _)| line).collect();
    assessment.experiments = experiments(&lines);
    assessment.highest = highest(lines);
    assessment.findings = findings.lines(tally);
    Ok(assessment)
}

fn line(asked: &Asked, question: &Read, score: i64, run: Option<&RunSummary>) -> RiskLine {
    RiskLine {
        run: asked.run.clone(),
        experiment: run.and_then(|run| run.experiment.clone()),
        status: run.and_then(|run| run.status),
        score,
        inputs: question.inputs.clone(),
        entry: asked.entry,
    }
}

/// The highest first, of equal ones the newest.
fn highest(mut lines: Vec<RiskLine>) -> Listed<RiskLine> {
    lines.retain(|line| line.score > 0);
    lines.sort_by_key(|line| Reverse((line.score, line.entry)));
    Listed::first(lines, LISTED_MAX)
}

fn experiments(lines: &[RiskLine]) -> Listed<ExperimentLine> {
    let mut by_name: BTreeMap<Option<&ExperimentName>, ExperimentLine> = BTreeMap::new();
    for line in lines {
        let experiment = by_name.entry(line.experiment.as_ref()).or_insert_with(|| ExperimentLine {
            experiment: line.experiment.clone(),
            runs: 0,
            highest: line.score,
            lowest: line.score,
            run: line.run.clone(),
        });
        experiment.runs += 1;
        experiment.lowest = experiment.lowest.min(line.score);
        if line.score >= experiment.highest {
            experiment.highest = line.score;
            experiment.run = line.run.clone();
        }
    }
    let mut all: Vec<_> = by_name.into_values().collect();
    all.sort_by_key(|line| Reverse(line.highest)); // Stable: equal ones stay in the order of their names.
    Listed::first(all, LISTED_MAX)
}

fn question(store: &Store, digest: &Digest) -> Option<Read> {
    let bytes = store.get_bytes(digest, QUESTION_BYTES_MAX).ok()?;
    let question: Value = serde_json::from_slice(&bytes).ok()?;
    Some(understood(&question))
}

fn understood(question: &Value) -> Read {
    let mut read = Read::default();
    let requests = question.get("requests").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for request in requests {
        read.request(request);
    }
    if let Some(risk) = question.get("risk") {
        read.score = risk.as_i64().or_else(|| risk.get("score").and_then(Value::as_i64));
        read.inputs = risk.get("inputs").map(inputs).unwrap_or_default();
    }
    read
}

/// What a score consists of, one text each, however the version that wrote it names its parts.
fn inputs(parts: &Value) -> Vec<String> {
    let texts: Vec<String> = match parts {
        Value::Array(parts) => parts.iter().map(words).collect(),
        Value::Object(parts) => parts.iter().map(|(name, part)| format!("{name} {}", words(part))).collect(),
        other => vec![words(other)],
    };
    texts.into_iter().take(INPUTS_MAX).map(|text| shown(&text)).collect()
}

fn words(part: &Value) -> String {
    match part {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(parts) if parts.contains_key("fact") => {
            let part = |name| parts.get(name).map(words).unwrap_or_default();
            format!("{} ({}): {}", part("fact"), part("points"), part("value"))
        }
        Value::Object(parts) => {
            parts.iter().map(|(name, part)| format!("{name} {}", words(part))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// `text`, not longer than can be shown.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

impl Read {
    fn request(&mut self, request: &Value) {
        let text = |key: &str| request.get(key).and_then(Value::as_str).unwrap_or_default();
        let context = |key: &str| request.get("context").and_then(|context| context.get(key));
        let is = |key: &str| context(key).and_then(Value::as_bool).unwrap_or(false);
        let value = || shown(text("value"));
        match text("action") {
            "Start" => {
                self.score = context("risk").and_then(Value::as_i64);
                let unpinned = context("unpinned").and_then(Value::as_array);
                for one in unpinned.into_iter().flatten().filter_map(Value::as_str) {
                    self.findings.insert(("unpinned", shown(one)));
                }
            }
            "Connect" => {
                self.grants.insert(value());
                if is("wildcard") {
                    self.findings.insert(("wildcard", value()));
                }
                if is("literal") {
                    self.findings.insert(("literal-address", value()));
                }
                if is("observe") {
                    self.findings.insert(("observed-network", value()));
                }
            }
            "Accept" if is("missing") && is("accepted") => {
                self.findings.insert(("wall-accepted", shown(text("element"))));
            }
            "Accept" if is("missing") => {
                self.findings.insert(("wall-missing", shown(text("element"))));
            }
            "UseGpu" => {
                self.findings.insert(("gpu", value()));
            }
            _ => {}
        }
    }
}

/// What stands out, by code and value.
#[derive(Debug, Default)]
struct Findings {
    known: BTreeMap<(&'static str, String), Span>,
    more: u64,
    /// Grants of runs that were let at them, and the decisions that gave them.
    granted: BTreeMap<String, Span>,
}

impl Findings {
    fn add(&mut self, asked: &Asked, question: &Read) {
        for finding in &question.findings {
            if self.known.len() < FINDINGS_MAX || self.known.contains_key(finding) {
                self.known.entry(finding.clone()).or_default().add(asked.entry);
            } else {
                self.more += 1;
            }
        }
        for grant in question.grants.iter().filter(|_| asked.outcome == Outcome::Allow) {
            if self.granted.len() < FINDINGS_MAX || self.granted.contains_key(grant) {
                self.granted.entry(grant.clone()).or_default().add(asked.entry);
            }
        }
    }

    fn lines(mut self, tally: &Tally) -> Listed<FindingLine> {
        // Where not every grant that was used is known, none is known to be unused.
        if tally.reached_unlisted == 0 && tally.reached.more == 0 {
            let unused =
                self.granted.into_iter().filter(|(grant, _)| !tally.reached.known.contains_key(grant));
            self.known.extend(unused.map(|(grant, span)| (("unused-grant", grant), span)));
        }
        let lines = self.known.into_iter();
        let mut lines: Vec<_> = lines
            .map(|((code, subject), entries)| FindingLine { code, subject, message: message(code), entries })
            .collect();
        lines.sort_by_key(|line| (line.code, Reverse(line.entries.count)));
        let mut listed = Listed::first(lines, LISTED_MAX);
        listed.unlisted += self.more;
        listed
    }
}

fn message(code: &str) -> &'static str {
    match code {
        "unpinned" => "it may have other bytes the next time",
        "wildcard" => "it grants names that nobody listed",
        "literal-address" => "an address may belong to somebody else tomorrow",
        "observed-network" => "the job was given answers to every name, to list what it wants",
        "unused-grant" => "it was granted, and no run that was counted reached it",
        "wall-accepted" => "this host could not enforce it, and the run went without",
        "wall-missing" => "this host could not enforce it",
        "gpu" => "a GPU may keep bytes of one process for the next",
        _ => "",
    }
}
