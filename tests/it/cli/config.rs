//! `mintgate config`, run in this process.

use mintgate::cli::config::{Command, run_with};
use mintgate::cli::failure::Exit;
use mintgate::config::Inputs;

use crate::cli::Desk;
use crate::support::scratch::chmod;

#[test]
fn check_tells_everything_that_would_stop_the_server() {
    let desk = Desk::new();
    let check = |json: bool, keys: Result<(), Vec<String>>| {
        let context = mintgate::cli::Context { json, ..desk.context() };
        run_with(Command::Check, &context, &|_| keys.clone(), &Inputs::default())
    };
    for json in [false, true] {
        assert_eq!(check(json, Ok(())), Ok(()), "files that are not there yet stop nothing");
        let failure =
            check(json, Err(vec!["keys/a.json: readable by others; chmod 600".to_owned()])).expect_err("keys");
        assert_eq!(failure.code, Exit::Usage);
        assert!(failure.message.contains("chmod 600"), "{failure}");
    }
    chmod(&desk.scratch.write("users.toml", ""), 0o666);
    assert_eq!(check(false, Ok(())).expect_err("writable").code, Exit::Usage);
    desk.scratch.write("mintgate.toml", "isuer = \"https://auth.example\"\n");
    for json in [false, true] {
        let failure = check(json, Ok(())).expect_err("misspelt");
        assert_eq!(failure.code, Exit::Usage);
        assert!(failure.message.contains("mintgate.toml:1:1") && failure.message.contains("`issuer`"), "{failure}");
    }
}

#[test]
fn show() {
    let desk = Desk::new();
    for origin in [false, true] {
        for json in [false, true] {
            let context = mintgate::cli::Context { json, ..desk.context() };
            run_with(Command::Show { origin }, &context, &|_| Ok(()), &Inputs::default()).expect("shown");
        }
    }
}
