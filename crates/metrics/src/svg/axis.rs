//! An axis: from where to where, where its lines are, and what stands at them.

use std::time::Duration;

use super::{Horizontal, Scale};
use crate::number::{short, since};
use crate::{Bucket, ticks};

/// From values to shares of the space, with the lines on the way.
pub(super) struct Axis {
    least: f64,
    most: f64,
    scale: Scale,
    /// Where a line is and what is said of it.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// How far a value is on the way from the least to the most.
    pub(super) fn share(&self, value: f64) -> f64 {
        let (value, least, most) = match self.scale {
            // Halves, since the difference of two numbers may be infinite.
            Scale::Linear => (value / 2.0, self.least / 2.0, self.most / 2.0),
            Scale::Logarithmic => (value.log10(), self.least.log10(), self.most.log10()),
        };
        ((value - least) / (most - least)).clamp(0.0, 1.0)
    }

    /// The axis that goes up; `bytes` have units of their own.
    pub(super) fn vertical<'a>(
        buckets: impl Iterator<Item = &'a Bucket> + Clone,
        scale: Scale,
        bytes: bool,
    ) -> Option<Self> {
        let least = buckets.clone().map(|bucket| bucket.min).reduce(f64::min)?;
        let most = buckets.map(|bucket| bucket.max).reduce(f64::max)?;
        let (least, most) = match scale {
            Scale::Linear => padded(least, most, 0.05),
            Scale::Logarithmic => {
                let (low, high) = padded(least.log10(), most.log10(), 0.05);
                (10_f64.powf(low).max(f64::MIN_POSITIVE), 10_f64.powf(high).min(f64::MAX))
            }
        };
        let ticks = match scale {
            Scale::Linear if bytes => sizes(least, most),
            Scale::Linear => labelled(ticks::linear(least, most, 5.0)),
            Scale::Logarithmic => {
                ticks::logarithmic(least, most, 5.0).into_iter().map(|tick| (tick, short(tick))).collect()
            }
        };
        Some(Self { least, most, scale, ticks })
    }

    /// The axis that goes to the right, over all of `buckets`.
    pub(super) fn horizontal<'a>(
        buckets: impl Iterator<Item = &'a Bucket> + Clone,
        what: Horizontal,
        wanted: f64,
    ) -> Option<Self> {
        let ends = buckets.flat_map(|bucket| [bucket.from, bucket.to]);
        let least = ends.clone().reduce(f64::min)?;
        let most = ends.reduce(f64::max)?;
        let (least, most) = if least < most { (least, most) } else { (least - 0.5, most + 0.5) };
        let ticks = match what {
            Horizontal::Steps => whole(ticks::linear(least, most, wanted)),
            Horizontal::Time => times(least, most, wanted),
        };
        Some(Self { least, most, scale: Scale::Linear, ticks })
    }
}

/// With some space at both ends, and more where there is one value.
fn padded(least: f64, most: f64, share: f64) -> (f64, f64) {
    let span = if least < most { most / 2.0 - least / 2.0 } else { (least.abs() * 0.1).max(1e-300) };
    let span = if least == 0.0 && most == 0.0 { 1.0 } else { span };
    let space = (span * share * 2.0).max(if least < most { 0.0 } else { span });
    ((least - space).max(f64::MIN), (most + space).min(f64::MAX))
}

/// With as many digits as it takes to tell them apart.
fn labelled(ticks: Vec<f64>) -> Vec<(f64, String)> {
    let step =
        ticks.windows(2).map(|pair| (pair[1] / 2.0 - pair[0] / 2.0) * 2.0).reduce(f64::min).unwrap_or(1.0);
    let largest = ticks.iter().map(|tick| tick.abs()).fold(0.0, f64::max);
    let label = |tick: f64| {
        if tick == 0.0 {
            "0".to_owned()
        } else if (1e-4..1e6).contains(&largest) {
            let decimals = digits(-step.log10()).min(12);
            format!("{tick:.decimals$}")
        } else {
            let decimals = digits((largest / step).log10()).min(12);
            let text = format!("{tick:.decimals$e}");
            match text.split_once('e') {
                Some((number, exponent)) if number.contains('.') => {
                    format!("{}e{exponent}", number.trim_end_matches('0').trim_end_matches('.'))
                }
                _ => text,
            }
        }
    };
    ticks.into_iter().map(|tick| (tick, label(tick))).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a few hundred")]
fn digits(number: f64) -> usize {
    (number - 1e-9).ceil().clamp(0.0, 300.0) as usize
}

/// Bytes, in the unit of the largest.
fn sizes(least: f64, most: f64) -> Vec<(f64, String)> {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let largest = most.abs().max(least.abs());
    let number = digits(largest.max(1.0).log2() / 10.0 + 1e-6).saturating_sub(1).min(UNITS.len() - 1);
    let unit = UNITS.iter().take(number).fold(1.0, |unit, _| unit * 1024.0);
    let name = UNITS.get(number).copied().unwrap_or_default();
    let ticks = labelled(ticks::linear(least / unit, most / unit, 5.0));
    let sized = |(tick, label): (f64, String)| {
        let label = if label == "0" { label } else { format!("{label} {name}") };
        (tick * unit, label)
    };
    ticks.into_iter().map(sized).collect()
}

/// Steps: whole numbers, thousands as `k` and millions as `M`.
fn whole(ticks: Vec<f64>) -> Vec<(f64, String)> {
    let all = |unit: f64| ticks.iter().all(|tick| (tick / unit).fract() == 0.0);
    let largest = ticks.iter().map(|tick| tick.abs()).fold(0.0, f64::max);
    let (unit, name) = match largest {
        1e9.. => return labelled(ticks),
        1e6.. if all(1e5) => (1e6, "M"),
        1e4.. if all(100.0) => (1e3, "k"),
        _ => (1.0, ""),
    };
    let label =
        |tick: f64| if tick == 0.0 { "0".to_owned() } else { format!("{}{name}", short(tick / unit)) };
    ticks.into_iter().filter(|tick| tick.fract() == 0.0).map(|tick| (tick, label(tick))).collect()
}

/// Seconds since the start, in the unit that fits.
fn times(least: f64, most: f64, wanted: f64) -> Vec<(f64, String)> {
    let span = Duration::try_from_secs_f64(most.abs().max(least.abs())).unwrap_or(Duration::MAX);
    let unit = match span.as_secs() {
        172_800.. => 86_400.0,
        7_200.. => 3_600.0,
        120.. => 60.0,
        _ => 1.0,
    };
    let ticks = ticks::linear(least / unit, most / unit, wanted);
    ticks.into_iter().map(|tick| (tick * unit, since(tick * unit, span))).collect()
}
