//! Columns as words of the model. A value that is not one means that the file is damaged.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{
    DatasetName, Decision, Digest, Event, ExperimentName, FilePath, IncidentId, InputName, Label,
    MachineName, Metadata, Object, Origin, ProjectName, Retention, RunId, RunName, Status, Tag, Timestamp,
    Verdict, from_canonical,
};
pub(crate) use rusqlite::params;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

use crate::CatalogError;
pub(crate) use crate::database::{Params, Row};

/// What reading a row gives.
pub(crate) type Read<T> = Result<T, CatalogError>;

/// The value of a column of `row`, by the name of the column.
pub(crate) fn get<T: Column>(row: &Row<'_>, name: &str) -> Read<T> {
    row.get(name, T::read)
}

/// A number as the catalog keeps it. No count and no size of a real ledger comes near the end of the range.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A parameter of a statement that is put together from parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Parameter {
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl rusqlite::ToSql for Parameter {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// A type with one form in a column.
pub(crate) trait Column: Sized {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self>;
}

impl<T: Column> Column for Option<T> {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        if value == ValueRef::Null { Ok(None) } else { T::read(value).map(Some) }
    }
}

macro_rules! columns {
    ($($type:ty: $read:expr;)*) => {$(
        impl Column for $type {
            fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let read: fn(ValueRef<'_>) -> FromSqlResult<Self> = $read;
                read(value)
            }
        }
    )*};
}
columns! {
    String: FromSql::column_result;
    Vec<u8>: FromSql::column_result;
    f64: FromSql::column_result;
    u32: FromSql::column_result;
    u64: |value| u64::try_from(value.as_i64()?).map_err(FromSqlError::other);
    ProjectName: |value| value.as_str()?.parse().map_err(FromSqlError::other);
    DatasetName: |value| value.as_str()?.parse().map_err(FromSqlError::other);
    ExperimentName: |value| value.as_str()?.parse().map_err(FromSqlError::other);
    InputName: |value| value.as_str()?.parse().map_err(FromSqlError::other);
    bool: |value| Ok(value.as_i64()? != 0);
    i64: FromSql::column_result;
    i32: FromSql::column_result;
    IncidentId: |value| value.as_str()?.parse().map_err(FromSqlError::other);
    MachineName: |value| value.as_str()?.parse().map_err(FromSqlError::other);
    Object: |value| value.as_str()?.parse().map_err(FromSqlError::other);
    BTreeSet<Object>: |value| from_canonical(value.as_bytes()?).map_err(FromSqlError::other);
    RunName: |value| value.as_str()?.parse().map_err(FromSqlError::other);
    Tag: |value| value.as_str()?.parse().map_err(FromSqlError::other);
    Verdict: |value| {
        let text = value.as_str()?;
        Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == text).ok_or(FromSqlError::InvalidType)
    };
    RunId: |value| value.as_str()?.parse().map_err(FromSqlError::other);
    FilePath: |value| FilePath::from_bytes(value.as_blob()?).map_err(FromSqlError::other);
    Digest: |value| FromSql::column_result(value).map(Digest::from_bytes);
    Timestamp: |value| Timestamp::from_unix_ms(value.as_i64()?).ok_or(FromSqlError::InvalidType);
    Label: |value| value.as_str()?.parse().map_err(FromSqlError::other);
    BTreeSet<Label>: |value| from_canonical(value.as_bytes()?).map_err(FromSqlError::other);
    BTreeMap<String, serde_json::Value>: |value| from_canonical(value.as_bytes()?).map_err(FromSqlError::other);
    Event: |value| from_canonical(value.as_bytes()?).map_err(FromSqlError::other);
    Metadata: |value| from_canonical(value.as_bytes()?).map_err(FromSqlError::other);
    Origin: |value| from_canonical(value.as_bytes()?).map_err(FromSqlError::other);
    Retention: |value| value.as_str()?.parse().map_err(FromSqlError::other);
    Decision: |value| from_canonical(value.as_bytes()?).map_err(FromSqlError::other);
    Status: |value| {
        let text = value.as_str()?;
        Status::ALL.into_iter().find(|status| status.as_str() == text).ok_or(FromSqlError::InvalidType)
    };
}
