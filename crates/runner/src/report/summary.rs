//! What is there and what happened, from the catalog and from what the entries add up to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use aseptic_ledger::Verified;
use aseptic_model::{ProjectName, Status, Timestamp};

use super::document::{
    ActLine, ActorLine, DatasetLine, DeniedLine, Drills, HoldoutLine, IncidentLine, Listed, PoliciesLine,
    ProjectReport, QuarantineLine, ReachedLine, Summary, Witnesses,
};
use super::tally::Tally;
use super::{DRILL_DAYS, LISTED_MAX, ReportError, checkpoint};
use crate::home::Home;
use crate::policy::in_force;
use crate::witness::{witness_policy, witnessed};

/// The label of hold-out data.
const HOLDOUT: &str = "holdout";

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(super) fn summary(
    home: &Home,
    project: &ProjectName,
    since: Option<Timestamp>,
    verified: &Verified,
    tally: &Tally,
) -> Result<Summary, ReportError> {
    let mut runs: BTreeMap<String, u64> = BTreeMap::new();
    for count in home.catalog.run_counts(project, since)? {
        *runs.entry(count.status.map_or("running", Status::as_str).to_owned()).or_default() += count.runs;
    }
    let policies = in_force(home, project)?.policies;
    let (datasets, holdouts) = datasets(home, project, u64::from(policies.settings().evaluations))?;
    let (quarantine, quarantine_lifted) = quarantine(home, project)?;
    let roles = policies.roles().map(|roles| {
        roles.members.iter().map(|(role, members)| (role.as_str().to_owned(), members.clone())).collect()
    });
    let files: BTreeSet<String> =
        policies.document().files.keys().filter(|path| path.starts_with("policy/")).cloned().collect();
    Ok(Summary {
        runs,
        decisions: tally.decisions.clone(),
        datasets,
        holdouts,
        reached: reached(tally),
        denied: denied(tally),
        attempts: tally.attempts.known.clone(),
        acts_denied: acts(tally),
        quarantine,
        quarantine_lifted,
        incidents: incidents(home, project)?,
        drills: drills(tally),
        witnesses: witnesses(home, verified)?,
        policies: PoliciesLine {
            digest: Some(policies.digest()),
            files,
            strict: policies.settings().strict,
            applied: tally.applied,
        },
        roles,
        actors: actors(tally),
    })
}

/// Every version of every dataset, and the hold-outs among them.
fn datasets(
    home: &Home,
    project: &ProjectName,
    budget: u64,
) -> Result<(Listed<DatasetLine>, Listed<HoldoutLine>), ReportError> {
    let uses = home.catalog.dataset_uses(project)?;
    let uses: BTreeMap<_, _> = uses.into_iter().map(|one| ((one.dataset, one.version), one.runs)).collect();
    let used = |name, version| uses.get(&(name, version)).copied().unwrap_or(0);
    let mut lines = Vec::new();
    let mut holdouts = BTreeMap::new();
    for version in home.catalog.all_versions(project)? {
        if version.labels.iter().any(|label| label.as_str() == HOLDOUT) {
            let evaluations = used(version.name.clone(), None);
            let line = HoldoutLine { name: version.name.clone(), evaluations, budget };
            holdouts.insert(version.name.clone(), line);
        }
        lines.push(DatasetLine {
            runs: used(version.name.clone(), Some(version.version)),
            name: version.name,
            version: version.version,
            labels: version.labels,
        });
    }
    Ok((Listed::first(lines, LISTED_MAX), Listed::first(holdouts.into_values().collect(), LISTED_MAX)))
}

fn quarantine(home: &Home, project: &ProjectName) -> Result<(Listed<QuarantineLine>, u64), ReportError> {
    let (mut lines, mut lifted) = (Vec::new(), 0);
    for one in home.catalog.quarantines(project)? {
        if one.lifted.is_some() {
            lifted += 1;
            continue;
        }
        lines.push(QuarantineLine {
            object: one.object,
            added: one.added,
            actor: one.actor,
            runs: one.runs,
            entry: one.entry,
        });
    }
    Ok((Listed::first(lines, LISTED_MAX), lifted))
}

fn incidents(home: &Home, project: &ProjectName) -> Result<Listed<IncidentLine>, ReportError> {
    let lines = home.catalog.incidents(project)?.into_iter().map(|one| IncidentLine {
        incident: one.incident,
        objects: one.objects,
        opened: one.opened,
        closed: one.closed,
        entry: one.entry,
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by_key(|line| line.closed.is_some()); // Stable: otherwise in the order they were opened.
    Ok(Listed::first(lines, LISTED_MAX))
}

fn reached(tally: &Tally) -> Listed<ReachedLine> {
    let lines = tally.reached.known.iter().map(|(grant, (connections, entries))| ReachedLine {
        grant: grant.clone(),
        connections: *connections,
        entries: *entries,
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by_key(|line| Reverse(line.connections));
    let mut listed = Listed::first(lines, LISTED_MAX);
    listed.unlisted += tally.reached.more + tally.reached_unlisted;
    listed
}

fn denied(tally: &Tally) -> Listed<DeniedLine> {
    let lines = tally.denied.known.iter().map(|((rule, element, outcome), entries)| DeniedLine {
        rule: rule.clone(),
        element: element.clone(),
        outcome: outcome.as_str(),
        entries: *entries,
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by_key(|line| Reverse(line.entries.count));
    let mut listed = Listed::first(lines, LISTED_MAX);
    listed.unlisted += tally.denied.more;
    listed
}

fn acts(tally: &Tally) -> Listed<ActLine> {
    let lines = tally.acts_denied.known.iter().map(|((act, actor), entries)| ActLine {
        act: act.clone(),
        actor: actor.clone(),
        entries: *entries,
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by_key(|line| Reverse(line.entries.count));
    let mut listed = Listed::first(lines, LISTED_MAX);
    listed.unlisted += tally.acts_denied.more;
    listed
}

fn actors(tally: &Tally) -> Listed<ActorLine> {
    let lines = tally.actors.known.iter();
    let mut lines: Vec<_> =
        lines.map(|(actor, entries)| ActorLine { actor: actor.clone(), entries: *entries }).collect();
    lines.sort_by_key(|line| Reverse(line.entries.count));
    let mut listed = Listed::first(lines, LISTED_MAX);
    listed.unlisted += tally.actors.more;
    listed
}

/// Overdue is what is too old at the last entry: the clock of whoever asks would give one position many reports.
pub(super) fn drills(tally: &Tally) -> Drills {
    let last = tally.last_drill.as_ref().map(|drill| drill.time.as_unix_ms());
    let at = tally.last_entry.map(Timestamp::as_unix_ms);
    let overdue = match (last, at) {
        (Some(last), Some(at)) => at.saturating_sub(last) > i64::from(DRILL_DAYS) * DAY_MS,
        (None, at) => at.is_some(),
        (Some(_), None) => false,
    };
    Drills { entries: tally.drills, last: tally.last_drill.clone(), overdue }
}

fn witnesses(home: &Home, verified: &Verified) -> Result<Witnesses, ReportError> {
    let dir = home.ledger_dir();
    let policy = witness_policy(&dir)?;
    let named: Vec<String> = policy.witnesses().iter().map(|witness| witness.name.clone()).collect();
    let found = match checkpoint(verified) {
        Some(checkpoint) if !named.is_empty() => witnessed(&dir, &policy, checkpoint)?,
        _ => return Ok(Witnesses { named, witnessed: None }),
    };
    let witnessed = found.entries.filter(|_| !found.witnesses.is_empty());
    Ok(Witnesses { named, witnessed })
}

/// What nobody looked at for this report.
pub(super) fn not_verified(report: &ProjectReport) -> Vec<String> {
    let entries = report.position.entries;
    let witnesses = &report.summary.witnesses;
    let history = match witnesses.witnessed {
        Some(witnessed) if witnessed >= entries => None,
        Some(witnessed) => Some(format!(
            "that nobody who holds the key replaced entries from {witnessed} on, which no witness cosigned yet: \
             `aseptic ledger witness update`"
        )),
        None if witnesses.named.is_empty() => Some(
            "that nobody who holds the key of the ledger wrote another history: no witness is named, and no \
             checkpoint was given"
                .to_owned(),
        ),
        None => Some(
            "that nobody who holds the key of the ledger wrote another history: too few witnesses cosigned it"
                .to_owned(),
        ),
    };
    let mut all: Vec<String> = history.into_iter().collect();
    all.extend(
        [
            "whose key that is: compare it with the one that was published",
            "that the catalog, which counts runs and datasets, is what the ledger makes of it: `aseptic catalog verify`",
            "that the bytes in the store are those of their digests: `aseptic dataset verify`",
            "that the statements about outputs are signed by the key of this machine: `aseptic attest verify`",
            "that decisions follow from the policies: `aseptic policy explain RUN` decides again",
        ]
        .map(str::to_owned),
    );
    let risk = &report.risk;
    if risk.unreadable > 0 {
        all.push(format!(
            "the risk of {} runs: what was asked about them is not there or cannot be read",
            risk.unreadable
        ));
    }
    if risk.not_looked_into > 0 {
        all.push(format!("the risk of {} older runs, which were not looked into", risk.not_looked_into));
    }
    all
}
