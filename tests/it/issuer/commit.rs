//! Refuse first; sign and hold; commit; release.

use mintgate::protocol::error::{OAuthError, UnavailableReason};

use super::{Bench, renewal};

fn reason(result: Result<impl Sized, OAuthError>) -> Option<UnavailableReason> {
    match result.err() {
        Some(OAuthError::Unavailable(reason, _)) => Some(reason),
        _ => None,
    }
}

#[test]
fn a_store_that_fails_answers_503_and_burns_no_token() {
    let bench = Bench::new();
    let token = renewal(&bench.login());
    bench.break_store(true);
    assert_eq!(reason(bench.refresh(&token)), Some(UnavailableReason::Store));
    assert_eq!(reason(bench.revoke(&token)), Some(UnavailableReason::Store), "RFC 7009 section 2.2.1");
    assert!(bench.service().is_ok(), "issuing touches no store");
    assert!(bench.login_with(super::PASSWORD).is_ok(), "a log-in writes nothing");
    bench.break_store(false);
    assert!(bench.refresh(&token).is_ok(), "presented again, the same token works");
}

#[test]
fn no_randomness_answers_503_and_burns_no_token() {
    let bench = Bench::new();
    let token = renewal(&bench.login());
    bench.dry(true);
    assert_eq!(reason(bench.service()), Some(UnavailableReason::Entropy));
    assert_eq!(reason(bench.refresh(&token)), Some(UnavailableReason::Entropy));
    assert_eq!(reason(bench.login_with(super::PASSWORD)), Some(UnavailableReason::Entropy));
    bench.dry(false);
    assert!(bench.refresh(&token).is_ok());
}

#[test]
fn a_replay_that_could_not_be_remembered_is_not_answered_as_if_it_had_been() {
    let bench = Bench::new();
    let first = renewal(&bench.login());
    let second = renewal(&bench.refresh(&first).expect("current"));
    let third = renewal(&bench.refresh(&second).expect("current"));
    bench.break_store(true);
    assert_eq!(reason(bench.refresh(&first)), Some(UnavailableReason::Store));
    bench.break_store(false);
    assert!(bench.refresh(&third).is_ok(), "the family was not revoked, and nobody was told that it was");
}

#[test]
fn a_clients_own_lifetime_never_exceeds_the_bound() {
    let bench = Bench::new();
    let mut settings = super::policy();
    settings.limits = mintgate::token::Limits::new(std::time::Duration::from_secs(120));
    bench.issuer.reload(settings, super::clients());
    assert_eq!(bench.service().expect("a token").expires_in, 120);
}

#[test]
fn an_algorithm_without_a_key_yet_is_no_outage() {
    let bench = Bench::new();
    let mut settings = super::policy();
    settings.algorithm = mintgate::protocol::algorithm::Algorithm::EdDsa;
    bench.issuer.reload(settings, super::clients());
    let token = bench.service().expect("a token").access_token;
    assert_eq!(crate::support::http::peek(&token).0["alg"], "ES256", "the key before goes on");
    assert!(bench.is_active(&token) && bench.issuer.readiness().is_ready());
}
