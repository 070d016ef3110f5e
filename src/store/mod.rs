//! Where the state is kept: verbs that are atomic and return the verdict, one behaviour suite for every engine.
//!
//! An engine answers reads from memory and makes a change lasting before it says so. [`MemoryStore`] is memory alone;
//! [`EmbeddedStore`] asks the same shards for the verdict, puts the change into its log and answers when the log is on
//! disk. Nothing above this module tells the engines apart.

pub mod allotted;
pub mod embedded;
pub mod feed;
mod memory;
mod shards;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use embedded::EmbeddedStore;
pub use memory::MemoryStore;

use crate::protocol::error::UnavailableReason;
use crate::protocol::id::{FamilyId, Jti};
use crate::protocol::time::UnixSeconds;
use crate::state::{Change, EpochOf, FamilyFacts, Full, Rotated, Rotation, Space};

/// The answer of a verb that may have to wait for a disk or another machine.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps the state. Every `now` is wall time; an earlier one than the store has seen is taken as the latest it has seen.
pub trait Store: Send + Sync {
    /// Judges a presented refresh token and makes the change its verdict calls for, as one compare-and-set: the
    /// epochs of subject and client, the revocation and the generation are compared in the same critical section in
    /// which the generation moves. After a revocation was acknowledged no call answers `Advanced` or `Retry` for
    /// what it revoked.
    ///
    /// # Errors (of the future)
    /// [`StoreError`]; the token is not burned then, and presenting it again is right.
    fn rotate(&self, order: Rotation, now: UnixSeconds) -> Pending<'_, Rotated>;

    /// Makes changes; they are lasting when it answers `Ok`.
    ///
    /// # Errors (of the future)
    /// [`StoreError`]. Changes before the one that failed may have been made: each is monotone, so giving the whole
    /// list again is right.
    fn commit(&self, changes: Vec<Change>, now: UnixSeconds) -> Pending<'_, ()>;

    /// Uses up a one-time id; exactly one call is told `First`, however many run at once. An id whose end has passed
    /// was spent, as far as anyone can tell.
    ///
    /// # Errors (of the future)
    /// [`StoreError`]; then treat the id as not usable right now.
    fn spend(&self, space: Space, id: [u8; 16], ends_at: UnixSeconds, now: UnixSeconds) -> Pending<'_, Spent>;

    /// What a wall clock that says `now` is worth. Asked before anything is decided or issued.
    fn read_clock(&self, now: UnixSeconds) -> Reading;

    /// What is known of a family. A prediction for a refresh, final for introspection.
    fn family(&self, family: FamilyId, now: UnixSeconds) -> FamilyFacts;

    /// Whether an access token is denied; `expires_at` is its own `exp`.
    fn is_denied(&self, jti: Jti, expires_at: UnixSeconds, now: UnixSeconds) -> bool;

    /// The epoch of a subject, client or key: what was authenticated or issued at or before it is over.
    fn epoch(&self, of: &EpochOf) -> Option<UnixSeconds>;

    /// The latest wall time seen, and everything that was revoked and has not ended: for whoever publishes it, at start.
    fn revocations(&self) -> (UnixSeconds, Vec<Change>);

    /// Sets aside `count` numbers that no other process has been given, and none will be, and gives the first: `least` or
    /// more. An engine that forgets with its process gives `least`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if that could not be made lasting.
    fn reserve(&self, least: u64, count: u64) -> Result<u64, StoreError> {
        let _ = count;
        Ok(least)
    }

    /// What the store holds. Takes each shard's lock in turn.
    fn figures(&self) -> Figures;

    /// Whether refresh and revocation work right now.
    fn health(&self) -> Health;

    /// Tells the time and frees what has ended. Call it about once a second, off the request path.
    fn tick(&self, now: UnixSeconds);
}

/// Bounds of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most entries of all kinds together; at the bound a new one answers [`StoreError::Full`].
    pub entries_max: usize,
    /// How far the wall clock may fall behind the latest time seen. Within it, time stands still; beyond it
    /// rotations answer [`StoreError::ClockBehind`], and nothing is issued, until the clock has caught up.
    pub clock_tolerance: Duration,
    /// Since when this store has seen every change. A refresh token of an earlier log-in is refused: what became of its
    /// family is not known here. A memory store in a server says its start. A durable one says the epoch and keeps the moment
    /// its log was made beside the log; the later of both counts.
    pub knows_since: UnixSeconds,
    /// A log shorter than this, in bytes, is left as it is; a longer one is written anew when it is four times as long as
    /// what it says.
    pub log_bytes_min: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            entries_max: 100_000_000,
            clock_tolerance: Duration::from_secs(10),
            knows_since: UnixSeconds(0),
            log_bytes_min: 64 << 20,
        }
    }
}

/// Why a verb could not be carried out. All are answered 503 with `Retry-After` and never `invalid_grant`, on which
/// clients throw their session away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The state is at `entries_max`.
    #[error("the state is at its bound of entries")]
    Full,
    /// The change could not be made lasting.
    #[error("the store cannot make changes lasting")]
    Unavailable,
    /// The wall clock is behind what the store has seen by more than the tolerance.
    #[error("the clock is behind the store's own record")]
    ClockBehind,
}

impl StoreError {
    /// The reason for the wire's 503.
    #[must_use]
    pub fn reason(self) -> UnavailableReason {
        match self {
            Self::Full => UnavailableReason::StateFull,
            Self::Unavailable => UnavailableReason::Store,
            Self::ClockBehind => UnavailableReason::ClockBehind,
        }
    }
}

impl From<Full> for StoreError {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

/// What a wall clock is worth, against the latest time the store has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The time to decide with: never earlier than one that was decided with before, so a clock that goes back revives
    /// nothing.
    pub time: UnixSeconds,
    /// How far the clock is behind `time`, if that is more than [`Settings::clock_tolerance`]. Nothing may be issued
    /// then: a lifetime that is counted from a time that stands still ends nobody knows when.
    pub behind: Option<Duration>,
}

/// Whether a one-time id was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// It was; it is used up now.
    First,
    /// It was used before, or has ended.
    Again,
}

/// What a store holds, and its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Entries, buckets, bytes, next expiry.
    pub state: crate::state::Figures,
    /// The bound of `state.entries()`.
    pub entries_max: usize,
    /// Bytes of the records in the log; zero if there is none.
    pub log_bytes: u64,
}

/// Whether refresh and revocation work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// They do.
    Ready,
    /// The state is at its bound: what needs a new entry answers 503.
    Full,
    /// The clock is behind the store's own record: nothing is issued, refresh answers 503.
    ClockBehind,
    /// A write failed: refresh and revocation answer 503 until the process is started again.
    Poisoned,
}

impl Health {
    /// Whether readiness is green.
    #[must_use]
    pub fn is_ready(self) -> bool {
        self == Self::Ready
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Full => "full",
            Self::ClockBehind => "clock_behind",
            Self::Poisoned => "poisoned",
        })
    }
}
