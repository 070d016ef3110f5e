//! The login goes on, or does not.

use std::time::Duration;

use mintgate::client::Client;
use mintgate::grant::refresh_token::{self, Facts};
use mintgate::grant::{Asked, Decision, EpochFacts, Refusal, Settings};
use mintgate::protocol::error::{ClientReason, GrantReason, OAuthError};
use mintgate::protocol::id::{Audience, ClientId, FamilyId, Generation};
use mintgate::protocol::refresh::{Credential, RefreshToken};
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Change, FamilyFacts, Rotated};

use super::{NOW, asked, client, profile};

struct Case {
    token: RefreshToken,
    asked: Asked,
    facts: Facts,
    client: Client,
    settings: Settings,
    now: UnixSeconds,
}

impl Case {
    /// Generation 4 is live and comes an hour after it was issued.
    fn accepted() -> Self {
        let family_ends_at = NOW.after(Duration::from_secs(86_400));
        let token = RefreshToken {
            family: FamilyId::new([7; 12], family_ends_at),
            generation: Generation(4),
            client: ClientId::from("app"),
            subject: profile().subject,
            scope: "read write".parse().expect("scope"),
            audiences: client().audiences,
            auth_time: NOW.before(Duration::from_secs(90_000)),
            issued_at: NOW.before(Duration::from_secs(3_600)),
            family_ends_at,
            credential: Some(Credential([4; 8])),
        };
        let family = FamilyFacts { generation: Generation(4), rotated_at: token.issued_at, ..FamilyFacts::default() };
        let facts = Facts { family, epochs: EpochFacts::default(), profile: Some(profile()) };
        Self { token, asked: Asked::default(), facts, client: client(), settings: Settings::default(), now: NOW }
    }

    fn decide(&self) -> Result<Decision, Refusal> {
        refresh_token::decide(&self.token, &self.asked, &self.facts, &self.client, &self.settings, self.now)
    }

    fn profile(&mut self) -> &mut mintgate::user::Profile {
        self.facts.profile.as_mut().expect("profile")
    }
}

type Row = (&'static str, fn(&mut Case), OAuthError);

#[test]
fn refusals_that_burn_nothing() {
    let grant = OAuthError::InvalidGrant;
    let rows: [Row; 19] = [
        ("client off", |c| c.client.enabled = false, OAuthError::InvalidClient(ClientReason::Disabled)),
        ("client may not refresh", |c| c.client.grants.clear(), OAuthError::UnauthorizedClient),
        ("another client's token", |c| c.token.client = ClientId::from("other"), grant(GrantReason::OtherClient)),
        (
            "another client's token, replayed: a stranger must not hurt the owner",
            |c| (c.token.client, c.token.generation) = (ClientId::from("other"), Generation(1)),
            grant(GrantReason::OtherClient),
        ),
        ("the family ends at this very second", |c| c.now = c.token.family_ends_at, grant(GrantReason::Expired)),
        (
            "replayed after the family's end",
            |c| (c.now, c.token.generation) = (c.token.family_ends_at, Generation(1)),
            grant(GrantReason::Expired),
        ),
        (
            "subject's epoch in the login's second",
            |c| {
                c.facts.epochs.subject = Some(c.token.auth_time);
            },
            grant(GrantReason::Epoch),
        ),
        ("client's epoch after the login", |c| c.facts.epochs.client = Some(NOW), grant(GrantReason::Epoch)),
        ("family revoked", |c| c.facts.family.revoked = true, grant(GrantReason::Revoked)),
        (
            "idle at this very second",
            |c| {
                c.token.issued_at = c.now.before(c.settings.lifetimes.idle);
            },
            grant(GrantReason::Idle),
        ),
        ("user deleted", |c| c.facts.profile = None, grant(GrantReason::UserUnknown)),
        ("user disabled", |c| c.profile().enabled = false, grant(GrantReason::UserDisabled)),
        (
            "password changed a second after the login",
            |c| {
                c.profile().password_changed_at.0 = c.token.auth_time.0 + 1;
            },
            grant(GrantReason::PasswordChanged),
        ),
        (
            "another password, whenever it changed",
            |c| c.profile().credential = Some(Credential([5; 8])),
            grant(GrantReason::PasswordChanged),
        ),
        ("more scope than granted", |c| c.asked = asked("read admin", &[]), OAuthError::InvalidScope),
        (
            "the client lost the scope",
            |c| {
                (c.client.scope, c.asked) = ("read".parse().expect("scope"), asked("write", &[]));
            },
            OAuthError::InvalidScope,
        ),
        ("the user lost all of it", |c| c.profile().scope = "other".parse().ok(), OAuthError::InvalidScope),
        (
            "a resource that was not granted",
            |c| {
                (c.token.audiences, c.asked) = (vec![Audience::from("billing")], asked("", &["https://api.example"]));
            },
            OAuthError::InvalidTarget,
        ),
        (
            "the client lost every audience that was granted",
            |c| {
                c.client.audiences = vec![Audience::from("new")];
            },
            OAuthError::InvalidTarget,
        ),
    ];
    for (name, break_one_thing, error) in rows {
        let mut case = Case::accepted();
        break_one_thing(&mut case);
        assert_eq!(case.decide(), Err(Refusal { error, changes: Vec::new() }), "{name}");
    }
}

/// How the token comes to be a replay.
type Replay = (&'static str, fn(&mut Case));

#[test]
fn a_replay_carries_the_order_to_revoke() {
    let rows: [Replay; 5] = [
        ("two generations behind", |c| c.token.generation = Generation(2)),
        ("one behind, after the window", |c| c.token.generation = Generation(3)),
        ("one ahead: the state was lost", |c| c.token.generation = Generation(5)),
        ("behind and idle: it is a replay first", |c| {
            (c.token.generation, c.token.issued_at) = (Generation(2), UnixSeconds(0));
        }),
        ("behind, of a user who is disabled for now", |c| {
            (c.token.generation, c.profile().enabled) = (Generation(2), false);
        }),
    ];
    for (name, replay) in rows {
        let mut case = Case::accepted();
        replay(&mut case);
        let error = OAuthError::InvalidGrant(GrantReason::Reused);
        let changes = vec![Change::RevokeFamily { family: case.token.family }];
        assert_eq!(case.decide(), Err(Refusal { error, changes }), "{name}");
    }
}

#[test]
fn every_bad_refresh_token_looks_the_same_on_the_wire() {
    for reason in GrantReason::ALL {
        let error = OAuthError::InvalidGrant(*reason);
        let expected = OAuthError::InvalidGrant(GrantReason::Unreadable);
        assert_eq!((error.wire(), error.description()), (expected.wire(), expected.description()));
    }
}

#[test]
fn the_successor_keeps_the_whole_grant_and_the_familys_end() {
    let mut case = Case::accepted();
    case.asked = asked("read", &["billing"]);
    let decision = case.decide().expect("accepted");
    assert_eq!(decision.mint.scope.as_str(), "read");
    assert_eq!(decision.mint.audiences, [Audience::from("billing")]);
    assert_eq!(decision.mint.session, Some(case.token.family));
    assert_eq!(decision.mint.auth_time, Some(case.token.auth_time));
    let expected = RefreshToken { generation: Generation(5), issued_at: NOW, ..case.token.clone() };
    assert_eq!(decision.refresh, Some(expected), "RFC 6749 section 6: narrowing is for the access token alone");
    let rotation = decision.rotation.expect("rotation");
    assert_eq!((rotation.family, rotation.from), (case.token.family, Generation(4)));
    assert_eq!((rotation.subject, rotation.auth_time), (case.token.subject, case.token.auth_time));
    assert_eq!(decision.changes, []);
}

#[test]
fn what_was_lost_since_is_left_out_of_the_access_token_and_comes_back_with_the_right() {
    let mut case = Case::accepted();
    case.client.scope = "read".parse().expect("scope");
    case.client.audiences.remove(0);
    let decision = case.decide().expect("accepted");
    assert_eq!(decision.mint.scope.as_str(), "read");
    assert_eq!(decision.mint.audiences, [Audience::from("billing")]);
    let refresh = decision.refresh.expect("refresh token");
    assert_eq!((refresh.scope.as_str(), refresh.audiences.len()), ("read write", 2));
}

#[test]
fn a_retry_gets_the_same_decision_as_the_first_time() {
    let first = Case::accepted().decide().expect("accepted");
    let mut case = Case::accepted();
    case.facts.family.generation = Generation(5);
    case.facts.family.rotated_at = NOW;
    case.now = NOW.after(Duration::from_secs(9));
    let again = case.decide().expect("a retry");
    let generation = |decision: &Decision| decision.refresh.as_ref().map(|token| token.generation);
    assert_eq!(generation(&again), generation(&first));
    assert_eq!(again.rotation, first.rotation);
    assert_eq!(again.mint.scope, first.mint.scope);
}

#[test]
fn a_password_set_in_the_second_of_the_login_does_not_end_it() {
    let mut case = Case::accepted();
    case.profile().password_changed_at = case.token.auth_time;
    assert!(case.decide().is_ok(), "a user who was just added");
}

#[test]
fn no_access_token_outlives_the_family() {
    let mut case = Case::accepted();
    case.now = case.token.family_ends_at.before(Duration::from_secs(7));
    assert_eq!(case.decide().expect("accepted").mint.lifetime.as_secs(), 7);
}

#[test]
fn the_stores_answer_is_final() {
    let to = Generation(5);
    assert_eq!(refresh_token::settle(Rotated::Advanced { to }), Ok(to));
    assert_eq!(refresh_token::settle(Rotated::Retry { successor: to }), Ok(to));
    let refused = |reason| Err(Refusal { error: OAuthError::InvalidGrant(reason), changes: Vec::new() });
    assert_eq!(refresh_token::settle(Rotated::Reused), refused(GrantReason::Reused));
    assert_eq!(refresh_token::settle(Rotated::Revoked), refused(GrantReason::Revoked));
}
