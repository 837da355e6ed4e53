//! Looking up keys that are spread evenly, as hashes are, in a sorted list.

/// Entries that are looked at one after the other. A guess is that close but for very long lists.
const NEAR: usize = 64;

/// Number of the first entry that begins with `key`, in entries sorted by their first bytes.
///
/// An even spread says closely where a key is: three places of the list are touched instead of one for each
/// doubling of its length, each of which would be a wait for memory.
pub(crate) fn find<const N: usize>(entries: &[[u8; N]], key: &[u8]) -> Option<usize> {
    let compare = |entry: &[u8; N]| entry[..key.len()].cmp(key);
    let near = |guess: usize| {
        let from = guess.checked_sub(NEAR / 2)?;
        let window = entries.get(from..from + NEAR)?;
        let inside = head(window.first()?) < head(key) && head(window.last()?) > head(key);
        inside.then_some((from, window))
    };
    let guess = guess(entries, key);
    let (from, window) = near(guess).unwrap_or((0, entries));
    Some(from + window.binary_search_by(compare).ok()?)
}

/// Where a key should be: by its value, then by its distance from what is found there.
fn guess<const N: usize>(entries: &[[u8; N]], key: &[u8]) -> usize {
    let count = entries.len() as u128;
    let places = |distance: u64| usize::try_from((u128::from(distance) * count) >> 64).unwrap_or(usize::MAX);
    let key = head(key);
    let first = places(key).min(entries.len().saturating_sub(1));
    let found = entries.get(first).map_or(key, |entry| head(entry));
    if found < key {
        first.saturating_add(places(key - found))
    } else {
        first.saturating_sub(places(found - key))
    }
}

/// The first bytes as a number.
fn head(bytes: &[u8]) -> u64 {
    bytes.first_chunk().copied().map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found() {
        for count in [0, 1, 2, 63, 64, 65, 1000, 20_000_u32] {
            let hash = |number: u32| *blake3::hash(&number.to_le_bytes()).as_bytes();
            let mut entries: Vec<[u8; 32]> = (0..count).map(hash).collect();
            // As a hash makes them, all close together, and all alike.
            for mask in [!0, 1, 0] {
                for entry in &mut entries {
                    entry[0] &= mask;
                    if mask == 0 {
                        entry[1..8].fill(0);
                    }
                }
                entries.sort_unstable();
                for (number, entry) in entries.iter().enumerate() {
                    assert_eq!(find(&entries, &entry[..16]), Some(number), "{count}");
                }
                for other in [[0; 16], [7; 16], [255; 16]] {
                    assert_eq!(find(&entries, &other), None, "{count}");
                }
            }
        }
    }
}
