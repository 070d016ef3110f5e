//! Revocation by token, and by order.

use mintgate::issuer::Order;
use mintgate::protocol::error::OAuthError;
use mintgate::protocol::id::{ClientId, Subject};

use super::{Bench, renewal, wait};

fn order(bench: &Bench, order: &Order) {
    wait(bench.issuer.revoke_by_order(order)).expect("lasting").expect("ours");
}

#[test]
fn log_out_everywhere_ends_what_was_and_lets_in_what_comes_after() {
    let bench = Bench::new();
    let (one, two) = (bench.login(), bench.login());
    order(&bench, &Order::Subject(Subject::from("usr_ada")));
    for login in [&one, &two] {
        assert!(bench.refresh(&renewal(login)).is_err());
        assert!(!bench.is_active(&login.access_token));
    }
    // In the very second nobody can tell before from after, so a log-in is told to wait instead of being born dead.
    assert!(matches!(bench.login_with(super::PASSWORD).err(), Some(OAuthError::Unavailable(..))));
    bench.pass(1);
    let three = bench.login();
    assert!(bench.refresh(&renewal(&three)).is_ok());
    assert!(bench.is_active(&three.access_token));
}

#[test]
fn a_client_epoch_ends_its_tokens_and_no_others() {
    let bench = Bench::new();
    let service = bench.service().expect("a token");
    let login = bench.login();
    order(&bench, &Order::Client(ClientId::from("service")));
    assert!(!bench.is_active(&service.access_token));
    assert!(bench.is_active(&login.access_token));
    bench.pass(1);
    assert!(bench.is_active(&bench.service().expect("a token").access_token));
}

#[test]
fn an_outlook_changes_nothing_and_foreign_tokens_are_named_as_such() {
    let bench = Bench::new();
    let login = bench.login();
    let outlook = bench.issuer.outlook(&Order::Token(renewal(&login))).expect("ours");
    assert!(outlook.ends.contains("family"), "{}", outlook.ends);
    assert!(bench.is_active(&login.access_token));
    assert!(bench.issuer.outlook(&Order::Token("nonsense".to_owned())).is_err());
}

#[test]
fn after_a_revocation_nothing_of_the_family_is_minted() {
    let bench = Bench::new();
    let first = renewal(&bench.login());
    let second = renewal(&bench.refresh(&first).expect("current"));
    bench.revoke(&second).expect("lasting");
    for token in [first, second] {
        assert!(bench.refresh(&token).is_err());
    }
}
