//! Where a tile lies. Source: C2SP tlog-tiles, Merkle Tree.

use std::path::{Path, PathBuf};

use super::WIDTH;

/// Path of the tile `number` of this level, or of the bundle of entries for no level, with `width` hashes.
pub(crate) fn tile_path(tiles: &Path, level: Option<u32>, number: u64, width: u64) -> PathBuf {
    let level = level.map_or_else(|| "entries".to_owned(), |level| level.to_string());
    let mut path = tiles.join("tile").join(level);
    let digits = number.to_string();
    let digits = format!("{}{digits}", "0".repeat((3 - digits.len() % 3) % 3));
    let groups = digits.len() / 3;
    for group in 0..groups {
        let part = digits.get(3 * group..3 * group + 3).unwrap_or_default();
        let last = group + 1 == groups;
        path.push(if last && width < WIDTH {
            format!("{part}.p")
        } else if last {
            part.to_owned()
        } else {
            format!("x{part}")
        });
    }
    if width < WIDTH {
        path.push(width.to_string());
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let path = |level, number, width| {
            tile_path(Path::new(""), level, number, width).to_str().unwrap().to_owned()
        };
        assert_eq!(path(Some(0), 0, 256), "tile/0/000");
        assert_eq!(path(Some(2), 1_234_067, 256), "tile/2/x001/x234/067");
        assert_eq!(path(Some(1), 999, 17), "tile/1/999.p/17");
        assert_eq!(path(None, 1000, 1), "tile/entries/x001/000.p/1");
    }
}
