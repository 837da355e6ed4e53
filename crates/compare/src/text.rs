//! Text: line by line, for the place where it first differs. Any difference counts.

use crate::Unreadable;
use crate::content::Content;
use crate::lines::Lines;
use crate::tally::Tally;

pub(crate) fn compare(before: &Content, after: &Content, tally: &mut Tally) -> Result<(), Unreadable> {
    let mut files = [Lines::new(before), Lines::new(after)];
    let mut number = 0_u64;
    loop {
        number += 1;
        let [before, after] = &mut files;
        let text = |line: Option<&[u8]>| line.map(|line| String::from_utf8_lossy(line).into_owned());
        match (before.next()?, after.next()?) {
            (None, None) => break,
            (Some(before), Some(after)) if before == after => tally.equal(1),
            (before, after) => {
                tally.one_sided(|| format!("line {number}"), text(before).as_deref(), text(after).as_deref());
            }
        }
    }
    // Bytes differ: if no line does, its end does.
    tally.ends_differ();
    Ok(())
}
