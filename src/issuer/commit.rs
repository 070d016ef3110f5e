//! From a decision to an answer: sign and hold, commit, release.

use crate::ambient::entropy::draw;
use crate::grant::{self, Decision, Mint, Refusal};
use crate::issuer::{Issuer, RETRY_AFTER, Settings, no_entropy, unavailable, wait_for_clock};
use crate::keys::KeySet;
use crate::protocol::error::{OAuthError, UnavailableReason};
use crate::protocol::id::Jti;
use crate::protocol::reply::TokenReply;
use crate::protocol::time::UnixSeconds;
use crate::state::Rotated;
use crate::token::{Draft, Minted, mint, seal_refresh};

impl Issuer {
    /// Carries a decision out. Every token that is issued is issued here.
    ///
    /// 1. Refuse while the clock is behind: every date in a token would be wrong.
    /// 2. Sign the access token and seal the refresh token; hold both.
    /// 3. Rotate the family: one compare-and-set, whose verdict is final.
    /// 4. Commit what else there is to change.
    /// 5. Release.
    ///
    /// # Errors
    /// `Unavailable` for the clock, from the signer, the randomness or the store: nothing was burned, the client may
    /// try again.
    /// `InvalidGrant` if the rotation lost against a revocation or met a replay.
    pub(super) async fn carry_out(
        &self,
        decision: Decision,
        settings: &Settings,
        now: UnixSeconds,
    ) -> Result<TokenReply, OAuthError> {
        // 1
        if let Some(behind) = self.store.read_clock(self.clock.now()).behind {
            return Err(wait_for_clock(behind));
        }
        // 2
        let keys = self.keyring.current();
        let minted = self.sign(&decision.mint, settings, &keys, now)?;
        let sealed = match &decision.refresh {
            None => None,
            Some(token) => {
                let key = keys.sealer().ok_or(OAuthError::Unavailable(UnavailableReason::NoKey, RETRY_AFTER))?;
                let salt = draw(self.entropy.as_ref()).map_err(no_entropy)?;
                let sealed = seal_refresh(token, key, salt)
                    .map_err(|_| OAuthError::Unavailable(UnavailableReason::Signer, RETRY_AFTER))?;
                Some(sealed)
            }
        };
        // 3
        if let Some(rotation) = decision.rotation.clone() {
            let verdict = self.store.rotate(rotation, now).await.map_err(unavailable)?;
            self.metrics.refreshes.inc(verdict_name(verdict));
            if let Err(refusal) = grant::refresh_token::settle(verdict) {
                return Err(self.refuse(refusal, now).await);
            }
        }
        // 4
        if !decision.changes.is_empty() {
            self.store.commit(decision.changes, now).await.map_err(unavailable)?;
        }
        // 5
        Ok(TokenReply {
            access_token: minted.token,
            token_type: "Bearer",
            expires_in: minted.expires_at.since(now).as_secs(),
            refresh_token: sealed,
            scope: decision.mint.scope,
        })
    }

    /// Makes what a refusal wants remembered lasting, and gives the error to answer with.
    pub(super) async fn refuse(&self, refusal: Refusal, now: UnixSeconds) -> OAuthError {
        if refusal.changes.is_empty() {
            return refusal.error;
        }
        match self.store.commit(refusal.changes, now).await {
            Ok(()) => refusal.error,
            // A replay whose family could not be revoked is not answered as if it had been.
            Err(error) => unavailable(error),
        }
    }

    fn sign(&self, asked: &Mint, settings: &Settings, keys: &KeySet, now: UnixSeconds) -> Result<Minted, OAuthError> {
        let unavailable = |reason| OAuthError::Unavailable(reason, RETRY_AFTER);
        // An algorithm that was configured a moment ago has a key that is published but does not sign yet: until it does,
        // the one before goes on.
        let key = keys
            .signer(settings.algorithm)
            .or_else(|| keys.default_signer())
            .ok_or(unavailable(UnavailableReason::NoKey))?;
        // A client's own lifetime may have been written before the bound was lowered.
        let lifetime = asked.lifetime.min(settings.limits.lifetime_max);
        let jti = Jti(draw(self.entropy.as_ref()).map_err(no_entropy)?);
        let status = self.status_reference(asked, settings, (jti, key.kid()), (now, now.after(lifetime)))?;
        let draft = Draft {
            issuer: std::sync::Arc::clone(&self.issuer),
            subject: asked.subject.clone(),
            client: asked.client.clone(),
            audiences: asked.audiences.clone(),
            scope: asked.scope.clone(),
            lifetime,
            session: asked.session,
            auth_time: asked.auth_time,
            typ: settings.typ,
            status,
        };
        let checked = draft.check(&settings.limits, now).map_err(|error| {
            tracing::error!(client = %asked.client, %error, "a token was decided that cannot be signed");
            unavailable(UnavailableReason::Signer)
        })?;
        mint(&checked, key, jti, now).map_err(|_| unavailable(UnavailableReason::Signer))
    }
}

fn verdict_name(verdict: Rotated) -> &'static str {
    match verdict {
        Rotated::Advanced { .. } => "advanced",
        Rotated::Retry { .. } => "retry",
        Rotated::Reused => "reused",
        Rotated::Revoked => "revoked",
    }
}
