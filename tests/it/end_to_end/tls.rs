//! TLS of the real server: a certificate from the configuration, replaced without a restart.

use std::path::Path;
use std::process::Command;

use crate::support::scratch::chmod;
use crate::support::server::{Server, run, stderr, until};
use crate::support::temp::TempDir;

/// A self-signed certificate for 127.0.0.1 and its key, made now; false if there is no openssl.
fn certificate(directory: &Path, name: &str) -> bool {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"])
        .args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(directory.join(format!("{name}.key")))
        .arg("-out")
        .arg(directory.join(format!("{name}.crt")))
        .output();
    made.is_ok_and(|output| output.status.success())
}

/// What `curl` gets from the JWKS, trusting one certificate only.
fn jwks(server: &Server, trusted: &Path) -> Option<String> {
    let output = Command::new("curl")
        .args(["-sS", "--noproxy", "*", "--max-time", "20", "--cacert"])
        .arg(trusted)
        .arg(server.url("/jwks.json"))
        .output()
        .expect("curl runs");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn serves_by_tls_and_takes_a_new_certificate_at_sighup() {
    let certificates = TempDir::new();
    if !certificate(certificates.path(), "one") || !certificate(certificates.path(), "two") {
        println!("skipped: openssl is not installed; tests/run installs it");
        return;
    }
    let (in_use, key) = (certificates.join("tls.crt"), certificates.join("tls.key"));
    let put = |name: &str| {
        std::fs::copy(certificates.join(format!("{name}.crt")), &in_use).expect("copied");
        std::fs::copy(certificates.join(format!("{name}.key")), &key).expect("copied");
        chmod(&key, 0o600);
    };
    put("one");
    let (certificate, private) = (in_use.display().to_string(), key.display().to_string());
    let server = Server::lasting(|text| {
        let own = text.replace("http://127.0.0.1:8080", "https://127.0.0.1:8080");
        format!("{own}\n[tls]\ncertificate = \"{certificate}\"\nkey = \"{private}\"\n")
    });
    assert!(server.url("").starts_with("https://"), "{}", server.started);
    let (one, two) = (certificates.join("one.crt"), certificates.join("two.crt"));
    assert!(jwks(&server, &one).is_some_and(|text| text.contains("keys")));
    assert!(jwks(&server, &two).is_none(), "another certificate is not trusted");

    put("two");
    server.signal("HUP");
    until("the new certificate is served", || jwks(&server, &two).is_some());

    std::fs::write(&in_use, "not a certificate").expect("written");
    server.signal("HUP");
    until("the bad certificate is reported", || server.log().contains("reload refused"));
    assert!(jwks(&server, &two).is_some(), "nothing has changed");
}

#[test]
fn a_private_key_that_others_can_read_does_not_start() {
    let certificates = TempDir::new();
    if !certificate(certificates.path(), "one") {
        println!("skipped: openssl is not installed; tests/run installs it");
        return;
    }
    let key = certificates.join("one.key");
    chmod(&key, 0o644);
    let directory = crate::support::server::initialised();
    let config = directory.join("mintgate.toml");
    let text = std::fs::read_to_string(&config).expect("readable");
    let (certificate, private) = (certificates.join("one.crt").display().to_string(), key.display().to_string());
    std::fs::write(&config, format!("{text}\n[tls]\ncertificate = \"{certificate}\"\nkey = \"{private}\"\n"))
        .expect("written");
    let output = run(&["serve", "--config", &config.display().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("600") || stderr(&output).contains("readable"), "{}", stderr(&output));
}
