//! SQLite: a file on this machine, opened for reading alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use crate::user::directory::sql::Engine;
use crate::user::directory::sql::pool::Pool;
use crate::user::directory::sql::row::{Field, Row};
use crate::user::directory::{Answer, DirectoryError};

pub(super) struct Sqlite {
    path: PathBuf,
    pool: Arc<Pool<Connection>>,
    timeout: Duration,
}

impl Sqlite {
    pub(super) fn new(path: PathBuf, connections: usize, timeout: Duration) -> Self {
        Self { path, pool: Arc::new(Pool::new(connections, timeout)), timeout }
    }
}

impl Engine for Sqlite {
    fn first<'a>(&'a self, query: &'a str, parameter: Option<&'a str>) -> Answer<'a, Option<Row>> {
        Box::pin(self.pool.turn(async move {
            let (path, timeout, pool) = (self.path.clone(), self.timeout, Arc::clone(&self.pool));
            let (query, parameter) = (query.to_owned(), parameter.map(str::to_owned));
            // The library blocks, for a disk or for another writer.
            let read = tokio::task::spawn_blocking(move || {
                let connection = pool.take().map_or_else(|| open(&path, timeout), Ok)?;
                let row = ask(&connection, &query, parameter.as_deref())?;
                pool.put_back(connection);
                Ok(row)
            });
            match read.await {
                Ok(Ok(row)) => Ok(row),
                Ok(Err(error)) => {
                    let error: rusqlite::Error = error;
                    tracing::error!(%error, database = %self.path.display(), "the user database cannot be read");
                    Err(DirectoryError)
                }
                Err(_) => Err(DirectoryError),
            }
        }))
    }
}

fn open(path: &std::path::Path, timeout: Duration) -> rusqlite::Result<Connection> {
    // Never made here: a path with a slip in it must be an error, not an empty directory of users.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(timeout)?;
    Ok(connection)
}

fn ask(connection: &Connection, query: &str, parameter: Option<&str>) -> rusqlite::Result<Option<Row>> {
    let mut statement = connection.prepare(query)?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let read = |row: &rusqlite::Row<'_>| {
        let fields = columns.iter().enumerate().map(|(at, name)| Ok((name.clone(), field(row.get_ref(at)?))));
        fields.collect::<rusqlite::Result<_>>().map(Row)
    };
    match parameter {
        Some(parameter) => statement.query_row([parameter], read).optional(),
        None => statement.query_row([], read).optional(),
    }
}

fn field(value: ValueRef<'_>) -> Field {
    match value {
        ValueRef::Null => Field::Null,
        ValueRef::Integer(number) => Field::Integer(number),
        ValueRef::Text(text) => std::str::from_utf8(text).map_or(Field::Other, |text| Field::Text(text.to_owned())),
        ValueRef::Real(_) | ValueRef::Blob(_) => Field::Other,
    }
}
