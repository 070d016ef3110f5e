//! Mirrors `src/policy`.

use std::time::Duration;

use mintgate::policy::lifetime::Lifetimes;
use mintgate::policy::{audience, scope};
use mintgate::protocol::error::OAuthError;
use mintgate::protocol::id::Audience;
use mintgate::protocol::scope::Scope;
use mintgate::protocol::time::UnixSeconds;
use proptest::prelude::*;

fn scope_of(text: &str) -> Scope {
    text.parse().expect(text)
}

#[test]
fn scope_narrows_and_never_grows() {
    let rows = [
        ("a b c", None, Ok("a b c")),
        ("a b c", Some("c a"), Ok("c a")),
        ("a b c", Some("a d"), Err(OAuthError::InvalidScope)),
        ("", None, Ok("")),
        ("", Some("a"), Err(OAuthError::InvalidScope)),
        ("read", Some("READ"), Err(OAuthError::InvalidScope)),
    ];
    for (allowed, requested, expected) in rows {
        let requested = requested.map(scope_of);
        let narrowed = scope::narrow(&scope_of(allowed), requested.as_ref());
        assert_eq!(narrowed, expected.map(scope_of), "{allowed:?} {requested:?}");
    }
}

#[test]
fn a_user_is_allowed_what_the_client_is_allowed_too() {
    let client = scope_of("read write admin");
    assert_eq!(scope::allowed(&client, None), client);
    assert_eq!(scope::allowed(&client, Some(&scope_of("write other read"))), scope_of("read write"));
    assert!(scope::allowed(&client, Some(&Scope::empty())).is_empty());
}

#[test]
fn a_refresh_keeps_within_the_grant_and_within_today() {
    let rows = [
        ("read write", "read write admin", None, Ok("read write")),
        ("read write", "read", None, Ok("read")),
        ("read write", "read", Some("write"), Err(OAuthError::InvalidScope)),
        ("read", "read admin", Some("admin"), Err(OAuthError::InvalidScope)),
        ("read", "admin", None, Err(OAuthError::InvalidScope)),
        ("", "admin", None, Ok("")),
    ];
    for (granted, today, requested, expected) in rows {
        let requested = requested.map(scope_of);
        let renewed = scope::renew(&scope_of(granted), &scope_of(today), requested.as_ref());
        assert_eq!(renewed, expected.map(scope_of), "{granted:?} {today:?} {requested:?}");
    }
}

/// The resources asked for, and the audiences chosen.
type Row = (&'static [&'static str], Result<&'static [&'static str], OAuthError>);

#[test]
fn audiences_are_chosen_from_the_list() {
    let allowed = ["https://api.example/v1", "billing", "https://other.example"].map(Audience::from);
    let target = Err(OAuthError::InvalidTarget);
    let rows: [Row; 10] = [
        (&[], Ok(&["https://api.example/v1"])),
        (&["https://other.example"], Ok(&["https://other.example"])),
        (&["billing", "https://api.example/v1"], Ok(&["billing", "https://api.example/v1"])),
        (&["billing", "billing"], Ok(&["billing"])),
        (&["https://api.example/v1/"], target),
        (&["https://API.example/v1"], target),
        (&["https://api.example/v1#part"], target),
        (&["https://api.example"], target),
        (&["/v1"], target),
        (&["billing", "unknown"], target),
    ];
    for (resources, expected) in rows {
        let expected = expected.map(|names| names.iter().map(|name| Audience::from(*name)).collect::<Vec<_>>());
        assert_eq!(audience::choose(&allowed, resources), expected, "{resources:?}");
    }
    assert_eq!(audience::choose(&[], &[] as &[&str]), target.map(|_: &[&str]| Vec::new()));
    let fragment = [Audience::from("https://api.example/#x")];
    assert_eq!(audience::choose(&fragment, &["https://api.example/#x"]), Err(OAuthError::InvalidTarget));
    assert_eq!(audience::grant(&allowed, &[] as &[&str]), Ok(allowed.to_vec()));
    assert_eq!(audience::grant(&allowed, &["billing"]), Ok(vec![Audience::from("billing")]));
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    /// I4: no access token outlives its family, on any clock.
    #[test]
    fn no_child_outlives_its_family(
        access in 0..100_000_u64, own in proptest::option::of(0..100_000_u64), absolute: u32, login: u32, now: u64
    ) {
        let lifetimes = Lifetimes {
            access: Duration::from_secs(access),
            absolute: Duration::from_secs(u64::from(absolute)),
            ..Lifetimes::default()
        };
        let end = lifetimes.family_ends_at(UnixSeconds(u64::from(login)));
        let now = UnixSeconds(now);
        let lifetime = lifetimes.access(own.map(Duration::from_secs), end, now);
        prop_assert!(lifetime <= Duration::from_secs(own.unwrap_or(access)));
        prop_assert!(lifetime.is_zero() || now.after(lifetime) <= end);
    }
}

#[test]
fn idle_ends_at_the_very_second() {
    let lifetimes = Lifetimes { idle: Duration::from_secs(60), ..Lifetimes::default() };
    assert!(!lifetimes.is_idle(UnixSeconds(100), UnixSeconds(159)));
    assert!(lifetimes.is_idle(UnixSeconds(100), UnixSeconds(160)));
    assert!(!lifetimes.is_idle(UnixSeconds(100), UnixSeconds(90)), "a clock that went back makes nothing idle");
}
