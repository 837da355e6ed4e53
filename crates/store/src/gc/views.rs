//! Views that no live snapshot needs.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use aseptic_model::Digest;

use crate::error::StoreError;
use crate::object::Store;

/// What the name of a view says.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    /// The snapshot that it shows.
    snapshot: Digest,
    /// The snapshot whose view it is a layer over.
    base: Option<Digest>,
}

/// Names of views of snapshots that are not live. A layer, and what it lies on, stays while it may be mounted.
pub(super) fn dead(
    store: &Store,
    mounted: &BTreeSet<Digest>,
    mut is_live: impl FnMut(&Digest) -> Result<bool, StoreError>,
) -> Result<Vec<String>, StoreError> {
    let failed = |error: io::Error| store.io("list views", "views", error);
    let mut views = Vec::new();
    for entry in fs::read_dir(store.dir.join("views")).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        // What has no name of ours is not ours.
        views.extend(name.to_str().and_then(|name| Some((name.to_owned(), parse(name)?))));
    }
    let under: BTreeSet<Digest> = views
        .iter()
        .filter(|(_, named)| mounted.contains(&named.snapshot))
        .filter_map(|(_, named)| named.base)
        .collect();
    let mut dead = Vec::new();
    for (name, Named { snapshot, base }) in views {
        let in_use = mounted.contains(&snapshot) || under.contains(&snapshot);
        let live = is_live(&snapshot)? && base.map_or(Ok(true), |base| is_live(&base))?;
        if !in_use && !live {
            dead.push(name);
        }
    }
    Ok(dead)
}

/// `SNAPSHOT`, `SNAPSHOT-work` or `SNAPSHOT-work-BASE`.
fn parse(name: &str) -> Option<Named> {
    let (snapshot, rest) = name.split_at_checked(Digest::BYTES * 2)?;
    let base = match rest.strip_prefix("-work") {
        None if rest.is_empty() => None,
        None => return None,
        Some("") => None,
        Some(base) => Some(base.strip_prefix('-')?.parse().ok()?),
    };
    Some(Named { snapshot: snapshot.parse().ok()?, base })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_store_gives() {
        let [a, b] = [b"a", b"b"].map(|text| Digest::of(text));
        let named = |base| Some(Named { snapshot: a, base });
        assert_eq!(parse(&a.to_string()), named(None));
        assert_eq!(parse(&format!("{a}-work")), named(None));
        assert_eq!(parse(&format!("{a}-work-{b}")), named(Some(b)));
        for other in [String::new(), "x".to_owned(), format!("{a}-"), format!("{a}-work-"), format!("{a}x")] {
            assert_eq!(parse(&other), None, "{other}");
        }
    }
}
