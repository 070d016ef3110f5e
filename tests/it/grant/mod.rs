//! Mirrors `src/grant`.

mod client_credentials;
mod interleavings;
mod login;
mod refresh_token;

use mintgate::client::{Client, ClientKind, GrantType};
use mintgate::grant::Asked;
use mintgate::protocol::id::{Audience, ClientId, Subject};
use mintgate::protocol::time::UnixSeconds;
use mintgate::user::Profile;

pub const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

pub fn client() -> Client {
    Client {
        id: ClientId::from("app"),
        kind: ClientKind::Confidential,
        first_party: true,
        enabled: true,
        secrets: Vec::new(),
        grants: vec![GrantType::ClientCredentials, GrantType::RefreshToken, GrantType::Password],
        scope: "read write".parse().expect("scope"),
        audiences: vec![Audience::from("https://api.example"), Audience::from("billing")],
        access_lifetime: None,
    }
}

pub fn profile() -> Profile {
    Profile {
        subject: Subject::from("usr_a"),
        enabled: true,
        scope: None,
        password_changed_at: UnixSeconds(10),
        credential: None,
    }
}

pub fn asked(scope: &str, resources: &[&str]) -> Asked {
    let scope = (!scope.is_empty()).then(|| scope.parse().expect("scope"));
    Asked { scope, resources: resources.iter().map(|resource| (*resource).to_owned()).collect() }
}

#[test]
fn what_is_asked_is_read_from_the_parameters() {
    use mintgate::protocol::error::OAuthError;
    use mintgate::protocol::params::Params;

    let read = |body: &'static [u8]| Asked::from_params(&Params::parse(body).expect("form"));
    assert_eq!(read(b"scope=read+write&resource=a&resource=b"), Ok(asked("read write", &["a", "b"])));
    assert_eq!(read(b"scope=&resource="), Ok(Asked::default()));
    assert_eq!(read(b"scope=+"), Ok(Asked::default()));
    assert_eq!(read(b"scope=a%22b"), Err(OAuthError::InvalidScope));
}
