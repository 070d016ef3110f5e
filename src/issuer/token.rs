//! `POST /token` (RFC 6749 section 3.2): every grant.

use crate::client::{Client, GrantType};
use crate::grant::{self, Asked, refresh_token};
use crate::issuer::{Call, Issuer, Settings};
use crate::protocol::error::{GrantReason, OAuthError};
use crate::protocol::reply::TokenReply;
use crate::protocol::time::UnixSeconds;
use crate::token::open_refresh;

impl Issuer {
    /// Answers a token request.
    ///
    /// 1. Which client is it? (RFC 6749 section 2.3)
    /// 2. Which grant does it ask for, and is that one offered?
    /// 3. Read the facts, ask the grant, carry its decision out.
    ///
    /// # Errors
    /// The [`OAuthError`] to answer with.
    pub async fn token(&self, call: &Call<'_>) -> Result<TokenReply, OAuthError> {
        let now = self.now();
        let settings = self.settings.load_full();
        // 1
        let client = self.authenticate(call, now)?;
        // 2
        let asked_grant = call.params.required("grant_type").map_err(OAuthError::InvalidRequest)?;
        let result = match asked_grant {
            "client_credentials" => self.client_credentials(call, &client, &settings, now).await,
            "refresh_token" => self.refresh(call, &client, &settings, now).await,
            // RFC 9700 section 2.4: not offered unless an old client cannot do without.
            "password" if settings.password_grant => {
                self.log_in(call, &client, grant::login::Via::PasswordGrant, &settings, now).await
            }
            _ => return Err(OAuthError::UnsupportedGrantType),
        };
        match &result {
            Ok(_) => self.metrics.tokens_issued.inc(grant_name(asked_grant)),
            Err(error) => {
                tracing::info!(client_id = %client.id, grant = grant_name(asked_grant), reason = error.reason(), "refused");
            }
        }
        result
    }

    async fn client_credentials(
        &self,
        call: &Call<'_>,
        client: &Client,
        settings: &Settings,
        now: UnixSeconds,
    ) -> Result<TokenReply, OAuthError> {
        let asked = Asked::from_params(call.params)?;
        let epochs = self.epochs(None, &client.id);
        match grant::client_credentials::decide(&asked, epochs, client, &settings.grant, now) {
            Ok(decision) => self.carry_out(decision, settings, now).await,
            Err(refusal) => Err(self.refuse(refusal, now).await),
        }
    }

    /// 1. Open the token: what opens is authentic. Everything that does not open is one refusal.
    /// 2. Read the facts: its family, the epochs, its user today.
    /// 3. Decide; then sign and hold, rotate, release ([`Issuer::carry_out`]).
    async fn refresh(
        &self,
        call: &Call<'_>,
        client: &Client,
        settings: &Settings,
        now: UnixSeconds,
    ) -> Result<TokenReply, OAuthError> {
        let text = call.params.required("refresh_token").map_err(OAuthError::InvalidRequest)?;
        let asked = Asked::from_params(call.params)?;
        // 1
        let token = {
            let keys = self.keyring.current();
            open_refresh(text, |id| keys.opener(id).map(AsRef::as_ref))
                .map_err(|_| OAuthError::InvalidGrant(GrantReason::Unreadable))?
        };
        // 2
        let profile = self.profile(&token.subject).await?;
        let facts = refresh_token::Facts {
            family: self.store.family(token.family, now),
            epochs: self.epochs(Some(&token.subject), &token.client),
            profile,
        };
        // 3
        match refresh_token::decide(&token, &asked, &facts, client, &settings.grant, now) {
            Ok(decision) => self.carry_out(decision, settings, now).await,
            Err(refusal) => {
                if !refusal.changes.is_empty() {
                    // Thief or victim: whoever watches the log should know.
                    tracing::warn!(client_id = %client.id, family = %token.family, generation = %token.generation, "refresh token replayed; family revoked");
                    self.metrics.refreshes.inc("reused");
                }
                Err(self.refuse(refusal, now).await)
            }
        }
    }
}

/// The grant's name if it is one of ours: a client's text never becomes a label or a log field.
fn grant_name(asked: &str) -> &'static str {
    [GrantType::ClientCredentials, GrantType::RefreshToken, GrantType::Password]
        .into_iter()
        .map(GrantType::name)
        .find(|name| *name == asked)
        .unwrap_or("unknown")
}
