//! The file that lets commands find the running gateway.

use mintgate::ambient::SystemEntropy;
use mintgate::app::door;

use crate::support::scratch::mode;
use crate::support::temp::TempDir;

#[test]
fn only_the_owner_reads_it_and_each_run_has_its_own_token() {
    let directory = TempDir::new();
    let state = directory.join("state");
    let one = door::generate_token(&SystemEntropy).expect("entropy");
    let two = door::generate_token(&SystemEntropy).expect("entropy");
    assert_ne!(*one, *two);
    assert!(one.len() > 43, "256 bits");
    door::write(&state, "http://127.0.0.1:1", &one).expect("written");
    door::write(&state, "http://127.0.0.1:2", &two).expect("replaced");
    assert_eq!(mode(&state.join("admin.json")), 0o600);
    assert_eq!(mode(&state), 0o700);
    let read = door::read(&state).expect("there");
    assert_eq!((read.url.as_str(), read.token.as_str()), ("http://127.0.0.1:2", two.as_str()));
    door::remove(&state);
    assert!(door::read(&state).is_err());
}
