//! A series of any length in a bounded number of parts, none of which loses a spike.

/// Consecutive values of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Where the first value is: its step or its time.
    pub from: f64,
    /// Where the last one is.
    pub to: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Their mean.
    pub mean: f64,
    /// How many there are.
    pub count: u64,
}

/// Takes the finite values of a series in their order and keeps at most so many buckets of them, each of as many
/// values but the last.
#[derive(Debug)]
pub struct Envelope {
    buckets: Vec<Bucket>,
    most: usize,
    width: u64,
}

impl Envelope {
    /// Keeps at least half of `most` buckets once that many values have come, and never more than `most`.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { buckets: Vec::new(), most: most.max(2).next_multiple_of(2), width: 1 }
    }

    /// Takes the next value. One that is not finite, or not anywhere, is left out.
    pub fn add(&mut self, at: f64, value: f64) {
        if !at.is_finite() || !value.is_finite() {
            return;
        }
        let new = Bucket { from: at, to: at, min: value, max: value, mean: value, count: 1 };
        match self.buckets.last_mut() {
            Some(last) if last.count < self.width => *last = joined(last, &new),
            _ => {
                if self.buckets.len() == self.most {
                    self.halve();
                }
                self.buckets.push(new);
            }
        }
    }

    /// Every bucket is full when this is called.
    fn halve(&mut self) {
        let pairs = self.buckets.as_chunks::<2>().0;
        self.buckets = pairs.iter().map(|[first, second]| joined(first, second)).collect();
        self.width *= 2;
    }

    /// The buckets, in order.
    #[must_use]
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }
}

#[expect(clippy::cast_precision_loss, reason = "the weights of a mean")]
fn joined(first: &Bucket, second: &Bucket) -> Bucket {
    let count = first.count + second.count;
    let share = second.count as f64 / count as f64;
    Bucket {
        from: first.from,
        to: second.to,
        min: first.min.min(second.min),
        max: first.max.max(second.max),
        mean: first.mean * (1.0 - share) + second.mean * share,
        count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64], most: usize) -> Vec<Bucket> {
        let mut envelope = Envelope::new(most);
        for (at, value) in (0_u32..).zip(values) {
            envelope.add(f64::from(at), *value);
        }
        envelope.buckets().to_vec()
    }

    #[test]
    fn few_values_stay_as_they_are() {
        let buckets = of(&[1.0, f64::NAN, 3.0], 10);
        assert_eq!(
            buckets.iter().map(|bucket| (bucket.from, bucket.mean)).collect::<Vec<_>>(),
            [(0.0, 1.0), (2.0, 3.0)]
        );
    }

    #[test]
    fn one_spike_among_a_million_is_kept() {
        let mut values = vec![0.0; 1_000_000];
        values[777_777] = 9.0;
        let buckets = of(&values, 500);
        assert!((250..=500).contains(&buckets.len()));
        let spikes: Vec<_> = buckets.iter().filter(|bucket| bucket.max > 0.0).collect();
        assert_eq!(spikes.len(), 1);
        assert!(spikes[0].from <= 777_777.0 && spikes[0].to >= 777_777.0);
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost(
            values in proptest::collection::vec(proptest::num::f64::ANY, 0..2_000), most in 0_usize..50
        ) {
            let buckets = of(&values, most);
            let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
            proptest::prop_assert!(buckets.len() <= most.max(2).next_multiple_of(2));
            proptest::prop_assert_eq!(buckets.iter().map(|bucket| bucket.count).sum::<u64>(), finite.len() as u64);
            let (least, most) = (finite.iter().copied().reduce(f64::min), finite.iter().copied().reduce(f64::max));
            proptest::prop_assert_eq!(buckets.iter().map(|bucket| bucket.min).reduce(f64::min), least);
            proptest::prop_assert_eq!(buckets.iter().map(|bucket| bucket.max).reduce(f64::max), most);
            proptest::prop_assert!(buckets.windows(2).all(|pair| pair[0].to < pair[1].from));
        }
    }
}
