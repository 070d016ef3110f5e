//! PostgreSQL: a few connections, made when they are needed and dropped when one fails.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::user::directory::sql::pool::Pool;
use crate::user::directory::sql::row::{Field, Row};
use crate::user::directory::sql::{Engine, SetupError};
use crate::user::directory::{Answer, DirectoryError};

/// PostgreSQL counts microseconds from the year 2000; this many seconds after 1970.
const EPOCH_2000: i64 = 946_684_800;

/// Why the certificates of `users.ca` cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`users.ca` {path}: {detail}", path = path.display())]
pub struct TlsError {
    path: PathBuf,
    detail: String,
}

pub(super) struct Postgres {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    pool: Pool<Connection>,
}

/// A client and what it has prepared.
struct Connection {
    client: Client,
    prepared: HashMap<String, Statement>,
}

type Error = Box<dyn std::error::Error + Send + Sync>;

impl Postgres {
    pub(super) fn new(dsn: &str, ca: Option<&Path>, connections: usize, timeout: Duration) -> Result<Self, SetupError> {
        let mut config: Config = dsn.parse().map_err(|error: tokio_postgres::Error| {
            // The parser's own words name a key at most, never a value.
            SetupError::Dsn(error.into_source().map_or_else(|| "not a connection string".to_owned(), |e| e.to_string()))
        })?;
        let tls = ca.map(trust).transpose()?;
        match (&tls, config.get_ssl_mode()) {
            (None, SslMode::Require) => {
                return Err(SetupError::Dsn(
                    "sslmode=require needs `users.ca`, a file of certificates to trust".into(),
                ));
            }
            // With certificates to trust, an unencrypted connection is never taken instead.
            (Some(_), _) => config.ssl_mode(SslMode::Require),
            (None, _) => config.ssl_mode(SslMode::Disable),
        };
        if config.get_hosts().is_empty() {
            return Err(SetupError::Dsn("it names no host".into()));
        }
        config.connect_timeout(timeout).application_name("mintgate");
        Ok(Self { config, tls, pool: Pool::new(connections, timeout) })
    }

    async fn connect(&self) -> Result<Connection, tokio_postgres::Error> {
        let client = match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                tokio::spawn(connection);
                client
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(connection);
                client
            }
        };
        // Whatever the account may do: this connection reads.
        client.batch_execute("SET default_transaction_read_only = on").await?;
        Ok(Connection { client, prepared: HashMap::new() })
    }

    async fn ask(&self, query: &str, parameter: Option<&str>) -> Result<Option<Row>, tokio_postgres::Error> {
        let mut connection = match self.pool.take().filter(|connection| !connection.client.is_closed()) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let statement = match connection.prepared.get(query) {
            Some(statement) => statement.clone(),
            None => {
                let statement = connection.client.prepare(query).await?;
                connection.prepared.insert(query.to_owned(), statement.clone());
                statement
            }
        };
        let parameter = parameter.map(AsText);
        let parameters: Vec<&(dyn ToSql + Sync)> = parameter.iter().map(|text| text as &(dyn ToSql + Sync)).collect();
        let read = connection.client.query_opt(&statement, &parameters).await;
        match read {
            Ok(row) => {
                self.pool.put_back(connection);
                Ok(row.map(|row| columns(&row)))
            }
            Err(error) if is_no_such_value(&error) => {
                self.pool.put_back(connection);
                Ok(None)
            }
            // The connection goes with the error: the next one is made anew.
            Err(error) => Err(error),
        }
    }
}

impl Engine for Postgres {
    fn first<'a>(&'a self, query: &'a str, parameter: Option<&'a str>) -> Answer<'a, Option<Row>> {
        Box::pin(self.pool.turn(async move {
            // An idle connection that the server has closed meanwhile fails once; the second is a new one.
            let first = self.ask(query, parameter).await;
            let asked = match first {
                Err(error) if error.is_closed() => self.ask(query, parameter).await,
                other => other,
            };
            asked.map_err(|error| {
                let detail = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, detail, "the user database does not answer");
                DirectoryError
            })
        }))
    }
}

fn trust(ca: &Path) -> Result<MakeRustlsConnect, TlsError> {
    let failed = |detail: String| TlsError { path: ca.to_owned(), detail };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(ca).map_err(|error| failed(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("holds no certificate".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// The value is of no form that the column knows: a word for a number, a number too large. Then no row has it.
fn is_no_such_value(error: &tokio_postgres::Error) -> bool {
    [
        &SqlState::INVALID_TEXT_REPRESENTATION,
        &SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        &SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        &SqlState::UNTRANSLATABLE_CHARACTER,
    ]
    .into_iter()
    .any(|state| error.code() == Some(state))
}

/// A parameter of whatever type the column has, sent as text: the server reads it as it would read it from SQL.
#[derive(Debug)]
struct AsText<'a>(&'a str);

impl ToSql for AsText<'_> {
    fn to_sql(&self, _: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Error> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

fn columns(row: &tokio_postgres::Row) -> Row {
    let field = |at| row.try_get::<_, Field>(at).unwrap_or(Field::Other);
    Row(row.columns().iter().enumerate().map(|(at, column)| (column.name().to_owned(), field(at))).collect())
}

impl<'a> FromSql<'a> for Field {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Error> {
        Ok(match *ty {
            Type::BOOL => Self::Boolean(bool::from_sql(ty, raw)?),
            Type::INT2 => Self::Integer(i16::from_sql(ty, raw)?.into()),
            Type::INT4 => Self::Integer(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Self::Integer(i64::from_sql(ty, raw)?),
            Type::UUID => Self::Text(uuid(raw).ok_or("not a UUID")?),
            Type::TIMESTAMP | Type::TIMESTAMPTZ => {
                let micros = raw.first_chunk().copied().map(i64::from_be_bytes).ok_or("not a timestamp")?;
                // A part of a second counts as a whole one: later is the safe side.
                Self::Seconds(micros.div_euclid(1_000_000) + i64::from(micros.rem_euclid(1_000_000) > 0) + EPOCH_2000)
            }
            _ if <&str as FromSql>::accepts(ty) => Self::Text(<&str as FromSql>::from_sql(ty, raw)?.to_owned()),
            _ => Self::Other,
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Error> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn uuid(raw: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = raw.try_into().ok()?;
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    let part = |from, to| digits.get(from..to);
    Some([part(0, 8)?, part(8, 12)?, part(12, 16)?, part(16, 20)?, part(20, 32)?].join("-"))
}
