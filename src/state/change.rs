//! The changes: the only way a state changes, in memory, in a log, or from another gateway.

use crate::protocol::id::{ClientId, FamilyId, Generation, Jti, Kid, Subject};
use crate::protocol::time::UnixSeconds;

/// One fact to remember. Each carries its end; merging it twice, or in another order, changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// The live refresh token of a family is now generation `to`. The highest `to` wins; between equal ones the
    /// earlier `at`, which closes the retry window sooner.
    RotateFamily {
        /// The family; its name says when the entry ends.
        family: FamilyId,
        /// The generation that was live.
        from: Generation,
        /// The generation that is live.
        to: Generation,
        /// When; the retry window counts from here.
        at: UnixSeconds,
    },
    /// Nothing of this family is issued any more; sticky.
    RevokeFamily {
        /// The family; it need not have an entry yet.
        family: FamilyId,
    },
    /// An access token is refused until it would have expired anyway.
    DenyJti {
        /// The token's `jti`.
        jti: Jti,
        /// The token's own `exp`: look-ups ask with the same.
        expires_at: UnixSeconds,
    },
    /// An access token whose `exp` nobody knows (an admin has only its `jti`) is refused. Lies apart, because a look-up
    /// cannot name its bucket; meant for few.
    DenyUndatedJti {
        /// The token's `jti`.
        jti: Jti,
        /// A moment by which the token has surely expired: now plus the longest token lifetime.
        until: UnixSeconds,
    },
    /// A one-time id was used.
    SpendId {
        /// The kind of id; equal bytes in two spaces are two ids.
        space: Space,
        /// The id; an id somebody else chose goes through a keyed hash first.
        id: [u8; 16],
        /// The end of the thing it names, as written (authenticated) inside that thing: part of the id's name.
        ends_at: UnixSeconds,
    },
    /// Everything of a subject or client authenticated, or of a key signed, at or before `not_before` is over.
    MoveEpoch {
        /// Whose epoch.
        of: EpochOf,
        /// The latest wins.
        not_before: UnixSeconds,
        /// When the last token it could concern has ended; the latest wins.
        ends_at: UnixSeconds,
    },
}

impl Change {
    /// When the fact stops mattering, rounded up for families to their full hour.
    #[must_use]
    pub fn ends_at(&self) -> UnixSeconds {
        match self {
            Self::RotateFamily { family, .. } | Self::RevokeFamily { family } => family.ends_by(),
            Self::DenyJti { expires_at, .. } => *expires_at,
            Self::DenyUndatedJti { until, .. } => *until,
            Self::SpendId { ends_at, .. } | Self::MoveEpoch { ends_at, .. } => *ends_at,
        }
    }
}

/// Whose epoch moves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EpochOf {
    /// A user, or a client alone: "log out everywhere".
    Subject(Subject),
    /// Everything issued to a client, for whichever subject.
    Client(ClientId),
    /// Everything signed by a key: taint.
    Key(Kid),
}

/// The kinds of one-time ids; each is a space of its own, so an id of one kind never spends another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Authorization codes (RFC 6749 section 4.1.2).
    Code,
    /// Pushed authorization requests (RFC 9126 section 2.2).
    PushedRequest,
    /// `jti` of assertions (RFC 7523 section 3).
    Assertion,
    /// `jti` of DPoP proofs (RFC 9449 section 11.1).
    Proof,
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It made an entry.
    New,
    /// The entry was there; it is merged.
    Known,
    /// It ended before it came; there is nothing to remember.
    Ended,
}
