//! A service for itself.

use std::time::Duration;

use mintgate::client::{Client, ClientKind};
use mintgate::grant::{Asked, Decision, EpochFacts, Refusal, Settings, client_credentials};
use mintgate::protocol::error::{ClientReason, OAuthError, UnavailableReason};
use mintgate::protocol::id::{Audience, Subject};

use super::{NOW, asked, client};

struct Case {
    asked: Asked,
    epochs: EpochFacts,
    client: Client,
}

impl Case {
    fn accepted() -> Self {
        Self { asked: Asked::default(), epochs: EpochFacts::default(), client: client() }
    }

    fn decide(&self) -> Result<Decision, Refusal> {
        client_credentials::decide(&self.asked, self.epochs, &self.client, &Settings::default(), NOW)
    }
}

type Row = (&'static str, fn(&mut Case), OAuthError);

#[test]
fn refusals() {
    let one = Duration::from_secs(1);
    let dead_on_arrival = OAuthError::Unavailable(UnavailableReason::NotReady, one);
    let rows: [Row; 9] = [
        ("switched off", |c| c.client.enabled = false, OAuthError::InvalidClient(ClientReason::Disabled)),
        ("a public client", |c| c.client.kind = ClientKind::Public, OAuthError::UnauthorizedClient),
        ("without the grant", |c| c.client.grants.clear(), OAuthError::UnauthorizedClient),
        ("more scope", |c| c.asked = asked("read admin", &[]), OAuthError::InvalidScope),
        ("unknown resource", |c| c.asked = asked("", &["https://evil.example"]), OAuthError::InvalidTarget),
        ("a fragment", |c| c.asked = asked("", &["billing#x"]), OAuthError::InvalidTarget),
        ("no audience at all", |c| c.client.audiences.clear(), OAuthError::InvalidTarget),
        ("the client's epoch is this second", |c| c.epochs.client = Some(NOW), dead_on_arrival),
        ("the subject's epoch is this second", |c| c.epochs.subject = Some(NOW), dead_on_arrival),
    ];
    for (name, break_one_thing, error) in rows {
        let mut case = Case::accepted();
        break_one_thing(&mut case);
        assert_eq!(case.decide(), Err(Refusal { error, changes: Vec::new() }), "{name}");
    }
}

#[test]
fn the_client_is_the_subject_and_nothing_is_written() {
    let decision = Case::accepted().decide().expect("accepted");
    assert_eq!(decision.mint.subject, Subject::from("app"));
    assert_eq!(decision.mint.scope.as_str(), "read write");
    assert_eq!(decision.mint.audiences, [Audience::from("https://api.example")]);
    assert_eq!(decision.mint.lifetime, Duration::from_secs(300));
    assert_eq!((decision.mint.session, decision.mint.auth_time), (None, None));
    // RFC 6749 section 4.4.3: a refresh token should not be included.
    assert_eq!((decision.refresh, decision.rotation, decision.changes.len()), (None, None, 0));
}

#[test]
fn narrower_is_granted() {
    let mut case = Case::accepted();
    case.asked = asked("read", &["billing", "https://api.example"]);
    case.client.access_lifetime = Some(Duration::from_secs(60));
    case.epochs.client = Some(NOW.before(Duration::from_secs(1)));
    let mint = case.decide().expect("accepted").mint;
    assert_eq!((mint.scope.as_str(), mint.audiences.len(), mint.lifetime.as_secs()), ("read", 2, 60));
}
