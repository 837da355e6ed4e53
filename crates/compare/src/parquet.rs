//! Parquet: row by row, column by column, however both files are cut and compressed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};

use crate::Unreadable;
use crate::content::Content;
use crate::tally::Tally;

/// Columns of a table, with those inside of others.
const COLUMNS_MAX: usize = 10_000;
/// Values in each other.
const DEPTH_MAX: usize = 32;
/// Values in all lists of one row group.
const LISTED_VALUES_MAX: usize = 4_000_000;
/// What one column of one row group says that it becomes.
const CHUNK_BYTES_MAX: i64 = 1 << 30;

pub(crate) fn compare(before: &Content, after: &Content, tally: &mut Tally) -> Result<(), Unreadable> {
    // The reader of others is not written for hostile files: where it gives up, so does this.
    let compared = catch_unwind(AssertUnwindSafe(|| tables(before, after, tally)));
    compared.unwrap_or_else(|_| Err(Unreadable::new("it is damaged")))
}

fn tables(before: &Content, after: &Content, tally: &mut Tally) -> Result<(), Unreadable> {
    let (old, new) = (open(before)?, open(after)?);
    let columns = |reader: &SerializedFileReader<Content>| {
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let column = |column: &parquet::schema::types::ColumnDescPtr| {
            format!("{} {:?} {:?}", column.path().string(), column.physical_type(), column.logical_type_ref())
        };
        schema.columns().iter().map(column).collect::<Vec<_>>()
    };
    let (old_columns, new_columns) = (columns(&old), columns(&new));
    if old_columns != new_columns {
        let gone = old_columns.iter().find(|column| !new_columns.contains(column));
        let added = new_columns.iter().find(|column| !old_columns.contains(column));
        let both = (gone.map(String::as_str), added.map(String::as_str));
        let both =
            if both == (None, None) { (Some("columns"), Some("the same in another order")) } else { both };
        tally.one_sided(|| "columns".to_owned(), both.0, both.1);
        return Ok(());
    }
    bounded(&old)?;
    bounded(&new)?;
    let mut rows = (rows(&old)?, rows(&new)?);
    let mut number = 0_u64;
    loop {
        let row = |row: Option<Result<Row, ParquetError>>| row.transpose().map_err(Unreadable::new);
        match (row(rows.0.next())?, row(rows.1.next())?) {
            (None, None) => return Ok(()),
            (Some(old), Some(new)) => {
                compare_rows(&format!("row {number}, column"), &old, &new, DEPTH_MAX, tally)?
            }
            (old, new) => {
                let shown = |row: Option<Row>| row.map(|row| row.to_string());
                tally.one_sided(|| format!("row {number}"), shown(old).as_deref(), shown(new).as_deref());
            }
        }
        number += 1;
    }
}

fn open(content: &Content) -> Result<SerializedFileReader<Content>, Unreadable> {
    let reader = SerializedFileReader::new(content.clone()).map_err(Unreadable::new)?;
    let metadata = reader.metadata();
    if metadata.file_metadata().schema_descr().num_columns() > COLUMNS_MAX {
        return Err(Unreadable::new(format_args!("it has more than {COLUMNS_MAX} columns")));
    }
    let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    for chunk in chunks {
        if chunk.uncompressed_size() > CHUNK_BYTES_MAX {
            return Err(Unreadable::new("a column of a row group is over 1 GiB"));
        }
    }
    Ok(reader)
}

/// A list may be one row with more values than memory holds, on a page of a few bytes: what pages say is counted first.
fn bounded(reader: &SerializedFileReader<Content>) -> Result<(), Unreadable> {
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let lists: Vec<_> =
        (0..schema.num_columns()).filter(|column| schema.column(*column).max_rep_level() > 0).collect();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(Unreadable::new)?;
        let mut values = 0_usize;
        for column in &lists {
            let mut pages = group.get_column_page_reader(*column).map_err(Unreadable::new)?;
            while let Some(page) = pages.peek_next_page().map_err(Unreadable::new)? {
                values = values.saturating_add(page.num_levels.or(page.num_rows).unwrap_or(0));
                if values > LISTED_VALUES_MAX {
                    return Err(Unreadable::new(format_args!(
                        "its lists have over {LISTED_VALUES_MAX} values in a row group"
                    )));
                }
                pages.skip_next_page().map_err(Unreadable::new)?;
            }
        }
    }
    Ok(())
}

fn rows(reader: &SerializedFileReader<Content>) -> Result<RowIter<'_>, Unreadable> {
    reader.get_row_iter(None).map_err(Unreadable::new)
}

fn compare_rows(at: &str, old: &Row, new: &Row, depth: usize, tally: &mut Tally) -> Result<(), Unreadable> {
    for ((name, old), (_, new)) in old.get_column_iter().zip(new.get_column_iter()) {
        fields(&|| format!("{at} {name}"), old, new, depth, tally)?;
    }
    Ok(())
}

fn fields(
    at: &dyn Fn() -> String,
    old: &Field,
    new: &Field,
    depth: usize,
    tally: &mut Tally,
) -> Result<(), Unreadable> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Unreadable::new(format_args!("its values are deeper than {DEPTH_MAX}")));
    };
    match (old, new) {
        (Field::Float16(old), Field::Float16(new)) => tally.numbers(at, f64::from(*old), f64::from(*new)),
        (Field::Float(old), Field::Float(new)) => tally.numbers(at, f64::from(*old), f64::from(*new)),
        (Field::Double(old), Field::Double(new)) => tally.numbers(at, *old, *new),
        (Field::Group(old), Field::Group(new)) => compare_rows(&at(), old, new, depth, tally)?,
        (Field::ListInternal(old), Field::ListInternal(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.elements().iter().zip(new.elements()).enumerate() {
                fields(&|| format!("{}[{index}]", at()), old, new, depth, tally)?;
            }
        }
        (old, new) if old == new => tally.equal(1),
        (old, new) => tally.one_sided(at, Some(&old.to_string()), Some(&new.to_string())),
    }
    Ok(())
}
