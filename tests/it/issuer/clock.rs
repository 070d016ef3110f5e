//! A clock that goes back: nothing is issued, nothing is revived, verifying and revoking go on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mintgate::client::Client;
use mintgate::issuer::{Demand, Order, Shown, Verdict};
use mintgate::protocol::error::{OAuthError, UnavailableReason};
use mintgate::protocol::id::{ClientId, Subject};
use mintgate::protocol::scope::Scope;
use mintgate::protocol::time::UnixSeconds;

use super::{Bench, PASSWORD, START, renewal, wait};

const HOUR: u64 = 3_600;

fn set_back(bench: &Bench, seconds: u64) {
    let now = bench.clock_now();
    bench.clock.set(UnixSeconds(now.0 - seconds));
}

fn client(id: &str) -> Client {
    super::clients().find(id).expect("registered").as_ref().clone()
}

fn passes(bench: &Bench, token: &str) -> bool {
    let demand = Demand { audience: None, scope: Scope::empty(), issuer: None };
    matches!(bench.issuer.judge(Shown::Token(token), &demand), Verdict::Allowed(_))
}

/// Every way to a token, with a name.
fn every_way(bench: &Bench, refresh_token: &str) -> [(&'static str, Option<OAuthError>); 4] {
    let password = format!("grant_type=password&client_id=old&username=ada&password={}", PASSWORD.replace(' ', "+"));
    [
        ("client_credentials", bench.service().err()),
        ("log-in", bench.login_with(PASSWORD).err()),
        ("refresh", bench.refresh(refresh_token).err()),
        ("password", bench.token(&password).err()),
    ]
}

#[test]
fn no_grant_issues_anything_while_the_clock_is_behind_and_all_do_when_it_has_caught_up() {
    let bench = Bench::new();
    let mut settings = super::policy();
    settings.password_grant = true;
    let mut old = client("app");
    old.id = ClientId::from("old");
    old.grants.push(mintgate::client::GrantType::Password);
    bench.issuer.reload(settings, [client("app"), client("service"), old].into_iter().collect());
    let token = renewal(&bench.login());
    for (name, error) in every_way(&bench, &token) {
        assert_eq!(error, None, "{name}: before");
    }
    let token = renewal(&bench.login());
    let entries = bench.issuer.store().figures().state.entries();

    set_back(&bench, HOUR);
    for (name, error) in every_way(&bench, &token) {
        let error = error.unwrap_or_else(|| panic!("{name}: issued by a clock an hour behind"));
        let minute = Duration::from_secs(60);
        assert_eq!(error, OAuthError::Unavailable(UnavailableReason::ClockBehind, minute), "{name}");
        assert_eq!((error.wire(), error.retry_after()), (("temporarily_unavailable", 503), Some(minute)), "{name}");
    }
    assert_eq!(bench.issuer.store().figures().state.entries(), entries, "and nothing was burned");

    // Eleven seconds behind: to wait for that long is enough.
    bench.clock.set(UnixSeconds(START.0 - 11));
    let error = bench.service().err().expect("refused");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(11)));
    bench.clock.set(UnixSeconds(START.0 - 10));
    for (name, error) in every_way(&bench, &token) {
        assert_eq!(error, None, "{name}: within the tolerance");
    }
}

#[test]
fn within_the_tolerance_time_stands_still() {
    let bench = Bench::new();
    bench.pass(100);
    let _ = bench.service().expect("seen");
    set_back(&bench, 5);
    let token = bench.service().expect("within the tolerance").access_token;
    let claims = crate::support::http::peek(&token).1;
    assert_eq!(claims["iat"], START.0 + 100, "no token is dated before one that was issued earlier");
    assert!(passes(&bench, &token) && bench.is_active(&token));
}

#[test]
fn what_had_expired_stays_so_at_verify_and_introspect() {
    let bench = Bench::new();
    let login = bench.login();
    assert!(passes(&bench, &login.access_token) && bench.is_active(&login.access_token));
    bench.pass(400);
    assert!(!passes(&bench, &login.access_token), "expired; this look also tells the store the time");
    set_back(&bench, HOUR);
    assert!(!passes(&bench, &login.access_token), "at verify, which remembers that it once passed");
    assert!(!bench.is_active(&login.access_token), "at introspection");
}

#[test]
fn what_is_live_goes_on_being_verified() {
    let bench = Bench::new();
    bench.pass(HOUR);
    let (login, service) = (bench.login(), bench.service().expect("a token"));
    set_back(&bench, HOUR);
    for token in [&login.access_token, &service.access_token] {
        assert!(passes(&bench, token), "not refused as a token from the future");
        assert!(bench.is_active(token));
    }
}

#[test]
fn revoking_works_and_reaches_what_the_clock_says_is_yet_to_come() {
    let bench = Bench::new();
    bench.pass(HOUR);
    let (one, two) = (bench.login(), bench.login());
    set_back(&bench, HOUR);
    bench.revoke(&one.access_token).expect("lasting");
    assert!(!passes(&bench, &one.access_token), "an answer of 200 means revoked");
    // Log out everywhere, an hour before the log-ins happened as the clock has it.
    let order = Order::Subject(Subject::from("usr_ada"));
    let outlook = wait(bench.issuer.revoke_by_order(&order)).expect("lasting").expect("ours");
    assert!(outlook.until > bench.clock_now());
    assert!(!passes(&bench, &two.access_token));
    bench.pass(HOUR + 1);
    for login in [&one, &two] {
        assert!(bench.refresh(&renewal(login)).is_err());
        assert!(!bench.is_active(&login.access_token));
    }
    assert!(bench.refresh(&renewal(&bench.login())).is_ok(), "and not what came after it");
}

#[test]
fn a_replay_is_seen_for_what_it_is_at_any_hour() {
    let bench = Bench::new();
    let first = renewal(&bench.login());
    let second = renewal(&bench.refresh(&first).expect("current"));
    bench.pass(HOUR);
    let _ = bench.service().expect("tells the store the time");
    // Right into the retry window of the first rotation.
    bench.clock.set(UnixSeconds(START.0 + 5));
    assert!(matches!(bench.refresh(&first).err(), Some(OAuthError::InvalidGrant(_))), "the window stays shut");
    bench.clock.set(UnixSeconds(START.0 + HOUR));
    assert!(matches!(bench.refresh(&second).err(), Some(OAuthError::InvalidGrant(_))), "the family is revoked");
}

#[test]
fn a_client_secret_that_has_ended_is_not_revived() {
    let bench = Bench::new();
    let mut ending = client("service");
    ending.secrets[0].ends_at = Some(UnixSeconds(START.0 + 60));
    bench.issuer.reload(super::policy(), [ending].into_iter().collect());
    assert!(bench.service().is_ok());
    bench.pass(61);
    assert!(matches!(bench.service().err(), Some(OAuthError::InvalidClient(_))));
    set_back(&bench, 5);
    assert!(matches!(bench.service().err(), Some(OAuthError::InvalidClient(_))), "within the tolerance");
    set_back(&bench, HOUR);
    assert!(matches!(bench.service().err(), Some(OAuthError::InvalidClient(_))), "and beyond it");
}

/// Keeps the log in memory.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn one_line_when_it_begins_and_one_when_it_ends() {
    use mintgate::telemetry::log::{Format, Settings, build};
    let paper = Paper::default();
    let (subscriber, log) =
        build(&Settings { format: Format::Json, level: "info".into() }, paper.clone()).expect("a log");
    tracing::subscriber::with_default(subscriber, || {
        let bench = Bench::new();
        for (now, ticks) in [(START.0, 3), (START.0 - HOUR, 5), (START.0 + 1, 3)] {
            bench.clock.set(UnixSeconds(now));
            (0..ticks).for_each(|_| bench.issuer.store().tick(UnixSeconds(now)));
        }
    });
    drop(log);
    let text = String::from_utf8(paper.0.lock().expect("lock").clone()).expect("UTF-8");
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("clock")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("nothing is issued until it has caught up") && lines[0].contains("ERROR"), "{text}");
    assert!(lines[1].contains("tokens are issued again"), "{text}");
}
