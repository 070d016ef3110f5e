//! The order to rotate, and its answer.

use crate::protocol::id::{ClientId, FamilyId, Generation, Subject};
use crate::protocol::time::UnixSeconds;
use crate::state::retry::RetryRules;

/// An order to move a family on from the presented generation. Carries whom it concerns, so that the epochs are
/// compared again at the very moment of the change: a revocation acknowledged a microsecond before is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The family.
    pub family: FamilyId,
    /// The generation of the presented token.
    pub from: Generation,
    /// Who logged in; for the subject's epoch.
    pub subject: Subject,
    /// Which client; for the client's epoch.
    pub client: ClientId,
    /// When the user logged in; over if an epoch is as late or later.
    pub auth_time: UnixSeconds,
    /// When the token may be presented again.
    pub retry: RetryRules,
}

/// The final verdict on a presented refresh token; what it calls for has been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// It was the live one; `to` is live now.
    Advanced {
        /// The successor.
        to: Generation,
    },
    /// It was the one before the live one, in time; nothing moved.
    Retry {
        /// The live generation, the same as the first answer's.
        successor: Generation,
    },
    /// It was replayed: its family is revoked now.
    Reused,
    /// The family is revoked, has ended, or its login is over by an epoch.
    Revoked,
}
