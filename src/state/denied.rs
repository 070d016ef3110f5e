//! Denied access tokens: eight bytes each, of which 68 to 85 in 100 are taken.
//!
//! A token is known by half of its `jti`: the last eight of sixteen random bytes. So one that was never denied is taken
//! for a denied one with a chance of n / 2^64 a look-up, where n is the number of entries in its bucket's shard and
//! no larger than all of them: with 100 million at the most 5.4e-12, once in 180 thousand million look-ups, and
//! then it is refused and its client asks for another. The other way there is no error: a denied token is always found.

use crate::protocol::id::Jti;
use crate::state::dense::Slot;

/// The half of a `jti` that is kept; zero is an empty place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag(u64);

impl Slot for Tag {
    type Key = Jti;
    type Value = ();
    const EMPTY: Self = Self(0);

    fn new(key: &Jti, (): ()) -> Self {
        Self::probe(key)
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }

    fn bits(&self) -> u64 {
        self.0
    }

    fn holds(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// A `jti` with the same half: denying it again gives the same entry, in the same shard.
    fn key(&self) -> Jti {
        let [a, b, c, d, e, f, g, h] = self.0.to_be_bytes();
        Jti([0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d, e, f, g, h])
    }

    fn value(&self) {}

    fn set(&mut self, (): ()) {}

    fn probe(key: &Jti) -> Self {
        let [.., a, b, c, d, e, f, g, h] = key.0;
        // One in 2^64 is zero, and shares its entry with another one: with the same last byte, so in the same shard.
        let zero_again = 0x9e37_79b9_7f4a_7c00;
        match u64::from_be_bytes([a, b, c, d, e, f, g, h]) {
            0 => Self(zero_again),
            tag => Self(tag),
        }
    }
}
