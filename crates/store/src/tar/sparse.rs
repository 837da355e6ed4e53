//! Sparse files: which pieces of them are in the archive.

/// Length of a hole, then of the data behind it.
pub(super) type Piece = (u64, u64);

/// Most pieces of one file: a map of 16 MiB.
const PIECES_MAX: usize = 1 << 20;

/// Pieces with data, in order, and the zeros before each.
#[derive(Debug, Default)]
pub(super) struct Map {
    pieces: Vec<Piece>,
    end: u64,
    data: u64,
}

impl Map {
    /// Adds the piece at `offset`.
    pub(super) fn push(&mut self, offset: u64, length: u64) -> Result<(), &'static str> {
        let hole = offset.checked_sub(self.end).ok_or("pieces of a sparse file overlap")?;
        self.end = offset.checked_add(length).ok_or("a piece of a sparse file is too long")?;
        self.data += length; // At most `end`.
        if self.pieces.len() == PIECES_MAX {
            return Err("a sparse file has too many pieces");
        }
        self.pieces.push((hole, length));
        Ok(())
    }

    /// How many bytes are in the archive.
    pub(super) fn data(&self) -> u64 {
        self.data
    }

    /// Ends the map at the size of the file. Returns the pieces, and how many bytes are in holes.
    pub(super) fn finish(mut self, size: u64) -> Result<(Vec<Piece>, u64), &'static str> {
        let hole = size.checked_sub(self.end).ok_or("a piece of a sparse file is beyond its end")?;
        self.pieces.push((hole, 0));
        Ok((self.pieces, size - self.data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_in_order() {
        let mut map = Map::default();
        map.push(512, 512).unwrap();
        assert!(map.push(1000, 1).is_err(), "overlaps");
        map.push(4096, 1).unwrap();
        map.push(u64::MAX, 0).unwrap();
        assert!(map.push(u64::MAX, 1).is_err(), "ends nowhere");
    }

    #[test]
    fn the_size_counts_holes() {
        let mut map = Map::default();
        map.push(512, 512).unwrap();
        assert_eq!(map.data(), 512);
        assert_eq!(map.finish(2048), Ok((vec![(512, 512), (1024, 0)], 1536)));
        let mut map = Map::default();
        map.push(512, 512).unwrap();
        assert!(map.finish(1023).is_err());
    }
}
