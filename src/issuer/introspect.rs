//! `POST /introspect` (RFC 7662): from memory, to callers that may ask.

use crate::client::Client;
use crate::issuer::{Call, Issuer};
use crate::protocol::error::OAuthError;
use crate::protocol::id::Audience;
use crate::protocol::reply::{ActiveAccess, ActiveRefresh, Introspection};
use crate::protocol::time::UnixSeconds;
use crate::token::open_refresh;

impl Issuer {
    /// Answers whether a token is live.
    ///
    /// 1. The caller proves who it is (RFC 7662 section 2.1); a public client cannot.
    /// 2. An access token: the gate, then what was revoked, then whether the caller may ask about its audience.
    /// 3. A refresh token: only its own client may ask.
    ///
    /// # Errors
    /// `InvalidClient` and `InvalidRequest`. Anything that is not good is no error but `{"active":false}`.
    pub fn introspect(&self, call: &Call<'_>) -> Result<Introspection, OAuthError> {
        let now = self.now();
        // 1
        let client = self.authenticate_confidential(call, now)?;
        let token = call.params.required("token").map_err(OAuthError::InvalidRequest)?;
        // RFC 7662 section 2.1: the hint is only a hint; a token's own form says what it is.
        let answer = self.access(token, &client, now).or_else(|| self.refresh_facts(token, &client, now));
        Ok(answer.unwrap_or(Introspection::INACTIVE))
    }

    fn access(&self, token: &str, client: &Client, now: UnixSeconds) -> Option<Introspection> {
        // 2
        let keys = self.keyring.current();
        let verified = self.verify(&keys, token, now)?;
        if self.is_revoked(&verified.claims, &verified.kid, now) {
            return None;
        }
        // RFC 7662 section 4: do not let one service look into another's tokens. Its own it may always see.
        let own = verified.claims.client == client.id;
        let meant =
            |audience: &Audience| client.audiences.contains(audience) || audience.as_str() == client.id.as_str();
        if !own && !verified.claims.audiences.iter().any(meant) {
            return None;
        }
        Some(Introspection::Access(Box::new(ActiveAccess::from(verified.claims))))
    }

    fn refresh_facts(&self, text: &str, client: &Client, now: UnixSeconds) -> Option<Introspection> {
        // 3
        let keys = self.keyring.current();
        let token = open_refresh(text, |id| keys.opener(id).map(AsRef::as_ref)).ok()?;
        let settings = self.settings.load();
        let family = self.store.family(token.family, now);
        let epochs = self.epochs(Some(&token.subject), &token.client);
        let over = |epoch: Option<UnixSeconds>| epoch.is_some_and(|epoch| token.auth_time <= epoch);
        let idle_end = token.issued_at.after(settings.grant.lifetimes.idle);
        let ends_at = token.family_ends_at.min(idle_end);
        let live = token.client == client.id
            && !family.revoked
            && token.generation == family.generation
            && !over(epochs.subject)
            && !over(epochs.client)
            && !ends_at.has_passed(now);
        live.then(|| {
            Introspection::Refresh(Box::new(ActiveRefresh {
                active: true,
                iss: self.issuer.to_string(),
                sub: token.subject,
                exp: ends_at,
                iat: token.issued_at,
                client_id: token.client,
                scope: token.scope,
                sid: token.family,
            }))
        })
    }
}
