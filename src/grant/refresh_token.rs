//! `refresh_token`: the login goes on (RFC 6749 section 6), with rotation on every use (RFC 9700 section 4.14.2).
//!
//! In two halves, so that a signer that fails burns no token. First [`decide`], on facts that were read: it refuses
//! what is certain to be refused, and says what to mint and seal. The issuer signs, seals, and holds. Then the store
//! carries out the decision's rotation, and [`settle`] reads its answer, which is final: two requests may both have been
//! told "current", and the store lets one advance and tells the other "retry". Both hold the same successor,
//! because a successor is nothing but the next number.

use crate::client::{Client, GrantType};
use crate::grant::{Asked, Decision, EpochFacts, Mint, Refusal, Settings, check_enabled};
use crate::policy;
use crate::protocol::error::{GrantReason, OAuthError};
use crate::protocol::id::Generation;
use crate::protocol::refresh::RefreshToken;
use crate::protocol::time::UnixSeconds;
use crate::state::{Change, FamilyFacts, Rotated, Rotation, Verdict};
use crate::user::Profile;

/// What is known when the decision is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The family's entry, or the default if it has none.
    pub family: FamilyFacts,
    /// The epochs of the token's subject and of the client.
    pub epochs: EpochFacts,
    /// The account of the token's subject today; `None` if it was deleted.
    pub profile: Option<Profile>,
}

/// Decides a refresh. `token` was opened, so it is authentic and its fields are ours.
///
/// The access token may be narrower than the grant; the new refresh token keeps the grant whole and the family's end
/// where it was. A refusal burns nothing: the same token may be presented again once its cause is gone. The exception
/// is a replay, whose refusal carries the order to revoke the family.
///
/// # Errors
/// `UnauthorizedClient` if the client may not refresh; `InvalidGrant` if the token is another client's, its family has
/// ended or is revoked, its login is over by an epoch, it was replayed, lay idle too long, or its user is gone, disabled,
/// or has another password; `InvalidScope` and `InvalidTarget` for more than was granted and is still allowed.
pub fn decide(
    token: &RefreshToken,
    asked: &Asked,
    facts: &Facts,
    client: &Client,
    settings: &Settings,
    now: UnixSeconds,
) -> Result<Decision, Refusal> {
    check_enabled(client)?;
    if !client.may_use(GrantType::RefreshToken) {
        return Err(OAuthError::UnauthorizedClient.into());
    }
    // RFC 6749 section 6: bound to the client it was issued to. A stranger must not hurt the owner: no change.
    if token.client != client.id {
        return Err(GrantReason::OtherClient.into());
    }
    // Before the replay check: of a family that is over there is nothing left to revoke, and nothing to write.
    if token.family_ends_at.has_passed(now) {
        return Err(GrantReason::Expired.into());
    }
    if facts.epochs.end(token.auth_time) {
        return Err(GrantReason::Epoch.into());
    }
    // Before the idle and user checks: an old token that turns up is a replay, however long it lay.
    judge(token, &facts.family, settings, now)?;
    if settings.lifetimes.is_idle(token.issued_at, now) {
        return Err(GrantReason::Idle.into());
    }
    let profile = check_user(token, facts)?;

    // What was granted, less what client and user have lost since.
    let allowed = policy::scope::allowed(&client.scope, profile.scope.as_ref());
    let scope = policy::scope::renew(&token.scope, &allowed, asked.scope.as_ref())?;
    let left = policy::audience::still_allowed(&token.audiences, &client.audiences);
    let audiences = policy::audience::choose(&left, &asked.resources)?;

    let mint = Mint {
        subject: token.subject.clone(),
        client: client.id.clone(),
        audiences,
        scope,
        lifetime: settings.lifetimes.access(client.access_lifetime, token.family_ends_at, now),
        session: Some(token.family),
        auth_time: Some(token.auth_time),
    };
    // RFC 6749 section 6: the new refresh token's scope is identical to the old one's.
    let refresh = RefreshToken { generation: token.generation.next(), issued_at: now, ..token.clone() };
    let rotation = Rotation {
        family: token.family,
        from: token.generation,
        subject: token.subject.clone(),
        client: client.id.clone(),
        auth_time: token.auth_time,
        retry: settings.retry,
    };
    Ok(Decision { mint, refresh: Some(refresh), rotation: Some(rotation), changes: Vec::new() })
}

/// Reads the store's answer to a decision's rotation: the generation of the refresh token that may now leave.
///
/// # Errors
/// `InvalidGrant`: drop what was signed. The store has revoked a replayed family already, so there is no change to make.
pub fn settle(rotated: Rotated) -> Result<Generation, Refusal> {
    match rotated {
        Rotated::Advanced { to } => Ok(to),
        Rotated::Retry { successor } => Ok(successor),
        Rotated::Reused => Err(GrantReason::Reused.into()),
        Rotated::Revoked => Err(GrantReason::Revoked.into()),
    }
}

/// Refuses what the store would surely refuse: a family's facts only ever move towards refusal.
fn judge(token: &RefreshToken, family: &FamilyFacts, settings: &Settings, now: UnixSeconds) -> Result<(), Refusal> {
    match family.judge(token.generation, &settings.retry, now) {
        // FAPI 2.0 section 5.3.2.1: a lost answer may be asked for again, and gets the same successor.
        Verdict::Current | Verdict::Retry { .. } => Ok(()),
        Verdict::Revoked => Err(GrantReason::Revoked.into()),
        // RFC 9700 section 4.14.2: thief or victim, nobody can tell, so both lose.
        Verdict::Reused => Err(Refusal::from(GrantReason::Reused).with(Change::RevokeFamily { family: token.family })),
    }
}

/// The user of the login, if there still is one who could log in the same way.
fn check_user<'a>(token: &RefreshToken, facts: &'a Facts) -> Result<&'a Profile, GrantReason> {
    let profile = facts.profile.as_ref().ok_or(GrantReason::UserUnknown)?;
    if !profile.enabled {
        return Err(GrantReason::UserDisabled);
    }
    // RFC 9700 section 4.14.2: a changed password ends the logins before it.
    if token.auth_time < profile.password_changed_at {
        return Err(GrantReason::PasswordChanged);
    }
    // The same where the directory does not say when, but shows that it is another one. A token without a mark is from
    // before the directory gave one.
    if token.credential.is_some() && profile.credential.is_some() && token.credential != profile.credential {
        return Err(GrantReason::PasswordChanged);
    }
    Ok(profile)
}
