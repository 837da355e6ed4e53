//! One connection to where a catalog is: a file of SQLite, or a schema of a PostgreSQL server.
//!
//! The SQL is that of SQLite; [`dialect`] says it to PostgreSQL. Values have the five types of SQLite, in both.
//! **Invariant:** writers of one catalog wait for each other, so no transaction fails because of another one.

mod dialect;
mod number;
mod query;
mod server;
mod sqlite;
mod tls;

use std::collections::BTreeSet;

use rusqlite::types::{FromSqlResult, ValueRef};

pub(crate) use query::Params;
pub(crate) use server::problem;

use crate::column::Read;
use crate::{CatalogError, Place};

/// An open connection.
#[derive(Debug)]
pub(crate) enum Database {
    Sqlite(rusqlite::Connection),
    Server(Box<server::Connection>),
}

/// A row of an answer.
#[derive(Debug)]
pub(crate) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Server(&'a tokio_postgres::Row),
}

impl Row<'_> {
    /// The value of a column, as `read` understands it.
    pub(crate) fn get<T>(
        &self,
        name: &str,
        read: impl FnOnce(ValueRef<'_>) -> FromSqlResult<T>,
    ) -> Result<T, CatalogError> {
        let damaged =
            |reason: String| CatalogError::unusable(format!("its column {name} is damaged: {reason}"));
        match self {
            Self::Sqlite(row) => read(row.get_ref(name)?).map_err(|error| damaged(error.to_string())),
            Self::Server(row) => {
                let place = row.columns().iter().position(|column| column.name() == name);
                let place = place.ok_or_else(|| damaged("it is missing".to_owned()))?;
                server::value(row, place, read).map_err(|error| damaged(error.to_string()))
            }
        }
    }

    /// The names of the columns.
    pub(crate) fn columns(&self) -> Vec<String> {
        match self {
            Self::Sqlite(row) => row.as_ref().column_names().map(str::to_owned).collect(),
            Self::Server(row) => row.columns().iter().map(|column| column.name().to_owned()).collect(),
        }
    }
}

impl Database {
    /// Connects; looks at nothing yet.
    pub(crate) fn connect(place: &Place) -> Result<Self, CatalogError> {
        match place {
            Place::File(path) => Ok(Self::Sqlite(sqlite::connect(path)?)),
            Place::Server(server) => Ok(Self::Server(Box::new(server::Connection::open(server)?))),
        }
    }

    /// Prepares a connection whose content can be read.
    pub(crate) fn configure(&self) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(connection) => sqlite::configure(connection),
            Self::Server(_) => Ok(()),
        }
    }

    /// Every row of the answer.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Read<T>,
    ) -> Result<Vec<T>, CatalogError> {
        let mut all = Vec::new();
        self.each(sql, params, |row| {
            all.push(read(row)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// The first row of the answer.
    pub(crate) fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> Read<T>,
    ) -> Result<Option<T>, CatalogError> {
        Ok(self.rows(sql, params, read)?.into_iter().next())
    }

    /// Calls `with` for every row of the answer.
    pub(crate) fn each(
        &self,
        sql: &str,
        params: impl Params,
        mut with: impl FnMut(&Row<'_>) -> Read<()>,
    ) -> Result<(), CatalogError> {
        self.until(sql, params, |row| with(row).map(|()| true))
    }

    /// Calls `with` for every row of the answer, while it gives true. A server has made the whole answer by then.
    pub(crate) fn until(
        &self,
        sql: &str,
        params: impl Params,
        mut with: impl FnMut(&Row<'_>) -> Read<bool>,
    ) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                query::bind(&mut statement, &params)?;
                let mut rows = statement.raw_query();
                while let Some(row) = rows.next()? {
                    if !with(&Row::Sqlite(row))? {
                        break;
                    }
                }
                Ok(())
            }
            Self::Server(connection) => {
                for row in &connection.query(sql, query::owned(&params)?)? {
                    if !with(&Row::Server(row))? {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// Carries out one statement; gives how many rows it changed.
    pub(crate) fn count(&self, sql: &str, params: impl Params) -> Result<u64, CatalogError> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                query::bind(&mut statement, &params)?;
                Ok(statement.raw_execute()? as u64)
            }
            Self::Server(connection) => connection.count(sql, query::owned(&params)?),
        }
    }

    /// As [`Self::count`], for who needs no count: on a server it may wait to be sent with others, and its
    /// failure is then the failure of a later call, at the latest of the one that ends the transaction.
    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(_) => self.count(sql, params).map(drop),
            Self::Server(connection) => connection.send(sql, query::owned(&params)?),
        }
    }

    /// Carries out several statements, without parameters.
    pub(crate) fn batch(&self, sql: &str) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(connection) => Ok(connection.execute_batch(sql)?),
            Self::Server(connection) => connection.batch(&dialect::tables(sql)),
        }
    }

    /// Runs `work` in one transaction that no other writer is in; an error takes all of it back.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        match self {
            Self::Sqlite(connection) => connection.execute_batch("BEGIN IMMEDIATE")?,
            Self::Server(connection) => connection.begin_alone()?,
        }
        self.end(work)
    }

    /// Runs `work`, which only reads, on one state of the catalog.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        match self {
            Self::Sqlite(connection) => connection.execute_batch("BEGIN")?,
            Self::Server(connection) => {
                connection.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
            }
        }
        self.end(work)
    }

    fn end<T>(&self, work: impl FnOnce(&Self) -> Result<T, CatalogError>) -> Result<T, CatalogError> {
        let result = work(self).and_then(|value| self.plain("COMMIT").map(|()| value));
        if result.is_err() {
            // What cannot be taken back now is when the connection ends.
            let _ = self.plain("ROLLBACK");
        }
        result
    }

    fn plain(&self, sql: &str) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(connection) => Ok(connection.execute_batch(sql)?),
            Self::Server(connection) => connection.batch(sql),
        }
    }

    /// Version of the tables; 0 when there are none.
    pub(crate) fn version(&self) -> Result<i64, CatalogError> {
        match self {
            Self::Sqlite(connection) => {
                Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
            }
            Self::Server(connection) => connection.version(),
        }
    }

    /// The names of the indexes of a file; a server keeps all of them at any time.
    pub(crate) fn indexes(&self) -> Result<Option<BTreeSet<String>>, CatalogError> {
        match self {
            Self::Sqlite(connection) => Ok(Some(sqlite::indexes(connection)?)),
            Self::Server(_) => Ok(None),
        }
    }

    /// Writes down the version; within [`Self::write`].
    pub(crate) fn set_version(&self, version: i64) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(connection) => Ok(connection.pragma_update(None, "user_version", version)?),
            Self::Server(connection) => {
                connection.batch(&format!("UPDATE catalog_version SET version = {version}"))
            }
        }
    }

    /// Creates `tables` with `version`, unless another process just did.
    pub(crate) fn create(&self, tables: &str, version: i64) -> Result<(), CatalogError> {
        if let Self::Sqlite(connection) = self {
            sqlite::use_log(connection)?;
        }
        self.write(|database| {
            if database.version()? != 0 {
                return Ok(());
            }
            database.make(tables, version)
        })
    }

    /// Removes whatever there is and creates `tables` with `version`. Atomic, also for processes that have the
    /// catalog open: it is as it was, or empty.
    pub(crate) fn recreate(&self, tables: &str, version: i64) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(connection) => {
                sqlite::empty(connection)?;
                self.create(tables, version)
            }
            Self::Server(_) => self.write(|database| database.make(tables, version)),
        }
    }

    /// Within a transaction. On a server it removes what there is, so that nothing of a half-known schema is left.
    fn make(&self, tables: &str, version: i64) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(connection) => sqlite::refuse_foreign(connection)?,
            Self::Server(connection) => connection.make_schema()?,
        }
        self.batch(tables)?;
        self.set_version(version)
    }

    /// Leaves no byte of what was removed in the files of the catalog, where that is ours to do.
    pub(crate) fn flush(&self) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(connection) => sqlite::flush(connection),
            Self::Server(_) => Ok(()), // It removes the files of a table with the table.
        }
    }

    /// Work that is due after writing; if it cannot be done now, a later call does it.
    /// After many changes there are probably more to come.
    pub(crate) fn settle(&self, many: bool) {
        if let Self::Sqlite(connection) = self {
            let _ = sqlite::settle(connection, many);
        }
    }
}
