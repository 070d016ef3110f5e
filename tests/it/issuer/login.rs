//! Log-in: guessing is slowed down, and then let in again.

use mintgate::protocol::error::{GrantReason, OAuthError};

use super::{Bench, PASSWORD};

#[test]
fn wrong_passwords_slow_this_source_down_and_time_lets_it_in_again() {
    let bench = Bench::new();
    let mut slowed = None;
    for _ in 0..20 {
        match bench.login_with("wrong").err() {
            Some(OAuthError::InvalidGrant(GrantReason::WrongPassword)) => {}
            Some(OAuthError::SlowDown(wait)) => {
                slowed = Some(wait);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let wait = slowed.expect("twenty wrong passwords in a row are slowed down");
    assert!(matches!(bench.login_with(PASSWORD).err(), Some(OAuthError::SlowDown(_))), "the right one waits too");
    bench.pass(wait.as_secs() + 1);
    assert!(bench.login_with(PASSWORD).is_ok(), "never a hard lock");
}

#[test]
fn a_log_in_writes_no_state() {
    let bench = Bench::new();
    for _ in 0..100 {
        bench.login();
    }
    assert_eq!(bench.issuer.store().figures().state.entries(), 0);
}

#[test]
fn a_thousand_refreshes_are_one_entry() {
    let bench = Bench::new();
    let mut token = super::renewal(&bench.login());
    for _ in 0..1_000 {
        token = super::renewal(&bench.refresh(&token).expect("current"));
    }
    let state = bench.issuer.store().figures().state;
    assert_eq!((state.families, state.entries()), (1, 1));
}
