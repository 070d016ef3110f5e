//! A user logs in.

use std::time::Duration;

use mintgate::client::{Client, ClientKind, GrantType};
use mintgate::grant::login::{self, Facts, Password, Via};
use mintgate::grant::{Asked, Decision, EpochFacts, Refusal, Settings};
use mintgate::protocol::error::{ClientReason, GrantReason, OAuthError, UnavailableReason};
use mintgate::protocol::id::{Audience, Generation, Subject};

use super::{NOW, asked, client, profile};

struct Case {
    via: Via,
    asked: Asked,
    facts: Facts,
    client: Client,
}

impl Case {
    fn accepted() -> Self {
        let facts = Facts { profile: Some(profile()), password: Password::Matched, epochs: EpochFacts::default() };
        Self { via: Via::Login, asked: Asked::default(), facts, client: client() }
    }

    fn decide(&self) -> Result<Decision, Refusal> {
        login::decide(self.via, &self.asked, &self.facts, &self.client, &Settings::default(), [7; 12], NOW)
    }

    fn profile(&mut self) -> &mut mintgate::user::Profile {
        self.facts.profile.as_mut().expect("profile")
    }
}

type Row = (&'static str, fn(&mut Case), OAuthError);

#[test]
fn refusals() {
    let one = Duration::from_secs(1);
    let dead_on_arrival = OAuthError::Unavailable(UnavailableReason::NotReady, one);
    let grant = OAuthError::InvalidGrant;
    let rows: [Row; 17] = [
        ("unknown user", |c| c.facts.profile = None, grant(GrantReason::UserUnknown)),
        ("wrong password", |c| c.facts.password = Password::Wrong, grant(GrantReason::WrongPassword)),
        ("disabled user", |c| c.profile().enabled = false, grant(GrantReason::UserDisabled)),
        (
            "disabled user, wrong password",
            |c| (c.profile().enabled, c.facts.password) = (false, Password::Wrong),
            grant(GrantReason::WrongPassword),
        ),
        ("not first-party", |c| c.client.first_party = false, OAuthError::UnauthorizedClient),
        (
            "password grant not given",
            |c| (c.via, c.client.grants) = (Via::PasswordGrant, vec![GrantType::RefreshToken]),
            OAuthError::UnauthorizedClient,
        ),
        ("client off", |c| c.client.enabled = false, OAuthError::InvalidClient(ClientReason::Disabled)),
        ("more than the client's scope", |c| c.asked = asked("admin", &[]), OAuthError::InvalidScope),
        (
            "more than the user's scope",
            |c| (c.profile().scope, c.asked) = ("read".parse().ok(), asked("write", &[])),
            OAuthError::InvalidScope,
        ),
        ("unknown resource", |c| c.asked = asked("", &["x"]), OAuthError::InvalidTarget),
        (
            "too much scope, and an unknown user: the client's mistake shows, the user does not",
            |c| (c.asked, c.facts.profile) = (asked("admin", &[]), None),
            OAuthError::InvalidScope,
        ),
        (
            "unknown resource, and a wrong password",
            |c| (c.asked, c.facts.password) = (asked("", &["x"]), Password::Wrong),
            OAuthError::InvalidTarget,
        ),
        (
            "the user's scope is too small, but the password is wrong",
            |c| {
                c.profile().scope = "read".parse().ok();
                (c.asked, c.facts.password) = (asked("write", &[]), Password::Wrong);
            },
            grant(GrantReason::WrongPassword),
        ),
        ("subject's epoch in this second", |c| c.facts.epochs.subject = Some(NOW), dead_on_arrival),
        ("client's epoch in this second", |c| c.facts.epochs.client = Some(NOW), dead_on_arrival),
        ("password changed a second later", |c| c.profile().password_changed_at.0 = NOW.0 + 1, dead_on_arrival),
        (
            "wrong password in the second of an epoch",
            |c| (c.facts.epochs.subject, c.facts.password) = (Some(NOW), Password::Wrong),
            grant(GrantReason::WrongPassword),
        ),
    ];
    for (name, break_one_thing, error) in rows {
        let mut case = Case::accepted();
        break_one_thing(&mut case);
        assert_eq!(case.decide(), Err(Refusal { error, changes: Vec::new() }), "{name}");
    }
}

#[test]
fn unknown_wrong_and_disabled_are_one_answer_on_the_wire() {
    let breaks: [fn(&mut Case); 3] =
        [|c| c.facts.profile = None, |c| c.facts.password = Password::Wrong, |c| c.profile().enabled = false];
    let answers = breaks.map(|break_one_thing| {
        let mut case = Case::accepted();
        break_one_thing(&mut case);
        let error = case.decide().expect_err("refused").error;
        (error.wire(), error.description(), error.retry_after())
    });
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[1], answers[2]);
}

#[test]
fn a_login_starts_a_family_and_writes_nothing() {
    let decision = Case::accepted().decide().expect("accepted");
    let refresh = decision.refresh.expect("refresh token");
    assert_eq!((refresh.generation, refresh.subject.as_str()), (Generation(0), "usr_a"));
    assert_eq!((refresh.auth_time, refresh.issued_at), (NOW, NOW));
    assert_eq!(refresh.family_ends_at, NOW.after(Duration::from_secs(90 * 86_400)));
    assert!(refresh.family.ends_by() >= refresh.family_ends_at);
    assert_eq!(refresh.audiences, client().audiences, "every audience, for later refreshes (RFC 8707 section 2.2)");
    assert_eq!(decision.mint.audiences, [Audience::from("https://api.example")], "the default for now");
    assert_eq!(decision.mint.session, Some(refresh.family));
    assert_eq!(decision.mint.auth_time, Some(NOW));
    assert_eq!(decision.mint.subject, Subject::from("usr_a"));
    assert_eq!((decision.rotation, decision.changes.len()), (None, 0));
}

#[test]
fn the_grant_is_what_was_asked_and_both_allow() {
    let mut case = Case::accepted();
    case.profile().scope = "write admin".parse().ok();
    assert_eq!(case.decide().expect("accepted").mint.scope.as_str(), "write");
    case.asked = asked("write", &["billing"]);
    let decision = case.decide().expect("accepted");
    let refresh = decision.refresh.expect("refresh token");
    assert_eq!((refresh.scope.as_str(), refresh.audiences), ("write", vec![Audience::from("billing")]));
    assert_eq!(decision.mint.audiences, [Audience::from("billing")]);
}

#[test]
fn a_client_without_the_refresh_grant_gets_no_family() {
    let mut case = Case::accepted();
    case.client.grants.clear();
    let decision = case.decide().expect("accepted");
    assert_eq!((decision.refresh, decision.mint.session), (None, None));
    assert_eq!(decision.mint.auth_time, Some(NOW));
}

#[test]
fn public_first_party_clients_log_in_and_the_password_grant_needs_its_own_right() {
    let mut case = Case::accepted();
    case.client.kind = ClientKind::Public;
    assert!(case.decide().is_ok());
    (case.via, case.client.first_party) = (Via::PasswordGrant, false);
    assert!(case.decide().is_ok());
}

#[test]
fn the_password_may_have_been_set_in_the_second_of_the_login() {
    let mut case = Case::accepted();
    case.profile().password_changed_at = NOW;
    assert!(case.decide().is_ok(), "a user who was just added");
}

#[test]
fn an_access_token_ends_with_its_family() {
    let mut settings = Settings::default();
    settings.lifetimes.absolute = Duration::from_secs(60);
    let case = Case::accepted();
    let decision =
        login::decide(case.via, &case.asked, &case.facts, &case.client, &settings, [7; 12], NOW).expect("accepted");
    assert_eq!(decision.mint.lifetime.as_secs(), 60);
}
