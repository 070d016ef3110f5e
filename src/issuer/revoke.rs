//! `POST /revoke` (RFC 7009).

use crate::issuer::{Call, Issuer, unavailable};
use crate::protocol::error::OAuthError;
use crate::protocol::id::ClientId;
use crate::protocol::time::UnixSeconds;
use crate::state::Change;
use crate::token::open_refresh;

impl Issuer {
    /// Revokes a token: a refresh token ends its family, an access token is denied until its `exp`.
    ///
    /// 1. Which client asks? (RFC 7009 section 2.1; a public client names itself)
    /// 2. What is the token, and is it the client's own? If not, nothing happens, and nothing shows.
    /// 3. Commit, then answer.
    ///
    /// # Errors
    /// `InvalidClient`, `InvalidRequest`, and `Unavailable` when the change could not be made lasting (RFC 7009
    /// section 2.2.1). An unknown or invalid token is no error (section 2.2).
    pub async fn revoke(&self, call: &Call<'_>) -> Result<(), OAuthError> {
        let now = self.now();
        // 1
        let client = self.authenticate(call, now)?;
        let token = call.params.required("token").map_err(OAuthError::InvalidRequest)?;
        // 2: the hint is only a hint (RFC 7009 section 2.1); a token's own form says what it is.
        let Some((owner, change)) = self.change_for(token, now) else { return Ok(()) };
        if owner != client.id {
            tracing::info!(client_id = %client.id, reason = "other_client", "revocation refused");
            return Ok(());
        }
        // 3
        self.store.commit(vec![change], now).await.map_err(unavailable)?;
        self.metrics.revocations.inc("client");
        Ok(())
    }

    /// The change that ends a token, and whose token it is; `None` if it is none of ours or has ended.
    pub(super) fn change_for(&self, token: &str, now: UnixSeconds) -> Option<(ClientId, Change)> {
        let keys = self.keyring.current();
        if let Ok(token) = open_refresh(token, |id| keys.opener(id).map(AsRef::as_ref)) {
            return Some((token.client, Change::RevokeFamily { family: token.family }));
        }
        let claims = self.verify(&keys, token, now)?.claims;
        Some((claims.client, Change::DenyJti { jti: claims.jti, expires_at: claims.expires_at }))
    }
}
