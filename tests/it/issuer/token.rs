//! Time as the token endpoint sees it.

use mintgate::protocol::error::{GrantReason, OAuthError};
use mintgate::protocol::time::UnixSeconds;

use super::{Bench, START, ada, renewal};

fn refused(bench: &Bench, token: &str) -> Option<GrantReason> {
    match bench.refresh(token).err() {
        Some(OAuthError::InvalidGrant(reason)) => Some(reason),
        Some(other) => panic!("{other:?}"),
        None => None,
    }
}

#[test]
fn the_retry_window_ends_after_ten_seconds() {
    for (wait, reason) in [(9, None), (10, Some(GrantReason::Reused)), (11, Some(GrantReason::Reused))] {
        let bench = Bench::new();
        let first = renewal(&bench.login());
        let second = renewal(&bench.refresh(&first).expect("current"));
        bench.pass(wait);
        assert_eq!(refused(&bench, &first), reason, "{wait} s later");
        let after = if reason.is_some() { Some(GrantReason::Revoked) } else { None };
        assert_eq!(refused(&bench, &second), after, "{wait} s later, the successor");
    }
}

#[test]
fn idle_and_absolute_ends() {
    const DAY: u64 = 86_400;
    let bench = Bench::new();
    let token = renewal(&bench.login());
    bench.pass(14 * DAY - 1);
    let token = renewal(&bench.refresh(&token).expect("one second before it is idle"));
    bench.pass(14 * DAY);
    assert_eq!(refused(&bench, &token), Some(GrantReason::Idle));

    let bench = Bench::new();
    let mut token = renewal(&bench.login());
    for _ in 0..8 {
        bench.pass(10 * DAY);
        token = renewal(&bench.refresh(&token).expect("in use"));
    }
    bench.pass(10 * DAY - 60);
    let last = bench.refresh(&token).expect("a minute before the end");
    assert_eq!(last.expires_in, 60, "no access token outlives its family");
    bench.pass(60);
    assert_eq!(refused(&bench, &renewal(&last)), Some(GrantReason::Expired));
}

#[test]
fn an_access_token_ends_at_its_exp() {
    let bench = Bench::new();
    let token = bench.service().expect("a token").access_token;
    assert!(bench.is_active(&token));
    bench.pass(299);
    assert!(bench.is_active(&token));
    bench.pass(1);
    assert!(!bench.is_active(&token), "expired means now >= exp");
}

#[test]
fn the_clock_going_back_revives_nothing() {
    let bench = Bench::new();
    let first = renewal(&bench.login());
    let second = renewal(&bench.refresh(&first).expect("current"));
    bench.pass(3_600);
    let third = renewal(&bench.refresh(&second).expect("current"));
    bench.clock.set(START);
    let error = bench.refresh(&third).err();
    assert!(matches!(error, Some(OAuthError::Unavailable(..))), "an hour back, nothing is decided: {error:?}");
    assert!(bench.refresh(&first).is_err(), "the first token is as used as before");
    bench.clock.set(UnixSeconds(START.0 + 3_601));
    assert!(bench.refresh(&third).is_err(), "the replay was seen for what it is, clock or no clock");

    let bench = Bench::new();
    let first = renewal(&bench.login());
    bench.pass(3_600);
    let second = renewal(&bench.refresh(&first).expect("current"));
    bench.clock.set(START);
    assert!(bench.refresh(&second).is_err());
    bench.clock.set(UnixSeconds(START.0 + 3_601));
    assert!(bench.refresh(&second).is_ok(), "the clock has caught up; nobody was logged out by it");
}

#[test]
fn a_user_who_is_gone_disabled_or_has_another_password_is_out_at_the_next_refresh() {
    let rows = [
        ("gone", None, GrantReason::UserUnknown),
        ("disabled", Some(ada(false, UnixSeconds(0))), GrantReason::UserDisabled),
        ("another password", Some(ada(true, UnixSeconds(START.0 + 1))), GrantReason::PasswordChanged),
    ];
    for (name, account, reason) in rows {
        let bench = Bench::new();
        let token = renewal(&bench.login());
        bench.pass(60);
        bench.users(account);
        assert_eq!(refused(&bench, &token), Some(reason), "{name}");
        bench.users(Some(ada(true, UnixSeconds(0))));
        assert_eq!(refused(&bench, &token), None, "{name}: a refusal burns nothing");
    }
}
