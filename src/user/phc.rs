//! Stored passwords: Argon2id (RFC 9106) in the PHC string form, `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::ambient::entropy::draw;
use crate::ambient::{Entropy, EntropyError};

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// Longest PHC string read.
const PHC_BYTES_MAX: usize = 512;

/// What one hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB (`m`).
    pub memory_kib: u32,
    /// Passes over the memory (`t`).
    pub passes: u32,
    /// Lanes (`p`); computed one after the other.
    pub lanes: u32,
}

impl Cost {
    /// 19 MiB, two passes, one lane: 15 ms with reused memory.
    pub const DEFAULT: Self = Self { memory_kib: 19_456, passes: 2, lanes: 1 };
    /// The most a stored hash may ask for: a file or a database must not be able to stall the pool.
    pub const MAX: Self = Self { memory_kib: 262_144, passes: 16, lanes: 16 };

    /// Whether every part stays within `cap`.
    #[must_use]
    pub fn is_within(self, cap: Self) -> bool {
        self.memory_kib <= cap.memory_kib && self.passes <= cap.passes && self.lanes <= cap.lanes
    }

    /// Memory written while hashing, in KiB: the unit of work.
    #[must_use]
    pub fn work(self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.passes)
    }

    fn params(self, hash_bytes: usize) -> Result<Params, PhcError> {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(hash_bytes)).map_err(|_| PhcError::Cost)
    }
}

/// Why a stored password cannot be used. Never carries the string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhcError {
    /// Not `$argon2id$v=19$m=..,t=..,p=..$salt$hash`.
    #[error("not an Argon2id hash; `mintgate hash-password` makes one: $argon2id$v=19$m=19456,t=2,p=1$...")]
    Form,
    /// It asks for more memory or passes than allowed, or for less than Argon2 knows.
    #[error("its cost is out of bounds: at most m={},t={},p={}", Cost::MAX.memory_kib, Cost::MAX.passes, Cost::MAX.lanes)]
    Cost,
    /// The system has no memory for it.
    #[error("no memory for the hash")]
    Memory,
}

/// The working memory of one hashing thread, kept between hashes: fresh memory would cost another 11 ms each time.
#[derive(Debug, Default)]
pub struct Memory {
    blocks: Vec<Block>,
}

impl Memory {
    /// At least `kib` KiB. Grows, never shrinks; [`Memory::release`] gives it back.
    fn at_least(&mut self, kib: usize) -> Result<&mut [Block], PhcError> {
        if let Some(missing) = kib.checked_sub(self.blocks.len()) {
            self.blocks.try_reserve_exact(missing).map_err(|_| PhcError::Memory)?;
            self.blocks.resize(kib, Block::new());
        }
        self.blocks.get_mut(..kib).ok_or(PhcError::Memory)
    }

    /// How much is held, in KiB.
    #[must_use]
    pub fn held_kib(&self) -> usize {
        self.blocks.len()
    }

    /// Gives the memory back to the system.
    pub fn release(&mut self) {
        self.blocks = Vec::new();
    }
}

/// A stored password, parsed and within bounds.
#[derive(Clone, PartialEq, Eq)]
pub struct Phc {
    cost: Cost,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl fmt::Debug for Phc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Phc").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl Phc {
    /// Reads a PHC string whose cost is within `cap`.
    ///
    /// # Errors
    /// `Form` or `Cost`.
    pub fn parse(text: &str, cap: Cost) -> Result<Self, PhcError> {
        if text.len() > PHC_BYTES_MAX {
            return Err(PhcError::Form);
        }
        let mut parts = text.split('$');
        let head = [parts.next(), parts.next(), parts.next()];
        if head != [Some(""), Some("argon2id"), Some("v=19")] {
            return Err(PhcError::Form);
        }
        let (Some(cost), Some(salt), Some(hash), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(PhcError::Form);
        };
        let cost = parse_cost(cost).ok_or(PhcError::Form)?;
        let decode = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| PhcError::Form);
        let (salt, hash) = (decode(salt)?, decode(hash)?);
        if !(8..=64).contains(&salt.len()) || !(16..=64).contains(&hash.len()) {
            return Err(PhcError::Form);
        }
        if !cost.is_within(cap) {
            return Err(PhcError::Cost);
        }
        cost.params(hash.len())?;
        Ok(Self { cost, salt, hash })
    }

    /// Hashes a new password under a random salt.
    ///
    /// # Errors
    /// [`NewError`] if there is no randomness or no memory.
    pub fn new(password: &str, cost: Cost, entropy: &dyn Entropy, memory: &mut Memory) -> Result<Self, NewError> {
        let mut phc = Self { cost, salt: draw::<SALT_BYTES>(entropy)?.to_vec(), hash: vec![0; HASH_BYTES] };
        phc.hash = phc.derive(password, memory)?.to_vec();
        Ok(phc)
    }

    /// A hash no password has: what an unknown user's password is compared with. Made and checked by the same code
    /// as a real one, so it cannot be refused early; nobody can find its password, because there is none to find.
    ///
    /// # Errors
    /// [`EntropyError`] if the source fails.
    pub fn dummy(cost: Cost, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let salt = draw::<SALT_BYTES>(entropy)?.to_vec();
        Ok(Self { cost, salt, hash: draw::<HASH_BYTES>(entropy)?.to_vec() })
    }

    /// One of the same cost with a hash drawn by chance, as [`Phc::dummy`].
    #[must_use]
    pub fn dummy_like(&self, random: &[u8; 64]) -> Self {
        let hash = random.iter().copied().cycle().take(self.hash.len()).collect();
        Self { hash, ..self.clone() }
    }

    /// Whether `password` is the one. Compares in constant time.
    ///
    /// # Errors
    /// `Memory`.
    pub fn verify(&self, password: &str, memory: &mut Memory) -> Result<bool, PhcError> {
        let derived = self.derive(password, memory)?;
        Ok(derived.as_slice().ct_eq(&self.hash).into())
    }

    /// What a verification costs.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    fn derive(&self, password: &str, memory: &mut Memory) -> Result<Zeroizing<Vec<u8>>, PhcError> {
        let params = self.cost.params(self.hash.len())?;
        let blocks = memory.at_least(params.block_count())?;
        let mut out = Zeroizing::new(vec![0; self.hash.len()]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(password.as_bytes(), &self.salt, &mut out, blocks)
            .map_err(|_| PhcError::Cost)?;
        Ok(out)
    }
}

impl fmt::Display for Phc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost { memory_kib, passes, lanes } = self.cost;
        let (salt, hash) = (STANDARD_NO_PAD.encode(&self.salt), STANDARD_NO_PAD.encode(&self.hash));
        write!(f, "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
    }
}

/// Why a password could not be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NewError {
    /// No randomness for the salt.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// No memory, or a cost Argon2 does not know.
    #[error(transparent)]
    Phc(#[from] PhcError),
}

fn parse_cost(text: &str) -> Option<Cost> {
    let mut parts = text.split(',');
    let mut number = |name: &str| {
        let digits = parts.next()?.strip_prefix(name)?.strip_prefix('=')?;
        // One spelling for each number: no sign, no leading zero.
        if digits.starts_with(['0', '+']) { None } else { digits.parse::<u32>().ok() }
    };
    let cost = Cost { memory_kib: number("m")?, passes: number("t")?, lanes: number("p")? };
    parts.next().is_none().then_some(cost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::SystemEntropy;

    const SMALL: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    /// From the reference implementation's command line: `echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1`.
    const REFERENCE: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    #[test]
    fn agrees_with_the_reference_implementation() {
        let phc = Phc::parse(REFERENCE, Cost::MAX).expect("parses");
        assert_eq!(phc.to_string(), REFERENCE);
        assert_eq!(phc.verify("password", &mut Memory::default()), Ok(true));
        assert_eq!(phc.verify("passwore", &mut Memory::default()), Ok(false));
    }

    #[test]
    fn used_memory_gives_the_same_hash_as_fresh_memory() {
        let mut used = Memory::default();
        let large =
            Phc::new("first", Cost { memory_kib: 256, passes: 2, lanes: 2 }, &SystemEntropy, &mut used).unwrap();
        let small = Phc::new("second", SMALL, &SystemEntropy, &mut used).unwrap();
        assert_eq!(used.held_kib(), 256);
        for (phc, password) in [(&large, "first"), (&small, "second")] {
            assert_eq!(phc.verify(password, &mut Memory::default()), Ok(true));
            assert_eq!(phc.verify(password, &mut used), Ok(true));
            assert_eq!(phc.verify("third", &mut used), Ok(false));
        }
        used.release();
        assert_eq!(used.held_kib(), 0);
    }

    #[test]
    fn refusals() {
        let good = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(Phc::parse(good, Cost::MAX).is_ok());
        for (from, to, why) in [
            ("argon2id", "argon2i", PhcError::Form),
            ("v=19", "v=16", PhcError::Form),
            ("m=65536", "m=065536", PhcError::Form),
            ("m=65536", "m=+65536", PhcError::Form),
            ("m=65536", "m=99999999999", PhcError::Form),
            (",p=1", "", PhcError::Form),
            (",p=1", ",p=1,x=2", PhcError::Form),
            ("$c29tZXNhbHQ", "$c29t", PhcError::Form),
            ("$c29tZXNhbHQ", "$c29tZXNhbHQ=", PhcError::Form),
            ("$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "", PhcError::Form),
            ("m=65536", "m=262145", PhcError::Cost),
            ("m=65536", "m=7", PhcError::Cost),
            ("t=2", "t=17", PhcError::Cost),
            ("p=1", "p=17", PhcError::Cost),
        ] {
            assert_eq!(Phc::parse(&good.replace(from, to), Cost::MAX), Err(why), "{from} -> {to}");
        }
    }
}
