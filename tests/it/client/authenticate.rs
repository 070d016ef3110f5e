//! Who a request comes from. Each row breaks one thing.

use base64::Engine as _;
use mintgate::client::authenticate::{Presented, authenticate};
use mintgate::client::registry::Registry;
use mintgate::client::{Client, ClientKind, GrantType, SecretDigest, digest};
use mintgate::protocol::error::{ClientReason, OAuthError, RequestReason};
use mintgate::protocol::id::{Audience, ClientId};
use mintgate::protocol::params::Params;
use mintgate::protocol::scope::Scope;
use mintgate::protocol::time::UnixSeconds;

const NOW: UnixSeconds = UnixSeconds(1_000);

fn client(id: &str, secrets: &[(&str, Option<u64>)]) -> Client {
    Client {
        id: ClientId::from(id),
        kind: if secrets.is_empty() { ClientKind::Public } else { ClientKind::Confidential },
        first_party: false,
        enabled: true,
        secrets: secrets
            .iter()
            .map(|(secret, end)| SecretDigest {
                sha256: digest(secret),
                created_at: UnixSeconds(0),
                ends_at: end.map(UnixSeconds),
            })
            .collect(),
        grants: vec![GrantType::ClientCredentials],
        scope: Scope::empty(),
        audiences: vec![Audience::from("x")],
        access_lifetime: None,
    }
}

fn registry() -> Registry {
    let off = Client { enabled: false, ..client("off", &[("s", None)]) };
    let off_public = Client { enabled: false, ..client("off-app", &[]) };
    [
        client("svc", &[("new", None), ("old", Some(1_001))]),
        client("ended", &[("new", None), ("old", Some(1_000))]),
        client("a b:c", &[("p%q+r", None)]),
        client("app", &[]),
        Client { kind: ClientKind::Confidential, ..client("bare", &[]) },
        off,
        off_public,
    ]
    .into_iter()
    .collect()
}

fn basic(text: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

fn ask(header: Option<&str>, form: &str) -> Result<String, OAuthError> {
    let params = Params::parse(form.as_bytes()).map_err(OAuthError::InvalidRequest)?;
    let presented = Presented::from_parts(header.map(str::as_bytes), &params)?;
    authenticate(&registry(), &presented, NOW).map(|client| client.id.to_string()).map_err(OAuthError::InvalidClient)
}

#[test]
fn accepted() {
    let rows: [(Option<String>, &str, &str); 13] = [
        (Some(basic("svc:new")), "", "svc"),
        (Some(basic("svc:old")), "", "svc"),
        (Some(basic("svc:new")), "client_id=svc", "svc"),
        (Some(basic("svc:new").replace("Basic", "bASIC")), "", "svc"),
        (Some(basic("svc:new").trim_end_matches('=').to_owned()), "", "svc"),
        (Some(basic("svc:new").replace("Basic ", "Basic   ")), "", "svc"),
        // RFC 6749 section 2.3.1: the parts are form-encoded...
        (Some(basic("a+b%3Ac:p%25q%2Br")), "", "a b:c"),
        (Some(basic("a%20b%3ac:p%25q%2br")), "client_id=a+b%3Ac", "a b:c"),
        (Some(basic("%73vc:%6eew")), "", "svc"),
        (None, "client_id=svc&client_secret=new", "svc"),
        (None, "client_id=a+b%3Ac&client_secret=p%25q%2Br", "a b:c"),
        (None, "client_id=app", "app"),
        (None, "client_id=app&client_secret=", "app"),
    ];
    for (header, form, id) in rows {
        assert_eq!(ask(header.as_deref(), form).as_deref(), Ok(id), "{header:?} {form}");
    }
}

#[test]
fn unencoded_parts_are_taken_as_they_stand() {
    // ... and many clients do not encode them: a `+` or a stray `%` in a secret is then what it is.
    let registry: Registry = [client("svc", &[("p%q+r", None)])].into_iter().collect();
    for (header, good) in
        [("svc:p%q+r", true), ("svc:p%25q%2Br", true), ("svc:p%q r", false), ("svc:p%2525q%252Br", false)]
    {
        let header = basic(header);
        let presented = Presented::from_parts(Some(header.as_bytes()), &Params::default()).expect("well-formed");
        assert_eq!(authenticate(&registry, &presented, NOW).is_ok(), good, "{header}");
    }
}

#[test]
fn refused() {
    use ClientReason::{Absent, Disabled, Malformed, Unknown, WrongMethod, WrongSecret};
    let rows: [(Option<String>, &str, ClientReason); 25] = [
        (None, "", Absent),
        (None, "client_secret=new", Absent),
        (None, "client_id=nobody", Unknown),
        (None, "client_id=nobody&client_secret=new", Unknown),
        (Some(basic("nobody:new")), "", Unknown),
        (Some(basic("SVC:new")), "", Unknown),
        (Some(basic("svc:wrong")), "", WrongSecret),
        (Some(basic("svc:")), "", WrongSecret),
        (Some(basic("svc:new ")), "", WrongSecret),
        (Some(basic("ended:old")), "", WrongSecret),
        (Some(basic("bare:")), "", WrongSecret),
        (None, "client_id=svc&client_secret=NEW", WrongSecret),
        (None, "client_id=svc", WrongMethod),
        (None, "client_id=app&client_secret=x", WrongMethod),
        (Some(basic("app:")), "", WrongMethod),
        (None, "client_id=svc&client_assertion=x", WrongMethod),
        (Some(basic("off:s")), "", Disabled),
        (Some(basic("off:x")), "", WrongSecret),
        (None, "client_id=off-app", Disabled),
        (Some("Bearer abc".to_owned()), "", Malformed),
        (Some("Basic".to_owned()), "", Malformed),
        (Some("Basic !!!!".to_owned()), "", Malformed),
        (Some(basic("svc")), "", Malformed),
        (Some(basic("svc:ne\nw")), "", Malformed),
        (Some(basic(&format!("svc:{}", "x".repeat(2_000)))), "", Malformed),
    ];
    for (header, form, reason) in rows {
        assert_eq!(ask(header.as_deref(), form), Err(OAuthError::InvalidClient(reason)), "{header:?} {form}");
    }
}

#[test]
fn one_method_only() {
    let rows: [(Option<String>, &str); 5] = [
        (Some(basic("svc:new")), "client_id=svc&client_secret=new"),
        (Some(basic("svc:new")), "client_secret=new"),
        (Some(basic("svc:new")), "client_id=app"),
        (Some(basic("svc:new")), "client_assertion=x"),
        (None, "client_id=svc&client_secret=new&client_assertion_type=x"),
    ];
    for (header, form) in rows {
        let wanted = Err(OAuthError::InvalidRequest(RequestReason::ManyCredentials));
        assert_eq!(ask(header.as_deref(), form), wanted, "{header:?} {form}");
    }
}

#[test]
fn secrets_are_never_printed() {
    let header = basic("svc:canary");
    let presented = Presented::from_parts(Some(header.as_bytes()), &Params::default()).expect("well-formed");
    assert!(presented.is_header());
    assert!(!format!("{presented:?}").contains("canary"));
}
