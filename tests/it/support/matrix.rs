//! What the matrices of docs/verifiers.md share: a gateway that rotates quickly, tokens that are each bad in one way,
//! and the table that must stand in the document.

use std::fmt::Write as _;
use std::path::PathBuf;

use mintgate::ambient::{Clock as _, SystemClock};
use mintgate::keys::SigningKey;
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::base64url;
use serde_json::{Value, json};

use super::http::post_form;
use super::server::{Server, add_service};
use super::tokens::{TestKey, good_claims, sign_text};

pub const AUDIENCE: &str = "https://api.example";

/// One verifier's row: the case, and what was seen.
pub type Row = Vec<(&'static str, String)>;

/// A program on the path, or where Debian keeps servers.
pub fn installed(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let beside = [PathBuf::from("/usr/sbin")];
    std::env::split_paths(&folders).chain(beside).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A gateway whose new keys sign after this long, and the secret of its client `svc`; `prepare` gets the path of the
/// configuration.
pub fn gateway(publish_ahead: &str, prepare: impl FnOnce(&str)) -> (Server, String) {
    let mut secret = String::new();
    let server = Server::lasting_with(
        |text| text.replace("[keys]\n", &format!("[keys]\npublish_ahead = \"{publish_ahead}\"\n")),
        |config| {
            secret = add_service(config);
            prepare(config);
        },
    );
    (server, secret)
}

/// A token of `svc`.
pub fn token(server: &Server, secret: &str, scope: &str) -> String {
    let form = [("grant_type", "client_credentials"), ("scope", scope)];
    post_form(&server.url("/token"), Some(("svc", secret)), &form).member("access_token")
}

/// Tokens signed with the gateway's own key, but for the foreign one, so that only the check in question can refuse
/// them. The first is good: it is what the others bend.
pub fn bent_tokens(server: &Server, expired_for: u64) -> [(&'static str, String); 8] {
    let settings = mintgate::keys::Settings::new(server.directory().join("keys"));
    let keys = mintgate::keys::Keyring::load(&settings).expect("keys").current();
    let key: &SigningKey = keys.signer(Algorithm::Es256).expect("a signer");
    let now = SystemClock::new().now();
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": key.kid().as_str()});
    let good = good_claims(server.issuer(), AUDIENCE, "svc", now);
    let bent = |change: &dyn Fn(&mut Value)| {
        let mut claims = good.clone();
        change(&mut claims);
        sign_text(key, &header.to_string(), claims.to_string().as_bytes())
    };
    let stranger = TestKey::generate(Algorithm::Es256).signing;
    let none = json!({"alg": "none", "typ": "at+jwt", "kid": key.kid().as_str()});
    let list = json!({"alg": "ES256", "typ": "revocations+jwt", "kid": key.kid().as_str()});
    let part = |value: &Value| base64url::encode(value.to_string().as_bytes());
    let payload = good.to_string();
    [
        ("good", bent(&|_| {})),
        ("expired", bent(&|claims| claims["exp"] = json!(now.0 - expired_for))),
        ("wrong audience", bent(&|claims| claims["aud"] = json!("https://other.example"))),
        ("wrong issuer", bent(&|claims| claims["iss"] = json!("https://other.example"))),
        ("foreign key", sign_text(&stranger, &header.to_string(), payload.as_bytes())),
        ("alg none", format!("{}.{}.", part(&none), part(&good))),
        ("another typ", sign_text(key, &list.to_string(), payload.as_bytes())),
        ("no exp", bent(&|claims| drop(claims.as_object_mut().expect("object").remove("exp")))),
    ]
}

/// A token of a key that nobody has published.
pub fn invented(server: &Server) -> String {
    let key = TestKey::generate(Algorithm::Es256).signing;
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": key.kid().as_str()});
    let claims = good_claims(server.issuer(), AUDIENCE, "svc", SystemClock::new().now());
    sign_text(&key, &header.to_string(), claims.to_string().as_bytes())
}

/// The head of a table.
pub fn head(cases: &[&str]) -> String {
    format!("| | {} |\n| --- |{}\n", cases.join(" | "), " --- |".repeat(cases.len()))
}

/// A line of a table.
pub fn line(name: &str, row: &Row) -> String {
    let mut text = format!("| {name} |");
    for (_, seen) in row {
        write!(text, " {seen} |").expect("a string");
    }
    text + "\n"
}

/// What stands between `<!-- MARK -->` and `<!-- end -->` in docs/verifiers.md is what was just seen;
/// `MINTGATE_UPDATE=1` writes it.
pub fn stands_in_the_document(mark: &str, seen: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/verifiers.md");
    let text = std::fs::read_to_string(path).expect("docs/verifiers.md");
    let mark = format!("<!-- {mark} -->\n");
    let (head, rest) = text.split_once(&mark).expect("a mark");
    let (written, tail) = rest.split_once("<!-- end -->").expect("a mark");
    if std::env::var_os("MINTGATE_UPDATE").is_some() {
        std::fs::write(path, format!("{head}{mark}{seen}<!-- end -->{tail}")).expect("written");
    } else {
        assert_eq!(written, seen, "MINTGATE_UPDATE=1 cargo test --test it writes it anew");
    }
}
