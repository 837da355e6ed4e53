//! What a search means, written once more without a database.

use std::cmp::Ordering;

use aseptic_catalog::{Column, Field, Mark, Operator, Search, Statistic, Term, Value};
use aseptic_model::Timestamp;

use super::generate::Made;

/// A run with what the ledger added to it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) made: Made,
    pub(super) run: String,
    pub(super) plan: String,
    pub(super) code: String,
    pub(super) outputs: Option<String>,
    pub(super) planned: i64,
    pub(super) ended: Option<i64>,
}

/// What a field of a run is.
enum Is {
    Number(f64),
    Text(String),
}

pub(super) fn holds(search: &Search, run: &Known, now: Timestamp) -> bool {
    match search {
        Search::All(parts) => parts.iter().all(|part| holds(part, run, now)),
        Search::Any(parts) => parts.iter().any(|part| holds(part, run, now)),
        Search::Not(inner) => !holds(inner, run, now),
        Search::Term(term) => is(term, run, now),
    }
}

fn is(term: &Term, run: &Known, now: Timestamp) -> bool {
    match term {
        Term::Mark(mark, text) => marked(*mark, text, run),
        Term::Has(field) => !values(field, run).is_empty(),
        Term::Compare(field, operator, value) => {
            values(field, run).iter().any(|is| compares(field, is, *operator, value, now))
        }
        Term::OneOf(field, wanted) => values(field, run)
            .iter()
            .any(|is| wanted.iter().any(|value| compares(field, is, Operator::Equal, value, now))),
    }
}

fn marked(mark: Mark, text: &str, run: &Known) -> bool {
    let made = &run.made;
    match mark {
        Mark::Tag => made.tags.contains(&text),
        Mark::Label => made.labels.contains(&text),
        Mark::Dataset => made.inputs.values().any(|input| is_dataset(*input, text)),
        Mark::Read => {
            made.status.is_some() && made.complete && !made.inputs.is_empty() && made.read.contains(&text)
        }
        Mark::Package => {
            let (name, wanted) = text.split_once('@').unwrap_or((text, ""));
            made.packages.iter().any(|(known, version)| {
                let rest = version.strip_prefix(wanted);
                *known == name
                    && (wanted.is_empty()
                        || rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_numeric())))
            })
        }
    }
}

fn is_dataset((name, version): (&str, u32), text: &str) -> bool {
    match text.split_once('@') {
        None => text == name,
        Some((wanted, number)) => wanted == name && number == version.to_string(),
    }
}

/// Every value of a field.
fn values(field: &Field, run: &Known) -> Vec<Is> {
    let made = &run.made;
    let sealed = made.status.is_some();
    let text = |text: Option<&str>| text.map(|text| Is::Text(text.to_owned())).into_iter().collect();
    let number = |number: Option<f64>| number.map(Is::Number).into_iter().collect();
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let whole = |number: Option<i64>| number.map(|number| Is::Number(number as f64)).into_iter().collect();
    match field {
        Field::Metric(name, statistic) => match made.metrics.get(name).filter(|_| sealed) {
            None => Vec::new(),
            Some((last, min, max, step)) => match statistic {
                Statistic::Last => number(*last),
                Statistic::Min => number(Some(*min)),
                Statistic::Max => number(Some(*max)),
                Statistic::Step => whole(*step),
            },
        },
        Field::Param(name) => match made.params.get(name) {
            None => Vec::new(),
            Some(serde_json::Value::String(known)) => text(Some(known)),
            Some(value) => match value.as_f64() {
                Some(known) => number(Some(known)),
                None => text(Some(&value.to_string())),
            },
        },
        Field::Data(name) => {
            let input = made.inputs.get(name.as_str());
            input.map(|(name, version)| Is::Text(format!("{name}@{version}"))).into_iter().collect()
        }
        Field::Package(name) => {
            let named = made.packages.iter().filter(|(known, _)| known == name);
            named.map(|(_, version)| Is::Text((*version).to_owned())).collect()
        }
        Field::Column(column) => match column {
            Column::Status => text(Some(made.status.map_or("running", aseptic_model::Status::as_str))),
            Column::Experiment => text(made.experiment),
            Column::Name => text(made.name),
            Column::Note => text(made.note),
            Column::Actor => text(Some("user:ada")),
            Column::Host | Column::Environment | Column::Policy | Column::Replays => Vec::new(),
            Column::Run => text(Some(&run.run)),
            Column::Code => text(Some(&run.code)),
            Column::Commit => text(Some("c0ffee")),
            Column::Plan => text(Some(&run.plan)),
            Column::Outputs => text(run.outputs.as_deref()),
            Column::Planned => whole(Some(run.planned)),
            Column::Started => Vec::new(),
            Column::Ended => whole(run.ended),
            Column::Duration => number(sealed.then_some(made.duration)),
            Column::ExitCode => whole(made.exit_code.filter(|_| sealed).map(i64::from)),
            Column::Lineage => text(sealed.then_some(if made.complete { "complete" } else { "incomplete" })),
        },
    }
}

fn compares(field: &Field, is: &Is, operator: Operator, value: &Value, now: Timestamp) -> bool {
    let unequal = operator == Operator::Unequal;
    match (is, value) {
        (Is::Number(is), Value::Number(value)) => ordered(is.total_cmp(value), operator),
        #[expect(clippy::cast_precision_loss, reason = "small")]
        (Is::Number(is), Value::Duration(value)) => ordered(is.total_cmp(&(*value as f64)), operator),
        (Is::Number(is), Value::Day(_) | Value::Instant(_) | Value::Ago(_)) => {
            let (first, last) = match value {
                Value::Day(day) => (day.as_unix_ms(), day.as_unix_ms() + 86_399_999),
                Value::Instant(instant) => (instant.as_unix_ms(), instant.as_unix_ms()),
                Value::Ago(ago) => {
                    let instant = now.as_unix_ms() - i64::try_from(*ago).unwrap();
                    (instant, instant)
                }
                _ => unreachable!(),
            };
            #[expect(clippy::cast_possible_truncation, reason = "it was whole")]
            let is = *is as i64;
            let order = if is < first {
                Ordering::Less
            } else if is > last {
                Ordering::Greater
            } else {
                Ordering::Equal
            };
            ordered(order, operator)
        }
        (Is::Text(is), Value::Text(value)) => match field {
            Field::Column(
                Column::Code
                | Column::Commit
                | Column::Plan
                | Column::Run
                | Column::Outputs
                | Column::Replays
                | Column::Environment
                | Column::Policy,
            ) => is.starts_with(value.as_str()) != unequal,
            Field::Data(_) => {
                let (name, version) = is.split_once('@').unwrap();
                is_dataset((name, version.parse().unwrap()), value) != unequal
            }
            Field::Package(_) if operator.is_order() => ordered(versions(is).cmp(&versions(value)), operator),
            _ if operator == Operator::Contains => is.contains(value.as_str()),
            _ => (is == value) != unequal,
        },
        // Of a number, the text is looked at only by its parts.
        (Is::Number(is), Value::Text(value)) => match operator {
            Operator::Contains => {
                let text = aseptic_model::to_canonical(is).unwrap();
                String::from_utf8(text).unwrap().contains(value.as_str())
            }
            _ => unequal,
        },
        (Is::Text(_), _) => unequal,
    }
}

fn ordered(order: Ordering, operator: Operator) -> bool {
    match operator {
        Operator::Equal => order == Ordering::Equal,
        Operator::Unequal => order != Ordering::Equal,
        Operator::Less => order == Ordering::Less,
        Operator::AtMost => order != Ordering::Greater,
        Operator::Greater => order == Ordering::Greater,
        Operator::AtLeast => order != Ordering::Less,
        Operator::Contains => false,
    }
}

/// The few versions that runs and searches have here: a release candidate comes before its release.
fn versions(text: &str) -> [u32; 4] {
    let (release, candidate) =
        text.split_once("rc").map_or((text, u32::MAX), |(release, rc)| (release, rc.parse().unwrap()));
    let mut parts = [0, 0, 0, candidate];
    for (part, number) in parts.iter_mut().zip(release.split('.')) {
        *part = number.parse().unwrap();
    }
    parts
}
