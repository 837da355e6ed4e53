//! One bit for each of many things.

/// Bits, all clear at first.
#[derive(Debug)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn new(count: u64) -> Self {
        Self(vec![0; usize::try_from(count.div_ceil(64)).unwrap_or(usize::MAX)])
    }

    pub(super) fn get(&self, at: u64) -> bool {
        let (word, mask) = place(at);
        self.0.get(word).is_some_and(|word| word & mask != 0)
    }

    /// Sets a bit; true when it was clear.
    pub(super) fn set(&mut self, at: u64) -> bool {
        let (word, mask) = place(at);
        let Some(word) = self.0.get_mut(word) else { return false };
        let clear = *word & mask == 0;
        *word |= mask;
        clear
    }

    pub(super) fn clear(&mut self, at: u64) {
        let (word, mask) = place(at);
        if let Some(word) = self.0.get_mut(word) {
            *word &= !mask;
        }
    }
}

fn place(at: u64) -> (usize, u64) {
    (usize::try_from(at / 64).unwrap_or(usize::MAX), 1 << (at % 64))
}
