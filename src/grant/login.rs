//! Log-in with name and password: `/login`, and the password grant where it is switched on (RFC 6749 section 4.3).

use crate::client::{Client, GrantType};
use crate::grant::{Asked, Decision, EpochFacts, Mint, Refusal, Settings, check_enabled, choose_audiences};
use crate::policy;
use crate::protocol::error::{GrantReason, OAuthError};
use crate::protocol::id::{FamilyId, Generation};
use crate::protocol::refresh::RefreshToken;
use crate::protocol::time::UnixSeconds;
use crate::user::Profile;

/// Which door the user came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// `POST /login`: first-party clients, public ones too.
    Login,
    /// `grant_type=password`: clients that may use it. Whether it is offered at all is the caller's question.
    PasswordGrant,
}

/// What the password check found. For an unknown user the check ran against nothing, and found `Wrong`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Password {
    /// It is the user's.
    Matched,
    /// It is not.
    Wrong,
}

/// What is known when the decision is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The account, if there is one.
    pub profile: Option<Profile>,
    /// The verdict on the password.
    pub password: Password,
    /// The epochs of the user and the client.
    pub epochs: EpochFacts,
}

/// Whether the client may log users in at all. Ask before the password is hashed: a client that may not must not cost
/// a hash, and the answer says nothing about any user.
///
/// # Errors
/// `InvalidClient` if it is switched off, `UnauthorizedClient` if it may not.
pub fn admit(client: &Client, via: Via) -> Result<(), OAuthError> {
    check_enabled(client)?;
    let may = match via {
        Via::Login => client.first_party,
        Via::PasswordGrant => client.may_use(GrantType::Password),
    };
    if may { Ok(()) } else { Err(OAuthError::UnauthorizedClient) }
}

/// Decides a log-in. A log-in writes no state: its family lives by its name alone until it first refreshes.
///
/// `random` names the new family. `now` becomes `auth_time`; take it before the account is read, so that a password
/// or an epoch that changes while the hash runs counts as later than this log-in, and ends it.
///
/// # Errors
/// One `InvalidGrant` for a user who is unknown, disabled, or gave a wrong password: the reason inside differs, the wire
/// does not. Errors of [`admit`]; `InvalidScope` and `InvalidTarget`; `Unavailable` for what is left of the second in
/// which an epoch moved or the password changed. None carries a change.
pub fn decide(
    via: Via,
    asked: &Asked,
    facts: &Facts,
    client: &Client,
    settings: &Settings,
    random: [u8; 12],
    now: UnixSeconds,
) -> Result<Decision, Refusal> {
    admit(client, via)?;
    // The client's own mistakes come first: they depend on no user, so they tell nothing about one.
    let (audiences, granted) = choose_audiences(client, asked)?;
    policy::scope::narrow(&client.scope, asked.scope.as_ref())?;

    let profile = check_user(facts)?;
    // A log-in dated before the password's change would be over at its first refresh (RFC 9700 section 4.14.2).
    EpochFacts { subject: profile.password_changed_at.0.checked_sub(1).map(UnixSeconds), client: None }.admit(now)?;
    facts.epochs.admit(now)?;
    let allowed = policy::scope::allowed(&client.scope, profile.scope.as_ref());
    let scope = policy::scope::narrow(&allowed, asked.scope.as_ref())?;

    let family_ends_at = settings.lifetimes.family_ends_at(now);
    // RFC 6749 section 1.5: a refresh token is optional; without one there is no family either.
    let family = client.may_use(GrantType::RefreshToken).then(|| FamilyId::new(random, family_ends_at));
    let refresh = family.map(|family| RefreshToken {
        family,
        generation: Generation(0),
        client: client.id.clone(),
        subject: profile.subject.clone(),
        scope: scope.clone(),
        audiences: granted,
        auth_time: now,
        issued_at: now,
        family_ends_at,
        credential: profile.credential,
    });
    let mint = Mint {
        subject: profile.subject.clone(),
        client: client.id.clone(),
        audiences,
        scope,
        lifetime: settings.lifetimes.access(client.access_lifetime, family_ends_at, now),
        session: family,
        auth_time: Some(now),
    };
    Ok(Decision { mint, refresh, rotation: None, changes: Vec::new() })
}

/// The user, if there is one, whose password this is, and who may log in.
fn check_user(facts: &Facts) -> Result<&Profile, GrantReason> {
    let profile = facts.profile.as_ref().ok_or(GrantReason::UserUnknown)?;
    if facts.password == Password::Wrong {
        return Err(GrantReason::WrongPassword);
    }
    if !profile.enabled {
        return Err(GrantReason::UserDisabled);
    }
    Ok(profile)
}
