//! `POST /login`: the first-party log-in, and the password grant where it is on.

use zeroize::Zeroizing;

use crate::ambient::entropy::draw;
use crate::client::Client;
use crate::grant::Asked;
use crate::grant::login::{Facts, Password, Via, admit, decide};
use crate::issuer::{Call, Issuer, RETRY_AFTER, Settings, no_entropy};
use crate::protocol::error::{GrantReason, OAuthError, UnavailableReason};
use crate::protocol::id::Subject;
use crate::protocol::reply::TokenReply;
use crate::protocol::time::UnixSeconds;
use crate::user::Profile;
use crate::user::hash::HashError;

impl Issuer {
    /// Answers a log-in: JSON or form, answered like the token endpoint.
    ///
    /// # Errors
    /// The [`OAuthError`] to answer with.
    pub async fn login(&self, call: &Call<'_>) -> Result<TokenReply, OAuthError> {
        let now = self.now();
        let settings = self.settings.load_full();
        let client = self.authenticate(call, now)?;
        let result = self.log_in(call, &client, Via::Login, &settings, now).await;
        match &result {
            Ok(_) => self.metrics.tokens_issued.inc("login"),
            Err(error) => tracing::info!(client_id = %client.id, reason = error.reason(), "log-in refused"),
        }
        result
    }

    /// Asks the directory for one stored password and makes unknown users cost the same; says whether it answered.
    pub async fn learn_password_cost(&self) -> bool {
        let sample = self.directory.sample().await;
        if let Ok(Some(stored)) = &sample {
            self.passwords.expect(stored);
        }
        sample.is_ok()
    }

    /// 1. May this client log users in? Asked first: one that may not must not cost a hash.
    /// 2. Is this account, from this source, slowed down?
    /// 3. Compare the password on its own threads; an unknown user costs the same as a wrong password.
    /// 4. Decide; sign and release. A log-in writes no state.
    pub(super) async fn log_in(
        &self,
        call: &Call<'_>,
        client: &Client,
        via: Via,
        settings: &Settings,
        now: UnixSeconds,
    ) -> Result<TokenReply, OAuthError> {
        // 1
        admit(client, via)?;
        let asked = Asked::from_params(call.params)?;
        let name = call.params.required("username").map_err(OAuthError::InvalidRequest)?;
        let password = call.params.required("password").map_err(OAuthError::InvalidRequest)?;
        // 2
        self.slowdown.check(name, call.source, now).map_err(|wait| {
            self.metrics.logins.inc("slowed");
            OAuthError::SlowDown(wait)
        })?;
        // 3
        let directory_down = |_| OAuthError::Unavailable(UnavailableReason::Directory, RETRY_AFTER);
        let account = self.directory.find(name).await.map_err(directory_down)?;
        let stored = account.as_ref().and_then(|account| account.password.clone());
        let password = Zeroizing::new(password.to_owned());
        let matched = self.passwords.verify(password, stored).await.map_err(|error| {
            self.metrics.logins.inc("busy");
            let wait = match error {
                HashError::Busy { retry_after } => retry_after,
                HashError::Failed => RETRY_AFTER,
            };
            OAuthError::Unavailable(UnavailableReason::HashQueue, wait)
        })?;
        // 4
        let subject = account.as_ref().map(|account| account.profile.subject.clone());
        let facts = Facts {
            profile: account.map(|account| account.profile),
            password: if matched { Password::Matched } else { Password::Wrong },
            epochs: self.epochs(subject.as_ref(), &client.id),
        };
        let random = draw(self.entropy.as_ref()).map_err(no_entropy)?;
        match decide(via, &asked, &facts, client, &settings.grant, random, now) {
            Ok(decision) => {
                let reply = self.carry_out(decision, settings, now).await?;
                self.slowdown.succeeded(name, call.source, now);
                self.metrics.logins.inc("ok");
                Ok(reply)
            }
            Err(refusal) => {
                if matches!(
                    refusal.error,
                    OAuthError::InvalidGrant(
                        GrantReason::WrongPassword | GrantReason::UserUnknown | GrantReason::UserDisabled
                    )
                ) {
                    self.slowdown.failed(name, call.source, now);
                    self.metrics.logins.inc("refused");
                }
                Err(self.refuse(refusal, now).await)
            }
        }
    }

    /// The account behind a subject today.
    pub(super) async fn profile(&self, subject: &Subject) -> Result<Option<Profile>, OAuthError> {
        self.directory
            .profile(subject)
            .await
            .map_err(|_| OAuthError::Unavailable(UnavailableReason::Directory, RETRY_AFTER))
    }
}
