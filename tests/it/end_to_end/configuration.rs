//! A wrong configuration does not start: exit code 2 and one screen that says what, where and what now.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::server::{initialised, run, stderr};

#[test]
fn wrong_configurations_do_not_start() {
    let rows: [(&str, fn(&str) -> String, &[&str]); 6] = [
        (
            "unknown key",
            |text| format!("{text}\n[tokens]\nacces_lifetime = \"5m\"\n").replace("\n[tokens]\n#", "\n#"),
            &["acces_lifetime", "access_lifetime"],
        ),
        ("wrong type", |text| text.replace("issuer = \"http://127.0.0.1:8080\"", "issuer = 42"), &["issuer"]),
        ("missing issuer", |text| text.replace("issuer = ", "# issuer = "), &["issuer"]),
        (
            "http issuer outside loopback",
            |text| text.replace("http://127.0.0.1:8080", "http://auth.example"),
            &["https"],
        ),
        ("not TOML", |text| format!("{text}\n]["), &["mintgate.toml"]),
        ("issuer with a query", |text| text.replace("http://127.0.0.1:8080", "https://auth.example?x=1"), &["issuer"]),
    ];
    for (name, spoil, words) in rows {
        let directory = initialised();
        let config = directory.path().join("mintgate.toml");
        let text = std::fs::read_to_string(&config).expect("readable");
        std::fs::write(&config, spoil(&text)).expect("writable");
        for verb in [&["serve"][..], &["config", "check"][..]] {
            let mut args = verb.to_vec();
            let path = config.to_string_lossy().into_owned();
            args.extend_from_slice(&["--config", &path]);
            let output = run(&args);
            let message = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{name}: {message}");
            for word in words {
                assert!(message.contains(word), "{name}: no `{word}` in\n{message}");
            }
            assert!(message.lines().count() <= 24, "{name}: more than one screen:\n{message}");
        }
    }
}

#[test]
fn keys_that_others_can_read_or_that_cannot_be_read_do_not_start() {
    let directory = initialised();
    let config = directory.path().join("mintgate.toml").to_string_lossy().into_owned();
    let private = std::fs::read_dir(directory.path().join("keys"))
        .expect("keys/")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("PRIVATE")))
        .expect("a private key file");
    let mode = |mode: u32| std::fs::set_permissions(&private, std::fs::Permissions::from_mode(mode)).expect("chmod");
    mode(0o644);
    let output = run(&["serve", "--config", &config]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("chmod"), "{}", stderr(&output));
    mode(0o600);
    std::fs::write(&private, "not a key").expect("writable");
    let output = run(&["serve", "--config", &config]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    std::fs::remove_file(&private).expect("removable");
    let output = run(&["serve", "--config", &config]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn no_configuration_says_how_to_make_one() {
    let directory = crate::support::temp::TempDir::new();
    let path = directory.path().join("mintgate.toml").to_string_lossy().into_owned();
    let output = run(&["serve", "--config", &path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("mintgate init"), "{}", stderr(&output));
}
