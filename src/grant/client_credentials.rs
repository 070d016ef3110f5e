//! `client_credentials`: a service for itself (RFC 6749 section 4.4).

use crate::client::{Client, ClientKind, GrantType};
use crate::grant::{Asked, Decision, EpochFacts, Mint, Refusal, Settings, check_enabled};
use crate::policy;
use crate::protocol::error::OAuthError;
use crate::protocol::id::Subject;
use crate::protocol::time::UnixSeconds;

/// Decides a token for the client itself. There is never a refresh token (RFC 6749 section 4.4.3), and nothing is
/// written.
///
/// # Errors
/// `InvalidClient` if the client is switched off, `UnauthorizedClient` if it may not use this grant, `InvalidScope`,
/// `InvalidTarget`, and `Unavailable` for what is left of the second in which its epoch moved.
pub fn decide(
    asked: &Asked,
    epochs: EpochFacts,
    client: &Client,
    settings: &Settings,
    now: UnixSeconds,
) -> Result<Decision, Refusal> {
    check_enabled(client)?;
    // RFC 6749 section 4.4: confidential clients only. A public client has proved nothing.
    if client.kind == ClientKind::Public || !client.may_use(GrantType::ClientCredentials) {
        return Err(OAuthError::UnauthorizedClient.into());
    }
    let scope = policy::scope::narrow(&client.scope, asked.scope.as_ref())?;
    let audiences = policy::audience::choose(&client.audiences, &asked.resources)?;
    epochs.admit(now)?;
    let mint = Mint {
        // RFC 9068 section 2.2: without a resource owner, `sub` is the client.
        subject: Subject::from(client.id.as_str()),
        client: client.id.clone(),
        audiences,
        scope,
        lifetime: settings.lifetimes.access(client.access_lifetime, UnixSeconds::NEVER, now),
        session: None,
        auth_time: None,
    };
    Ok(Decision { mint, refresh: None, rotation: None, changes: Vec::new() })
}
