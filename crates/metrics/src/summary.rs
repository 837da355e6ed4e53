//! The summary of each metric, in one pass.

use std::collections::BTreeMap;

use aseptic_model::MetricSummary;

use crate::Point;

/// Most parts of the shape of one metric.
const PARTS_MAX: usize = 40;

/// Most parts of all shapes together, so that a record with thousands of metrics stays small.
const ALL_PARTS_MAX: usize = 20_000;

/// Parts while the length of a series is not known: every part of the shape is made of at least two of them.
const FINE_PARTS_MAX: usize = 4 * PARTS_MAX;

/// Takes points, and gives the summary of each metric.
#[derive(Debug, Default)]
pub struct Summaries {
    series: Vec<(String, Series)>,
}

#[derive(Debug)]
struct Series {
    summary: MetricSummary,
    fine: Fine,
}

impl Summaries {
    /// Of no points.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one point. Metrics come in the order of their numbers, each the first time.
    pub fn add(&mut self, point: &Point<'_>) {
        if point.series == self.series.len() {
            self.series.push((point.name.to_owned(), Series::new()));
        }
        if let Some((_, series)) = self.series.get_mut(point.series) {
            series.add(point);
        }
    }

    /// The summaries, by name.
    #[must_use]
    pub fn finish(self) -> BTreeMap<String, MetricSummary> {
        let parts = (ALL_PARTS_MAX / self.series.len().max(1)).min(PARTS_MAX);
        self.series.into_iter().map(|(name, series)| (name, series.finish(parts))).collect()
    }
}

impl Series {
    fn new() -> Self {
        let summary = MetricSummary {
            count: 0,
            not_finite: 0,
            last: None,
            min: None,
            max: None,
            last_step: None,
            shape: Vec::new(),
        };
        Self { summary, fine: Fine { means: Vec::new(), width: 1, open: 0 } }
    }

    fn add(&mut self, point: &Point<'_>) {
        let (summary, value) = (&mut self.summary, point.value);
        summary.count += 1;
        summary.last_step = Some(point.step);
        if !value.is_finite() {
            summary.not_finite += 1;
            return;
        }
        summary.last = Some(value);
        summary.min = Some(summary.min.map_or(value, |min| min.min(value)));
        summary.max = Some(summary.max.map_or(value, |max| max.max(value)));
        self.fine.add(value);
    }

    fn finish(mut self, parts: usize) -> MetricSummary {
        self.summary.shape = self.fine.shape(parts);
        self.summary
    }
}

/// Means of parts of `width` values each, the last of which may be open. When there are too many, each two
/// become one.
#[derive(Debug)]
struct Fine {
    means: Vec<f64>,
    width: u64,
    /// How many values the last part has; it is full, or there is none, when this is zero.
    open: u64,
}

impl Fine {
    fn add(&mut self, value: f64) {
        match self.means.last_mut() {
            Some(mean) if self.open > 0 => *mean = mixed(*mean, self.open, value, 1),
            _ => {
                if self.means.len() == FINE_PARTS_MAX {
                    self.halve();
                }
                self.means.push(value);
            }
        }
        self.open = (self.open + 1) % self.width;
    }

    /// Every part is full when this is called.
    fn halve(&mut self) {
        self.means = self.means.chunks(2).map(|pair| weighted(pair.iter().map(|mean| (*mean, 1)))).collect();
        self.width *= 2;
    }

    /// Means of at most `parts` equal parts, rounded to what a drawing shows.
    fn shape(&self, parts: usize) -> Vec<f64> {
        let count = self.means.len();
        let parts = parts.min(count);
        let weight =
            |number: usize| if number + 1 == count && self.open > 0 { self.open } else { self.width };
        let bound = |part: usize| part * count / parts.max(1);
        let part = |part: usize| {
            let numbers = bound(part)..bound(part + 1);
            let means = self.means.iter().copied().enumerate().skip(numbers.start).take(numbers.len());
            rounded(weighted(means.map(|(number, mean)| (mean, weight(number)))))
        };
        (0..parts).map(part).collect()
    }
}

fn weighted(means: impl Iterator<Item = (f64, u64)>) -> f64 {
    means.fold((0.0, 0), |(mean, weight), (other, more)| (mixed(mean, weight, other, more), weight + more)).0
}

/// The mean of two means of so many values. The sum of two numbers may be infinite; this never is.
#[expect(clippy::cast_precision_loss, reason = "the weights of a mean")]
fn mixed(mean: f64, weight: u64, other: f64, more: u64) -> f64 {
    let share = more as f64 / (weight + more) as f64;
    mean * (1.0 - share) + other * share
}

/// To six digits, which a record is the smaller for.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().ok().filter(|rounded: &f64| rounded.is_finite()).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> MetricSummary {
        let mut summaries = Summaries::new();
        for (step, value) in (0..).zip(values) {
            summaries.add(&Point { series: 0, name: "a", step, time: None, value: *value });
        }
        summaries.finish().remove("a").unwrap()
    }

    #[test]
    fn it_says_what_a_series_has() {
        let summary = of(&[3.0, f64::NAN, 1.0, 2.0, f64::INFINITY]);
        assert_eq!((summary.count, summary.not_finite, summary.last_step), (5, 2, Some(4)));
        assert_eq!((summary.last, summary.min, summary.max), (Some(2.0), Some(1.0), Some(3.0)));
        assert_eq!(summary.shape, [3.0, 1.0, 2.0]);
        let nothing = of(&[f64::NAN]);
        assert_eq!((nothing.last, nothing.min, nothing.max, nothing.shape.len()), (None, None, None, 0));
    }

    #[test]
    fn the_largest_numbers_have_a_mean() {
        let shape = of(&[f64::MAX, f64::MIN, f64::MAX, f64::MAX].repeat(1_000)).shape;
        assert!(shape.len() == PARTS_MAX && shape.iter().all(|mean| mean.is_finite()), "{shape:?}");
    }

    #[test]
    fn thousands_of_metrics_have_short_shapes() {
        let mut summaries = Summaries::new();
        for step in 0..50 {
            for series in 0..10_000 {
                let name = format!("m{series}");
                summaries.add(&Point { series, name: &name, step, time: None, value: 1.0 });
            }
        }
        let all = summaries.finish();
        assert_eq!(all.len(), 10_000);
        assert!(all.values().map(|summary| summary.shape.len()).sum::<usize>() <= ALL_PARTS_MAX);
    }

    proptest::proptest! {
        #[test]
        fn a_ramp_has_a_ramp_for_a_shape(count in 1_usize..5_000) {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let values: Vec<f64> = (0..count).map(|value| value as f64).collect();
            let summary = of(&values);
            proptest::prop_assert_eq!(summary.shape.len(), count.min(PARTS_MAX));
            proptest::prop_assert!(summary.shape.windows(2).all(|pair| pair[0] < pair[1]));
            proptest::prop_assert!(summary.shape[0] >= 0.0 && summary.shape.last() <= values.last());
        }

        /// What two parts of a file say apart is what they say together.
        #[test]
        fn the_summary_of_both_is_that_of_each(
            first in proptest::collection::vec(proptest::num::f64::ANY, 0..300),
            second in proptest::collection::vec(proptest::num::f64::ANY, 1..300),
        ) {
            let both = of(&[first.clone(), second.clone()].concat());
            let second = of(&second);
            let (count, not_finite, min, max) = match first.is_empty() {
                true => (0, 0, None, None),
                false => {
                    let first = of(&first);
                    (first.count, first.not_finite, first.min, first.max)
                }
            };
            let least = [min, second.min].into_iter().flatten().reduce(f64::min);
            let most = [max, second.max].into_iter().flatten().reduce(f64::max);
            proptest::prop_assert_eq!((both.min, both.max), (least, most));
            proptest::prop_assert_eq!(both.count, count + second.count);
            proptest::prop_assert_eq!(both.not_finite, not_finite + second.not_finite);
            let within = |mean: &f64| mean.abs() <= least.unwrap().abs().max(most.unwrap().abs()) * 1.000_01;
            proptest::prop_assert!(both.shape.iter().all(within));
        }
    }
}
