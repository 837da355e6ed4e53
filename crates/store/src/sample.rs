//! A random choice of files: so many, each as likely as any other, the same again with the same seed.

/// Chooses some of a known number of things that come one after the other.
///
/// Source: Knuth, The Art of Computer Programming, volume 2, section 3.4.2, algorithm S.
#[derive(Debug)]
pub(crate) struct Sample {
    seed: u64,
    /// Things that are still to come.
    left: u64,
    /// Things that are still to be chosen.
    wanted: u64,
}

impl Sample {
    /// Chooses `wanted` of `total`, or all of them.
    pub(crate) fn new(wanted: u64, total: u64, seed: u64) -> Self {
        Self { seed, left: total, wanted: wanted.min(total) }
    }

    /// Whether the next thing is chosen.
    pub(crate) fn next(&mut self) -> bool {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes()).update(&self.left.to_le_bytes());
        let number = hasher.finalize().as_bytes().first_chunk().copied().map_or(0, u64::from_le_bytes);
        let chosen = (u128::from(number) * u128::from(self.left)) >> 64 < u128::from(self.wanted);
        self.left = self.left.saturating_sub(1);
        self.wanted -= u64::from(chosen);
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(wanted: u64, total: u64, seed: u64) -> Vec<u64> {
        let mut sample = Sample::new(wanted, total, seed);
        (0..total).filter(|_| sample.next()).collect()
    }

    #[test]
    fn so_many_are_chosen_and_the_same_again() {
        for (wanted, total) in [(0, 0), (0, 9), (1, 1), (1, 9), (8, 9), (9, 9), (500, 9), (100, 10_000)] {
            for seed in 0..20 {
                let first = chosen(wanted, total, seed);
                assert_eq!(first.len() as u64, wanted.min(total), "{wanted} of {total}");
                assert_eq!(first, chosen(wanted, total, seed));
            }
        }
        assert_ne!(chosen(10, 1000, 1), chosen(10, 1000, 2));
    }

    #[test]
    fn each_is_as_likely_as_any_other() {
        let all: Vec<u64> = (0..10_000).flat_map(|seed| chosen(3, 10, seed)).collect();
        for place in 0..10 {
            let count = all.iter().filter(|at| **at == place).count();
            // 3000 are expected with a standard deviation of 46.
            assert!((2770..3230).contains(&count), "{place} was chosen {count} times");
        }
    }
}
