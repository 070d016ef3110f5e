//! Configuration for those that cannot be run here: well formed, and in the dialect that mintgate answers. The proxies
//! that can be run are in `end_to_end/proxies.rs`.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::http::{Answer, send};
use crate::support::server::{Server, run_program, stderr, stdout};
use crate::support::temp::TempDir;

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

fn printed(server: &Server, target: &str) -> String {
    let gateway = server.url("").trim_start_matches("http://").to_owned();
    let audience = server.audience();
    let arguments = ["gen-config", target, "--audience", audience, "--scope", "read write", "--gateway", &gateway];
    let output = server.command(&arguments);
    assert!(output.status.success(), "{target}: {}", stderr(&output));
    stdout(&output)
}

/// The Python that `tests/run` makes, if it has this module.
fn python(module: &str) -> Option<Command> {
    let python = std::env::var_os("MINTGATE_PYTHON");
    let has_it = |python: &_| Command::new(python).args(["-c", &format!("import {module}")]).output();
    match python.filter(|python| has_it(python).is_ok_and(|output| output.status.success())) {
        Some(python) => Some(Command::new(python)),
        None => {
            println!("skipped: {module} is not installed; tests/run installs it");
            None
        }
    }
}

/// What a YAML parser reads: a list of documents.
fn parsed(text: &str) -> Option<Value> {
    let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    let mut command = python("yaml")?;
    let output: Output = run_program(command.args(["-c", script]), text);
    assert!(output.status.success(), "{}\n{text}", stderr(&output));
    serde_json::from_slice(&output.stdout).ok()
}

#[test]
fn every_yaml_says_what_was_asked_for() {
    let server = Server::dev();
    let address = format!("{}?aud={}&scope=read%20write", server.url("/verify"), server.audience());
    if let Some(traefik) = parsed(&printed(&server, "traefik")) {
        let http = &traefik[0]["http"];
        let forward = &http["middlewares"]["mintgate"]["forwardAuth"];
        assert_eq!(forward["address"], address);
        assert_eq!(forward["authRequestHeaders"], json!(["authorization"]));
        assert_eq!(
            forward["authResponseHeaders"],
            json!(["X-Auth-Subject", "X-Auth-Client", "X-Auth-Scope", "X-Auth-Expires"])
        );
        let forgotten = http["middlewares"]["forget-identity"]["headers"]["customRequestHeaders"].as_object();
        assert!(forgotten.is_some_and(|names| names.len() == 8 && names.values().all(|value| value == "")));
        assert_eq!(http["routers"]["api"]["middlewares"], json!(["forget-identity", "mintgate"]), "in this order");
    }
    if let Some(kong) = parsed(&printed(&server, "kong")) {
        let code = kong[0]["services"][0]["plugins"][0]["config"]["access"][0].as_str().expect("Lua");
        assert!(code.contains(&format!("\"{address}\"")), "{code}");
    }
    if let Some(istio) = parsed(&printed(&server, "istio")) {
        let rule = &istio[0]["spec"]["jwtRules"][0];
        assert_eq!((&rule["issuer"], &rule["audiences"]), (&json!(server.issuer()), &json!([server.audience()])));
        assert_eq!(rule["jwksUri"], format!("{}/jwks.json", server.issuer()));
        let allowed = &istio[1]["spec"]["rules"][0];
        assert_eq!(allowed["from"][0]["source"]["requestPrincipals"], json!([format!("{}/*", server.issuer())]));
        let scopes: Vec<&Value> = allowed["when"].as_array().expect("both").iter().map(|one| &one["values"]).collect();
        assert_eq!(scopes, [&json!(["read"]), &json!(["write"])], "every scope is a condition of its own");
    }
}

/// Traefik's documentation of ForwardAuth: the credentials, and the request in X-Forwarded headers; always a GET.
#[test]
fn traefiks_forward_auth_is_answered_as_it_expects() {
    let server = Server::dev();
    let text = printed(&server, "traefik");
    let address = text.lines().find_map(|line| line.trim().strip_prefix("address: \"http")).expect("an address");
    let address = format!("http{}", address.trim_end_matches('"'));
    let ask = |method: &str, token: Option<&str>| -> Answer {
        let credentials = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![
            ("X-Forwarded-Method", method),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "shop.example"),
            ("X-Forwarded-Uri", "/orders?aud=evil&scope=&access_token=x"),
            ("X-Forwarded-For", "192.0.2.7"),
            ("X-Forwarded-Port", "443"),
            ("User-Agent", "Go-http-client/1.1"),
        ];
        headers.extend(credentials.as_deref().map(|value| ("Authorization", value)));
        send("GET", &address, &headers, b"")
    };
    let good = server.token(&[GRANT, ("scope", "read write")]).member("access_token");
    for method in ["GET", "POST", "DELETE", "OPTIONS"] {
        let answer = ask(method, Some(&good));
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{method}: {}", answer.text());
        assert_eq!(answer.header("x-auth-subject"), Some(server.client().0));
        assert_eq!(answer.header("x-auth-scope"), Some("read write"));
    }
    let narrow = server.token(&[GRANT, ("scope", "read")]).member("access_token");
    for (token, status, error) in
        [(None, 401, "Bearer"), (Some("x"), 401, "invalid_token"), (Some(narrow.as_str()), 403, "insufficient_scope")]
    {
        let answer = ask("POST", token);
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert_eq!(answer.status, status, "{challenge}");
        assert!(challenge.contains(error) && answer.header("x-auth-subject").is_none(), "{challenge}");
    }
}

/// The lines that Kong would run, run by another Lua, ask a real mintgate.
#[test]
fn kongs_lines_let_the_good_in_and_nobody_else() {
    let Some(mut python) = python("yaml, lupa.lua53") else { return };
    let (server, directory) = (Server::dev(), TempDir::new());
    let file = directory.path().join("kong.yaml");
    std::fs::write(&file, printed(&server, "kong")).expect("written");
    let good = server.token(&[GRANT, ("scope", "read write")]).member("access_token");
    let narrow = server.token(&[GRANT, ("scope", "read")]).member("access_token");
    let bearer = |token: &str| format!("Bearer {token}");
    let requests = [
        json!({"Authorization": bearer(&good), "X-Auth-Subject": "root", "X_Auth_Subject": "root", "Accept": "x"}),
        json!({"X-Auth-Subject": "root"}),
        json!({"Authorization": bearer("x")}),
        json!({"Authorization": bearer(&narrow)}),
    ];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside/kong.py");
    let input: String = requests.iter().map(|request| format!("{request}\n")).collect();
    let output = run_program(python.arg(&script).arg(&file), &input);
    assert!(output.status.success(), "{}", stderr(&output));
    let said: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("one line of JSON")).collect();
    let passed = &said[0]["passed"];
    assert_eq!((&passed["x-auth-subject"], &passed["accept"]), (&json!(server.client().0), &json!("x")), "{said:?}");
    assert!(passed.get("x_auth_subject").is_none(), "{passed}");
    for (seen, status, error) in [(1, 401, "Bearer"), (2, 401, "invalid_token"), (3, 403, "insufficient_scope")] {
        assert_eq!(said[seen]["status"], status, "{said:?}");
        let challenge = said[seen]["headers"]["WWW-Authenticate"].as_str().unwrap_or_default();
        assert!(challenge.contains(error), "{said:?}");
    }
    drop(server);
    let mut again = Command::new(std::env::var_os("MINTGATE_PYTHON").expect("it ran before"));
    let output = run_program(again.arg(&script).arg(&file), &format!("{}\n", requests[0]));
    assert!(stdout(&output).contains("503"), "mintgate is gone: {}{}", stdout(&output), stderr(&output));
}
