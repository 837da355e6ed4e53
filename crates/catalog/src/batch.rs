//! One statement about many runs or versions at once, in forms that stay few and prepared.

use std::fmt::Write as _;

use rusqlite::ToSql;

use crate::column::{Read, Row};
use crate::database::Database;
use crate::{Catalog, CatalogError};

/// What stands in a statement where the list of entries belongs.
const LIST: &str = "{entries}";

/// Entries in one statement: a list of another length is another statement to prepare. Far below the 32,766
/// parameters of SQLite.
const SIZES: [usize; 3] = [1, 16, TOGETHER];

/// The same in a file, where preparing a statement is cheap.
const SIZES_IN_FILE: [usize; 4] = [1, 16, FEW, TOGETHER];

/// A small number of them.
pub(crate) const FEW: usize = 64;

/// The most of them.
pub(crate) const TOGETHER: usize = 256;

/// What a batch needs besides its entries.
pub(crate) struct Batch<'a> {
    /// With `{entries}`; its parameters begin after those of `before`.
    pub(crate) sql: &'a str,
    pub(crate) before: &'a [&'a dyn ToSql],
}

impl Database {
    /// Calls `with` for every row of `batch` about any of `entries`, while it gives true.
    pub(crate) fn until_of(
        &self,
        batch: &Batch<'_>,
        entries: &[i64],
        mut with: impl FnMut(&Row<'_>) -> Read<bool>,
    ) -> Result<(), CatalogError> {
        batch.each(self.sizes(), entries, |sql, parameters| {
            let mut more = true;
            self.until(sql, parameters, |row| {
                more = with(row)?;
                Ok(more)
            })?;
            Ok(more)
        })
    }

    /// Carries out a change of each of `entries`; as [`Self::execute`].
    pub(crate) fn execute_of(&self, batch: &Batch<'_>, entries: &[i64]) -> Result<(), CatalogError> {
        batch.each(self.sizes(), entries, |sql, parameters| self.execute(sql, parameters).map(|()| true))
    }

    fn sizes(&self) -> &'static [usize] {
        match self {
            Self::Sqlite(_) => &SIZES_IN_FILE,
            Self::Server(_) => &SIZES,
        }
    }
}

impl Catalog {
    /// Every row of `batch` about any of `entries`, which `read` takes as it comes.
    ///
    /// Stops where `read` says so.
    pub(crate) fn each_of<T>(
        &self,
        batch: &Batch<'_>,
        entries: &[i64],
        read: fn(&Row<'_>) -> Read<T>,
        mut take: impl FnMut(T) -> bool,
    ) -> Result<(), CatalogError> {
        self.database.until_of(batch, entries, |row| Ok(take(read(row)?)))
    }
}

impl Batch<'_> {
    /// Calls `with` for each statement, with its parameters, while it gives true.
    fn each(
        &self,
        sizes: &[usize],
        entries: &[i64],
        mut with: impl FnMut(&str, &[&dyn ToSql]) -> Result<bool, CatalogError>,
    ) -> Result<(), CatalogError> {
        let mut left = entries;
        while !left.is_empty() {
            let size = sizes.iter().copied().find(|size| *size >= left.len()).unwrap_or(TOGETHER);
            let (now, rest) = left.split_at(size.min(left.len()));
            left = rest;
            // A list that is too short repeats its last entry, which changes no answer.
            let last = now.last().copied().unwrap_or_default();
            let padded: Vec<i64> = (0..size).map(|index| now.get(index).copied().unwrap_or(last)).collect();
            let mut parameters = self.before.to_vec();
            parameters.extend(padded.iter().map(|entry| entry as &dyn ToSql));
            if !with(&self.sql.replace(LIST, &list(self.before.len(), size)), &parameters)? {
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
