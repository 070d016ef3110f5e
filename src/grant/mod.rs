//! The grants: asked with facts and a time, each answers with a decision; it never does anything.
//!
//! One file a grant, each with a pure `decide`. Whoever calls it (the issuer) reads the facts before and carries the
//! decision out after, in the order `manual::flow` tells. A refusal changes nothing but what its `changes` say, and
//! of all refusals only a replay has one.

pub mod client_credentials;
pub mod login;
pub mod refresh_token;

use std::time::Duration;

use crate::client::Client;
use crate::policy;
use crate::policy::lifetime::Lifetimes;
use crate::protocol::error::{ClientReason, GrantReason, OAuthError, UnavailableReason};
use crate::protocol::id::{Audience, ClientId, FamilyId, Subject};
use crate::protocol::params::Params;
use crate::protocol::refresh::RefreshToken;
use crate::protocol::scope::Scope;
use crate::protocol::time::UnixSeconds;
use crate::state::{Change, RetryRules, Rotation};

/// The configured values grants decide with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How long tokens and families live.
    pub lifetimes: Lifetimes,
    /// When a refresh token may be presented again.
    pub retry: RetryRules,
}

/// What a request asks for, common to all grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `scope` (RFC 6749 section 3.3); `None` if absent or empty.
    pub scope: Option<Scope>,
    /// `resource`, repeated (RFC 8707 section 2); at most as many as a request has parameters.
    pub resources: Vec<String>,
}

impl Asked {
    /// Reads `scope` and `resource`.
    ///
    /// # Errors
    /// `InvalidScope` for a malformed scope (RFC 6749 section 5.2).
    pub fn from_params(params: &Params) -> Result<Self, OAuthError> {
        let scope = params.value("scope").map(str::parse::<Scope>).transpose().map_err(|_| OAuthError::InvalidScope)?;
        Ok(Self {
            scope: scope.filter(|scope| !scope.is_empty()),
            resources: params.values("resource").map(str::to_owned).collect(),
        })
    }
}

/// The access token to mint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mint {
    /// `sub`.
    pub subject: Subject,
    /// `client_id`.
    pub client: ClientId,
    /// `aud`; never empty.
    pub audiences: Vec<Audience>,
    /// `scope`; may be empty.
    pub scope: Scope,
    /// From now to `exp`; ends within the family.
    pub lifetime: Duration,
    /// `sid`: the family, if there is one.
    pub session: Option<FamilyId>,
    /// `auth_time`, if a user logged in.
    pub auth_time: Option<UnixSeconds>,
}

/// What to do: mint, seal, rotate, commit. Nothing may leave before `rotation` and `changes` are lasting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The access token to mint.
    pub mint: Mint,
    /// The refresh token to seal, if one is issued.
    pub refresh: Option<RefreshToken>,
    /// The compare-and-set to make; its answer is final, see [`refresh_token::settle`].
    pub rotation: Option<Rotation>,
    /// Changes to commit. No grant of today makes one; one-time codes will.
    pub changes: Vec<Change>,
}

/// Why not, and what must be remembered about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is told, and the reason for the log.
    pub error: OAuthError,
    /// Changes to commit before the refusal is answered; if they cannot be made, answer 503 instead.
    pub changes: Vec<Change>,
}

impl Refusal {
    fn with(self, change: Change) -> Self {
        Self { changes: vec![change], ..self }
    }
}

impl From<OAuthError> for Refusal {
    fn from(error: OAuthError) -> Self {
        Self { error, changes: Vec::new() }
    }
}

impl From<GrantReason> for Refusal {
    fn from(reason: GrantReason) -> Self {
        OAuthError::InvalidGrant(reason).into()
    }
}

/// The epochs that concern a request: of the subject and of the client, where they have moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochFacts {
    /// The subject's.
    pub subject: Option<UnixSeconds>,
    /// The client's.
    pub client: Option<UnixSeconds>,
}

impl EpochFacts {
    fn latest(self) -> Option<UnixSeconds> {
        self.subject.max(self.client)
    }

    /// Whether what was authenticated at `auth_time` is over. The same second is over too: an epoch of that second
    /// cannot tell what came before it from what came after.
    fn end(self, auth_time: UnixSeconds) -> bool {
        self.latest().is_some_and(|epoch| auth_time <= epoch)
    }

    /// What is issued in an epoch's own second would be dead on arrival. Say when to come back instead.
    fn admit(self, now: UnixSeconds) -> Result<(), OAuthError> {
        match self.latest() {
            Some(epoch) if now <= epoch => {
                let wait = epoch.since(now) + Duration::from_secs(1);
                Err(OAuthError::Unavailable(UnavailableReason::NotReady, wait))
            }
            _ => Ok(()),
        }
    }
}

/// A client that is switched off gets nothing by any grant. Authentication has refused it already; this is the second
/// lock on the same door, because a grant that forgets it is a known way in.
fn check_enabled(client: &Client) -> Result<(), OAuthError> {
    if client.enabled { Ok(()) } else { Err(OAuthError::InvalidClient(ClientReason::Disabled)) }
}

/// The scope and the audiences of a first token, and every audience the grant covers.
fn choose_audiences(client: &Client, asked: &Asked) -> Result<(Vec<Audience>, Vec<Audience>), OAuthError> {
    let access = policy::audience::choose(&client.audiences, &asked.resources)?;
    let granted = policy::audience::grant(&client.audiences, &asked.resources)?;
    Ok((access, granted))
}
