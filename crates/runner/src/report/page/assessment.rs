//! The risk assessment and the controls on the page.

use std::collections::BTreeMap;

use super::{Block, Page, entries};
use crate::report::document::{Control, Evidence, FindingLine, RiskAssessment, RiskLine};

impl Page {
    pub(super) fn risk(&mut self, risk: &RiskAssessment) {
        self.heading("Risk assessment");
        self.say(format!(
            "What was asked about the newest {} decided runs was looked into; {} of them have a score. {} could not be \
             looked into, and {} older runs were not. A score adds up facts about a plan and is no probability.",
            risk.looked_into, risk.scored, risk.unreadable, risk.not_looked_into
        ));
        self.table(
            "Runs with the highest risk",
            "No run has a score above 0.",
            ["Run", "Experiment", "Ended", "Score", "Because of", "Entry"],
            risk.highest.listed.iter().map(risk_row),
        );
        self.unlisted(&risk.highest);
        self.table(
            "Experiments by risk",
            "No experiment has a score.",
            ["Experiment", "Runs", "Highest", "Lowest", "Run with the highest"],
            risk.experiments.listed.iter().map(|line| {
                [
                    line.experiment.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string),
                    line.runs.to_string(),
                    line.highest.to_string(),
                    line.lowest.to_string(),
                    line.run.to_string(),
                ]
            }),
        );
        self.unlisted(&risk.experiments);
        self.table(
            "Findings",
            "Nothing stands out.",
            ["Finding", "About", "What is the matter", "Runs", "Entries"],
            risk.findings.listed.iter().map(finding_row),
        );
        self.unlisted(&risk.findings);
    }

    pub(super) fn controls(&mut self, controls: &[Control]) {
        self.heading("Controls and evidence");
        self.say(
            "Each control helps with those of the standards that are named: of NIST SP 800-53 revision 5 where nothing \
             else is said. Which helps with which is our reading, and no assessment. Entries can be looked at with \
             `aseptic ledger show`.",
        );
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        for control in controls {
            *states.entry(control.enforcement.as_str()).or_default() += 1;
        }
        let states: Vec<_> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        self.say(format!("Of {} controls: {}.", controls.len(), states.join(", ")));
        self.table(
            "Controls",
            "There are no controls.",
            ["No.", "Control", "Helps with", "State"],
            controls.iter().map(|control| {
                [
                    control.number.to_string(),
                    control.title.to_owned(),
                    control.helps_with.join("; "),
                    control.enforcement.as_str().to_owned(),
                ]
            }),
        );
        controls.iter().for_each(|control| self.control(control));
    }

    fn control(&mut self, control: &Control) {
        self.subheading(format!("Control {}: {}", control.number, control.title));
        self.say(format!(
            "State: {}. Helps with {}.",
            control.enforcement.as_str(),
            control.helps_with.join("; ")
        ));
        self.say(format!("Enforced: {}.", control.enforced));
        if !control.missing.is_empty() {
            self.say(format!("Missing: {}.", control.missing));
        }
        match control.evidence.as_slice() {
            [] => self.say("This project has no evidence to show for it."),
            some => self.0.push(Block::List(some.iter().map(evidence).collect())),
        }
    }
}

fn risk_row(line: &RiskLine) -> [String; 6] {
    [
        line.run.to_string(),
        line.experiment.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string),
        line.status.map_or("running", aseptic_model::Status::as_str).to_owned(),
        line.score.to_string(),
        line.inputs.join("; "),
        line.entry.to_string(),
    ]
}

fn finding_row(line: &FindingLine) -> [String; 5] {
    [
        line.code.to_owned(),
        line.subject.clone(),
        line.message.to_owned(),
        line.entries.count.to_string(),
        entries(line.entries),
    ]
}

fn evidence(one: &Evidence) -> String {
    let at = match one.entries {
        Some(span) if span.count == 1 => format!(" (entry {})", span.first),
        Some(span) => format!(" (entries {})", entries(span)),
        None => String::new(),
    };
    let check = one.check.map(|check| format!("; see `{check}`")).unwrap_or_default();
    format!("{}{at}{check}", one.statement)
}
