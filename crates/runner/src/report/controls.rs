//! The control table: what the software enforces, what it helps with, and what this project has to show for it.
//!
//! The references are to NIST SP 800-53 revision 5 where they name nothing else, to NIST SP 800-190, the NIST AI Risk
//! Management Framework, ISO/IEC 42001 Annex A, the EU AI Act and SLSA 1.0. Which control helps with which is our
//! reading of them.

use super::document::{Control, Enforcement, Evidence, ProjectReport, Span};
use super::tally::Tally;
use Enforcement::{Enforced, NotYet, Partly};

/// A control without its evidence.
struct Fixed {
    title: &'static str,
    helps_with: &'static [&'static str],
    enforcement: Enforcement,
    enforced: &'static str,
    missing: &'static str,
}

const CONTROLS: [Fixed; 16] = [
    Fixed {
        title: "No credentials in code, specs and environments",
        helps_with: &["IA-5(7)", "SP 800-190 embedded secrets"],
        enforcement: NotYet,
        enforced: "a job has the variables of its spec and none of the user's environment",
        missing: "nothing looks for credentials in code, inputs or specs, and no broker keeps them from a job",
    },
    Fixed {
        title: "Least privilege for each run",
        helps_with: &["AC-3", "AC-6"],
        enforcement: Enforced,
        enforced: "every element of a plan is a request that policies decide; what none permits is denied, what one \
                   forbids is denied, and a policy that cannot be evaluated denies",
        missing: "",
    },
    Fixed {
        title: "Separation of duties",
        helps_with: &["AC-5", "CM-5", "AC-3(2)"],
        enforcement: Partly,
        enforced: "roles come from a signed file, pairs of them exclude each other, and every command is an action \
                   that policies decide",
        missing: "nobody can approve yet: what needs an approval does not start; people are users of the operating \
                  system, so whoever may write to the state directory is not held by roles",
    },
    Fixed {
        title: "Strong authentication for acts that matter",
        helps_with: &["IA-2(1)"],
        enforcement: NotYet,
        enforced: "entries name the user of the operating system",
        missing: "there are no accounts and no second factor",
    },
    Fixed {
        title: "Information flow to the network",
        helps_with: &["SC-7(5)", "SC-7(8)", "AC-4", "SP 800-190 network"],
        enforcement: Enforced,
        enforced: "a run has no way out but a gateway that knows its grants, host and port; the address that was \
                   checked is the one that is connected to; what was reached and what was denied is recorded",
        missing: "a granted host can be sent whatever the job may read",
    },
    Fixed {
        title: "Keys and protection at rest",
        helps_with: &["SC-12", "SC-28"],
        enforcement: NotYet,
        enforced: "the keys that sign the ledger and statements can be rotated, and each rotation is an entry",
        missing: "nothing in the store is encrypted, and the age of a key is not bounded",
    },
    Fixed {
        title: "Review of access that nobody uses",
        helps_with: &["AC-2(3)", "AC-6(7)"],
        enforcement: Partly,
        enforced: "grants that no run reached are found, with the runs that asked for them",
        missing: "nothing is taken away by itself, and no review is asked for or recorded",
    },
    Fixed {
        title: "Change control of policies",
        helps_with: &["CM-3"],
        enforcement: Partly,
        enforced: "policies have a digest, are checked before they are in force, and each change is an entry; shipped \
                   rules can be narrowed and not edited; a decision names the policies that made it",
        missing: "a change needs no second person, and is not proven to widen nothing",
    },
    Fixed {
        title: "Audit records that cannot be changed unseen",
        helps_with: &["AU-2", "AU-3", "AU-9(3)", "AU-10", "AU-12"],
        enforcement: Enforced,
        enforced: "an entry is on disk before what it permits happens; all entries are one signed Merkle tree, which \
                   witnesses elsewhere can cosign",
        missing: "without a witness, whoever holds the key can write another history",
    },
    Fixed {
        title: "Records of the life of each run",
        helps_with: &["EU AI Act Art. 12, 19, 26(6)", "ISO/IEC 42001 A.6.2.8"],
        enforcement: Partly,
        enforced: "plan, decision, start and end of every run are entries, with data by digest; entries are never \
                   deleted",
        missing: "who runs an experiment can shorten how long its outputs are kept; approvals are not recorded yet",
    },
    Fixed {
        title: "Answer to incidents",
        helps_with: &["IR-4", "IR-5", "AI RMF MANAGE 2.4"],
        enforcement: Partly,
        enforced: "one command puts something and all that came of it in quarantine, stops the runs that have it, and \
                   writes evidence; a grant of a running run can be taken back",
        missing: "there are no credentials to revoke, and a run is stopped and not frozen",
    },
    Fixed {
        title: "Exercises",
        helps_with: &["IR-3", "CA-7"],
        enforcement: Partly,
        enforced: "a drill attacks sealed runs on this machine, and its report is an entry",
        missing: "nothing starts it by itself, and one that is overdue stops nothing",
    },
    Fixed {
        title: "Risk assessment of each run",
        helps_with: &["RA-3", "AI RMF MAP", "AI RMF MEASURE 2.7"],
        enforcement: Partly,
        enforced: "every plan has a score from facts, which is kept with what it consists of and which policies can use",
        missing: "what a score asks for in approvals cannot be given yet",
    },
    Fixed {
        title: "Integrity of software and provenance of outputs",
        helps_with: &["SI-7", "the shape of SLSA Build L2"],
        enforcement: Partly,
        enforced: "code, inputs and outputs are named by digest; the supervisor, not the job, signs at the end of a run \
                   what came of what",
        missing: "the environment is the one of this machine, pinned by its lists of files and not by an image",
    },
    Fixed {
        title: "Labels and hold-outs",
        helps_with: &["AC-4", "ISO/IEC 42001 A.7"],
        enforcement: Enforced,
        enforced: "outputs have the labels of their inputs; data with sensitive labels meets no network that its label \
                   does not allow; hold-out data meets no training output; taking a label off needs a role and a reason",
        missing: "a label that nobody gave protects nothing",
    },
    Fixed {
        title: "People who leave",
        helps_with: &["PS-4", "AC-2"],
        enforcement: Partly,
        enforced: "who is taken out of the signed file of roles has none from then on",
        missing: "there are no accounts, sessions or credentials to revoke, and no report that nothing was forgotten",
    },
];

/// The controls with the evidence of the project; everything else of `report` is known.
pub(super) fn controls(report: &ProjectReport, tally: &Tally) -> Vec<Control> {
    let numbered = (1..).zip(CONTROLS);
    let control = |(number, fixed): (u32, Fixed)| Control {
        number,
        title: fixed.title,
        helps_with: fixed.helps_with,
        enforcement: fixed.enforcement,
        enforced: fixed.enforced,
        missing: fixed.missing,
        evidence: evidence(number, report, tally),
    };
    numbered.map(control).collect()
}

fn evidence(number: u32, report: &ProjectReport, tally: &Tally) -> Vec<Evidence> {
    let summary = &report.summary;
    let of = |kind: &str, what: &str, check| counted(tally.kind(kind), what, check);
    match number {
        2 => {
            let decided = tally.kind("run.decided");
            vec![
                counted(decided, "decisions", "aseptic ledger show --type run.decided"),
                named(tally.with_policy, decided, "their policies"),
                named(tally.with_requests, decided, "everything that was asked"),
                of("act.denied", "acts of people denied", "aseptic ledger show --type act.denied"),
            ]
        }
        3 | 16 => vec![
            said(match &summary.roles {
                Some(roles) => {
                    format!(
                        "{} roles have members, in a signed file",
                        roles.values().filter(|m| !m.is_empty()).count()
                    )
                }
                None => "no roles file: whoever owns the state directory may do everything".to_owned(),
            }),
            counted(
                tally.applied,
                "changes of policies and roles",
                "aseptic ledger show --type policy.applied",
            ),
        ],
        5 => vec![
            of("run.reached", "runs that reached something", "aseptic ledger show --type run.reached"),
            of("run.denied", "runs that were denied something", "aseptic ledger show --type run.denied"),
            of("grant.revoked", "grants taken back", "aseptic ledger show --type grant.revoked"),
        ],
        6 => vec![
            of(
                "ledger.key-rotated",
                "other keys of the ledger",
                "aseptic ledger show --type ledger.key-rotated",
            ),
            of("attestation.key", "keys of statements", "aseptic ledger show --type attestation.key"),
        ],
        7 => {
            let unused = report.risk.findings.listed.iter().filter(|finding| finding.code == "unused-grant");
            vec![said(format!(
                "grants of the newest {} runs that no run reached: {}",
                report.risk.looked_into,
                unused.count()
            ))]
        }
        8 => vec![
            counted(
                tally.applied,
                "changes of policies and roles",
                "aseptic ledger show --type policy.applied",
            ),
            named(tally.with_policy, tally.kind("run.decided"), "their policies"),
        ],
        9 => audit(report, tally),
        10 => vec![
            of("run.planned", "runs planned", "aseptic ledger show --type run.planned"),
            of("run.started", "runs started", "aseptic ledger show --type run.started"),
            of("run.sealed", "runs ended", "aseptic ledger show --type run.sealed"),
            of(
                "store.collected",
                "collections of what nothing needed",
                "aseptic ledger show --type store.collected",
            ),
        ],
        11 => vec![
            of(
                "quarantine.added",
                "objects put in quarantine",
                "aseptic ledger show --type quarantine.added",
            ),
            of("quarantine.lifted", "objects lifted from it", "aseptic ledger show --type quarantine.lifted"),
            of("incident.opened", "incidents opened", "aseptic ledger show --type incident.opened"),
            of("incident.closed", "incidents closed", "aseptic ledger show --type incident.closed"),
            of("run.stopped", "runs stopped", "aseptic ledger show --type run.stopped"),
        ],
        12 => drills(report),
        13 => vec![said(format!(
            "{} of the newest {} decided runs have a score",
            report.risk.scored,
            report.risk.looked_into + report.risk.unreadable
        ))],
        14 => {
            let sealed = tally.kind("run.sealed");
            let statement = format!(
                "{} of {} runs that ended have signed statements",
                tally.attested.count, sealed.count
            );
            vec![Evidence {
                statement,
                entries: some(tally.attested),
                check: Some("aseptic attest verify RUN"),
            }]
        }
        15 => {
            let with_labels =
                summary.datasets.listed.iter().filter(|dataset| !dataset.labels.is_empty()).count();
            vec![
                said(format!("listed versions of datasets that have labels: {with_labels}")),
                said(format!(
                    "hold-outs: {}",
                    summary.holdouts.listed.len() as u64 + summary.holdouts.unlisted
                )),
                counted(
                    tally.unlabelled,
                    "labels taken off something",
                    "aseptic ledger show --type dataset.labelled --type run.labelled",
                ),
            ]
        }
        _ => Vec::new(),
    }
}

fn audit(report: &ProjectReport, tally: &Tally) -> Vec<Evidence> {
    let witnesses = &report.summary.witnesses;
    let witnessed = match witnesses.witnessed {
        Some(entries) => {
            format!("enough of {} witnesses cosigned the first {entries} entries", witnesses.named.len())
        }
        None => "no witness cosigned it".to_owned(),
    };
    let mut evidence = vec![
        Evidence {
            statement: format!("{} entries verified, root {}", report.position.entries, report.position.root),
            entries: None,
            check: Some("aseptic ledger verify"),
        },
        Evidence { statement: witnessed, entries: None, check: Some("aseptic ledger verify --witnessed") },
        counted(
            tally.kind("ledger.erased"),
            "erasures of values",
            "aseptic ledger show --type ledger.erased",
        ),
        counted(
            tally.kind("ledger.clock-went-back"),
            "the clock went back",
            "aseptic ledger show --type ledger.clock-went-back",
        ),
    ];
    if tally.not_understood.count > 0 {
        evidence.push(Evidence {
            statement: format!(
                "{} entries of other versions, which were not counted",
                tally.not_understood.count
            ),
            entries: some(tally.not_understood),
            check: None,
        });
    }
    evidence
}

fn drills(report: &ProjectReport) -> Vec<Evidence> {
    let drills = &report.summary.drills;
    let last = match &drills.last {
        None => "no drill yet".to_owned(),
        Some(last) => format!(
            "the last drill, {}: {} attempts held, {} got through, {} prove nothing{}",
            last.time,
            last.held,
            last.breached,
            last.broken,
            if drills.overdue { "; the next is overdue" } else { "" }
        ),
    };
    vec![counted(drills.entries, "drills", "aseptic ledger show --type drill.completed"), said(last)]
}

fn said(statement: String) -> Evidence {
    Evidence { statement, entries: None, check: None }
}

fn counted(entries: Span, what: &str, check: &'static str) -> Evidence {
    let entries_or_none = some(entries);
    let statement = format!("{what}: {}", entries.count);
    Evidence { statement, entries: entries_or_none, check: entries_or_none.and(Some(check)) }
}

/// How many of `all` name something.
fn named(some_of: Span, all: Span, what: &str) -> Evidence {
    let statement = match (some_of.count, all.count) {
        (_, 0) => return said(format!("no decision to name {what}")),
        (named, all) if named == all => format!("all name {what}"),
        (named, all) => format!("{named} of {all} name {what}"),
    };
    Evidence { statement, entries: some(some_of), check: None }
}

fn some(span: Span) -> Option<Span> {
    (span.count > 0).then_some(span)
}
