//! Parameters of statements.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use crate::CatalogError;

/// The parameters `?1…` of a statement, in their order.
pub(crate) trait Params {
    /// Calls `with` for each, until it fails.
    fn each(&self, with: &mut dyn FnMut(&dyn ToSql) -> Result<(), CatalogError>) -> Result<(), CatalogError>;
}

impl Params for &[&dyn ToSql] {
    fn each(&self, with: &mut dyn FnMut(&dyn ToSql) -> Result<(), CatalogError>) -> Result<(), CatalogError> {
        self.iter().try_for_each(|value| with(*value))
    }
}

/// Of a statement that is put together.
impl Params for &[crate::column::Parameter] {
    fn each(&self, with: &mut dyn FnMut(&dyn ToSql) -> Result<(), CatalogError>) -> Result<(), CatalogError> {
        self.iter().try_for_each(|value| with(value))
    }
}

impl Params for [&dyn ToSql; 0] {
    fn each(&self, _: &mut dyn FnMut(&dyn ToSql) -> Result<(), CatalogError>) -> Result<(), CatalogError> {
        Ok(())
    }
}

// One for each number and not for all at once: an empty list has to have one type.
macro_rules! arrays {
    ($($number:literal)*) => {$(
        impl<T: ToSql> Params for [T; $number] {
            fn each(
                &self,
                with: &mut dyn FnMut(&dyn ToSql) -> Result<(), CatalogError>,
            ) -> Result<(), CatalogError> {
                self.iter().try_for_each(|value| with(value))
            }
        }
    )*};
}
arrays! { 1 2 3 4 5 6 }

impl<A: ToSql, B: ToSql> Params for (A, B) {
    fn each(&self, with: &mut dyn FnMut(&dyn ToSql) -> Result<(), CatalogError>) -> Result<(), CatalogError> {
        with(&self.0)?;
        with(&self.1)
    }
}

impl<A: ToSql, B: ToSql, C: ToSql> Params for (A, B, C) {
    fn each(&self, with: &mut dyn FnMut(&dyn ToSql) -> Result<(), CatalogError>) -> Result<(), CatalogError> {
        with(&self.0)?;
        with(&self.1)?;
        with(&self.2)
    }
}

/// Binds all to a statement of SQLite.
pub(super) fn bind(
    statement: &mut rusqlite::Statement<'_>,
    params: &impl Params,
) -> Result<(), CatalogError> {
    let mut place = 0;
    params.each(&mut |value| {
        place += 1;
        let output = value.to_sql()?;
        match view(&output) {
            Some(ValueRef::Text(text)) if text.contains(&0) => {
                statement.raw_bind_parameter(place, without_nul(text))?;
            }
            _ => statement.raw_bind_parameter(place, output)?,
        }
        Ok(())
    })
}

/// All of them as values of their own.
pub(super) fn owned(params: &impl Params) -> Result<Vec<Value>, CatalogError> {
    let mut values = Vec::new();
    params.each(&mut |value| {
        let output = value.to_sql()?;
        values.push(match view(&output) {
            Some(ValueRef::Text(text)) => Value::Text(without_nul(text)),
            Some(other) => other.try_into().map_err(|_| CatalogError::unusable("a value has no form"))?,
            None => return Err(CatalogError::unusable("a value has no form")),
        });
        Ok(())
    })?;
    Ok(values)
}

fn view<'a>(output: &'a ToSqlOutput<'_>) -> Option<ValueRef<'a>> {
    match output {
        ToSqlOutput::Borrowed(value) => Some(*value),
        ToSqlOutput::Owned(value) => Some(value.into()),
        _ => None,
    }
}

/// PostgreSQL keeps no text with a NUL, so that it is another character in both.
fn without_nul(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace('\0', "\u{fffd}")
}
