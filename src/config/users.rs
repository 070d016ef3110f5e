//! `[users]`: a file of our own, or a database that is there already.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;
use zeroize::Zeroizing;

use crate::config::Users;
use crate::config::read::Reader;
use crate::config::value::{UserPreset, UserSource, Value};
use crate::config::written::Raw;
use crate::user::directory::sql::{Database, Settings};

/// Where Django keeps its users, unless a project has a model of its own.
const DJANGO_TABLE: &str = "auth_user";
/// What stands in a query for the name or the id.
const PARAMETER: &str = "$1";

pub(crate) fn users(reader: &mut Reader<'_>) -> Users {
    let source = reader.take("users", "source", UserSource::File);
    let file = reader.take_path("users", "file", "users.toml");
    let sql = sql(reader);
    match (source, sql) {
        (UserSource::File, _) => Users { file, sql: None },
        (UserSource::Sql, None) => {
            if !reader.is_given("users", "dsn") {
                let hint = "dsn = \"postgres://reader@db/app\" or \"sqlite:///srv/app/db.sqlite3\"; a password fits \
                            into MINTGATE_USERS_DSN";
                reader.refuse("users", "source", "`users.source` is \"sql\", and there is no `users.dsn`", hint);
            }
            Users { file, sql: None }
        }
        (UserSource::Sql, sql) => Users { file, sql },
    }
}

/// Everything about a database; taken whatever the source is, so that no key of it is unknown.
fn sql(reader: &mut Reader<'_>) -> Option<Settings> {
    let dsn = reader.take_optional("users", "dsn", |dsn: &Dsn| dsn.database(None).map(drop));
    let ca = reader.take_optional("users", "ca", |_: &String| Ok(())).map(|ca| reader.resolve(&ca));
    let preset = reader.take("users", "preset", UserPreset::Django);
    let table = reader.take_checked("users", "table", DJANGO_TABLE.to_owned(), |name: &String| is_identifier(name));
    let mut column =
        |key, default: &str| reader.take_checked("users", key, default.to_owned(), |name: &String| is_identifier(name));
    let id = column("id_column", "id");
    let name = column("name_column", "username");
    let password = column("password_column", "password");
    let active = column("active_column", "is_active");
    let has_parameter = |query: &String| {
        if query.contains(PARAMETER) { Ok(()) } else { Err(format!("has no {PARAMETER} for what is looked for")) }
    };
    let by_name = reader.take_optional("users", "by_name", has_parameter);
    let by_id = reader.take_optional("users", "by_id", has_parameter);
    let sample = reader.take_optional("users", "sample", |_: &String| Ok(()));
    let connections_max = reader.take_checked("users", "connections_max", 4, |number: &usize| {
        if (1..=256).contains(number) { Ok(()) } else { Err("is out of bounds: 1 to 256".to_owned()) }
    });
    let within = |span: &Duration| {
        if *span <= Duration::from_secs(3_600) { Ok(()) } else { Err("is out of bounds: up to 1h".to_owned()) }
    };
    let timeout = reader.take_checked("users", "timeout", Duration::from_secs(3), |span: &Duration| {
        if span.is_zero() { Err("is out of bounds: no time at all".to_owned()) } else { within(span) }
    });
    let cache = reader.take_checked("users", "cache", Duration::from_secs(30), within);
    let (by_name, by_id, sample) = match preset {
        UserPreset::Django => {
            let all = format!("SELECT {id} AS id, {name} AS username, {password} AS password, {active} AS is_active");
            (
                format!("{all} FROM {table} WHERE {name} = {PARAMETER}"),
                format!("{all} FROM {table} WHERE {id} = {PARAMETER}"),
                // The newest user's: Django's preferred hasher made it. `!` marks a password that opens nothing.
                Some(format!(
                    "SELECT {password} AS password FROM {table} WHERE {password} NOT LIKE '!%' ORDER BY {id} DESC LIMIT 1"
                )),
            )
        }
        UserPreset::Queries => {
            for (key, query) in [("by_name", &by_name), ("by_id", &by_id)] {
                if query.is_none() && !reader.is_given("users", key) {
                    let message = format!("`users.preset` is \"queries\", and there is no `users.{key}`");
                    let hint = "SELECT id, username, password FROM people WHERE username = $1; also read: is_active, \
                                scope, password_changed_at";
                    reader.refuse("users", "preset", &message, hint);
                }
            }
            (by_name.unwrap_or_default(), by_id.unwrap_or_default(), sample)
        }
    };
    let database = dsn?.database(ca).ok()?;
    Some(Settings { database, by_name, by_id, sample, connections_max, timeout, cache })
}

/// A name in a query is written by the operator, and still never more than a name: `people`, `app.people`.
fn is_identifier(text: &str) -> Result<(), String> {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if text.len() <= 128 && text.split('.').all(plain) {
        return Ok(());
    }
    Err("is no name of a table or column: letters, digits and _, with a dot behind a schema".to_owned())
}

/// Where a database is: `sqlite:///PATH` or `postgres://...`. Shown without its password.
struct Dsn(Zeroizing<String>);

impl Dsn {
    fn database(&self, ca: Option<PathBuf>) -> Result<Database, String> {
        match self.0.split_once("://") {
            // Three slashes are the usual form of an absolute path; a relative one would depend on who starts us where.
            Some(("sqlite", path)) if path.starts_with('/') && path.len() > 1 => Ok(Database::Sqlite(path.into())),
            Some(("sqlite", _)) => Err("needs an absolute path: sqlite:///srv/app/db.sqlite3".to_owned()),
            Some(("postgres" | "postgresql", _)) => Ok(Database::Postgres { dsn: self.0.clone(), ca }),
            _ => Err("is of no known kind: it begins with sqlite:/// or postgres://".to_owned()),
        }
    }

    /// The same with three stars for a password, wherever it stands.
    fn masked(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else { return "***".to_owned() };
        // A password may hold any sign, a slash or an `@` too, if somebody forgot to escape it; the last `@` ends it.
        let (account, place) = rest.rsplit_once('@').map_or(("", rest), |(account, place)| (account, place));
        let user = account.split_once(':').map_or(account, |(user, _)| user);
        let (at, stars) = (if account.is_empty() { "" } else { "@" }, if user == account { "" } else { ":***" });
        let place = match place.split_once("password=") {
            Some((before, after)) => {
                let after = after.split_once('&').map_or("", |(_, after)| after);
                format!("{before}password=***{}{after}", if after.is_empty() { "" } else { "&" })
            }
            None => place.to_owned(),
        };
        format!("{scheme}://{user}{stars}{at}{place}")
    }
}

impl Value for Dsn {
    const IS_SECRET: bool = true;

    fn expected() -> String {
        "a place in quotes: \"postgres://reader@db/app\" or \"sqlite:///srv/app/db.sqlite3\"".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        String::read(raw).map(Zeroizing::new).map(Self)
    }

    fn show(&self) -> Json {
        Json::from(self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (dsn, shown) in [
            ("postgres://app:s3cret@db/app", "postgres://app:***@db/app"),
            ("postgres://app:s3/c@ret@db/app", "postgres://app:***@db/app"),
            ("postgres://app@db/app", "postgres://app@db/app"),
            ("postgres://db/app?password=s3cret&user=a", "postgres://db/app?password=***&user=a"),
            ("postgres://db/app?password=s3cret", "postgres://db/app?password=***"),
            ("sqlite:///srv/db.sqlite3", "sqlite:///srv/db.sqlite3"),
            ("s3cret", "***"),
        ] {
            assert_eq!(Dsn(Zeroizing::new(dsn.to_owned())).masked(), shown);
        }
    }

    #[test]
    fn identifiers() {
        for good in ["auth_user", "app.people", "_x1"] {
            assert_eq!(is_identifier(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a;b", "a'b", "1a", "a..b", "a\"", "people--", "p\u{e4}ople"] {
            assert!(is_identifier(bad).is_err(), "{bad}");
        }
    }
}
