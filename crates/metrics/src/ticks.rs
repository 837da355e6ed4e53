//! Where the lines of an axis are.

/// About `wanted` round numbers within `least` and `most`: multiples of 1, 2 or 5 times a power of ten.
pub(crate) fn linear(least: f64, most: f64, wanted: f64) -> Vec<f64> {
    let rough = (most / wanted - least / wanted).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(rough.log10().floor());
    let times = match rough / power {
        7.07.. => 10.0, // From here on ten is nearer than five by its ratio, and so on.
        3.16.. => 5.0,
        1.41.. => 2.0,
        _ => 1.0,
    };
    let step = times * power;
    if !step.is_normal() {
        return vec![least, most];
    }
    let first = (least / step - 1e-9).ceil();
    let ticks = (0..TICKS_MAX).map(|number| (first + f64::from(number)) * step);
    ticks
        .take_while(|tick| tick.is_finite() && *tick <= most + step * 1e-9)
        .map(|tick| if tick == 0.0 { 0.0 } else { tick })
        .collect()
}

/// Powers of ten within `least` and `most`, thinned out; with two and five times these where there are few.
pub(crate) fn logarithmic(least: f64, most: f64, wanted: f64) -> Vec<f64> {
    let (low, high) = (least.log10(), most.log10());
    let every = ((high - low) / wanted).ceil().max(1.0);
    let times: &[f64] = if high - low <= 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let first = (low / every).floor() * every;
    let powers = (0..TICKS_MAX).map(|number| 10_f64.powf(first + f64::from(number) * every));
    let all = powers.flat_map(|power| times.iter().map(move |times| times * power));
    let within: Vec<f64> = all
        .filter(|tick| tick.is_finite() && *tick >= least * (1.0 - 1e-9) && *tick <= most * (1.0 + 1e-9))
        .collect();
    if within.len() < 2 { vec![least, most] } else { within }
}

/// More lines than anyone reads.
const TICKS_MAX: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_round() {
        assert_eq!(linear(0.0, 1.0, 3.0), [0.0, 0.5, 1.0]);
        assert_eq!(linear(0.13, 0.97, 5.0), [0.2, 0.4, 0.600_000_000_000_000_1, 0.8]);
        assert_eq!(linear(-3.0, 7.0, 5.0), [-2.0, 0.0, 2.0, 4.0, 6.0]);
        assert_eq!(logarithmic(0.001, 1000.0, 3.0), [0.0001, 0.01, 1.0, 100.0][1..].to_vec());
        assert_eq!(logarithmic(1.0, 10.0, 4.0), [1.0, 2.0, 5.0, 10.0]);
    }

    proptest::proptest! {
        #[test]
        fn they_are_few_and_within(a in proptest::num::f64::NORMAL, b in proptest::num::f64::NORMAL) {
            let (least, most) = (a.min(b), a.max(b));
            let ticks = linear(least, most, 5.0);
            proptest::prop_assert!(ticks.len() <= TICKS_MAX as usize);
            let near = (most / 2.0 - least / 2.0) * 1e-6;
            proptest::prop_assert!(ticks.iter().all(|tick| *tick >= least - near && *tick <= most + near));
            if least > 0.0 {
                let ticks = logarithmic(least, most, 5.0);
                proptest::prop_assert!(ticks.len() >= 2 && ticks.len() <= 3 * TICKS_MAX as usize);
            }
        }
    }
}
