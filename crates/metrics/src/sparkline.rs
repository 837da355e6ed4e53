//! A series as one line of text.

/// What a line is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    /// Block elements of Unicode.
    Blocks,
    /// Characters that every terminal has.
    Ascii,
}

impl Letters {
    fn all(self) -> [char; 8] {
        match self {
            Self::Blocks => ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Self::Ascii => ['_', '.', ',', '-', '~', '+', '*', '#'],
        }
    }
}

/// One letter for each value, the smallest lowest and the largest highest. Equal values are in the middle.
#[must_use]
pub fn sparkline(values: &[f64], letters: Letters) -> String {
    let letters = letters.all();
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (Some(least), Some(most)) = (finite().reduce(f64::min), finite().reduce(f64::max)) else {
        return String::new();
    };
    // Halves, since the difference of two numbers may be infinite.
    let span = most / 2.0 - least / 2.0;
    finite()
        .map(|value| letters[if span > 0.0 { eighth((value / 2.0 - least / 2.0) / span) } else { 3 }])
        .collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 7")]
fn eighth(share: f64) -> usize {
    (share * 8.0).clamp(0.0, 7.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_up_and_down() {
        assert_eq!(sparkline(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], Letters::Blocks), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&[7.0, 0.0, 3.5], Letters::Ascii), "#_~");
        assert_eq!(sparkline(&[5.0, 5.0], Letters::Blocks), "▄▄");
        assert_eq!(sparkline(&[], Letters::Blocks), "");
        assert_eq!(sparkline(&[f64::MIN, 0.0, f64::MAX], Letters::Blocks), "▁▅█");
        assert_eq!(sparkline(&[0.0, f64::from_bits(1)], Letters::Blocks).chars().count(), 2);
    }
}
