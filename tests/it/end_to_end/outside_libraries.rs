//! Tokens of every algorithm, verified from the JWKS URL alone by PyJWT and jose, and without OpenSSL by pure Python.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::http::{get, post_form};
use crate::support::server::{Server, add_service, configured, run, stderr, until};
use crate::support::temp::TempDir;

/// Runs one of `tests/outside` over a token; `None` if `tests/run` has not installed its library.
fn outside(tool: &str, server: &Server, audience: &str, algorithm: &str, token: &str) -> Option<Value> {
    let script = |name: &str| format!("{}/tests/outside/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut command = match tool {
        "PyJWT" | "pure Python" => {
            let mut command = Command::new(std::env::var_os("MINTGATE_PYTHON")?);
            command.arg(script(if tool == "PyJWT" { "verify.py" } else { "pure.py" }));
            command
        }
        _ => {
            std::env::var_os("MINTGATE_NODE_MODULES")?;
            let mut command = Command::new("node");
            command.arg(script("verify.mjs"));
            command
        }
    };
    let mut child = command
        .args([&server.url("/jwks.json"), server.issuer(), audience, algorithm])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("piped").write_all(token.as_bytes()).expect("writes");
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{tool} {algorithm}: {}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("one line of JSON"))
}

fn check(server: &Server, client: &str, audience: &str, algorithm: &str, token: &str) {
    for tool in ["PyJWT", "jose", "pure Python"] {
        let Some(seen) = outside(tool, server, audience, algorithm, token) else {
            println!("skipped: {tool} is not installed; tests/run installs it");
            continue;
        };
        assert_eq!(seen["header"]["typ"], "at+jwt", "{tool}");
        assert_eq!(seen["header"]["alg"], algorithm, "{tool}");
        let claims = &seen["claims"];
        assert_eq!(claims["iss"], server.issuer());
        assert_eq!(claims["aud"], audience);
        assert_eq!(claims["sub"], client);
        assert_eq!(claims["client_id"], client);
        assert!(claims["scope"].is_string() && claims["jti"].is_string());
        assert!(claims["exp"].as_u64() > claims["iat"].as_u64());
        // One flipped bit of the signature, and the outside library must refuse: it really looks at it.
        let mut bent = token.to_owned().into_bytes();
        let at = token.rfind('.').expect("a signature") + 10;
        bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
        let bent = String::from_utf8(bent).expect("ASCII");
        let refused = std::panic::catch_unwind(|| outside(tool, server, audience, algorithm, &bent));
        assert!(refused.is_err(), "{tool} accepted an altered signature");
    }
}

#[test]
fn dev_tokens_verify_from_the_jwks_url_alone() {
    let server = Server::dev();
    let token = server.token(&[("grant_type", "client_credentials")]).member("access_token");
    check(&server, server.client().0, server.audience(), "ES256", &token);
}

#[test]
fn every_algorithm_verifies_outside_rs256_by_an_imported_key() {
    for algorithm in ["ES256", "ES384", "EdDSA", "RS256"] {
        let secret = std::cell::OnceCell::new();
        let server = Server::lasting_with(
            |text| configured(text, "tokens", &format!("algorithm = \"{algorithm}\"")),
            |config| {
                if algorithm == "RS256" {
                    import_rsa(config);
                } else if algorithm != "ES256" {
                    let output = run(&["keys", "generate", "--algorithm", algorithm, "--config", config]);
                    assert!(output.status.success(), "{algorithm}: {}", stderr(&output));
                }
                secret.set(add_service(config)).expect("once");
            },
        );
        let credentials = ("svc", secret.get().expect("registered").as_str());
        let answer = post_form(&server.url("/token"), Some(credentials), &[("grant_type", "client_credentials")]);
        assert_eq!(answer.status, 200, "{algorithm}: {}", answer.text());
        until("the key is published", || get(&server.url("/jwks.json")).text().contains(algorithm));
        check(&server, "svc", "https://api.example", algorithm, &answer.member("access_token"));
    }
}

/// An RSA key made by openssl, as the README says, and imported.
fn import_rsa(config: &str) {
    let directory = TempDir::new();
    let path = directory.path().join("rsa.pem");
    let made = Command::new("openssl").args(["genrsa", "-out"]).arg(&path).arg("2048").output().expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let output = run(&["keys", "import", &path.to_string_lossy(), "--config", config]);
    assert!(output.status.success(), "{}", stderr(&output));
}
