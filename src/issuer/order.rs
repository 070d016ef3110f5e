//! What an admin revokes: by token, id, family, subject or client.

use serde::{Deserialize, Serialize};

use crate::issuer::{Issuer, unavailable};
use crate::protocol::error::OAuthError;
use crate::protocol::id::{ClientId, FamilyId, Jti, Subject};
use crate::protocol::time::UnixSeconds;
use crate::state::{Change, EpochOf};

/// An admin's order, as the admin listener takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// This token: a refresh token ends its family.
    Token(String),
    /// The access token with this id.
    Jti(Jti),
    /// One login.
    Family(FamilyId),
    /// Every login of a user: log out everywhere.
    Subject(Subject),
    /// Everything a client holds.
    Client(ClientId),
}

/// What an order ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// In words, for the person who gave the order.
    pub ends: String,
    /// When the entry may be forgotten, because what it ends would have ended by itself.
    pub until: UnixSeconds,
}

/// The token is none of ours, or has ended: there is nothing to revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a live token of this issuer: nothing to revoke")]
pub struct UnreadableOrder;

impl Issuer {
    /// What an order would end; changes nothing.
    ///
    /// # Errors
    /// [`UnreadableOrder`] for a token that is not ours.
    pub fn outlook(&self, order: &Order) -> Result<Outlook, UnreadableOrder> {
        self.change_of(order).map(|(_, outlook)| outlook)
    }

    /// Carries an order out; it is lasting when this answers.
    ///
    /// # Errors
    /// [`UnreadableOrder`] inside, `Unavailable` outside.
    pub async fn revoke_by_order(&self, order: &Order) -> Result<Result<Outlook, UnreadableOrder>, OAuthError> {
        let now = self.now();
        let (change, outlook) = match self.change_of(order) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        self.store.commit(vec![change], now).await.map_err(unavailable)?;
        self.metrics.revocations.inc("admin");
        tracing::info!(ends = outlook.ends, "revoked by an admin");
        Ok(Ok(outlook))
    }

    fn change_of(&self, order: &Order) -> Result<(Change, Outlook), UnreadableOrder> {
        let now = self.now();
        let settings = self.settings.load();
        // The latest that anything issued by now can live.
        let last_access = now.after(settings.limits.lifetime_max);
        let last_family = settings.grant.lifetimes.family_ends_at(now).max(last_access);
        let epoch = |of: EpochOf| Change::MoveEpoch { of, not_before: now, ends_at: last_family };
        let found = match order {
            Order::Token(token) => {
                let (owner, change) = self.change_for(token.trim(), now).ok_or(UnreadableOrder)?;
                let ends = match &change {
                    Change::RevokeFamily { family } => {
                        format!("family {family} of client {owner} and its access tokens")
                    }
                    _ => format!("one access token of client {owner}"),
                };
                let until = change.ends_at();
                (change, Outlook { ends, until })
            }
            Order::Jti(jti) => (
                Change::DenyUndatedJti { jti: *jti, until: last_access },
                Outlook { ends: format!("the access token {jti}"), until: last_access },
            ),
            Order::Family(family) => (
                Change::RevokeFamily { family: *family },
                Outlook { ends: format!("family {family} and its access tokens"), until: family.ends_by() },
            ),
            Order::Subject(subject) => (
                epoch(EpochOf::Subject(subject.clone())),
                Outlook { ends: format!("every login of {subject} up to now"), until: last_family },
            ),
            Order::Client(client) => (
                epoch(EpochOf::Client(client.clone())),
                Outlook { ends: format!("everything issued to client {client} up to now"), until: last_family },
            ),
        };
        Ok(found)
    }
}
