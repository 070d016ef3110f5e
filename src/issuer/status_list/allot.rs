//! Gives each token a place in a list: one short lock, no look-up, no store, no disk.
//!
//! Places are counted, so no two tokens of a start share one, and the count is then scattered over the list, so that
//! neighbours tell nothing (draft-ietf-oauth-status-list-20, section 12.4).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::digest;

use crate::ambient::Entropy;
use crate::ambient::entropy::draw;
use crate::issuer::no_entropy;
use crate::protocol::error::OAuthError;
use crate::protocol::time::UnixSeconds;
use crate::store::StoreError;
use crate::store::allotted::{Allotment, Facts, ListId};
use crate::token::draft::StatusReference;

/// Places in a list: 2^20, 128 KiB of bits before compression. The next list of the same end begins when it is full.
pub(super) const PLACES: u32 = 1 << (2 * HALF_BITS);
/// Bits of one half of a place's number.
const HALF_BITS: u32 = 10;
const HALF_MASK: u32 = (1 << HALF_BITS) - 1;
/// Tokens that expire within the same ten minutes share their lists: few lists, each with many tokens.
const SLICE_SECONDS: u64 = 600;
/// Rounds of the scattering.
const ROUNDS: usize = 4;

/// What has been given away and not been taken over by the builder yet.
#[derive(Debug, Default)]
pub(super) struct Allotter {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    start: Option<Start>,
    open: BTreeMap<UnixSeconds, Slice>,
    fresh: Vec<Allotment>,
}

/// Drawn when the first place is given away.
#[derive(Clone, Copy, Debug)]
struct Start {
    id: u64,
    secret: [u8; 32],
}

#[derive(Debug)]
struct Slice {
    list: ListId,
    uri: Arc<str>,
    next: u32,
    keys: [u64; ROUNDS],
    given: usize,
}

/// What a place is asked for.
pub(super) struct Wanted<'a> {
    pub(super) facts: Facts,
    /// `exp`.
    pub(super) expires_at: UnixSeconds,
    pub(super) now: UnixSeconds,
    /// The issuer, for the list's address.
    pub(super) issuer: &'a str,
    pub(super) entries_max: usize,
}

impl Allotter {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic under the lock leaves at worst a place that nobody has.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a place away. Cost: no allocation but when a list begins or the buffer grows.
    ///
    /// # Errors
    /// `Unavailable` if `entries_max` live tokens have places, or there is no randomness for the first one.
    pub(super) fn allot(&self, wanted: &Wanted<'_>, entropy: &dyn Entropy) -> Result<StatusReference, OAuthError> {
        let mut inner = self.lock();
        if inner.given() >= wanted.entries_max {
            inner.open.retain(|ends_at, _| !ends_at.has_passed(wanted.now));
            if inner.given() >= wanted.entries_max {
                return Err(super::super::unavailable(StoreError::Full));
            }
        }
        let start = match inner.start {
            Some(start) => start,
            None => *inner.start.insert(Start::draw(entropy)?),
        };
        // The end of the slice is never before the token's own.
        let ends_at = UnixSeconds(wanted.expires_at.0.div_ceil(SLICE_SECONDS).saturating_mul(SLICE_SECONDS));
        if !inner.open.contains_key(&ends_at) {
            inner.open.retain(|ends_at, _| !ends_at.has_passed(wanted.now));
        }
        let first = || Slice::begin(&start, ListId { ends_at, start: start.id, number: 0 }, wanted.issuer, 0);
        let slice = inner.open.entry(ends_at).or_insert_with(first);
        if slice.next == PLACES {
            let list = ListId { number: slice.list.number.saturating_add(1), ..slice.list };
            *slice = Slice::begin(&start, list, wanted.issuer, slice.given);
        }
        let index = scatter(slice.next, &slice.keys);
        slice.next += 1;
        slice.given += 1;
        let reference = StatusReference { uri: Arc::clone(&slice.uri), index };
        let list = slice.list;
        inner.fresh.push(Allotment { list, index, facts: wanted.facts });
        Ok(reference)
    }

    /// Hands over what was given away since the last call.
    pub(super) fn take(&self) -> Vec<Allotment> {
        std::mem::take(&mut self.lock().fresh)
    }

    /// Whether there is something to hand over.
    pub(super) fn has_fresh(&self) -> bool {
        !self.lock().fresh.is_empty()
    }

    /// Whether places are given away of a list that `is_listed` does not know yet.
    pub(super) fn has_unlisted(&self, now: UnixSeconds, is_listed: impl Fn(&str) -> bool) -> bool {
        let inner = self.lock();
        let mut lists = inner.open.iter().filter(|(ends_at, _)| !ends_at.has_passed(now));
        lists.any(|(_, slice)| !is_listed(&slice.list.to_string()))
    }

    /// Whether places of this list are being given away or were.
    pub(super) fn knows(&self, id: ListId) -> bool {
        let inner = self.lock();
        inner.open.get(&id.ends_at).is_some_and(|slice| slice.list.start == id.start && slice.list.number >= id.number)
    }
}

impl Inner {
    fn given(&self) -> usize {
        self.open.values().map(|slice| slice.given).sum()
    }
}

impl Start {
    fn draw(entropy: &dyn Entropy) -> Result<Self, OAuthError> {
        let id = u64::from_be_bytes(draw(entropy).map_err(no_entropy)?);
        Ok(Self { id, secret: draw(entropy).map_err(no_entropy)? })
    }
}

impl Slice {
    fn begin(start: &Start, list: ListId, issuer: &str, given: usize) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&start.secret);
        context.update(&list.ends_at.0.to_be_bytes());
        context.update(&list.number.to_be_bytes());
        let hash = context.finish();
        let mut keys = [0; ROUNDS];
        for (key, bytes) in keys.iter_mut().zip(hash.as_ref().chunks_exact(8)) {
            *key = bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        }
        Self { list, uri: Arc::from(super::address(issuer, list)), next: 0, keys, given }
    }
}

/// A permutation of the places that depends on `keys`: a Feistel network over two halves of ten bits. Not a cipher: it
/// hides an order that a token's own `iat` tells whoever holds the token.
fn scatter(place: u32, keys: &[u64; ROUNDS]) -> u32 {
    let (mut left, mut right) = (place >> HALF_BITS, place & HALF_MASK);
    for key in keys {
        let mixed = mix(key ^ u64::from(right).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // The top bits are the best mixed ones.
        let round = u32::try_from(mixed >> (64 - HALF_BITS)).unwrap_or_default();
        (left, right) = (right, left ^ round);
    }
    (left << HALF_BITS) | right
}

fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let number = (number ^ (number >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    number ^ (number >> 32)
}

/// How long a list can outlive the token that lives longest.
pub(super) const SLICE: Duration = Duration::from_secs(SLICE_SECONDS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattering_gives_every_place_once_and_no_order() {
        let keys = [1, 2, 3, 4];
        let mut seen = vec![false; PLACES as usize];
        let mut rising = 0;
        let mut last = 0;
        for place in 0..PLACES {
            let at = scatter(place, &keys);
            assert!(!std::mem::replace(&mut seen[at as usize], true), "{place} meets another at {at}");
            rising += u32::from(at > last);
            last = at;
        }
        let half = f64::from(rising) / f64::from(PLACES);
        assert!((0.49..0.51).contains(&half), "the order shows: {half}");
        let other = (0..1_000).filter(|place| scatter(*place, &keys) == scatter(*place, &[1, 2, 3, 5])).count();
        assert!(other < 10, "another key, another order: {other} of 1000 alike");
    }
}
