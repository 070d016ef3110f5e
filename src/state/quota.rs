//! The bound on all entries together, exact over any number of shards.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::protocol::time::UnixSeconds;

/// No room for another entry. Answer 503 (RFC 7009 section 2.2.1); nothing older was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state is at its bound of entries")]
pub struct Full;

/// Where an entry goes: the quota it takes from, and the time it arrives at.
#[derive(Debug)]
pub(super) struct Room<'a> {
    pub(super) quota: &'a Quota,
    pub(super) now: UnixSeconds,
}

/// Counts entries against `entries_max`.
#[derive(Debug)]
pub struct Quota {
    entries_max: usize,
    used: AtomicUsize,
}

impl Quota {
    /// Room for `entries_max` entries.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self { entries_max, used: AtomicUsize::new(0) }
    }

    /// The bound.
    #[must_use]
    pub fn entries_max(&self) -> usize {
        self.entries_max
    }

    /// Entries in use.
    #[must_use]
    pub fn used(&self) -> usize {
        // Relaxed: the count guards no other memory; the shard's lock does that.
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn at(&self, now: UnixSeconds) -> Room<'_> {
        Room { quota: self, now }
    }

    /// Reserves room for one entry.
    ///
    /// # Errors
    /// [`Full`] at the bound.
    pub(super) fn take(&self) -> Result<(), Full> {
        // One addition, taken back at the bound: at worst somebody else is told Full a moment too long.
        if self.used.fetch_add(1, Ordering::Relaxed) < self.entries_max {
            return Ok(());
        }
        self.used.fetch_sub(1, Ordering::Relaxed);
        Err(Full)
    }

    /// As [`Quota::take`], for `entries` at once: all or nothing.
    ///
    /// # Errors
    /// [`Full`] if they do not all fit.
    pub(super) fn take_all(&self, entries: usize) -> Result<(), Full> {
        if self.used.fetch_add(entries, Ordering::Relaxed).saturating_add(entries) <= self.entries_max {
            return Ok(());
        }
        self.used.fetch_sub(entries, Ordering::Relaxed);
        Err(Full)
    }

    /// Gives back the room of `entries` that are gone.
    pub(super) fn give_back(&self, entries: usize) {
        let fewer = |used: usize| Some(used.saturating_sub(entries));
        // The closure always answers, so there is no failure to handle.
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
    }
}
