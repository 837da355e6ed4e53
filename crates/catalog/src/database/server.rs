//! The schema of a PostgreSQL server.
//!
//! Statements that need no answer are sent one after the other without waiting (as far as [`SENT_MAX`]), so that the way
//! to the server and back is paid once for many.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use rusqlite::types::{FromSqlError, FromSqlResult, Value, ValueRef};
use tokio::runtime::Runtime;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use super::dialect;
use super::number::{Number, numeric};
use crate::error::ServerProblem;
use crate::{CatalogError, Server};

/// Statements that may be on their way.
const SENT_MAX: usize = 512;

/// Statements that are kept prepared.
const STATEMENTS_MAX: usize = 256;

/// How long to wait for another process, in milliseconds.
const BUSY_MS: u32 = 30_000;

type Sent = Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send>>;

/// A session with a server.
pub(crate) struct Connection {
    server: Server,
    runtime: Runtime,
    client: Arc<Client>,
    statements: RefCell<HashMap<String, Statement>>,
    sent: RefCell<VecDeque<Sent>>,
    /// Whether the tables were seen, which nobody removes without making them again.
    there: Cell<bool>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Connection").field(&self.server).finish()
    }
}

impl Connection {
    pub(crate) fn open(server: &Server) -> Result<Self, CatalogError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| CatalogError::Storage(error.into()))?;
        let tls = tokio_postgres_rustls::MakeRustlsConnect::new(super::tls::client(server)?);
        let client = runtime.block_on(async {
            let (client, connection) = server.config.connect(tls).await?;
            tokio::spawn(async move {
                // Its failure is that of whatever waits for an answer.
                let _ = connection.await;
            });
            Ok(client)
        });
        let client = client.map_err(|error| CatalogError::server(server, error))?;
        let connection = Self {
            server: server.clone(),
            runtime,
            client: Arc::new(client),
            statements: RefCell::default(),
            sent: RefCell::default(),
            there: Cell::new(false),
        };
        connection.batch(&format!(
            "SET search_path = {}, pg_catalog; SET lock_timeout = {BUSY_MS}; SET client_min_messages = warning; \
             SET bytea_output = 'hex'",
            server.schema
        ))?;
        Ok(connection)
    }

    /// Several statements in the words of the server.
    pub(crate) fn batch(&self, sql: &str) -> Result<(), CatalogError> {
        self.arrive(0)?;
        self.run(self.client.batch_execute(sql))
    }

    pub(crate) fn query(
        &self,
        sql: &str,
        params: Vec<Value>,
    ) -> Result<Vec<tokio_postgres::Row>, CatalogError> {
        self.arrive(0)?;
        let (statement, params) = self.prepared(sql, params)?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as _).collect();
        self.run(self.client.query(&statement, &params))
    }

    pub(crate) fn count(&self, sql: &str, params: Vec<Value>) -> Result<u64, CatalogError> {
        self.arrive(0)?;
        let (statement, params) = self.prepared(sql, params)?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as _).collect();
        self.run(self.client.execute(&statement, &params))
    }

    /// Sends a statement and does not wait for what becomes of it.
    pub(crate) fn send(&self, sql: &str, params: Vec<Value>) -> Result<(), CatalogError> {
        let (statement, params) = self.prepared(sql, params)?;
        let client = Arc::clone(&self.client);
        let mut sent: Sent = Box::pin(async move { client.execute_raw(&statement, params).await });
        let first = self.runtime.block_on(poll_fn(|context| Poll::Ready(sent.as_mut().poll(context))));
        match first {
            Poll::Ready(result) => result.map(drop).map_err(|error| self.failed(error)),
            Poll::Pending => {
                self.sent.borrow_mut().push_back(sent);
                self.arrive(SENT_MAX)
            }
        }
    }

    /// Waits until at most `left` statements are on their way.
    fn arrive(&self, left: usize) -> Result<(), CatalogError> {
        let mut sent = self.sent.borrow_mut();
        if sent.len() <= left {
            return Ok(());
        }
        // All at once, as they are on their way together. The first failure is the reason of the others.
        let sent = std::mem::take(&mut *sent);
        let mut result = Ok(());
        self.runtime.block_on(async {
            for one in sent {
                let one = one.await;
                if result.is_ok() {
                    result = one.map(drop);
                }
            }
        });
        result.map_err(|error| self.failed(error))
    }

    fn run<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, CatalogError> {
        self.runtime.block_on(work).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: tokio_postgres::Error) -> CatalogError {
        CatalogError::server(&self.server, error)
    }

    /// The statement in the words of the server, with those of its parameters that are values.
    fn prepared(&self, sql: &str, params: Vec<Value>) -> Result<(Statement, Vec<Param>), CatalogError> {
        let mut key = String::with_capacity(sql.len() + params.len());
        key.push_str(sql);
        key.extend(params.iter().map(|value| match value {
            Value::Null => '0',
            Value::Integer(_) => '1',
            Value::Real(_) => '2',
            Value::Text(_) => '3',
            Value::Blob(_) => '4',
        }));
        let known = self.statements.borrow().get(&key).cloned();
        let statement = match known {
            Some(statement) => statement,
            None => {
                self.arrive(0)?;
                let is_null: Vec<bool> = params.iter().map(|value| matches!(value, Value::Null)).collect();
                let types: Vec<Type> = params.iter().filter_map(type_of).collect();
                let sql = dialect::statement(sql, &is_null);
                let statement = self.run(self.client.prepare_typed(&sql, &types))?;
                let mut statements = self.statements.borrow_mut();
                if statements.len() >= STATEMENTS_MAX {
                    statements.clear();
                }
                statements.insert(key, statement.clone());
                statement
            }
        };
        let params = params.into_iter().filter(|value| !matches!(value, Value::Null)).map(Param).collect();
        Ok((statement, params))
    }

    /// Begins a transaction that no other writer of this catalog is in.
    pub(crate) fn begin_alone(&self) -> Result<(), CatalogError> {
        self.batch(&format!("BEGIN; SELECT pg_advisory_xact_lock({})", self.server.lock))
    }

    /// Version of the tables; 0 when there are none.
    pub(crate) fn version(&self) -> Result<i64, CatalogError> {
        if !self.there.get() {
            let name = vec![Value::Text(format!("{}.catalog_version", self.server.schema))];
            let rows = self.query("SELECT to_regclass(?1) IS NOT NULL AS there", name)?;
            if !rows.iter().any(|row| row.try_get("there").unwrap_or(false)) {
                return Ok(0);
            }
            self.there.set(true);
        }
        let rows = self.query("SELECT version FROM catalog_version", Vec::new())?;
        let version = rows.first().and_then(|row| row.try_get("version").ok());
        version.ok_or_else(|| CatalogError::unusable("it has no version"))
    }

    /// Makes an empty schema in place of whatever there is.
    pub(crate) fn make_schema(&self) -> Result<(), CatalogError> {
        let schema = &self.server.schema;
        self.statements.borrow_mut().clear();
        self.batch(&format!(
            "DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}; \
             CREATE TABLE {schema}.catalog_version (version BIGINT NOT NULL); \
             INSERT INTO {schema}.catalog_version VALUES (0)"
        ))
    }
}

/// A parameter, which is prepared with its own type.
#[derive(Debug)]
struct Param(Value);

fn type_of(value: &Value) -> Option<Type> {
    match value {
        Value::Null => None,
        Value::Integer(_) => Some(Type::INT8),
        Value::Real(_) => Some(Type::FLOAT8),
        Value::Text(_) => Some(Type::TEXT),
        Value::Blob(_) => Some(Type::BYTEA),
    }
}

impl ToSql for Param {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match &self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(value) => value.to_sql(of, out),
            Value::Real(value) => value.to_sql(of, out),
            Value::Text(value) => value.to_sql(of, out),
            Value::Blob(value) => value.to_sql(of, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The bytes of a column, whatever its type.
struct Raw<'a>(&'a [u8], Type);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(of: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw, of.clone()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The value of the column at `place`, as `read` understands it.
pub(super) fn value<T>(
    row: &tokio_postgres::Row,
    place: usize,
    read: impl FnOnce(ValueRef<'_>) -> FromSqlResult<T>,
) -> FromSqlResult<T> {
    let raw: Option<Raw<'_>> = row.try_get(place).map_err(FromSqlError::other)?;
    let Some(Raw(bytes, of)) = raw else { return read(ValueRef::Null) };
    let other = FromSqlError::Other;
    read(match of {
        Type::INT8 => ValueRef::Integer(i64::from_sql(&of, bytes).map_err(other)?),
        Type::INT4 => ValueRef::Integer(i64::from(i32::from_sql(&of, bytes).map_err(other)?)),
        Type::BOOL => ValueRef::Integer(i64::from(bool::from_sql(&of, bytes).map_err(other)?)),
        Type::FLOAT8 => ValueRef::Real(f64::from_sql(&of, bytes).map_err(other)?),
        Type::NUMERIC => match numeric(bytes).ok_or(FromSqlError::InvalidType)? {
            Number::Whole(value) => ValueRef::Integer(value),
            Number::Other(value) => ValueRef::Real(value),
        },
        Type::TEXT | Type::VARCHAR | Type::NAME => ValueRef::Text(bytes),
        Type::BYTEA => ValueRef::Blob(bytes),
        _ => return Err(FromSqlError::InvalidType),
    })
}

/// What kind of trouble the error of a server is; nothing when the catalog itself is damaged.
pub(crate) fn problem(error: &tokio_postgres::Error) -> Option<ServerProblem> {
    let Some(code) = error.code() else {
        let text = error.to_string();
        return Some(if text.starts_with("error performing TLS handshake") {
            ServerProblem::Tls
        } else if text.starts_with("authentication error") || text.starts_with("invalid configuration") {
            ServerProblem::Login
        } else if ["error connecting", "error communicating", "timeout", "unexpected message"]
            .iter()
            .any(|start| text.starts_with(start))
            || error.is_closed()
        {
            ServerProblem::Unreachable
        } else {
            return None; // A value or a column that is not what it has to be.
        });
    };
    // Source: appendix A of the manual of PostgreSQL.
    match code.code() {
        "28000" if error.to_string().contains("encryption") => Some(ServerProblem::Tls),
        "3D000" => Some(ServerProblem::NoDatabase),
        "42501" | "25006" => Some(ServerProblem::Rights),
        "55P03" | "40001" | "40P01" | "57014" => Some(ServerProblem::Busy),
        "53300" | "57P03" => Some(ServerProblem::Unreachable),
        code => match code.get(..2) {
            Some("28") => Some(ServerProblem::Login),
            Some("08" | "57") => Some(ServerProblem::Unreachable),
            Some("53" | "54" | "58") => Some(ServerProblem::Storage),
            _ => None,
        },
    }
}
