//! One question about many runs at once, in statements that stay few and prepared.

use std::fmt::Write as _;

use rusqlite::ToSql;

use crate::column::{Read, Row};
use crate::{Catalog, CatalogError};

/// What stands in a statement where the list of runs belongs.
const LIST: &str = "{runs}";

/// Runs in one statement: a list of another length is another statement to prepare. Far below the 32,766
/// parameters of SQLite.
const SIZES: [usize; 3] = [1, 16, 256];

/// What a batch needs besides its runs.
pub(crate) struct Batch<'a> {
    /// With `{runs}` once; its parameters begin after those of `before`.
    pub(crate) sql: &'a str,
    pub(crate) before: &'a [&'a dyn ToSql],
}

impl Catalog {
    /// Every row of `batch` about any of `runs`, which `read` takes as it comes.
    ///
    /// Stops where `read` says so.
    pub(crate) fn each_of<T>(
        &self,
        batch: &Batch<'_>,
        runs: &[i64],
        read: fn(&Row<'_>) -> Read<T>,
        mut take: impl FnMut(T) -> bool,
    ) -> Result<(), CatalogError> {
        let mut left = runs;
        while !left.is_empty() {
            let size = SIZES.into_iter().find(|size| *size >= left.len()).unwrap_or(SIZES[SIZES.len() - 1]);
            let (now, rest) = left.split_at(size.min(left.len()));
            left = rest;
            // A list that is too short repeats its last run, which changes no answer.
            let last = now.last().copied().unwrap_or_default();
            let padded: Vec<i64> = (0..size).map(|index| now.get(index).copied().unwrap_or(last)).collect();
            let mut parameters = batch.before.to_vec();
            parameters.extend(padded.iter().map(|run| run as &dyn ToSql));
            let sql = batch.sql.replace(LIST, &list(batch.before.len(), size));
            let mut more = true;
            self.each(&sql, parameters.as_slice(), read, |row| {
                more = take(row);
                more
            })?;
            if !more {
                break;
            }
        }
        Ok(())
    }
}

fn list(before: usize, size: usize) -> String {
    let mut text = String::with_capacity(size * 6);
    for index in 0..size {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}?{}", before + index + 1);
    }
    text
}
