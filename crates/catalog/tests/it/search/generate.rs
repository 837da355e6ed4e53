//! Searches and runs as proptest makes them.

use std::collections::BTreeMap;

use aseptic_catalog::{Column, Field, Mark, Operator, Search, Statistic, Term, Value};
use aseptic_model::Timestamp;
use proptest::prelude::*;

/// Texts that runs have and searches ask for, so that they meet.
pub(super) fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "ab", "A", "0.1", "1", "true"]).prop_map(str::to_owned)
}

pub(super) fn small() -> impl Strategy<Value = f64> {
    prop::sample::select(vec![-1.0, 0.0, 0.1, 0.5, 1.0, 2.0, 1e300])
}

/// Any text that a search can hold.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        word(),
        "[a-z._:/@+*%-]{1,8}",
        any::<String>()
            .prop_map(|text| text.replace('\0', ""))
            .prop_filter("one character", |text| { !text.is_empty() && text.len() < 50 }),
        prop::sample::select(vec![
            "a.min", "and", "not", "in", "\"", "\\", "x y", "-1", "1e5", ".max", "é", "a=b"
        ])
        .prop_map(str::to_owned),
    ]
}

fn text(free: bool) -> BoxedStrategy<String> {
    if free { any_text().boxed() } else { word().boxed() }
}

fn number(free: bool) -> BoxedStrategy<f64> {
    let finite =
        any::<f64>().prop_filter_map("finite", |n| n.is_finite().then_some(if n == 0.0 { 0.0 } else { n }));
    if free { prop_oneof![finite, small()].boxed() } else { small().boxed() }
}

fn operator(of: &'static [Operator]) -> impl Strategy<Value = Operator> {
    prop::sample::select(of)
}

const EQUAL: &[Operator] = &[Operator::Equal, Operator::Unequal];
const TEXTS: &[Operator] = &[Operator::Equal, Operator::Unequal, Operator::Contains];
const ORDER: &[Operator] = &[
    Operator::Equal,
    Operator::Unequal,
    Operator::Less,
    Operator::AtMost,
    Operator::Greater,
    Operator::AtLeast,
];

/// Comparisons of a field with a value, and with several.
fn compared(
    field: impl Strategy<Value = Field> + 'static,
    operators: &'static [Operator],
    value: BoxedStrategy<Value>,
    can_list: bool,
) -> BoxedStrategy<Term> {
    let field = field.boxed();
    let one = (field.clone(), operator(operators), value.clone())
        .prop_map(|(field, operator, value)| Term::Compare(field, operator, value));
    let has = field.clone().prop_map(Term::Has);
    let list =
        (field, prop::collection::vec(value, 1..4)).prop_map(|(field, values)| Term::OneOf(field, values));
    if can_list {
        prop_oneof![4 => one, 1 => has, 1 => list].boxed()
    } else {
        prop_oneof![4 => one, 1 => has].boxed()
    }
}

fn columns(of: &'static [Column]) -> impl Strategy<Value = Field> {
    prop::sample::select(of).prop_map(Field::Column)
}

/// A term; a `free` one has any text and number, the others those that runs have.
pub(super) fn term(free: bool) -> BoxedStrategy<Term> {
    let value = |strategy: BoxedStrategy<String>| strategy.prop_map(Value::Text).boxed();
    let metric = (text(free), prop::sample::select(Statistic::ALL.to_vec()))
        .prop_map(|(name, statistic)| Field::Metric(name, statistic));
    let word_of =
        |words: Vec<&'static str>| prop::sample::select(words).prop_map(|word| Value::Text(word.to_owned()));
    let dataset =
        prop::sample::select(vec!["digits", "digits@1", "digits@2", "rows"]).prop_map(str::to_owned).boxed();
    let version =
        prop::sample::select(vec!["1.9", "1.26", "1.26.4", "2.0rc1", "2.0"]).prop_map(str::to_owned).boxed();
    let package =
        prop::sample::select(vec!["numpy", "scikit-learn"]).prop_map(|name| Field::Package(name.to_owned()));
    let ms = if free { (0..1_000_000_000_000_u64).boxed() } else { (0..20_u64).boxed() };
    let instant =
        (0..20_i64).prop_map(|ms| Value::Instant(Timestamp::from_unix_ms(1_764_000_000_000 + ms).unwrap()));
    let day =
        (20_415..20_418_i64).prop_map(|day| Value::Day(Timestamp::from_unix_ms(day * 86_400_000).unwrap()));
    let digest = "[0-9a-f]{1,3}".prop_map(Value::Text).boxed();
    let statuses = vec!["running", "succeeded", "failed", "denied", "needs-approval"];
    prop_oneof![
        compared(metric, ORDER, number(free).prop_map(Value::Number).boxed(), true),
        compared(
            text(free).prop_map(Field::Param),
            ORDER,
            number(free).prop_map(Value::Number).boxed(),
            true
        ),
        compared(text(free).prop_map(Field::Param), TEXTS, value(text(free)), true),
        compared(text(free).prop_map(Field::Data), EQUAL, value(dataset.clone()), true),
        compared(package, Operator::ALL.as_slice(), value(version), true),
        compared(columns(&[Column::Status]), EQUAL, word_of(statuses).boxed(), true),
        compared(columns(&[Column::Lineage]), EQUAL, word_of(vec!["complete", "incomplete"]).boxed(), true),
        compared(
            columns(&[Column::Experiment, Column::Name, Column::Note, Column::Actor, Column::Host]),
            TEXTS,
            value(text(free)),
            true
        ),
        compared(columns(&[Column::Plan, Column::Code, Column::Outputs]), EQUAL, digest, true),
        compared(columns(&[Column::Commit, Column::Run, Column::Replays]), EQUAL, value(text(free)), true),
        compared(
            columns(&[Column::Planned, Column::Ended]),
            ORDER,
            prop_oneof![instant, day, ms.clone().prop_map(Value::Ago)].boxed(),
            false
        ),
        compared(columns(&[Column::Duration]), ORDER, ms.prop_map(Value::Duration).boxed(), false),
        compared(columns(&[Column::ExitCode]), ORDER, number(free).prop_map(Value::Number).boxed(), true),
        (prop::sample::select(vec![Mark::Tag, Mark::Label, Mark::Read]), text(free))
            .prop_map(|(mark, text)| Term::Mark(mark, text)),
        dataset.prop_map(|text| Term::Mark(Mark::Dataset, text)),
        prop::sample::select(vec!["numpy", "numpy@1", "numpy@1.26", "numpy@2.0"])
            .prop_map(|text| Term::Mark(Mark::Package, text.to_owned())),
    ]
    .boxed()
}

pub(super) fn search(free: bool) -> BoxedStrategy<Search> {
    term(free)
        .prop_map(Search::Term)
        .prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 2..4).prop_map(Search::All),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Search::Any),
                inner.prop_map(|inner| Search::Not(Box::new(inner))),
            ]
        })
        .boxed()
}

/// What one run is.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) experiment: Option<&'static str>,
    /// The last, the smallest and the largest value, and the step.
    pub(super) metrics: BTreeMap<String, (Option<f64>, f64, f64, Option<i64>)>,
    pub(super) params: BTreeMap<String, serde_json::Value>,
    pub(super) inputs: BTreeMap<&'static str, (&'static str, u32)>,
    pub(super) packages: Vec<(&'static str, &'static str)>,
    /// Nothing for a run that goes on.
    pub(super) status: Option<aseptic_model::Status>,
    pub(super) complete: bool,
    pub(super) read: Vec<&'static str>,
    pub(super) name: Option<&'static str>,
    pub(super) note: Option<&'static str>,
    pub(super) tags: Vec<&'static str>,
    pub(super) labels: Vec<&'static str>,
    pub(super) exit_code: Option<i32>,
    pub(super) duration: f64,
}

pub(super) fn made() -> impl Strategy<Value = Made> {
    use aseptic_model::Status;
    let option = |of: Vec<&'static str>| prop::option::of(prop::sample::select(of));
    let some = |of: Vec<&'static str>| {
        let most = of.len();
        prop::sample::subsequence(of, 0..=most)
    };
    let metrics = prop::collection::btree_map(
        word(),
        (prop::option::of(small()), small(), small(), prop::option::of(0..3_i64)),
        0..3,
    );
    let value = prop_oneof![
        small().prop_map(serde_json::Value::from),
        word().prop_map(serde_json::Value::from),
        Just(serde_json::Value::from(true)),
    ];
    let inputs = prop::collection::btree_map(
        prop::sample::select(vec!["a", "b"]),
        (prop::sample::select(vec!["digits", "rows"]), 1..3_u32),
        0..3,
    );
    let packages = some(vec!["1.9", "1.26.4", "1.26", "2.0rc1"]);
    let statuses = vec![Status::Succeeded, Status::Failed, Status::OutOfMemory];
    (
        (
            option(vec!["a", "ab"]),
            metrics,
            prop::collection::btree_map(word(), value, 0..3),
            inputs,
            packages,
        ),
        (
            prop::option::weighted(0.8, prop::sample::select(statuses)),
            any::<bool>(),
            some(vec!["a", "b", "ab"]),
        ),
        (option(vec!["a", "b"]), option(vec!["a b", "A"]), some(vec!["a", "b"]), some(vec!["a", "ab"])),
        (prop::option::of(0..2_i32), 0..20_u8),
    )
        .prop_map(
            |(
                (experiment, metrics, params, inputs, versions),
                (status, complete, read),
                said,
                (exit_code, duration),
            )| {
                let (name, note, tags, labels) = said;
                let packages = versions.into_iter().map(|version| ("numpy", version)).collect();
                let duration = f64::from(duration);
                Made {
                    experiment,
                    metrics,
                    params,
                    inputs,
                    packages,
                    status,
                    complete,
                    read,
                    name,
                    note,
                    tags,
                    labels,
                    exit_code,
                    duration,
                }
            },
        )
}
