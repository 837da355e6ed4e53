//! The report as a page: headings, paragraphs and tables of plain text, which each form escapes in its own way.

mod assessment;

use super::DRILL_DAYS;
use super::document::{Listed, ProjectReport, Span, Summary};

/// A part of a page. All text is plain.
#[derive(Debug)]
pub(super) enum Block {
    /// A heading, one below that of the page.
    Heading(String),
    /// A heading below that.
    Subheading(String),
    /// Sentences.
    Paragraph(String),
    /// Sentences that must not be overlooked.
    Warning(String),
    /// One thing after another.
    List(Vec<String>),
    /// Rows below their titles.
    Table { caption: String, titles: Vec<&'static str>, rows: Vec<Vec<String>> },
}

/// Words of a sentence.
pub(super) enum Part<'t> {
    /// As they are.
    Plain(&'t str),
    /// A command, without the backticks around it: letters, digits, blanks and `-_./:=@` alone.
    Command(&'t str),
}

/// A sentence with its commands told apart. No other text in backticks is one, since names in it are of anybody.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    const BEGINNING: &str = "`aseptic ";
    let is_plain = |character: char| character.is_ascii_alphanumeric() || " -_./:=@".contains(character);
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once(BEGINNING) {
        let end = after.find(|character| !is_plain(character)).unwrap_or(after.len());
        let command = rest.get(plain.len() + 1..plain.len() + BEGINNING.len() + end);
        let (Some(command), Some(next)) = (command, after.get(end..).and_then(|end| end.strip_prefix('`')))
        else {
            break;
        };
        parts.extend([Part::Plain(plain), Part::Command(command)]);
        rest = next;
    }
    parts.push(Part::Plain(rest));
    parts
}

/// The title of the page.
pub(super) fn title(report: &ProjectReport) -> String {
    format!("Report on project {}", report.project)
}

/// The page below its title.
pub(super) fn blocks(report: &ProjectReport) -> Vec<Block> {
    let mut page = Page(Vec::new());
    page.head(report);
    page.summary(&report.summary);
    page.risk(&report.risk);
    page.controls(&report.controls);
    page.0
}

struct Page(Vec<Block>);

impl Page {
    fn heading(&mut self, text: &str) {
        self.0.push(Block::Heading(text.to_owned()));
    }

    fn subheading(&mut self, text: impl Into<String>) {
        self.0.push(Block::Subheading(text.into()));
    }

    fn say(&mut self, text: impl Into<String>) {
        self.0.push(Block::Paragraph(text.into()));
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.0.push(Block::Warning(text.into()));
    }

    /// A table, or `none` where it has no rows.
    fn table<const N: usize>(
        &mut self,
        caption: &str,
        none: &str,
        titles: [&'static str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) {
        let rows: Vec<_> = rows.into_iter().map(Vec::from).collect();
        if rows.is_empty() {
            return self.say(none);
        }
        self.0.push(Block::Table { caption: caption.to_owned(), titles: titles.into(), rows });
    }

    fn unlisted<T>(&mut self, listed: &Listed<T>) {
        if listed.unlisted > 0 {
            self.say(format!("{} more are not listed.", listed.unlisted));
        }
    }

    fn head(&mut self, report: &ProjectReport) {
        let at = &report.position;
        self.say(format!(
            "Made by aseptic {} from the ledger {} after {} entries, root {}, key {}. Time of the last entry: {}. The \
             report says what was so then; another report at the same position says the same.",
            report.version,
            at.ledger,
            at.entries,
            at.root,
            at.key,
            at.last_entry.map_or_else(|| "none".to_owned(), |time| time.to_string())
        ));
        if let Some(since) = report.since {
            self.say(format!(
                "Runs, decisions, denials, destinations and people are counted from {since} on. Datasets, hold-outs, \
                 quarantine, incidents, drills and policies are those of all time."
            ));
        }
        self.heading("Verified");
        self.0.push(Block::List(report.verified.clone()));
        self.heading("Not verified");
        self.0.push(Block::List(report.not_verified.clone()));
    }

    fn summary(&mut self, summary: &Summary) {
        self.heading("Summary");
        self.table(
            "Runs, by how they ended",
            "There are no runs.",
            ["Runs", "Number"],
            summary.runs.iter().map(|(status, runs)| [status.clone(), runs.to_string()]),
        );
        self.table(
            "Decisions",
            "Nothing was decided.",
            ["Outcome", "Number", "Entries"],
            summary
                .decisions
                .iter()
                .map(|(outcome, span)| [(*outcome).to_owned(), span.count.to_string(), entries(*span)]),
        );
        self.denials(summary);
        self.data(summary);
        self.table(
            "Destinations that were reached",
            "No run reached a destination.",
            ["Grant", "Connections", "Runs", "Entries"],
            summary.reached.listed.iter().map(|line| {
                [
                    line.grant.clone(),
                    line.connections.to_string(),
                    line.entries.count.to_string(),
                    entries(line.entries),
                ]
            }),
        );
        self.unlisted(&summary.reached);
        self.trouble(summary);
        self.governance(summary);
    }

    fn denials(&mut self, summary: &Summary) {
        self.table(
            "What decisions denied or left to an approval, the most frequent first",
            "No decision denied anything.",
            ["Rule", "Element", "Outcome", "Decisions", "Entries"],
            summary.denied.listed.iter().map(|line| {
                [
                    line.rule.clone(),
                    line.element.clone(),
                    line.outcome.to_owned(),
                    line.entries.count.to_string(),
                    entries(line.entries),
                ]
            }),
        );
        self.unlisted(&summary.denied);
        self.table(
            "What jobs tried and walls refused",
            "No attempt of a job was refused.",
            ["Kind", "Attempts"],
            summary.attempts.iter().map(|(kind, count)| [kind.clone(), count.to_string()]),
        );
        self.table(
            "What people wanted to do and may not",
            "Nobody was denied an act.",
            ["Act", "By", "Times", "Entries"],
            summary.acts_denied.listed.iter().map(|line| {
                [line.act.clone(), line.actor.clone(), line.entries.count.to_string(), entries(line.entries)]
            }),
        );
        self.unlisted(&summary.acts_denied);
    }

    fn data(&mut self, summary: &Summary) {
        self.table(
            "Datasets and their labels",
            "There are no datasets.",
            ["Dataset", "Labels", "Runs that started with it"],
            summary.datasets.listed.iter().map(|line| {
                let labels: Vec<_> = line.labels.iter().map(ToString::to_string).collect();
                let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
                [format!("{}@{}", line.name, line.version), labels, line.runs.to_string()]
            }),
        );
        self.unlisted(&summary.datasets);
        self.table(
            "Hold-outs",
            "No dataset is hold-out data.",
            ["Dataset", "Evaluations used", "Evaluations before each needs approval"],
            summary
                .holdouts
                .listed
                .iter()
                .map(|line| [line.name.to_string(), line.evaluations.to_string(), line.budget.to_string()]),
        );
        self.unlisted(&summary.holdouts);
    }

    fn trouble(&mut self, summary: &Summary) {
        self.table(
            "In quarantine",
            "Nothing is in quarantine.",
            ["Object", "Since", "By", "Runs reached then", "Entry"],
            summary.quarantine.listed.iter().map(|line| {
                [
                    line.object.to_string(),
                    line.added.to_string(),
                    line.actor.clone(),
                    line.runs.to_string(),
                    line.entry.to_string(),
                ]
            }),
        );
        self.unlisted(&summary.quarantine);
        self.say(format!("{} objects were in quarantine and are no more.", summary.quarantine_lifted));
        self.table(
            "Incidents, the open ones first",
            "There are no incidents.",
            ["Incident", "State", "About", "Opened", "Closed", "Entry"],
            summary.incidents.listed.iter().map(|line| {
                let objects: Vec<_> = line.objects.iter().map(ToString::to_string).collect();
                [
                    line.incident.to_string(),
                    if line.closed.is_some() { "closed" } else { "open" }.to_owned(),
                    objects.join(", "),
                    line.opened.to_string(),
                    line.closed.map_or_else(String::new, |time| time.to_string()),
                    line.entry.to_string(),
                ]
            }),
        );
        self.unlisted(&summary.incidents);
        self.drills(summary);
    }

    fn drills(&mut self, summary: &Summary) {
        let drills = &summary.drills;
        match &drills.last {
            None => self.say("There was no drill."),
            Some(last) => self.say(format!(
                "The last of {} drills was at {}: {} attempts held, {} got through, {} prove nothing.",
                drills.entries.count, last.time, last.held, last.breached, last.broken
            )),
        }
        if drills.last.as_ref().is_some_and(|last| last.breached > 0) {
            self.warn("An attempt of the last drill got through: see its report.");
        }
        if drills.overdue {
            self.warn(format!(
                "A drill is overdue: there was none in the {DRILL_DAYS} days before the last entry. `aseptic drill` \
                 makes one."
            ));
        }
    }

    fn governance(&mut self, summary: &Summary) {
        let policies = &summary.policies;
        let own: Vec<_> = policies.files.iter().map(String::as_str).collect();
        self.say(format!(
            "Policies in force: {}. Files of the project: {}. What is not pinned is {}. {} put others in force.",
            policies.digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string()),
            if own.is_empty() { "none, the shipped rules decide".to_owned() } else { own.join(", ") },
            if policies.strict { "denied" } else { "labelled and not denied" },
            match policies.applied.count {
                1 => "1 entry".to_owned(),
                count => format!("{count} entries"),
            }
        ));
        match &summary.roles {
            None => self.say("There is no roles file: whoever owns the state directory may do everything."),
            Some(roles) => self.table(
                "Roles",
                "The roles file gives nobody a role.",
                ["Role", "Members"],
                roles.iter().map(|(role, members)| {
                    [role.clone(), members.iter().map(String::as_str).collect::<Vec<_>>().join(", ")]
                }),
            ),
        }
        let witnesses = &summary.witnesses;
        self.say(match witnesses.witnessed {
            Some(entries) => format!(
                "Witnesses of the ledger: {}. Enough of them cosigned the first {entries} entries.",
                witnesses.named.join(", ")
            ),
            None if witnesses.named.is_empty() => "The ledger has no witness.".to_owned(),
            None => format!(
                "Witnesses of the ledger: {}. Not enough of them cosigned it.",
                witnesses.named.join(", ")
            ),
        });
        self.table(
            "Who did something",
            "Nobody did anything.",
            ["Who", "Entries", "From to"],
            summary
                .actors
                .listed
                .iter()
                .map(|line| [line.actor.clone(), line.entries.count.to_string(), entries(line.entries)]),
        );
        self.unlisted(&summary.actors);
    }
}

/// `7`, or `7 to 90`.
fn entries(span: Span) -> String {
    match span.count {
        0 => String::new(),
        1 => span.first.to_string(),
        _ => format!("{} to {}", span.first, span.last),
    }
}
