//! Users of a real Django project log in with the passwords they have: SQLite and PostgreSQL, every hasher of Django's.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::support::http::{Answer, peek, post_form};
use crate::support::postgres::Postgres;
use crate::support::server::{Server, add_service, configured, run, stderr, until};
use crate::support::temp::TempDir;

const HASHERS: [&str; 6] = ["pbkdf2_sha256", "pbkdf2_sha1", "argon2", "bcrypt_sha256", "bcrypt", "scrypt"];

/// A running Django that does what it is told, or nothing if it is not installed.
struct Django {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Django {
    fn start(engine: &str, place: &str) -> Option<Self> {
        let python = std::env::var_os("MINTGATE_PYTHON")?;
        let probe = "import django, argon2, bcrypt, psycopg";
        if !Command::new(&python).args(["-c", probe]).stderr(Stdio::null()).status().expect("python starts").success() {
            return None;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outside/django_users.py");
        let mut child = Command::new(python)
            .args([script, engine, place])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let (orders, answers) = (child.stdin.take(), BufReader::new(child.stdout.take().expect("piped")));
        let mut django = Self { child, orders, answers };
        django.tell(json!({"do": "migrate"}));
        Some(django)
    }

    fn tell(&mut self, order: Value) -> Value {
        writeln!(self.orders.as_mut().expect("open"), "{order}").expect("Django listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("Django answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {order} -> {line}"))
    }
}

impl Drop for Django {
    fn drop(&mut self) {
        // The end of its orders is its end.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// A gateway whose users are in that database, with the public client `web`.
fn gateway(dsn: &str, cache: &str) -> Server {
    let settings = format!("source = \"sql\"\ndsn = \"{dsn}\"\ncache = \"{cache}\"\ntimeout = \"2s\"");
    let edit = |text: &str| configured(text, "users", &settings);
    Server::lasting_with(edit, |config| {
        add_service(config);
        let add = ["clients", "add", "web", "--public", "--first-party", "--grant", "refresh_token"];
        let rest = ["--scope", "read", "--audience", "https://api.example", "--config", config];
        let output = run(&[&add[..], &rest[..]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
    })
}

fn log_in(server: &Server, name: &str, password: &str) -> Answer {
    let form = [("client_id", "web"), ("username", name), ("password", password)];
    // Guessing is slowed down, whoever guesses; that is another test's matter.
    let answer = post_form(&server.url("/login"), None, &form);
    assert_ne!(answer.status, 429, "slowed down: {}", answer.text());
    answer
}

fn refresh(server: &Server, token: &str) -> Answer {
    let form = [("client_id", "web"), ("grant_type", "refresh_token"), ("refresh_token", token)];
    post_form(&server.url("/token"), None, &form)
}

/// The dsn, a Django on the same database, and what must live as long.
fn sqlite() -> Option<(String, Django, TempDir)> {
    let directory = TempDir::new();
    let path = directory.join("db.sqlite3").to_string_lossy().into_owned();
    Some((format!("sqlite://{path}"), Django::start("sqlite", &path)?, directory))
}

fn postgres() -> Option<(String, Django, Postgres)> {
    let postgres = Postgres::start()?;
    let socket = postgres.socket();
    let django = Django::start("postgres", &socket)?;
    // The account that docs/django.md describes: four columns, and nothing else.
    let guide =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/django.md")).expect("docs/django.md");
    let (_, rest) = guide.split_once("```sql\n").expect("lines of SQL");
    let (sql, _) = rest.split_once("```").expect("their end");
    postgres.sql(sql);
    Some((format!("postgres:///app?host={socket}&user=mintgate_reader"), django, postgres))
}

fn every_hasher(dsn: &str, django: &mut Django) {
    let root = django.tell(json!({"do": "superuser", "username": "root", "password": "correct horse"}));
    let mut names = vec![("root".to_owned(), root["id"].clone())];
    for hasher in HASHERS {
        let name = format!("user-{hasher}");
        let made =
            django.tell(json!({"do": "create", "username": name, "password": "correct horse", "hasher": hasher}));
        assert_eq!(made["stored"], hasher);
        names.push((name, made["id"].clone()));
    }
    let server = gateway(dsn, "30s");
    for (name, id) in names {
        let before = django.tell(json!({"do": "stored", "username": name}));
        let answer = log_in(&server, &name, "correct horse");
        assert_eq!(answer.status, 200, "{name}: {} {}", answer.text(), server.log());
        let (_, claims) = peek(&answer.member("access_token"));
        assert_eq!(claims["sub"], format!("usr_{id}"), "{name}");
        let wrong = log_in(&server, &name, "correct horsf");
        assert_eq!((wrong.status, wrong.error().as_str()), (400, "invalid_grant"), "{name}");
        assert_eq!(django.tell(json!({"do": "stored", "username": name})), before, "{name}: what is stored stays");
    }
}

fn who_may_not(dsn: &str, django: &mut Django) {
    for (name, password, active) in [
        ("ada", Value::from("correct horse"), true),
        ("off", "correct horse".into(), false),
        ("none", Value::Null, true),
    ] {
        django.tell(json!({"do": "create", "username": name, "password": password, "active": active}));
    }
    let server = gateway(dsn, "30s");
    assert_eq!(log_in(&server, "ada", "correct horse").status, 200, "{}", server.log());
    let unknown = log_in(&server, "nobody", "correct horse");
    assert_eq!(unknown.status, 400);
    let long = "a".repeat(5_000);
    for name in [
        "off",
        "none",
        "ADA",
        "ada ",
        " ada",
        "ada'--",
        "' OR '1'='1",
        "\" OR 1=1 --",
        "ada%",
        "_da",
        "$1",
        "\\",
        "\u{202e}ada",
        "\u{430}da",
        &long,
    ] {
        let answer = log_in(&server, name, "correct horse");
        assert_eq!((answer.status, answer.text()), (400, unknown.text()), "{name:?}");
    }
    // No form has a zero byte in it.
    assert_eq!(log_in(&server, "ada\0", "correct horse").error(), "invalid_request");
    assert_eq!(log_in(&server, "ada", "correct horse").status, 200, "the table is still there: {}", server.log());
}

fn refreshes_follow_the_directory(dsn: &str, django: &mut Django) {
    let server = gateway(dsn, "1s");
    type Row = (&'static str, fn(&str) -> Value);
    let rows: [Row; 3] = [
        ("switched off", |name| json!({"do": "set_active", "username": name, "active": false})),
        ("given another password", |name| json!({"do": "set_password", "username": name, "password": "another one"})),
        ("deleted", |name| json!({"do": "delete", "username": name})),
    ];
    for (at, (what, order)) in rows.into_iter().enumerate() {
        let name = format!("leaver-{at}");
        django.tell(json!({"do": "create", "username": name, "password": "correct horse"}));
        let mut token = log_in(&server, &name, "correct horse").member("refresh_token");
        let renewed = refresh(&server, &token);
        assert_eq!(renewed.status, 200, "{what}: {}", renewed.text());
        token = renewed.member("refresh_token");
        django.tell(order(&name));
        // Until the stated age of the cache has passed, a refresh may still succeed; then none does.
        let began = std::time::Instant::now();
        until(what, || {
            let answer = refresh(&server, &token);
            if answer.status == 200 {
                token = answer.member("refresh_token");
                return false;
            }
            assert_eq!(answer.error(), "invalid_grant", "{what}");
            true
        });
        println!("{what}: refused after {:?}, the cache's age is 1s", began.elapsed());
    }
}

#[test]
fn every_hasher_of_djangos_on_sqlite() {
    let Some((dsn, mut django, _directory)) = sqlite() else { return println!("skipped: Django is not installed") };
    every_hasher(&dsn, &mut django);
}

#[test]
fn every_hasher_of_djangos_on_postgresql() {
    let Some((dsn, mut django, _postgres)) = postgres() else { return println!("skipped: no Django or PostgreSQL") };
    every_hasher(&dsn, &mut django);
}

#[test]
fn inactive_unusable_and_hostile_names_are_unknown_users_on_sqlite() {
    let Some((dsn, mut django, _directory)) = sqlite() else { return println!("skipped: Django is not installed") };
    who_may_not(&dsn, &mut django);
}

#[test]
fn inactive_unusable_and_hostile_names_are_unknown_users_on_postgresql() {
    let Some((dsn, mut django, _postgres)) = postgres() else { return println!("skipped: no Django or PostgreSQL") };
    who_may_not(&dsn, &mut django);
}

#[test]
fn a_user_who_changes_is_out_at_the_next_refresh_on_sqlite() {
    let Some((dsn, mut django, _directory)) = sqlite() else { return println!("skipped: Django is not installed") };
    refreshes_follow_the_directory(&dsn, &mut django);
}

#[test]
fn a_user_who_changes_is_out_at_the_next_refresh_on_postgresql() {
    let Some((dsn, mut django, _postgres)) = postgres() else { return println!("skipped: no Django or PostgreSQL") };
    refreshes_follow_the_directory(&dsn, &mut django);
}

#[test]
fn a_stopped_postgresql_is_503_and_never_a_wrong_password_and_heals() {
    let Some((dsn, mut django, mut postgres)) = postgres() else { return println!("skipped: no Django or PostgreSQL") };
    django.tell(json!({"do": "create", "username": "ada", "password": "correct horse"}));
    let server = gateway(&dsn, "0s");
    let tokens = log_in(&server, "ada", "correct horse");
    let (access, token) = (tokens.member("access_token"), tokens.member("refresh_token"));
    postgres.stop();
    for answer in [log_in(&server, "ada", "correct horse"), log_in(&server, "ada", "wrong"), refresh(&server, &token)] {
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.error(), "temporarily_unavailable");
    }
    let verified = crate::support::http::send(
        "GET",
        &server.url("/verify?aud=https://api.example"),
        &[("Authorization", &format!("Bearer {access}"))],
        b"",
    );
    assert_eq!(verified.status, 200, "verification needs no directory");
    postgres.run();
    assert_eq!(refresh(&server, &token).status, 200, "healed by itself: {}", server.log());
    assert_eq!(log_in(&server, "ada", "correct horse").status, 200);
}

#[test]
fn a_database_that_cannot_be_meant_does_not_start() {
    for (settings, said) in [
        ("source = \"sql\"", "there is no `users.dsn`"),
        ("source = \"sql\"\ndsn = \"mongodb://a:s3cret@b/c\"", "is of no known kind"),
        ("source = \"sql\"\ndsn = \"sqlite://db.sqlite3\"", "needs an absolute path"),
        ("source = \"sql\"\ndsn = \"postgres:///app?host=/x\"\ntable = \"a;b\"", "is no name of a table or column"),
        ("source = \"sql\"\ndsn = \"postgres:///app?host=/x\"\npreset = \"queries\"", "there is no `users.by_name`"),
        ("source = \"sql\"\ndsn = \"postgres:///app?host=/x\"\nby_id = \"SELECT 1\"", "has no $1"),
        ("source = \"sql\"\ndsn = \"postgres:///app?host=/x\"\nconnections_max = 0", "is out of bounds"),
    ] {
        let directory = crate::support::server::initialised();
        let config = directory.path().join("mintgate.toml");
        let text = std::fs::read_to_string(&config).expect("readable");
        std::fs::write(&config, configured(&text, "users", settings)).expect("writable");
        let output = run(&["serve", "--config", &config.to_string_lossy()]);
        assert_eq!(output.status.code(), Some(2), "{settings}");
        assert!(stderr(&output).contains(said), "{settings}: {}", stderr(&output));
        assert!(!stderr(&output).contains("s3cret"), "{}", stderr(&output));
    }
}
